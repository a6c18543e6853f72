"""When a mail may go out: one table, rows are conditions, columns are kinds of mail.

A mail is always rendered; the gate decides about sending it and names what holds it. A condition that was not measured
holds as one that is not met: a wrong accusation costs more than a missed one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core.sides import attribution, comes_from
from bot.model import (
    By,
    FirstBad,
    MergeConflict,
    Outcome,
    Report,
    SeriesReport,
    Sha,
    Signature,
    Suspects,
    Tally,
    Verdict,
)

MIN_RUNS = 10  # runs of each parent and of the culprit
MIN_BAD = 3  # bad runs of the culprit
_DOCUMENTS = (".rst", ".md", ".texi")


class Kind(StrEnum):
    """What a mail is about; its name stands in the Message-ID."""

    REPORT = "report"  # one commit, confirmed
    EXPOSED = "exposed"  # one commit that shows what another brought: nobody is blamed
    RANGE = "range"  # several suspects: nobody is blamed
    MERGE = "merge"  # only a merge is bad
    SERIES = "series"  # what a posted series breaks: the answer to it
    FIXED = "fixed"  # follow-ups, from here on: it is gone
    STABLE = "stable"  # it is gone, but not from a stable branch
    PICKED = "fixed-in-stable"  # it is gone from all of them, too
    REOPENED = "reopened"  # it is there again
    EXPIRED = "expired"  # it was accepted until a date that has passed
    RETRACT = "retract"  # what was said of it is wrong
    CORRECTED = "corrected"  # another commit brought it than was said

    @property
    def follows(self) -> bool:
        """Whether it answers a mail about the same regression that went out before."""
        return self not in FINDINGS and self is not Kind.SERIES


@dataclass(frozen=True, slots=True)
class Hold:
    """One condition that keeps a mail back: its name, for headers, and a phrase that says what is amiss."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the conditions look at. None: not known."""

    good_end: Tally
    bad_end: Tally
    parents: tuple[Tally, ...] = ()
    culprit: Tally | None = None
    one_signature: bool = False  # every failing run at a commit called bad had the regression's signature
    binary_differs: bool | None = None
    merge: bool = False
    paths: tuple[str, ...] | None = None  # that the culprit changes
    fixed: bool | None = None  # a later commit says that it fixes or reverts the culprit
    missing: bool = False  # and the stable branch lacks it, and passes with a pick of it: that was run
    trouble: bool = False  # infrastructure failed during the search
    reproduced: bool | None = None  # the reproducer told the two builds apart as printed; None: it was not run
    exposed: str | None = None  # why the fault may be elsewhere than in what is named; None: nothing speaks for that
    sandboxed: bool = False  # of a series: all of it was built and run in a sandbox
    posted: bool = False  # of a series: there is a mail of it to answer
    within_caps: bool = True
    approved: bool = False


def kind_of(report: Report) -> Kind | None:
    """The kind of mail that a finding deserves; None: none, it is for the terminal and the pages."""
    match report.finding:
        case FirstBad() if report.finding.attribution.by is By.EXPOSED:
            return Kind.EXPOSED
        case FirstBad():
            return Kind.REPORT
        case MergeConflict():
            return Kind.MERGE
        case Suspects():
            return Kind.RANGE
    return None


