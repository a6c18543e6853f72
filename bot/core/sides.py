"""Which side of a migration brought a failure: the commits that vary, or the release that is pinned on the other side.

10.0.13 does not migrate to 11.1.3 with any virtio-pci device, 10.0.2 does: what breaks came in the stable branch of the
source. A search of master would end at a commit that merely shows it, and blame that. So before the first probe the
failing case of the bad end is repeated with siblings in the place of the pinned release (its point releases, the
releases next to it), and `settle` says what their answers mean:

| point release before it | the one after it | older release | newer release | side |
|---|---|---|---|---|
| passes | | | | pinned: it came between the two, in its own branch |
| does not pass | passes | does not fail | does not fail | pinned: its branch has been mended |
| does not pass | passes | one of them fails | or the other | unsettled |
| says nothing | does not pass | passes | does not fail | pinned: it alone fails |
| | does not pass | passes | another sibling fails | unsettled: something came before the pinned release |
| fails, or the older release | does not pass | does not pass | passes | commit: what is older is not taken any more |
| says nothing | does not pass | says nothing | passes | unsettled |
| does not pass | does not pass | does not pass | does not pass | commit: siblings fail alike, or there are none |

Who is not sure accuses nobody: only where the side is the commit's, a first bad commit is said to have introduced the
failure.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from bot.core.confirmation import Rules, innocent
from bot.core.verdict import Count, judge
from bot.model import Answer, Attribution, By, Outcome, Place, Run, Sha, Sibling, Side, SideTest, Signature, Verdict

Release = tuple[int, int, int]
"""A version as VERSION and query-version give it. A tree on its way to a release has a last number from 50 on."""

FIRST = 3
"""Runs of a sibling after which it is said to fail alike, if all of them do."""

_DEVELOPMENT = 50


def numbers(version: str) -> Release | None:
    """(10, 0, 13) of `10.0.13`, and of `10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)`; None for what is no version."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def place(pinned: Release, sibling: Release) -> Place:
    """Where a sibling stands. Development trees are no point releases of anything."""
    released = pinned[2] < _DEVELOPMENT and sibling[2] < _DEVELOPMENT
    if released and pinned[:2] == sibling[:2]:
        if pinned == sibling:
            return Place.SAME
        return Place.OLDER_POINT if sibling < pinned else Place.NEWER_POINT
    return Place.OLDER if sibling < pinned else Place.NEWER


# -- one sibling ---------------------------------------------------------------------------------------------------


def answer(pinned: Sequence[Run], runs: Sequence[Run], signature: Signature, rules: Rules) -> Answer | None:
    """What the runs of a sibling say beside those of the pinned release; None: both are to be run more often.

    It fails alike if it does so at once and always, or nearly as often as the pinned release. It passes if one that
    fails as often as the pinned release would hardly have passed each time. Another failure says nothing, for what is
    asked about may be behind it; nor does a pass without a device that the pinned release ran with.
    """
    failing, seen = counted(pinned, signature), counted(runs, signature)
    if seen.skip or (not seen.bad and lacking(pinned, runs)):
        return Answer.NOTHING
    if seen.n >= FIRST and seen.bad == seen.n:
        return Answer.ALIKE
    if seen.n >= rules.min_runs and (failing.n >= rules.min_runs or seen.bad):
        if innocent(failing, seen, rules):
            return Answer.PASSES
        if seen.bad:
            return Answer.ALIKE
    return Answer.NOTHING if seen.n >= rules.max_runs else None


def counted(runs: Iterable[Run], signature: Signature) -> Count:
    """Runs of a sibling: only what passed is good, and what the machine failed does not count."""
    total = Count()
    for run in runs:
        verdict = judge(run, signature)
        if verdict is Verdict.GOOD and run.outcome is not Outcome.PASS:
            verdict = Verdict.SKIP
        total = total.plus(verdict)
    return total


def lacking(pinned: Iterable[Run], runs: Iterable[Run]) -> tuple[str, ...]:
    """Devices that a sibling was run without and the pinned release was not, each with the reason."""
    without = {text.partition(" (")[0] for run in pinned for text in run.observation.left_out}
    texts = dict.fromkeys(text for run in runs for text in run.observation.left_out)
    return tuple(text for text in texts if text.partition(" (")[0] not in without)


