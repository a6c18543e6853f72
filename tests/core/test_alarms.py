"""Which troubles the operator is told of, and when each is over: tables of cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.alarms import PATIENCE, Begins, Ended, Kind, Known, Over, Trouble, Way, World, bound, decide, due, heard
from bot.core.outbox import Accepted, Answer, Deferred, Lost, Rejected

NOW, HOUR, GIB = 1_000_000.0, 3600.0, 2**30
WELL = World(
    now=NOW, every=1800.0, budget=HOUR, due=None, recorded=None, ended=None, free=9 * GIB, floor=5 * GIB, way=None
)  # fmt: skip
AGES = NOW - 5 * HOUR
GONE = Way(NOW - PATIENCE, NOW, "no connection", down=True)


def there(kind: Kind, began: float = NOW - HOUR) -> Known:
    return Known(Trouble(kind, began, "so it was"), began, told=True)


BEGIN: dict[str, tuple[dict[str, Any], list[Kind]]] = {
    "all is well": ({}, []),
    "a cycle that goes on": ({"due": NOW - 2 * HOUR}, []),
    "a cycle that does not end": ({"due": NOW - 2 * HOUR - 1}, [Kind.CYCLE]),
    "with a budget it does not matter what it does": ({"due": AGES, "recorded": NOW}, [Kind.CYCLE]),
    "without a budget it may last as long as it does something": ({"due": AGES, "budget": None, "recorded": NOW}, []),
    "without a budget it does nothing": ({"due": AGES, "budget": None, "recorded": AGES}, [Kind.CYCLE]),
    "without a budget it never did anything": ({"due": AGES, "budget": None}, [Kind.CYCLE]),
    "a cycle ended as it should": ({"ended": Ended()}, []),
    "a cycle failed": ({"ended": Ended("ValueError: no")}, [Kind.FAILED]),
    "none ends, for each fails": ({"ended": Ended("ValueError: no"), "due": AGES}, [Kind.FAILED]),
    "just enough space": ({"free": 5 * GIB}, []),
    "too little space": ({"free": 5 * GIB - 1}, [Kind.DISK]),
    "no floor": ({"free": 0, "floor": 0}, []),
    "mails are not taken since just now": ({"way": replace(GONE, since=NOW - PATIENCE + 1)}, []),
    "mails are not taken any more": ({"way": GONE}, [Kind.MAIL]),
    "one was not taken long ago, and none was tried since": ({"way": Way(AGES, AGES, "no", down=True)}, []),
    "a compiler breaks something": ({"drifted": "2 cases"}, [Kind.TOOLCHAIN]),
    "a release waits for a person": ({"held": "v10.0.14"}, [Kind.BASELINE]),
    "everything at once": (
        {"due": AGES, "free": 1, "way": GONE, "drifted": "2 cases", "held": "v10.0.14"},
        [Kind.CYCLE, Kind.DISK, Kind.MAIL, Kind.TOOLCHAIN, Kind.BASELINE],
    ),
}


@pytest.mark.parametrize("case", BEGIN)
def test_what_begins(case: str) -> None:
    given, wanted = BEGIN[case]
    changes = decide([], replace(WELL, **given))
    assert [change.trouble.kind for change in changes if isinstance(change, Begins)] == wanted
    assert len(changes) == len(wanted)


@pytest.mark.parametrize("case", BEGIN)
def test_what_is_there_does_not_begin_again(case: str) -> None:
    given, wanted = BEGIN[case]
    known = [there(kind) for kind in wanted]
    assert decide(known, replace(WELL, **given)) == ()


OVER: dict[str, tuple[Kind, dict[str, Any], bool]] = {
    "a cycle ended": (Kind.CYCLE, {}, True),
    "a cycle ended, and another goes on": (Kind.CYCLE, {"due": NOW - 60}, True),
    "it does something again, and has not ended": (Kind.CYCLE, {"due": AGES, "budget": None, "recorded": NOW}, False),
    "a cycle went well": (Kind.FAILED, {"ended": Ended()}, True),
    "after a restart nobody knows": (Kind.FAILED, {}, False),
    "a cycle failed again, in another way": (Kind.FAILED, {"ended": Ended("OSError: no")}, False),
    "none ends either, for each failed": (Kind.FAILED, {"due": AGES}, False),
    "space at the floor": (Kind.DISK, {"free": 5 * GIB}, False),
    "space again": (Kind.DISK, {"free": 6 * GIB}, True),
    "the floor was lowered": (Kind.DISK, {"free": GIB, "floor": 0}, True),
    "what the compiler broke passes": (Kind.TOOLCHAIN, {}, True),
    "the compiler breaks something else": (Kind.TOOLCHAIN, {"drifted": "3 cases"}, False),
    "a person decided": (Kind.BASELINE, {}, True),
    "another release waits": (Kind.BASELINE, {"held": "v9.2.5"}, False),
    "mails are taken": (Kind.MAIL, {}, True),
    "mails are not taken": (Kind.MAIL, {"way": GONE}, False),
    "one is not taken once more": (Kind.MAIL, {"way": Way(NOW, NOW, "no", down=False)}, False),
}


@pytest.mark.parametrize("case", OVER)
def test_what_is_over(case: str) -> None:
    kind, given, over = OVER[case]
    known = there(kind)
    assert decide([known], replace(WELL, **given)) == ((Over(known),) if over else ())


def test_one_is_over_and_another_begins() -> None:
    known = there(Kind.MAIL)
    over, begins = decide([known], replace(WELL, free=0))
    assert over == Over(known) and isinstance(begins, Begins)
    assert begins.trouble == Trouble(Kind.DISK, NOW, "0.0 GiB free, build.free_space asks for 5.0 GiB")


@pytest.mark.parametrize(
    ("every", "budget", "wanted"), [(1800.0, None, HOUR), (1800.0, 600.0, HOUR), (1800.0, 6 * HOUR, 12 * HOUR)]
)
def test_a_cycle_has_to_end_within(every: float, budget: float | None, wanted: float) -> None:
    assert bound(every, budget) == wanted


DUE: dict[str, tuple[list[tuple[float, float | None]], float | None, float | None]] = {
    "nothing ever began": ([], None, None),
    "the first goes on": ([(5, None)], 4, 4),
    "the first hangs before it is recorded": ([], 4, 4),
    "waiting for the next": ([(5, 6)], None, None),
    "the next goes on": ([(9, None), (5, 6)], 8, 8),
    "killed again and again": ([(9, None), (8, None), (7, None), (5, 6)], 9, 7),
    "killed, then it went well": ([(9, 10), (8, None), (7, None)], None, None),
    "it has ended, and its pages are written": ([(9, 10), (5, 6)], 8, None),
}


@pytest.mark.parametrize("case", DUE)
def test_since_when_a_cycle_is_due(case: str) -> None:
    cycles, running, wanted = DUE[case]
    assert due(cycles, running) == wanted


TAKEN, NOT_NOW, NEVER = Accepted("250"), Deferred("451 later"), Rejected("554 no")
NO_CONNECTION = Deferred("gone", everything=True)
REFUSES = Way(1.0, 1.0, "554 no", down=False)
DOWN = Way(1.0, 1.0, "gone", down=True)

HEARD: list[tuple[Way | None, Answer, bool, Way | None]] = [
    (None, TAKEN, False, None),
    (None, TAKEN, True, None),
    (None, NO_CONNECTION, False, Way(9.0, 9.0, "gone", down=True)),
    (None, NO_CONNECTION, True, Way(9.0, 9.0, "gone", down=True)),
    (None, NEVER, False, Way(9.0, 9.0, "554 no", down=False)),
    (None, NOT_NOW, False, Way(9.0, 9.0, "451 later", down=False)),
    (None, NEVER, True, None),  # the operator's own address
    (None, NOT_NOW, True, None),
    (REFUSES, TAKEN, False, None),
    (REFUSES, TAKEN, True, REFUSES),  # that the operator's mail is taken does not help those of lists
    (REFUSES, NEVER, False, Way(1.0, 9.0, "554 no", down=False)),
    (REFUSES, NO_CONNECTION, True, Way(1.0, 9.0, "gone", down=True)),
    (DOWN, TAKEN, True, None),
    (DOWN, NOT_NOW, False, Way(1.0, 9.0, "451 later", down=False)),
    (DOWN, NO_CONNECTION, False, Way(1.0, 9.0, "gone", down=True)),
    (DOWN, Lost("no answer"), False, DOWN),  # it may have gone out
    (None, Lost("no answer"), False, None),
]


@pytest.mark.parametrize("row", range(len(HEARD)))
def test_what_an_answer_says_of_the_way(row: int) -> None:
    way, answer, own, wanted = HEARD[row]
    assert heard(way, answer, 9.0, own=own) == wanted
