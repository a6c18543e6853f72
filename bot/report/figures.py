"""The figures of a search and how it ended, as lines. What was not measured is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bot.core.gate import tally
from bot.core.sides import comes_from, said
from bot.core.trailers import Fixes, fixes, fixes_tag
from bot.model import (
    BadAtGoodEnd,
    BuildKind,
    BuildStatus,
    By,
    FirstBad,
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Outcome,
    Report,
    RevertOutcome,
    Sha,
    Suspects,
    Verdict,
)
from bot.report import table
from bot.report.safe import clean, line
from bot.report.words import cite_sha, duration, known, name, plural, word

_REVERT = {
    RevertOutcome.OK: "it works again",
    RevertOutcome.STILL_BAD: "still fails in the same way",
    RevertOutcome.NO_EFFECT: "it works all the same",
    RevertOutcome.CONFLICT: "does not apply, so it was not tested",
    RevertOutcome.NOT_BUILT: "applies but does not build, so it was not tested",
    RevertOutcome.UNTESTABLE: "applies and builds, but the case cannot be tested on it",
    RevertOutcome.NOT_TRIED: "not tried",
}


# -- figures of the search ---------------------------------------------------------------------------------------


def scope(report: Report) -> str:
    """`v4.2.0..db736e0437aa, 1858 commits, 11 of them tested, 0 skipped`."""
    end = report.bad.short
    tested = {step.commit.sha: step.verdict for step in report.steps}
    skipped = sum(verdict is Verdict.SKIP for verdict in tested.values())
    commits = plural(report.range_size, "commit")
    return f"{name(report.good_name)}..{end}, {commits}; {len(tested)} tested, {skipped} of them skipped"


def builds(report: Report) -> str:
    """`3 full builds, 9 incremental, 1 from the cache; 14 min in all`."""
    done = [build for step in report.steps for build in step.builds]
    kinds = Counter(build.kind for build in done)
    failed = sum(build.status is BuildStatus.FAILED for build in done)
    named = {
        BuildKind.FULL: "full",
        BuildKind.INCREMENTAL: "incremental",
        BuildKind.SHARED: "shared with another commit",
        BuildKind.CACHED: "from the cache",
    }
    parts = [f"{kinds[kind]} {words}" for kind, words in named.items() if kinds[kind]]
    made = f"{plural(len(done), 'build')}: {', '.join(parts)}" if parts else "no build"
    made += f"; {failed} failed" if failed else ""
    return f"{made}; {duration(report.seconds)} in all"


def tallies(report: Report) -> list[str]:
    """Parents, culprit and both ends, each with bad of n."""
    finding = report.finding
    if not isinstance(finding, FirstBad | FirstFixed | MergeConflict):
        return []
    confirmation = finding.confirmation
    what = "fix" if isinstance(finding, FirstFixed) else "merge"
    if isinstance(finding, FirstBad):
        what = "first bad" if exposed(report) else "culprit"
    several = len(confirmation.parents) > 1
    lines = [(f"parent {i}" if several else "parent", tally) for i, tally in enumerate(confirmation.parents, 1)]
    ends = ((report.good_name, "good end", confirmation.good_end), (report.bad_name, "bad end", confirmation.bad_end))
    if report.cured:
        older, newer = confirmation.bad_end, confirmation.good_end
        ends = ((report.good_name, "broken end", older), (report.bad_name, "fixed end", newer))
    lines += [(what, confirmation.culprit)]
    lines += [(end if name(given) == tally.commit[:12] else name(given), tally) for given, end, tally in ends]
    wide = max(len(label) for label, _ in lines)
    return [f"{label:<{wide}}  {tally.commit[:12]}  {tally.bad:>3} bad of {tally.n}" for label, tally in lines]


def exposed(report: Report) -> str:
    """Why a first bad commit is no more than what exposes a fault of another; empty if it brought the failure."""
    finding = report.finding
    if not isinstance(finding, FirstBad) or finding.attribution.by is not By.EXPOSED:
        return ""
    return line(finding.attribution.why)


def sides(report: Report) -> list[str]:
    """What the side test found: the pinned release, each sibling in its place, and what can be done."""
    test = report.sides
    if test is None or not test.siblings:
        return []
    shown = [f"{line(test.pinned)} as the {test.role} fails ({test.bad} of {test.n})"]
    shown += [line(said(sibling, test.role)) for sibling in test.siblings]
    return [f"Side test: {'; '.join(shown)}.", *([] if exposed(report) == line(test.why) else [f"{line(test.why)}."])]


def side_advice(report: Report) -> str:
    """What is to be done about the pinned side; nothing in the report that comes of doing it."""
    test = report.sides
    if test is None or not test.advice or comes_from(test, report.good.sha, report.bad.sha):
        return ""
    advice = line(test.advice)
    return advice[:1].upper() + advice[1:]


def error_texts(report: Report) -> str:
    """Whether the failing runs said the same; nothing if none failed."""
    bad = {step.commit.sha for step in report.steps if step.verdict is Verdict.BAD}
    runs = [run for run in report.runs if run.commit in bad]
    texts = {clean(run.observation.message) for run in runs if word(report, run) is table.Word.FAIL}
    if not texts:
        return ""
    if len(texts) == 1:
        return "Same error text at every bad step."
    return f"Same signature at every bad step, in {len(texts)} wordings."


def other_failures(report: Report) -> list[str]:
    """Steps that failed in another way: neither good nor bad, so they stayed suspects."""
    found = []
    for step in report.steps:
        odd = [run for run in step.runs if word(report, run) is table.Word.OTHER and run.case == report.case]
        if odd:
            found.append(f"{step.commit.short} fails otherwise: {table.what(odd[0])}")
    return list(dict.fromkeys(found))


def fixups(report: Report) -> list[str]:
    """Steps that could be tested only with other commits picked onto them, which were shown to be neutral."""
    found = []
    for step in report.steps:
        picks = next((run.fixups for run in step.runs if run.fixups), ())
        if picks:
            names = ", ".join(pick[:12] for pick in picks)
            found.append(
                f"{step.commit.short} was tested with {names} picked onto it, which leaves other answers as they are"
            )
    return list(dict.fromkeys(found))


def revert(report: Report) -> str:
    """What the culprit's revert on top of the bad end did."""
    finding = report.finding
    if not isinstance(finding, FirstBad | MergeConflict):
        return ""
    outcome = finding.confirmation.revert
    if outcome is RevertOutcome.NOT_TRIED:
        return "Revert: not tried."
    return f"Revert on {name(report.bad_name)}: {_REVERT[outcome]}."


