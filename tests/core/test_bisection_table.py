"""Every ending of a search and every rule, a row each, on real generated repositories.

Each row is searched by the runner; then its log is rendered, parsed and folded again, its runs are folded in other
orders, and a search that names a commit is replayed by the real git: all must say the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.bisect.log import parse, render
from bot.bisect.runner import Search, search
from bot.core.bisection import Bisection
from bot.core.confirmation import Rules
from bot.core.dag import Dag
from bot.model import (
    BadAtGoodEnd,
    Build,
    Finding,
    FirstBad,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Question,
    Run,
    Signature,
    Suspects,
    Verdict,
)
from bot.progress import Silent
from tests.testing.history import History, draw, git
from tests.testing.world import CASE, OTHER, SIGNATURE, World, run

LINE = " ".join(map(str, range(17)))
SIDE = """
0 1 2 3 4
2 a b c d
4 5=d 6 7
"""
NESTED = """
0 1 2 3
1 a b
b p q
b c d=q
3 4=d 5
"""
NO_ANCESTOR = """
0 1 2
2 g1 g2
2 3 4 5 6
"""
DIAMONDS = """
0 1
1 a
1 2=a
2 b
2 3=b
3 c
3 4=c 5
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is drawn, how its commits behave, and what must come out."""

    finding: str
    drawing: str = LINE
    good: str = "0"
    bad: str = "16"
    breaks: Mapping[str, str] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    cycles: Mapping[str, str] = field(default_factory=dict)
    intermittent: str = ""
    same_binary: Mapping[str, str] = field(default_factory=dict)
    known: tuple[tuple[str, str], ...] = ()  # (commit, letters) recorded before
    signature: Signature | None = None
    rules: Rules = field(default_factory=Rules)
    not_asked: tuple[str, ...] = ()
    at_most: int = 100  # commits asked besides the ends
    tally: str = ""  # "parents culprit good bad" of the confirmation, as k/n


def window(first: int, last: int, letter: str = "N") -> dict[str, str]:
    return {str(i): letter for i in range(first, last + 1)}


ROWS = {
    # -- one first bad commit, whatever the shape
    "line": Row("FirstBad 11", breaks={"11": ""}, at_most=5, tally="0/10 10/10 0/10 10/10"),
    "line, first commit of the range": Row("FirstBad 1", breaks={"1": ""}, at_most=5),
    "line, the bad end itself": Row("FirstBad 16", breaks={"16": ""}, at_most=5),
    "one commit in the range": Row("FirstBad 1", drawing="0 1", bad="1", breaks={"1": ""}, at_most=0),
    "two commits, the older": Row("FirstBad 1", drawing="0 1 2", bad="2", breaks={"1": ""}, at_most=1),
    "two commits, the younger": Row("FirstBad 2", drawing="0 1 2", bad="2", breaks={"2": ""}, at_most=1),
    "on a side branch": Row("FirstBad b", drawing=SIDE, bad="7", breaks={"b": ""}, at_most=5),
    "first of a side branch": Row("FirstBad a", drawing=SIDE, bad="7", breaks={"a": ""}),
    "last of a side branch": Row("FirstBad d", drawing=SIDE, bad="7", breaks={"d": ""}),
    "main line beside a side branch": Row("FirstBad 4", drawing=SIDE, bad="7", breaks={"4": ""}),
    "before the fork": Row("FirstBad 2", drawing=SIDE, bad="7", breaks={"2": ""}),
    "after the merge": Row("FirstBad 6", drawing=SIDE, bad="7", breaks={"6": ""}),
    "branch of a branch": Row("FirstBad p", drawing=NESTED, bad="5", breaks={"p": ""}),
    "branch beside a branch": Row("FirstBad c", drawing=NESTED, bad="5", breaks={"c": ""}),
    "branch that forked before good": Row("FirstBad b", drawing=SIDE, good="3", bad="7", breaks={"b": ""}),
    "first of a branch that forked before good": Row(
        "FirstBad a", drawing=SIDE, good="3", bad="7", breaks={"a": ""}, tally="0/10 10/10 0/10 10/10"
    ),
    "diamond after diamond": Row("FirstBad b", drawing=DIAMONDS, bad="5", breaks={"b": ""}),
    "two causes, the older is told": Row("FirstBad 4", breaks={"4": "", "12": ""}),
    "came, went and came again": Row("FirstBad 13", breaks={"2": "5", "13": ""}, known=(("3", "B"), ("9", "G"))),
    # -- merges
    "only the merge is bad": Row("MergeConflict 5", drawing=SIDE, bad="7", together=("4", "d")),
    "only the merge, with parts in the middle": Row("MergeConflict 5", drawing=SIDE, bad="7", together=("3", "b")),
    "merge of merges": Row("MergeConflict 4", drawing=NESTED, bad="5", together=("3", "q")),
    "inner merge": Row("MergeConflict d", drawing=NESTED, bad="5", together=("c", "q")),
    "a merge of three": Row("MergeConflict 3", drawing="0 1 2\n0 a\n0 b\n2 3=a+b 4", bad="4", together=("2", "a", "b")),
    "merge whose side is bad too": Row("FirstBad c", drawing=SIDE, bad="7", breaks={"c": ""}, together=("4", "d")),
    # -- ends
    "bad end is good": Row("NotReproduced 16", at_most=0),
    "bad end fails in another way": Row("NotReproduced 16", told={"16": "O"}, signature=SIGNATURE, at_most=0),
    "bad end fails now and then": Row("FirstBad 11", breaks={"11": ""}, told={"16": "GGGB"}),
    "bad end does not build": Row("Inconclusive the bad end", told={"16": "N"}, at_most=0),
    "bad end cannot run the case": Row("Inconclusive the bad end", told={"16": "U"}, at_most=0),
    "good end is bad": Row("BadAtGoodEnd 0", breaks={"0": ""}, at_most=0),
    "good end fails in another way": Row("BadAtGoodEnd 0", breaks={"7": ""}, told={"0": "O"}, at_most=0),
    "good end does not build": Row("Inconclusive the good end", breaks={"7": ""}, told={"0": "N"}, at_most=0),
    "both ends do not build": Row("Inconclusive the bad end", told={"0": "N", "16": "N"}, at_most=0),
    "good end fails otherwise once": Row("FirstBad 7", breaks={"7": ""}, told={"0": "OG"}),
    "good is no ancestor": Row("FirstBad 4", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"4": ""}),
    "good is no ancestor, cured on its side": Row(
        "BadAtGoodEnd 2 merge base", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"1": "g1"}
    ),
    "good is no ancestor, base not built": Row(
        "FirstBad 4", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"4": ""}, told={"2": "N"}
    ),
    "good is no ancestor, base and culprit's parent": Row(
        "Suspects 3 skipped 2", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"3": ""}, told={"2": "N"}
    ),
    # -- commits that cannot be tested
    "skipped beside the way": Row("FirstBad 11", breaks={"11": ""}, told=window(7, 9)),
    "a broken window before the culprit": Row("FirstBad 11", breaks={"11": ""}, told=window(2, 9)),
    "a broken window that holds the culprit": Row(
        "Suspects 7 8 9 10 skipped 7 8 9", breaks={"8": ""}, told=window(7, 9)
    ),
    "a broken window up to the culprit": Row("Suspects 7 8 9 10 skipped 7 8 9", breaks={"10": ""}, told=window(7, 9)),
    "the whole range does not build": Row(
        "Suspects " + " ".join(map(str, range(1, 17))) + " skipped " + " ".join(map(str, range(1, 16))),
        breaks={"9": ""},
        told=window(1, 15),
    ),
    "too many skips": Row(
        "Suspects " + " ".join(map(str, range(1, 17))) + " skipped 6 8 11",
        breaks={"9": ""},
        told=window(1, 15),
        rules=Rules(max_skips=3),
    ),
    "skips at both ends": Row("FirstBad 8", breaks={"8": ""}, told=window(1, 2) | window(14, 15)),
    "skipped next to the good end": Row("Suspects 1 2 skipped 1", breaks={"2": ""}, told=window(1, 1)),
    "a side branch does not build": Row(
        "Suspects 5 a b c d skipped a b c d", drawing=SIDE, bad="7", breaks={"b": ""}, told=dict.fromkeys("abcd", "N")
    ),
    "a side branch does not build, culprit beside": Row(
        "FirstBad 4", drawing=SIDE, bad="7", breaks={"4": ""}, told=dict.fromkeys("abcd", "N")
    ),
    "does not run the case in the middle": Row("FirstBad 11", breaks={"11": ""}, told=window(7, 8, "U")),
    # -- other failures
    "another failure on the way": Row("FirstBad 11", breaks={"11": ""}, told=window(8, 8, "O")),
    "another failure hides the culprit": Row(
        "Suspects 10 11 12 skipped 10 11", breaks={"11": ""}, told=window(10, 11, "O")
    ),
    "another failure everywhere below": Row(
        "Suspects 5 6 7 8 skipped 5 6 7", breaks={"8": ""}, told=window(5, 7, "O"), signature=SIGNATURE
    ),
    "does not start, as asked": Row("FirstBad 6", told=window(6, 16, "S"), signature=SIGNATURE),
    "another failure is asked about": Row("FirstBad 9", told=window(9, 16, "O"), signature=OTHER),
    "the bad end's own failure is learnt": Row("FirstBad 9", told=window(9, 16, "O"), breaks={"3": "8"}),
    # -- flakes
    "intermittent, half": Row("FirstBad 11", breaks={"11": ""}, intermittent="BG"),
    "intermittent, passes first": Row("FirstBad 11", breaks={"11": ""}, intermittent="GB"),
    "intermittent, one in five": Row("FirstBad 11", breaks={"11": ""}, intermittent="GGBGG"),
    "intermittent on a side branch": Row("FirstBad b", drawing=SIDE, bad="7", breaks={"b": ""}, intermittent="GBG"),
    "intermittent, too rare to tell": Row("Flaky 16 1/10", cycles={"16": "B" + "G" * 99}, rules=Rules(max_runs=10)),
    "seen once and never again": Row("Flaky 16 1/200", told={"16": "BG"}),
    "seen by accident in the middle": Row("FirstBad 11", breaks={"11": ""}, told={"6": "G"}, known=(("6", "B"),)),
    "good end fails by accident": Row("FirstBad 11", breaks={"11": ""}, told={"0": "GGBG"}),
    "good end fails by accident, first": Row("FirstBad 11", breaks={"11": ""}, told={"0": "BG"}),
    "good end fails as often as not": Row("Flaky 0 5/10", breaks={"11": ""}, cycles={"0": "GB"}),
    "parent fails by accident": Row("FirstBad 11", breaks={"11": ""}, told={"10": "GGGBG"}),
    "culprit passes by accident": Row("FirstBad 11", breaks={"11": ""}, told={"11": "GB"}),
    "missed on the way": Row("FirstBad 11", breaks={"11": ""}, told={"12": "GB"}),
    "older than the good end, now and then": Row("Flaky 0", breaks={"0": ""}, told={"0": "GGGGB"}, intermittent="BBG"),
    "parent outside the range is bad": Row(
        "Inconclusive a", drawing=SIDE, good="3", bad="7", breaks={"a": ""}, told={"2": "B"}
    ),
    "parent outside the range is flaky": Row(
        "Flaky 2 5/10", drawing=SIDE, good="3", bad="7", breaks={"a": ""}, cycles={"2": "GB"}
    ),
    # -- binaries, infrastructure, known runs
    "same executable as its parent": Row("Inconclusive 11", breaks={"11": ""}, same_binary={"11": "10"}),
    "merge with the executable of its side": Row(
        "Inconclusive 5", drawing=SIDE, bad="7", together=("4", "d"), same_binary={"5": "d"}
    ),
    "the machine fails thrice": Row("FirstBad 11", breaks={"11": ""}, told={"8": "IIIG"}),
    "the machine keeps failing": Row("Inconclusive the machine failed 4 times", breaks={"11": ""}, told={"8": "I"}),
    "the machine fails at the bad end": Row("Inconclusive the machine failed 4 times", told={"16": "I"}, at_most=0),
    "the machine fails in the confirmation": Row(
        "Inconclusive the machine failed 4 times", breaks={"11": ""}, told={"11": "BBI"}
    ),
    "known runs are not repeated": Row(
        "FirstBad 11",
        breaks={"11": ""},
        known=(("16", "B"), ("0", "G"), ("8", "G"), ("12", "B")),
        not_asked=("8", "12"),
    ),
    "all is known": Row(
        "FirstBad 11",
        breaks={"11": ""},
        known=(("16", "B" * 10), ("0", "G" * 10), ("10", "G" * 10), ("11", "B" * 10)),
        at_most=0,
        not_asked=("0", "10", "11", "16"),
    ),
    "known trouble of the machine is forgotten": Row("FirstBad 11", breaks={"11": ""}, known=(("8", "IIIII"),)),
    "known good beyond the culprit, by luck": Row(
        "FirstBad 11", breaks={"11": ""}, known=(("13", "G"),), intermittent="B", told={}
    ),
    "fewer runs, if so configured": Row(
        "FirstBad 11", breaks={"11": ""}, rules=Rules(min_runs=4), tally="0/4 4/4 0/4 4/4"
    ),
}


def searched(row: Row, history: History) -> tuple[Search, World, list[Build | Run]]:
    world = World(history, row.breaks, row.together, row.told, row.cycles, row.intermittent, row.same_binary)
    good, bad = history[row.good], history[row.bad]
    repository = history.repository
    base = None if repository.is_ancestor(good, bad) else repository.merge_base(good, bad)
    known = [run(history[name], letter, at=1.0) for name, letters in row.known for letter in letters]
    facts: list[Build | Run] = []
    ticks = iter(range(1_000_000))
    found = search(
        Question(good, bad, CASE, row.signature),
        Dag.of(repository.parents([good], bad)),
        world.perform,
        facts.append,
        Silent(),
        known,
        merge_base=base,
        rules=row.rules,
        clock=lambda: 10.0 + next(ticks),
    )
    return found, world, facts


def spelled(finding: Finding, history: History) -> str:
    """A finding as rows have it."""
    match finding:
        case FirstBad(commit=sha) | MergeConflict(commit=sha) | NotReproduced(commit=sha):
            return f"{type(finding).__name__} {history.name(sha)}"
        case BadAtGoodEnd(commit=sha, merge_base=base):
            return f"BadAtGoodEnd {history.name(sha)}" + (" merge base" if base else "")
        case Flaky(commit=sha, bad=bad, n=n):
            return f"Flaky {history.name(sha)} {bad}/{n}"
        case Suspects(commits=commits, skipped=skipped):
            names, out = (" ".join(sorted(map(history.name, shas), key=_order)) for shas in (commits, skipped))
            return f"Suspects {names} skipped {out}"
        case Inconclusive(why=why):
            for name, sha in history.shas.items():
                why = why.replace(sha[:12], name)
            return f"Inconclusive {why}"


def _order(name: str) -> tuple[int, str]:
    return int(name) if name.isdigit() else 99, name


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row(row: Row, tmp_path: Path) -> None:
    history = draw(tmp_path / "upstream", row.drawing, branch=row.bad)
    found, world, facts = searched(row, history)
    said = spelled(found.finding, history)
    assert said == row.finding or said.startswith(row.finding + " "), said
    assert len(set(world.asked) - {row.good, row.bad}) <= row.at_most + 1
    assert not set(world.asked) & set(row.not_asked)
    _confirmed(found, row)
    _recorded(found, facts)
    _same_in_any_order(found, tmp_path)
    _replayed_by_git(found, history, tmp_path)


def _confirmed(found: Search, row: Row) -> None:
    """Whoever is blamed is bad often enough, its parents never, and its executable is not theirs."""
    finding = found.finding
    if not isinstance(finding, FirstBad | MergeConflict):
        return
    confirmation = finding.confirmation
    k, n = confirmation.culprit.bad, confirmation.culprit.n
    assert k >= 3
    for parent in confirmation.parents:
        assert parent.n >= row.rules.min_runs
        assert (1 - k / n) ** parent.n < 0.001 if not parent.bad else parent.bad < k / n / 5 * parent.n
    assert confirmation.good_end.bad <= 1
    assert confirmation.good_end.n >= row.rules.min_runs <= confirmation.bad_end.n
    assert confirmation.binary_differs is not False
    tallies = (*confirmation.parents, confirmation.culprit, confirmation.good_end, confirmation.bad_end)
    if row.tally:
        assert " ".join(f"{tally.bad}/{tally.n}" for tally in tallies) == row.tally


def _recorded(found: Search, facts: list[Build | Run]) -> None:
    """Everything that came was recorded, and every run is in a step."""
    runs = [fact for fact in facts if isinstance(fact, Run)]
    assert runs == list(found.bisection.runs[found.counts.known :])
    assert sum(len(step.runs) for step in found.steps) == len(found.bisection.runs)
    assert found.counts.steps == len({step.commit for step in found.steps}) == len(found.steps)
    assert all(step.why for step in found.steps)


def _same_in_any_order(found: Search, tmp_path: Path) -> None:
    """The log, parsed and folded again, and the runs in other orders, come to the same."""
    text = render(found, {})
    (tmp_path / "search.log").write_text(text)
    logged = parse(text)
    assert logged.replay().finding == found.finding
    rng = random.Random(1)  # noqa: S311 - an order of runs, not a secret
    for _ in range(3):
        runs = rng.sample(logged.runs, len(logged.runs))
        state = Bisection.start(
            logged.question, Dag.of(logged.parents), merge_base=logged.merge_base, rules=logged.rules
        )
        for one in runs:
            state = state.observe(one)
        assert state.suspects == found.bisection.suspects
        assert state.counts == found.bisection.counts
        assert type(state.finding) is type(found.finding)
        if not isinstance(found.finding, NotReproduced | BadAtGoodEnd):
            assert state.finding == found.finding


def _replayed_by_git(found: Search, history: History, tmp_path: Path) -> None:
    """The real git, given the log, ends where we did."""
    where = history.repository.path
    git(where, "reset", "--quiet", "--hard")
    if isinstance(found.finding, FirstBad | MergeConflict):
        said = git(where, "bisect", "replay", str(tmp_path / "search.log"))
        assert f"{found.finding.commit} is the first bad commit" in said
    elif isinstance(found.finding, Suspects) and len(found.finding.commits) > 1:
        assert found.bisection.verdict(found.question.bad) is Verdict.BAD
