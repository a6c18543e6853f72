"""Words of the report: who gets it, and all that it may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.model.search import Commit, Course, Finding, Regression, RevertOutcome, Step
from bot.model.sides import SideTest
from bot.model.smoke import Case, Profile, Run, Sha


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Who mails come from and go to. Addresses are `user@host` or `Name <user@host>`.

    `lists` get every mail; `cc` are people who also get mails that name no commit. `domain` is the right side of the
    Message-IDs (default: the sender's). `url` is where the pages are published, `owner` the person who answers for the
    bot; None: mails do not mention it. `archive` is where a Message-ID can be looked up (default: lore.kernel.org, for
    mails to qemu-devel).
    """

    sender: str = "QEMU migration bot <migbot@example.org>"
    lists: tuple[str, ...] = ("qemu-devel@nongnu.org",)
    cc: tuple[str, ...] = ()
    domain: str | None = None
    url: str | None = None
    archive: str | None = None
    owner: str | None = None
    approval: bool = True  # a person approves each mail before it may be sent
    no_cc: tuple[str, ...] = ()  # patterns of addresses that are never put into a mail
    answers: str | None = None  # what lines begin with that are for the bot; None: answers are not read


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A reproducer and what came of it when it was run exactly as printed; `text` is what a mail shows.

    Exits: 1 fails, 124 loads (timeout(1) ended a destination that was waiting); None: not run.
    """

    text: str
    bad_exit: int | None
    good_exit: int | None
    output: str = ""  # of the bad side

    @property
    def shown(self) -> bool:
        """Whether it told the two builds apart."""
        return self.bad_exit not in (None, 0, 124) and self.good_exit == 124


@dataclass(frozen=True, slots=True)
class Reason:
    """One piece of evidence as a phrase, and the factor by which it moved the weight of a commit."""

    text: str
    factor: float


@dataclass(frozen=True, slots=True)
class Weight:
    """What a commit weighed before the first probe: its place among all of the range, its share of 1, and why."""

    commit: Sha
    rank: int
    share: float
    reasons: tuple[Reason, ...]  # what moved it most first


@dataclass(frozen=True, slots=True)
class Related:
    """Another regression whose first bad commit may have a common cause with this one's: inferred, not measured.

    `series`: both commits were posted in one series. `name` is the rarest name that both add, `cause` the commit that
    brought it; "" and None if there is none.
    """

    regression: str
    commit: Commit
    series: bool
    name: str = ""
    cause: Commit | None = None


@dataclass(frozen=True, slots=True)
class Readers:
    """Who is to know of a commit, each as (name, address), by today's MAINTAINERS and .mailmap."""

    reviewers: tuple[tuple[str, str], ...] = ()  # who stand in its Reviewed-by and Acked-by
    maintainers: tuple[tuple[str, str], ...] = ()  # of the files that it changes
    migration: tuple[tuple[str, str], ...] = ()  # maintainers of migration


@dataclass(frozen=True, slots=True)
class Picked:
    """A fix of another branch, and what came of it on top of the bad end, which lacks it."""

    commit: Sha
    outcome: RevertOutcome


@dataclass(frozen=True, slots=True)
class Offer:
    """A patch that was posted and says that it cures the failure; nothing of it was run."""

    mail: str  # Message-ID, without brackets
    how: str  # the line that says so


@dataclass(frozen=True, slots=True)
class Report:
    """All that a mail, page or JSON about one regression may say. Each claim in it was measured; None: not measured."""

    regression: Regression
    case: Case  # the one that was bisected
    finding: Finding
    good: Commit
    bad: Commit
    good_name: str  # as the user or the watch called it: "v4.2.0", "master"
    bad_name: str
    range_size: int  # commits good..bad
    steps: tuple[Step, ...]
    culprit: Commit | None  # of FirstBad and MergeConflict
    commits: Mapping[Sha, Commit]  # of suspects, parents, ends, and what `weights` has
    symptom: str  # the failing side's stderr, verbatim
    table: tuple[Run, ...]  # latest run of each case at the bad end (and of each affected case at culprit and parent)
    names: Mapping[str, str]  # what readers call each binary, by sha256, and each baseline, by name
    reproduction: Reproduction | None
    not_run: tuple[str, ...]  # phrases: "KVM", "profile virtio"
    releases: tuple[str, ...] | None  # releases that contain the culprit, oldest first
    accel: str
    toolchain: str
    host: str  # "x86_64, Debian 12, 2 cores"
    seconds: float  # wall time of the search, or, if it was interrupted, at least that of its builds and runs
    fixed_by: tuple[Commit, ...] | None = None  # later commits whose Fixes: names the culprit, or that revert it
    picked: tuple[Picked, ...] = ()  # of `fixed_by` those that were tried on the stable branch that was searched
    offers: tuple[Offer, ...] | None = None  # patches on a list that say so, newest last; None: no mails were read
    profile: Profile | None = None  # of the case; None: a reader is told its name only
    paths: tuple[str, ...] | None = None  # what the culprit changes
    evidence: tuple[str, ...] = ()  # what spoke for the culprit before the first probe, as phrases
    weights: tuple[Weight, ...] = ()  # of the likeliest commits before the first probe and of those that were found
    course: Course | None = None  # what the search believed step by step; None: not recorded
    sides: SideTest | None = None  # None: no side is pinned, or it was not tested
    related: tuple[Related, ...] = ()  # other regressions that may have a common cause with this one
    readers: Readers | None = None  # of the culprit; None: not looked up
    cured: bool = False  # searched was what cured the failure: `good`, the older end, fails and `bad` passes

    @property
    def runs(self) -> Iterator[Run]:
        """All runs that the finding stands on, in the order of its steps."""
        return (run for step in self.steps for run in step.runs)

    @property
    def missing(self) -> tuple[Sha, ...]:
        """The fixes that the stable branch lacks and passes with."""
        return tuple(tried.commit for tried in self.picked if tried.outcome is RevertOutcome.OK)