def fix(report: Report) -> list[str]:
    """Of a fix: what its message says it fixes, its revert on the newer end, its pick onto the older one."""
    finding = report.finding
    if not isinstance(finding, FirstFixed):
        return []
    commit = known(report, finding.commit)
    claims = fixes(commit.body) if commit else ()
    said = [f"Its message says: {line(_claimed(claim))}" for claim in claims]
    revert, backport = finding.confirmation.revert, finding.backport
    again = "it fails again" if revert is RevertOutcome.OK else _REVERT[revert]
    works = "it works" if backport is RevertOutcome.OK else _REVERT[backport]
    return [*said, f"Revert on {name(report.bad_name)}: {again}.", f"Picked onto {name(report.good_name)}: {works}."]


def _claimed(claim: Fixes) -> str:
    if claim.sha and claim.subject:
        return fixes_tag(claim.sha, claim.subject)
    return f"Fixes: {claim.sha or claim.subject}"


def affected_figures(report: Report) -> str:
    """How the affected cases did at the culprit and at its parent, where that was run."""
    at_bad_end = [run for run in report.table if run.commit == report.bad.sha]
    affected = {run.case for run in at_bad_end if word(report, run) is table.Word.FAIL}
    if report.culprit is None or not affected:
        return ""
    parts = []
    for label, sha in [("culprit", report.culprit.sha), *(("parent", p) for p in report.culprit.parents[:1])]:
        runs = [run for run in report.table if run.commit == sha and run.case in affected and sha != report.bad.sha]
        if runs:
            fail = sum(word(report, run) is table.Word.FAIL for run in runs)
            parts.append(f"{fail} of {len(runs)} fail at the {label}")
    return f"Run again elsewhere: {', '.join(parts)}." if parts else ""


def skip_reason(report: Report, sha: Sha) -> str:
    """Why a commit could not be tested, from its build or its runs."""
    for step in report.steps:
        if step.commit.sha != sha:
            continue
        for build in step.builds:
            if build.status is BuildStatus.FAILED:
                return f"does not build: {line(build.error or 'no error text', 200)}"
        for run in step.runs:
            if run.outcome is not Outcome.PASS:
                return line(f"{table.what(run)}: {run.observation.message}", 200)
    return "not tested"


# -- the finding on a terminal -----------------------------------------------------------------------------------


