"""Words of the search: commits, questions, and each way in which a bisection can end."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from bot.model.build import Build
from bot.model.sides import Attribution
from bot.model.smoke import Case, Outcome, Run, Sha, Signature, Verdict


@dataclass(frozen=True, slots=True)
class Commit:
    """What reports say of a commit. Dates are ISO 8601 as git prints them (%aI, %cI)."""

    sha: Sha
    subject: str
    author: str
    email: str
    date: str
    committed: str
    body: str = ""
    parents: tuple[Sha, ...] = ()

    @property
    def short(self) -> str:
        """12 digits, as QEMU's `Fixes:` tags have them."""
        return self.sha[:12]


@dataclass(frozen=True, slots=True)
class Test:
    """Job: build the commit and run the cases, each `times` over, interleaved.

    `host` is the one that it is to be done on (`Run.host`) where several can; None: any of them.
    """

    __test__: ClassVar[bool] = False  # pytest collects classes of this name otherwise

    commit: Sha
    cases: tuple[Case, ...]
    times: int = 1
    own: bool = False  # the commit's own build, not one that it is said to share with another
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a bisection is asked. `signature` is None until the failing end was run; bad then means *that* signature.

    Searched is the first commit of good..bad that brought the failure; with `cured` the first that cured it, and then
    `good`, the older end, is the one that fails and `bad`, the newer one, passes.
    """

    good: Sha
    bad: Sha
    case: Case
    signature: Signature | None = None
    cured: bool = False

    @property
    def failing(self) -> Sha:
        """The end that shows the failure."""
        return self.good if self.cured else self.bad

    @property
    def passing(self) -> Sha:
        """The end that does not."""
        return self.bad if self.cured else self.good

    def role(self, end: Sha) -> str:
        """What readers call an end: "good end", "bad end"; of a search for a fix "broken end", "fixed end"."""
        if self.cured:
            return "broken end" if end == self.failing else "fixed end"
        return "bad end" if end == self.failing else "good end"


class RevertOutcome(StrEnum):
    """What became of the found commit's revert on top of the newer end, or of a fix picked onto the older one."""

    OK = "ok"  # the case passes (again); of a fix's revert: it fails again
    STILL_BAD = "still bad"
    NO_EFFECT = "no effect"  # a fix's revert passes all the same
    CONFLICT = "conflict"
    NOT_BUILT = "does not build"
    UNTESTABLE = "cannot be tested"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Tally:
    """bad of n runs of one commit in the confirmation."""

    commit: Sha
    bad: int
    n: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What was run before anybody is blamed (docs/architecture.md, Confirmation).

    `culprit` is the commit that was found, also where it is a fix; its `revert` is then ok if the case fails again.
    """

    parents: tuple[Tally, ...]
    culprit: Tally
    good_end: Tally
    bad_end: Tally
    binary_differs: bool | None = None  # culprit's executable against its first parent's; None: not comparable
    revert: RevertOutcome = RevertOutcome.NOT_TRIED


@dataclass(frozen=True, slots=True)
class FirstBad:
    """One commit, confirmed. `attribution` says whether it is at fault, or shows what another brought."""

    commit: Sha
    confirmation: Confirmation
    attribution: Attribution = field(default_factory=Attribution)


@dataclass(frozen=True, slots=True)
class FirstFixed:
    """The first commit without the failure that its parents have, confirmed. `backport`: picked onto the older end."""

    commit: Sha
    confirmation: Confirmation
    backport: RevertOutcome = RevertOutcome.NOT_TRIED


@dataclass(frozen=True, slots=True)
class Suspects:
    """The first bad commit is one of these, newest last; some could not be tested."""

    commits: tuple[Sha, ...]
    skipped: tuple[Sha, ...]


@dataclass(frozen=True, slots=True)
class NotReproduced:
    """The bad end is not bad."""

    commit: Sha
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class BadAtGoodEnd:
    """The good end fails too; with `merge_base` it was not the end given but the base of both that was tested."""

    commit: Sha
    outcome: Outcome
    merge_base: bool = False


@dataclass(frozen=True, slots=True)
class Flaky:
    """One commit gave both answers."""

    commit: Sha
    bad: int
    n: int


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """Only the merge is bad, each parent is good: a conflict of what it joins."""

    commit: Sha
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The search could not end otherwise; `why` is a sentence."""

    why: str


Finding = FirstBad | FirstFixed | Suspects | NotReproduced | BadAtGoodEnd | Flaky | MergeConflict | Inconclusive


@dataclass(frozen=True, slots=True)
class Regression:
    """A failure that was not there before: one signature, the cases that have it, and the range it came in."""

    id: str  # "r0017"
    signature: Signature
    cases: tuple[Case, ...]
    good: Sha
    bad: Sha
    branch: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that a search asked about, in the order it asked; `why` is a phrase ("good end", "midpoint")."""

    commit: Commit
    verdict: Verdict
    runs: tuple[Run, ...]
    builds: tuple[Build, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Probed:
    """What runs of one commit said. `place` is where it stands in the range, oldest first; None: it is outside."""

    commit: Sha
    place: int | None
    good: int = 0
    bad: int = 0
    skip: int = 0


@dataclass(frozen=True, slots=True)
class CourseRow:
    """What a search believed after some runs. Commits are in bins of neighbours, oldest first."""

    phase: str  # "ends", "search", "confirmation"
    why: str  # why the commit was tested, as a phrase; empty where a row is no single question
    probes: tuple[Probed, ...]
    suspects: int
    spans: tuple[tuple[int, int], ...]  # bins that hold a suspect: the first, and the one after the last
    weights: tuple[float, ...]  # by bin: that the first bad commit is there; with `nobody` they sum to 1
    nobody: float  # that there is none: what fails is a flake
    likeliest: Sha
    share: float  # weight of the likeliest commit


@dataclass(frozen=True, slots=True)
class Course:
    """What a search believed step by step (`bot.core.course`)."""

    commits: int  # of the range
    rows: tuple[CourseRow, ...]