# -- all of them ---------------------------------------------------------------------------------------------------


def settle(pinned: str, siblings: Sequence[Sibling]) -> tuple[Side, str]:
    """The side to be searched, and why, as a sentence. `pinned` is how readers call that release."""
    passing = {where: _names(siblings, Answer.PASSES, where) for where in Place}
    failing = {where: _names(siblings, Answer.ALIKE, where) for where in Place}
    older, newer, same = passing[Place.OLDER_POINT], passing[Place.NEWER_POINT], passing[Place.SAME]
    points = [*failing[Place.OLDER_POINT], *failing[Place.SAME], *failing[Place.NEWER_POINT]]
    around = [*failing[Place.OLDER], *failing[Place.NEWER]]
    fails = [*points, *around]
    its = f"in the place of {pinned}"
    if older:
        return Side.PINNED, f"{older[-1]} passes {its}: what breaks came between the two, in the branch of {pinned}"
    if same:
        return Side.PINNED, f"{same[0]}, another build of the same release, passes {its}: that build is at fault"
    if newer and not around:
        return Side.PINNED, f"{newer[0]}, a later point release, passes {its}: the branch has been mended since"
    if newer:
        return Side.UNSETTLED, f"{newer[0]}, a later point release, passes {its}, but {_fail(around)} alike"
    if before := passing[Place.OLDER]:
        if not fails:
            return Side.PINNED, f"{pinned} alone fails: {_pass([*before, *passing[Place.NEWER]])} in its place"
        return Side.UNSETTLED, f"{_pass(before)} {its}, but {_fail(fails)} alike: something came before them"
    if after := passing[Place.NEWER]:
        if points or failing[Place.OLDER]:
            return Side.COMMIT, f"{_fail(fails)} alike {its}, and of what is older nothing passes"
        return Side.UNSETTLED, f"{_pass(after)} {its}, and nothing older said anything"
    if fails:
        return Side.COMMIT, f"{_fail(fails)} alike {its}"
    if siblings:
        return Side.COMMIT, f"{_list([s.name for s in siblings])} could not be compared {its}"
    return Side.COMMIT, f"there was no other release to put {its}"


def open_to(siblings: Sequence[Sibling], left: Iterable[Place]) -> bool:
    """Whether the answers of siblings that were not asked yet, by their places, could still change the side."""
    now, _ = settle("", siblings)
    places = list(left)
    for answers in itertools.product(Answer, repeat=len(places)):
        guessed = [Sibling("", where, said) for where, said in zip(places, answers, strict=True)]
        if settle("", [*siblings, *guessed])[0] is not now:
            return True
    return False


def said(sibling: Sibling, role: str) -> str:
    """What came of a sibling, as a phrase; `role` is the side that it took."""
    as_side = f"{sibling.name} as the {role}"
    match sibling.answer:
        case Answer.PASSES if not sibling.bad:
            return f"{as_side} passes ({sibling.n} of {sibling.n})"
        case Answer.NOTHING:
            return f"{as_side} says nothing: {sibling.why}"
    return f"{as_side} {'fails far more rarely' if sibling.answer is Answer.PASSES else 'fails alike'} " + (
        f"({sibling.bad} of {sibling.n})"
    )


def attribution(test: SideTest | None) -> Attribution:
    """What a first bad commit of the varying side is answerable for, in view of the side test."""
    if test is None:
        return Attribution()
    return Attribution(By.INTRODUCED if test.side is Side.COMMIT else By.EXPOSED, test.why)


def comes_from(test: SideTest | None, good: Sha, bad: Sha) -> bool:
    """Whether a search of good..bad is the one that the side test pointed at: then the pinned side is what varies."""
    return test is not None and test.branch is not None and (test.branch.good, test.branch.bad) == (good, bad)


def _names(siblings: Iterable[Sibling], said: Answer, where: Place) -> list[str]:
    return [sibling.name for sibling in siblings if sibling.answer is said and sibling.place is where]


def _pass(names: Sequence[str]) -> str:
    return f"{_list(names)} pass{'es' if len(names) == 1 else ''}"


def _fail(names: Sequence[str]) -> str:
    return f"{_list(names)} fail{'s' if len(names) == 1 else ''}"


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