def facts_of(report: Report, *, approved: bool = False, within_caps: bool = True) -> Facts:
    """What a report says about the conditions; `approved` and `within_caps` are the sender's to know."""
    finding, culprit = report.finding, report.culprit
    confirmation = finding.confirmation if isinstance(finding, FirstBad | MergeConflict) else None
    runs = list(report.runs)
    bad = {step.commit.sha for step in report.steps if step.verdict is Verdict.BAD}
    failed = [r for r in runs if r.commit in bad and r.outcome not in (Outcome.PASS, Outcome.INFRA)]
    return Facts(
        good_end=confirmation.good_end if confirmation else tally(report, report.good.sha),
        bad_end=confirmation.bad_end if confirmation else tally(report, report.bad.sha),
        parents=confirmation.parents if confirmation else (),
        culprit=confirmation.culprit if confirmation else None,
        one_signature=bool(failed) and all(_same(run.signature, report) for run in failed),
        binary_differs=confirmation.binary_differs if confirmation else None,
        merge=culprit is not None and len(culprit.parents) > 1,
        paths=report.paths,
        fixed=None if report.fixed_by is None else bool(report.fixed_by),
        missing=bool(report.missing),
        trouble=any(run.outcome is Outcome.INFRA for run in runs),
        reproduced=None if report.reproduction is None else report.reproduction.shown,
        exposed=_exposed(report),
        within_caps=within_caps,
        approved=approved,
    )


def _exposed(report: Report) -> str | None:
    if isinstance(report.finding, FirstBad):
        given = report.finding.attribution
    else:
        given = attribution(None if comes_from(report.sides, report.good.sha, report.bad.sha) else report.sides)
    return given.why if given.by is By.EXPOSED else None


def tally(report: Report, commit: Sha) -> Tally:
    """bad of n in the search's own runs of the bisected case on one commit; infrastructure trouble does not count."""
    runs = [
        run
        for step in report.steps
        for run in step.runs
        if run.commit == commit and run.case == report.case and run.outcome is not Outcome.INFRA
    ]
    return Tally(commit, sum(_same(run.signature, report) for run in runs), len(runs))


def _same(signature: Signature | None, report: Report) -> bool:
    return signature is not None and signature.key == report.regression.signature.key


def gate(kind: Kind, facts: Facts) -> tuple[Hold, ...]:
    """What holds a mail of this kind, in the order of the table; empty: it may go out."""
    found = ((row, row.why(facts)) for row in TABLE if kind in row.kinds)
    return tuple(Hold(row.name, why) for row, why in found if why)


def gate_series(report: SeriesReport, *, posted: bool, approved: bool = False) -> tuple[Hold, ...]:
    """What holds the answer to a series, each condition once; `posted`: there is a mail of it that can be answered.

    It stands on several searches: each has to hold for itself, as the report that it would be, and as part of this.
    """
    found: dict[str, Hold] = {}
    for one in report.reports:
        facts = replace(facts_of(one, approved=approved), sandboxed=report.sandboxed, posted=posted)
        kind = kind_of(one)
        for hold in (*gate(Kind.SERIES, facts), *(gate(kind, facts) if kind else ())):
            found.setdefault(hold.name, hold)
    order = [row.name for row in TABLE]
    return tuple(sorted(found.values(), key=lambda hold: order.index(hold.name)))


@dataclass(frozen=True, slots=True)
class Row:
    """One condition. `why` gives the phrase that says what is amiss, or None if the condition is met."""

    name: str
    kinds: frozenset[Kind]
    why: Callable[[Facts], str | None]


def _ends(facts: Facts) -> str | None:
    good, bad = facts.good_end, facts.bad_end
    if good.bad:
        return f"the good end failed {good.bad} of {good.n}"
    if bad.bad < bad.n:
        return f"the bad end failed only {bad.bad} of {bad.n}"
    return None if min(good.n, bad.n) >= 2 else f"run {good.n} and {bad.n} times, not repeated"


def _base(facts: Facts) -> str | None:
    base = facts.good_end
    if base.bad:
        return f"it failed {base.bad} of {base.n}, too"
    return None if base.n >= MIN_RUNS else f"it was run {base.n} times, not {MIN_RUNS}"


def _repeats(facts: Facts) -> str | None:
    series = facts.bad_end
    if series.bad < series.n:
        return f"the series failed only {series.bad} of {series.n}"
    return None if series.n >= MIN_RUNS else f"the series was run {series.n} times, not {MIN_RUNS}"


