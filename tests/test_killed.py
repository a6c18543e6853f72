"""kill -9 at every step of a bisection, then `--resume`: the same answer, and nothing that was recorded is run again.

Each is the real program on a real repository. A process dies with its whole group in the moment in which the store has
written a fact, or while a test is running; each run of the command leaves a line in a file.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from bot.store.store import Store
from tests.test_cli import wait_gone
from tests.testing.cluster import until
from tests.testing.history import History, draw
from tests.testing.zygote import Process, start

KILLED = """
import os, signal, sys
from bot.__main__ import main
from bot.store.store import Store
record, left = Store.record, [int(sys.argv.pop(1))]
def and_die(store, fact):
    record(store, fact)
    left[0] -= 1
    if not left[0]:
        os.killpg(0, signal.SIGKILL)
Store.record = and_die
main()
"""
"""The program, that dies after so many facts; 0: never."""

DRAWING = """
0 1 2 3
2 a b c
3 4=c 5 6 7
"""
FACTS = 17
"""Runs of the whole search below, and so the places where it can be killed."""


def bot(where: Path, *args: str, facts: int = 0) -> Process:
    """`bot -C work ARGS` in a process group of its own."""
    where.mkdir(parents=True, exist_ok=True)
    return start(KILLED, str(facts), "-C", "work", *args, cwd=where)


def ended(process: Process, code: int) -> str:
    """What it printed, once it has ended as it must."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
    assert "Traceback" not in err, err
    return out


def said(work: Path) -> dict[str, Any]:
    """The answer: report and log, without times, what was known at this start, and where the work directory is."""
    report = json.loads((work / "out/r0001/report.json").read_text())["report"]
    log = (work / "out/r0001/bisect.log").read_text()
    log = re.sub(r'"(at|seconds|setup)":("[0-9a-f]*"|[0-9.e+-]+)', "", log)
    log = re.sub(r", \d+ built, \d+ runs\n", "\n", log)
    log = re.sub(r"(?m)^(# +\d+ [0-9a-f]{12} \w+ \([^)]*\)), [^:]*:", r"\1:", log)
    steps = [(step["commit"]["sha"], step["verdict"], len(step["runs"])) for step in report["steps"]]
    named = {key: report[key] for key in ("finding", "culprit", "range_size", "regression")}
    return {"log": log, "steps": steps, **named}


def recorded(work: Path) -> list[tuple[str, str, str]]:
    """Every run that the store holds, in the order in which it came."""
    return [(run.commit, run.case.id, str(run.outcome)) for run in Store(work).runs(logs=False)]


# -- a command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("killed") / "upstream", DRAWING)


def asked(history: History, where: Path) -> list[str]:
    """What a person types: b broke it, 4 cannot be tested. Runs are noted; the one numbered in a file waits."""
    ran, wait = shlex.quote(str(where / "ran")), shlex.quote(str(where / "wait"))
    test = f"git log -1 --format=%s >>{ran}; "
    test += f'while test -e {wait} && test "$(cat {wait})" = "$(wc -l <{ran})"; do sleep 0.05; done; '
    test += "if test -e n/4 -a ! -e n/5; then exit 125; fi; test ! -e n/b"
    range_ = f"{history['0']}..{history['7']}"
    repository = str(history.repository.path)
    return ["--set", "bisect.min_runs=3", "bisect", range_, "--repo", repository, "--", "sh", "-c", test]


def lines(where: Path) -> list[str]:
    return (where / "ran").read_text().splitlines() if (where / "ran").exists() else []


Whole = tuple[dict[str, Any], list[str]]


@pytest.fixture(scope="module")
def whole(history: History, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The answer and the runs of a search that nobody disturbs."""
    where = tmp_path_factory.mktemp("whole")
    out = ended(bot(where, *asked(history, where)), 0)
    assert f"first bad commit: {history['b'][:12]}" in out
    assert len(lines(where)) == len(recorded(where / "work")) == FACTS
    assert "4" in lines(where)
    return said(where / "work"), lines(where)


@pytest.mark.parametrize("facts", range(1, FACTS + 1))
def test_killed_when_a_fact_was_recorded(history: History, whole: Whole, tmp_path: Path, facts: int) -> None:
    answer, runs = whole
    ended(bot(tmp_path, *asked(history, tmp_path), facts=facts), -signal.SIGKILL)
    assert lines(tmp_path) == runs[:facts]
    assert len(recorded(tmp_path / "work")) == facts
    ended(bot(tmp_path, "bisect", "--resume"), 0)
    assert lines(tmp_path) == runs
    assert said(tmp_path / "work") == answer


@pytest.mark.parametrize("number", [1, 5, FACTS])
def test_killed_while_a_test_runs(history: History, whole: Whole, tmp_path: Path, number: int) -> None:
    """That one is run again, for nobody knows how it would have ended; no other is."""
    answer, runs = whole
    (tmp_path / "wait").write_text(f"{number}\n")
    process = bot(tmp_path, *asked(history, tmp_path))
    deadline = time.monotonic() + 100
    while len(lines(tmp_path)) < number:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    ended(process, -signal.SIGKILL)
    wait_gone(tmp_path)
    (tmp_path / "wait").unlink()
    ended(bot(tmp_path, "bisect", "--resume"), 0)
    assert lines(tmp_path) == [*runs[:number], *runs[number - 1 :]]
    assert said(tmp_path / "work") == answer


def test_what_a_killed_test_left_half_is_not_there_for_the_next(history: History, tmp_path: Path) -> None:
    """A make of the user's own would take it for made: no commit tracks it, so no checkout takes it away."""
    went, began = (shlex.quote(str(tmp_path / name)) for name in ("went", "began"))
    test = f"test -e {went} || {{ touch half {began}; exec sleep 600; }}; test ! -e n/b -a ! -e half"
    repository, range_ = str(history.repository.path), f"{history['0']}..{history['7']}"
    options = ("--set", "bisect.min_runs=3", "bisect", range_, "--repo", repository)
    process = bot(tmp_path, *options, "--", "sh", "-c", test)
    until((tmp_path / "began").exists, "no test")
    os.killpg(process.pid, signal.SIGKILL)
    ended(process, -signal.SIGKILL)
    wait_gone(tmp_path)
    (tmp_path / "went").touch()
    out = ended(bot(tmp_path, "bisect", "--resume"), 0)
    assert f"first bad commit: {history['b'][:12]}" in out