def conclusion(report: Report) -> str:
    """How the search ended, in one line."""
    finding = report.finding
    bad, good = name(report.bad_name), name(report.good_name)
    match finding:
        case FirstBad(commit=sha):
            only = ", which exposes the failure and did not introduce it" if exposed(report) else ""
            return f"first bad commit: {cite_sha(report, sha)}{only}"
        case FirstFixed(commit=sha):
            return f"first fixed commit: {cite_sha(report, sha)}"
        case MergeConflict(commit=sha):
            return f"only the merge is bad, its parents are good: {cite_sha(report, sha)}"
        case Suspects(commits=suspects):
            untested = f"{plural(len(finding.skipped), 'commit')} could not be tested"
            sought = "fixed" if report.cured else "bad"
            return f"the first {sought} commit is one of {plural(len(suspects), 'suspect')}; {untested}"
        case NotReproduced(commit=sha, outcomes=outcomes):
            seen = ", ".join(f"{n} x {o}" for o, n in Counter(outcomes).items())
            if report.cured and sha != report.good.sha:
                return f"the merge base of {good} and {bad}, {sha[:12]}, is not broken: {seen}"
            if report.cured:
                return f"the broken end, {good}, is not broken: {seen or 'never run'}"
            return f"the bad end, {bad}, is not bad: {seen or 'never run'}"
        case BadAtGoodEnd(commit=sha, outcome=outcome, merge_base=True):
            return f"the merge base of {good} and {bad}, {sha[:12]}, is not good: {outcome}"
        case BadAtGoodEnd(outcome=outcome) if report.cured:
            return f"the fixed end, {bad}, is not fixed: {outcome}"
        case BadAtGoodEnd(outcome=outcome):
            return f"the good end, {good}, is not good: {outcome}"
        case Flaky(commit=sha, bad=k, n=n):
            return f"flaky: {cite_sha(report, sha)} failed {k} of {n} times; nobody is blamed"
        case Inconclusive(why=why):
            return f"inconclusive: {line(why)}"


_ADVICE = {
    NotReproduced: "Give an end that fails, or check that machine type, profile and source are those of the failure.",
    BadAtGoodEnd: "Give an older good end; or the failure is older than the range.",
    Flaky: "The answer changes from run to run: no commit can be named from single runs.",
    Inconclusive: "What was recorded is kept; the same command goes on from it.",
}


_FIX_ADVICE: dict[type, str] = {
    NotReproduced: "Give an older end that fails; without --find-fix the commit that broke a newer one is searched.",
    BadAtGoodEnd: "Give a newer end that passes; or nobody has fixed it yet.",
}


def advice(report: Report) -> str:
    """What a person can do next, for findings that name no commit; else nothing."""
    if report.cured and type(report.finding) in _FIX_ADVICE:
        return _FIX_ADVICE[type(report.finding)]
    return _ADVICE.get(type(report.finding), "")


def suspects(report: Report, commits: Iterable[Sha], skipped: Iterable[Sha], limit: int = 20) -> list[tuple[str, str]]:
    """(word, citation and figures) for the last good commit and each suspect, oldest first."""
    chosen, left = list(commits), set(skipped)
    last, new = ("last broken", "fixed") if report.cured else ("last good", "bad")
    out = [(last, f"{cite_sha(report, sha)}  {_figures(report, sha)}") for sha in last_old(report, chosen)]
    for sha in chosen[:limit]:
        if sha in left:
            out.append(("skipped", f"{cite_sha(report, sha)}\n{skip_reason(report, sha)}"))
        elif _shown(report, sha):
            out.append((new, f"{cite_sha(report, sha)}  {_figures(report, sha)}"))
        else:
            out.append(("not tested", cite_sha(report, sha)))
    if len(chosen) > limit:
        out.append(("", f"and {len(chosen) - limit} more"))
    return out


def _shown(report: Report, sha: Sha) -> int:
    """Runs of a commit that said that it has what was searched."""
    seen = tally(report, sha)
    return seen.n - seen.bad if report.cured else seen.bad


def last_old(report: Report, suspects: Iterable[Sha]) -> list[Sha]:
    """Good commits that are a parent of a suspect; broken ones, where a fix was searched."""
    old = Verdict.BAD if report.cured else Verdict.GOOD
    tested = {step.commit.sha for step in report.steps if step.verdict is old}
    parents = [p for sha in suspects if (commit := known(report, sha)) for p in commit.parents]
    return [sha for sha in dict.fromkeys(parents) if sha in tested]


def _figures(report: Report, sha: Sha) -> str:
    seen = tally(report, sha)
    return f"{seen.bad} bad of {seen.n}"