def _parents(facts: Facts) -> str | None:
    if not facts.parents:
        return "no parent was run"
    failing = next((t for t in facts.parents if t.bad), None)
    if failing:
        return f"{failing.commit[:12]} failed {failing.bad} of {failing.n}"
    short = next((t for t in facts.parents if t.n < MIN_RUNS), None)
    return f"{short.commit[:12]} was run {short.n} times, not {MIN_RUNS}" if short else None


def _culprit(facts: Facts) -> str | None:
    tally = facts.culprit
    if tally is None:
        return "not confirmed"
    enough = tally.bad >= MIN_BAD and tally.n >= MIN_RUNS
    return None if enough else f"failed {tally.bad} of {tally.n}; {MIN_BAD} of {MIN_RUNS} is the least"


def luck(culprit: Tally, parents: tuple[Tally, ...]) -> float:
    """Probability that a parent as bad as the culprit shows 0 of its n, for the parent that was run least."""
    if not culprit.n or not parents:
        return 1.0
    return float((1 - culprit.bad / culprit.n) ** min(parent.n for parent in parents))


def _luck(facts: Facts) -> str | None:
    chance = luck(facts.culprit, facts.parents) if facts.culprit else 1.0
    return None if chance < 0.001 else f"a parent as bad would look this good with probability {chance:.2g}"


def _binary(facts: Facts) -> str | None:
    if facts.binary_differs is None:
        return "not compared with the parent's"
    return None if facts.binary_differs else "the same as the parent's"


def _paths(facts: Facts) -> str | None:
    paths = facts.paths
    if paths is None:
        return "not looked at"
    if paths and all(path == "VERSION" for path in paths):
        return "only VERSION"
    documents = paths and all(p.startswith("docs/") or p.endswith(_DOCUMENTS) or p == "MAINTAINERS" for p in paths)
    return "only documentation" if documents else None


def _reproducer(facts: Facts) -> str | None:
    if facts.reproduced is None:
        return "was not run"
    return None if facts.reproduced else "did not tell the two builds apart as printed"


def _fixed(facts: Facts) -> str | None:
    if facts.fixed is None:
        return "not looked for"
    told = facts.fixed and not facts.missing
    return "a later commit says that it fixes or reverts the culprit" if told else None


_ALL = FINDINGS = frozenset({Kind.REPORT, Kind.EXPOSED, Kind.RANGE, Kind.MERGE})
"""Kinds of mails about what a search found."""
_NAMED = frozenset({Kind.REPORT, Kind.EXPOSED, Kind.MERGE})  # a commit is named
_BLAMED = frozenset({Kind.REPORT})  # and its author answers for it
_SERIES = frozenset({Kind.SERIES})
_EACH = _ALL | _SERIES

TABLE = (
    Row("posted", _SERIES, lambda f: None if f.posted else "no mail of it has a Message-ID that can be answered"),
    Row("sandbox", _SERIES, lambda f: None if f.sandboxed else "it was not built and run in one"),
    Row("base", _SERIES, _base),
    Row("repeats", _SERIES, _repeats),
    Row("ends", _ALL, _ends),
    Row("parent", _NAMED, _parents),
    Row("culprit", _NAMED, _culprit),
    Row("confidence", _NAMED, _luck),
    Row("signature", _EACH, lambda f: None if f.one_signature else "failures differ, or none was seen"),
    Row("binary", _NAMED, _binary),
    Row("merge", _BLAMED, lambda f: "the culprit is a merge" if f.merge else None),
    Row("paths", _BLAMED, _paths),
    Row("exposed", _EACH, lambda f: f.exposed),
    Row("fixed", _NAMED, _fixed),
    Row("infrastructure", _EACH, lambda f: "it failed during the search" if f.trouble else None),
    Row("reproducer", _EACH, _reproducer),
    Row("caps", _EACH, lambda f: None if f.within_caps else "enough mails for now"),
    Row("approval", _EACH, lambda f: None if f.approved else "not approved by a person"),
)
"""Rows are conditions, `kinds` are the columns they stand in."""
