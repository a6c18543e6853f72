"""Every ending of a search and every rule, a row each, on real generated repositories.

Each row is searched by the runner; then its log is rendered, parsed and folded again, its runs are folded in other
orders, and a search that names a commit is replayed by the real git: all must say the same.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    FirstFixed,
    Flaky,
    Inconclusive,
    MergeConflict,
    NotReproduced,
    Question,
    Run,
    Signature,
    Suspects,
    Tally,
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
OCTOPUS = """
0 1 2 3
1 a b
1 p q r
0 x
3 4=b+r+x 5 6
"""
CRISS_CROSS = """
0 1 2
1 a b
2 3=b 4
b c=2 d
4 5=d 6
"""
ROOTS = """
0 1 2 3
x y z
3 4=z 5 6
"""
BASES = """
0 1 2
1 a
2 g1=a
a 3=2 4 5 6
"""
BUSHY = """
old c0
0 c1=c0 c2
0 c3=c1
c1 c4 c5 c6=c4
c1 c7
c1 c8
c2 9=c3+c6+c7+c8
"""
STAR = "0 1" + "".join(f"\n0 r{i}" for i in range(12)) + "\n1 2=" + "+".join(f"r{i}" for i in range(12))


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
    prior: Mapping[str, float] = field(default_factory=dict)  # weights, 1 for all others; none: no weights at all
    skip: tuple[str, ...] = ()  # left out by a person
    first_parent: bool = False
    cured: bool = False  # a fix is searched
    not_asked: tuple[str, ...] = ()
    at_most: int = 100  # commits asked besides the ends
    probes: int | None = None  # the same, exactly
    tally: str = ""  # "parents culprit good bad" of the confirmation, as k/n


def window(first: int, last: int, letter: str = "N") -> dict[str, str]:
    return {str(i): letter for i in range(first, last + 1)}


def fixed(finding: str, cure: str, **rest: Any) -> Row:
    """A search for a fix of what was always broken."""
    return Row(finding, breaks={"0": cure}, cured=True, **rest)


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
    "a lucky pass before a broken window": Row("FirstBad 5", breaks={"5": ""}, told=window(7, 9) | {"6": "GB"}),
    "a false failure behind a broken window": Row(
        "FirstBad 20",
        drawing=" ".join(map(str, range(33))),
        bad="32",
        breaks={"20": ""},
        told=window(14, 18) | {"19": "BG"},
    ),
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
    "intermittent, too rare to tell": Row("Flaky 16 1/39", cycles={"16": "B" + "G" * 99}, rules=Rules(max_runs=10)),
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
    # -- more than two parents, more than one way back
    "octopus, in one arm": Row("FirstBad q", drawing=OCTOPUS, bad="6", breaks={"q": ""}),
    "octopus, in its shortest arm": Row("FirstBad x", drawing=OCTOPUS, bad="6", breaks={"x": ""}),
    "octopus, in its first parent": Row("FirstBad 3", drawing=OCTOPUS, bad="6", breaks={"3": ""}),
    "octopus, only the merge": Row(
        "MergeConflict 4", drawing=OCTOPUS, bad="6", together=("b", "x"), tally="0/10 0/10 0/10 0/10 10/10 0/10 10/10"
    ),
    "octopus, one arm does not build": Row(
        "Suspects 4 p q r skipped p q r", drawing=OCTOPUS, bad="6", breaks={"q": ""}, told=dict.fromkeys("pqr", "N")
    ),
    "octopus, only the merge, and a parent does not build": Row(
        "Suspects 4 x skipped x", drawing=OCTOPUS, bad="6", together=("b", "x"), told={"x": "N"}
    ),
    "criss-cross, before both merges": Row("FirstBad a", drawing=CRISS_CROSS, bad="6", breaks={"a": ""}),
    "criss-cross, between them": Row("FirstBad d", drawing=CRISS_CROSS, bad="6", breaks={"d": ""}),
    "criss-cross, one of the crossing merges": Row(
        "MergeConflict 3", drawing=CRISS_CROSS, bad="6", told={"3": "B", "4": "B", "5": "B", "6": "B"}
    ),
    "criss-cross, two parts that met twice": Row(
        "MergeConflict 3", drawing=CRISS_CROSS, bad="6", together=("2", "b"), told={"c": "G", "d": "G"}
    ),
    "a star of twelve, no probe tells of two": Row("FirstBad r7", drawing=STAR, bad="2", breaks={"r7": ""}, at_most=13),
    "another root, merged": Row("FirstBad y", drawing=ROOTS, bad="6", breaks={"y": ""}),
    "another root, itself": Row("Inconclusive x is bad and has no parent", drawing=ROOTS, bad="6", breaks={"x": ""}),
    "two merge bases, both good": Row("FirstBad 5", drawing=BASES, good="g1", bad="6", breaks={"5": ""}),
    "two merge bases, their merge is bad on one side": Row(
        "MergeConflict 3", drawing=BASES, good="g1", bad="6", told=dict.fromkeys("3456", "B")
    ),
    "good is no ancestor, base flaky": Row(
        "Flaky 2 5/10", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"4": ""}, cycles={"2": "BG"}
    ),
    "good is no ancestor, base fails otherwise": Row(
        "FirstBad 4", drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"4": ""}, told={"2": "O"}
    ),
    "good is no ancestor, the machine fails at the base": Row(
        "Inconclusive the machine failed 4 times",
        drawing=NO_ANCESTOR,
        good="g2",
        bad="6",
        breaks={"4": ""},
        told={"2": "I"},
        at_most=0,
    ),
    # -- weights
    "weights on the culprit: it and its parent": Row("FirstBad 11", breaks={"11": ""}, prior={"11": 1e3}, probes=2),
    "weights on another: two probes more": Row("FirstBad 11", breaks={"11": ""}, prior={"3": 1e3}, at_most=5),
    "weights on its neighbour": Row("FirstBad 11", breaks={"11": ""}, prior={"10": 1e3}, at_most=5),
    "weights that fall by halves, the last one": Row(
        "FirstBad 16", breaks={"16": ""}, prior={str(i): 2.0**-i for i in range(17)}, at_most=5
    ),
    "no weight on the culprit": Row("FirstBad 11", breaks={"11": ""}, prior={"11": 0.0}, at_most=5),
    "weight on nothing but the wrong one": Row(
        "FirstBad 11", breaks={"11": ""}, prior={str(i): float(i == 4) for i in range(17)}, at_most=5
    ),
    "no weight on the culprit, intermittent": Row(
        "FirstBad 11", breaks={"11": ""}, prior={"11": 0.0}, intermittent="BGB"
    ),
    "no weight on a merge that is the culprit": Row(
        "MergeConflict 5", drawing=SIDE, bad="7", together=("4", "d"), prior={"5": 0.0}
    ),
    "weights that mislead in a bushy range": Row(
        "FirstBad c8",
        drawing=BUSHY,
        bad="9",
        breaks={"c8": ""},
        at_most=5,
        prior={f"c{i}": 2.0**-i for i in range(9)} | {"9": 2.0**-9},
    ),
    "weight on one that does not build": Row(
        "FirstBad 11", breaks={"11": ""}, prior={"5": 1e3}, told={"5": "N"}, at_most=6
    ),
    "weight on one whose parent does not build": Row(
        "Suspects 10 11 skipped 10", breaks={"11": ""}, prior={"11": 1e3}, told={"10": "N"}
    ),
    # -- how it is asked
    "first parents, the merge stands for its side": Row(
        "FirstBad 5", drawing=SIDE, bad="7", breaks={"b": ""}, first_parent=True, not_asked=tuple("abcd")
    ),
    "first parents, on the main line": Row(
        "FirstBad 4", drawing=SIDE, bad="7", breaks={"4": ""}, first_parent=True, not_asked=tuple("abcd")
    ),
    "first parents, an octopus": Row(
        "FirstBad 4", drawing=OCTOPUS, bad="6", breaks={"q": ""}, first_parent=True, not_asked=tuple("abpqrx")
    ),
    "left out beside the way": Row("FirstBad 11", breaks={"11": ""}, skip=("8", "4")),
    "left out, the culprit": Row("Suspects 11 12 skipped 11", breaks={"11": ""}, skip=("11",)),
    "left out, its parent": Row("Suspects 10 11 skipped 10", breaks={"11": ""}, skip=("10",)),
    "left out, all between the ends": Row(
        "Suspects 1 2 3 skipped 1 2", drawing="0 1 2 3", bad="3", breaks={"2": ""}, skip=("1", "2"), probes=0
    ),
    "the culprit does not build": Row("Suspects 11 12 skipped 11", breaks={"11": ""}, told={"11": "N"}),
    "its parent does not build": Row("Suspects 10 11 skipped 10", breaks={"11": ""}, told={"10": "N"}),
    "every other commit does not build": Row(
        "Suspects 11 12 skipped 11", breaks={"11": ""}, told=dict.fromkeys(map(str, range(1, 16, 2)), "N")
    ),
    "does not build now and then": Row("FirstBad 11", breaks={"11": ""}, told={"8": "NG", "12": "NB"}),
    "a merge does not build": Row(
        "Suspects 5 6 skipped 5", drawing=SIDE, bad="7", together=("4", "d"), told={"5": "N"}
    ),
    # -- two causes, cured ones
    "two sides brought it, each of its own": Row("FirstBad a", drawing=DIAMONDS, bad="5", breaks={"a": "", "c": ""}),
    "cured on one side only": Row("FirstBad 4", drawing=SIDE, bad="7", breaks={"b": "c", "4": ""}),
    "cured by the merge, and again": Row("FirstBad b", drawing=SIDE, bad="7", breaks={"b": "5", "6": ""}),
    "both ways of noise": Row("FirstBad 11", breaks={"11": ""}, told={"8": "BG", "12": "GB", "14": "GB", "4": "GGGB"}),
    "few runs under noise blame nobody by chance": Row(
        "FirstBad 11", breaks={"11": ""}, told={"12": "GB", "13": "GB"}, known=(("13", "G"),), rules=Rules(min_runs=3)
    ),
    "the machine fails at the good end, then not": Row("FirstBad 11", breaks={"11": ""}, told={"0": "IIIG"}),
    "the machine fails at the parent": Row(
        "Inconclusive the machine failed 4 times", breaks={"11": ""}, told={"10": "GGI"}
    ),
    "a failure that was asked about and hides behind another": Row(
        "Suspects 8 9 10 11 skipped 8 9 10", breaks={"8": ""}, told=window(8, 10, "O"), signature=SIGNATURE
    ),
    "the parent mostly fails otherwise": Row(
        "Inconclusive 10 mostly fails in another way", breaks={"11": ""}, told={"10": "G" + "O" * 99}
    ),
    # -- a fix
    "fix, line": fixed("FirstFixed 11", "11", at_most=5, tally="10/10 0/10 0/10 10/10"),
    "fix, first commit of the range": fixed("FirstFixed 1", "1", at_most=5),
    "fix, the newer end itself": fixed("FirstFixed 16", "16", at_most=5),
    "fix, one commit in the range": fixed("FirstFixed 1", "1", drawing="0 1", bad="1", at_most=0),
    "fix, on a side branch": fixed("FirstFixed b", "b", drawing=SIDE, bad="7"),
    "fix, on a branch of a branch": fixed("FirstFixed p", "p", drawing=NESTED, bad="5"),
    "fix, the merge": fixed("FirstFixed 5", "5", drawing=SIDE, bad="7", tally="10/10 10/10 0/10 0/10 10/10"),
    "fix, on a branch that forked before the older end": fixed("FirstFixed b", "b", drawing=SIDE, good="3", bad="7"),
    "fix, older end is not broken": Row("NotReproduced 0", cured=True, at_most=0),
    "fix, newer end is not fixed": Row("BadAtGoodEnd 16", cured=True, breaks={"0": ""}, at_most=0),
    "fix, older end does not build": fixed("Inconclusive the broken end", "11", told={"0": "N"}, at_most=0),
    "fix, newer end does not build": fixed("Inconclusive the fixed end", "11", told={"16": "N"}, at_most=0),
    "fix, older end is no ancestor": fixed("FirstFixed 4", "4", drawing=NO_ANCESTOR, good="g2", bad="6"),
    "fix, the failure came beside it": Row(
        "NotReproduced 2", cured=True, drawing=NO_ANCESTOR, good="g2", bad="6", breaks={"g1": ""}
    ),
    "fix, a branch never had the failure": Row(
        "Inconclusive a passes, but so does its parent 2, which",
        cured=True,
        drawing=SIDE,
        good="3",
        bad="7",
        breaks={"3": "6"},
    ),
    "fix, the same by first parents": Row(
        "FirstFixed 6", cured=True, drawing=SIDE, good="3", bad="7", breaks={"3": "6"}, first_parent=True
    ),
    "fix, it does not build": fixed("Suspects 11 12 skipped 11", "11", told={"11": "N"}),
    "fix, its parent does not build": fixed("Suspects 10 11 skipped 10", "11", told={"10": "N"}),
    "fix, a window does not build": fixed("FirstFixed 11", "11", told=window(5, 9)),
    "fix, others fail in another way": fixed("FirstFixed 11", "11", told=window(6, 8, "O")),
    "fix, its parent is the same executable": fixed(
        "Inconclusive 11 is good and its parent 10 is bad, but", "11", same_binary={"11": "10"}
    ),
    "fix, of a failure that is there every other time": fixed("FirstFixed 11", "11", intermittent="BG"),
    "fix, of a failure that is there now and then": fixed("FirstFixed 11", "11", intermittent="GGGB"),
    "fix, the newer end fails once": fixed("FirstFixed 11", "11", told={"16": "BG"}),
    "fix, the machine fails": fixed("FirstFixed 11", "11", told={"8": "IIB"}),
    "fix, weight on it": fixed("FirstFixed 11", "11", prior={"11": 1e3}, at_most=2),
    "fix, came, went and came again": Row(
        "FirstFixed 13", cured=True, breaks={"0": "5", "7": "13"}, known=(("6", "B"),)
    ),
}


def searched(row: Row, history: History) -> tuple[Search, World, list[Build | Run]]:
    world = World(history, row.breaks, row.together, row.told, row.cycles, row.intermittent, row.same_binary)
    good, bad = history[row.good], history[row.bad]
    repository = history.repository
    base = None if repository.is_ancestor(good, bad) else repository.merge_base(good, bad)
    known = [run(history[name], letter, at=1.0) for name, letters in row.known for letter in letters]
    known += [run(history[name], "U", at=1.0) for name in row.skip]
    dag = Dag.of(repository.parents([good], bad))
    dag = dag.mainline(bad) if row.first_parent else dag
    weights = {sha: row.prior.get(history.name(sha), 1.0) for sha in dag.commits}
    facts: list[Build | Run] = []
    ticks = iter(range(1_000_000))
    found = search(
        Question(good, bad, CASE, row.signature, row.cured),
        dag,
        world.perform,
        facts.append,
        Silent(),
        known,
        merge_base=base,
        rules=row.rules,
        weigh=(lambda _: weights) if row.prior else None,
        clock=lambda: 10.0 + next(ticks),
    )
    return found, world, facts


def spelled(finding: Finding, history: History) -> str:
    """A finding as rows have it."""
    match finding:
        case FirstBad(commit=sha) | FirstFixed(commit=sha) | MergeConflict(commit=sha) | NotReproduced(commit=sha):
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
    probes = len(set(world.asked) - {row.good, row.bad})
    assert probes <= row.at_most + 1
    assert row.probes in (None, probes), world.asked
    assert not set(world.asked) & {*row.not_asked, *row.skip}
    _confirmed(found, row)
    _recorded(found, facts)
    _same_in_any_order(found, tmp_path)
    _replayed_by_git(found, history, tmp_path)


def _confirmed(found: Search, row: Row) -> None:
    """Whoever is blamed is bad often enough, its parents never, and its executable is not theirs."""
    finding = found.finding
    if not isinstance(finding, FirstBad | FirstFixed | MergeConflict):
        return
    confirmation = finding.confirmation
    found_one: tuple[Tally, ...] = (confirmation.culprit,)
    cured = isinstance(finding, FirstFixed)
    failing, passing = (confirmation.parents, found_one) if cured else (found_one, confirmation.parents)
    for culprit, parent in itertools.product(failing, passing):
        k, n = culprit.bad, culprit.n
        assert k >= 3
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
            logged.question, Dag.of(logged.parents), merge_base=logged.merge_base, rules=logged.rules,
            prior=logged.prior,
        )  # fmt: skip
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
    if isinstance(found.finding, FirstBad | FirstFixed | MergeConflict):
        said = git(where, "bisect", "replay", str(tmp_path / "search.log"))
        assert f"{found.finding.commit} is the first {'fixed' if found.question.cured else 'bad'} commit" in said
    elif isinstance(found.finding, Suspects) and not untested(found):
        with pytest.raises(AssertionError, match="only 'skip'ped commits left to test") as ended:
            git(where, "bisect", "replay", str(tmp_path / "search.log"))
        possible = set(re.findall(r"^[0-9a-f]{40}$", str(ended.value), re.MULTILINE))
        assert possible == set(found.finding.commits)


def untested(found: Search) -> bool:
    """Whether git could ask on where we ended: of suspects that were not run, or because only a parent is in doubt."""
    suspects = found.bisection.suspects
    return len(suspects) == 1 or any(found.bisection.verdict(sha) is None for sha in suspects)
