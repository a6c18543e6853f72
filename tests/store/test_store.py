"""The store: facts come back as they went in, ids are stable, a kill leaves no half-written pair."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.errors import InfraError, UserError
from bot.model import (
    Binary,
    Build,
    BuildKind,
    BuildStatus,
    Case,
    Commit,
    Direction,
    Inventory,
    Log,
    MachineType,
    Observation,
    Outcome,
    Regression,
    Run,
    Signature,
)
from bot.store.store import Mail, Store

CASE = Case("x86_64-softmmu", "pc-q35-3.1", "mem-path", Direction.FORWARD, "qemu-7.2")
SIGNATURE = Signature("ramblock", "ram", "pc.ram")
A, B, C = "a" * 40, "b" * 40, "c" * 40


def run(sha: str, outcome: Outcome, setup: str = "s", case: Case = CASE, text: str = "said\n") -> Run:
    signature = None if outcome is Outcome.PASS else SIGNATURE
    logs = (Log("destination.stderr", text),)
    seen = Observation(outcome, signature, "m", 0.3, (("qemu", "-S"), ("qemu",)), (0, 1), logs)
    return Run(sha, case, seen, "1" * 64, "2" * 64, 12.5, setup)


def test_facts_come_back_equal(tmp_path: Path) -> None:
    store = Store(tmp_path)
    binary = Binary(Path("/x/qemu"), "1" * 64, Path("/x/pc-bios"), A, "v1")
    build = Build(
        A, "x86_64-softmmu", "meson", BuildStatus.BUILT, BuildKind.FULL, 3.0, 7, "gcc", binary, None, "log \udcff"
    )
    store.record(build)
    store.record(run(A, Outcome.FAIL_DST, text="\x1b[31mno\n"))
    again = Store(tmp_path)
    assert again.builds(logs=True) == [build]
    assert again.runs() == [run(A, Outcome.FAIL_DST, text="\x1b[31mno\n")]
    assert again.runs(logs=False)[0].observation.logs == ()


def test_runs_are_told_apart_by_commit_case_and_setup(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = Case("x86_64-softmmu", "pc-q35-4.0", "mem-path")
    for fact in (run(A, Outcome.PASS), run(B, Outcome.PASS, "t"), run(A, Outcome.PASS, case=other)):
        store.record(fact)
    assert [r.case for r in store.runs(commit=A)] == [CASE, other]
    assert [r.commit for r in store.runs(cases=[CASE])] == [A, B]
    assert [r.commit for r in store.runs(cases=[CASE], setups=["t"])] == [B]


def test_last_good_is_the_latest_answer_of_a_commit(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for sha, outcome in (
        (A, Outcome.PASS),
        (B, Outcome.PASS),
        (B, Outcome.FAIL_DST),
        (C, Outcome.PASS),
        (C, Outcome.INFRA),
        ("d" * 40, Outcome.FAIL_DST),  # flaky: neither good nor bad
        ("d" * 40, Outcome.PASS),
    ):
        store.record(run(sha, outcome))
    assert store.good_commits(CASE, "s") == [C, A]
    assert store.good_commits(CASE, "another setup") == []


def test_regressions_are_numbered_and_concluded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.open_regression(Regression("", SIGNATURE, (CASE,), A, B, "master"))
    second = store.open_regression(Regression("", SIGNATURE, (CASE,), A, C, "master"))
    assert (first.id, second.id) == ("r0001", "r0002")
    store.conclude("r0002", "first-bad", '{"report": 1}', "git bisect start")
    entries = Store(tmp_path).regressions()
    assert [(e.regression.id, e.finding, e.report, e.log) for e in entries] == [
        ("r0001", None, None, ""),
        ("r0002", "first-bad", '{"report": 1}', "git bisect start"),
    ]
    with pytest.raises(UserError, match=r"r0009: no such regression"):
        store.regressions("r0009")
    with pytest.raises(UserError, match="not the id of a regression"):
        store.regressions("../etc")


def test_a_mail_rendered_again_replaces_itself(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open_regression(Regression("", SIGNATURE, (CASE,), A, B))
    for body in ("one", "two"):
        store.conclude(
            "r0001", "first-bad", "{}", "", mail=Mail("r0001", "report", "<r0001.1@x>", 1.0, ("approval",), body)
        )
    assert [(m.eml, m.held) for m in store.mails("r0001")] == [("two", ("approval",))]


def test_tips_and_cycles(tmp_path: Path) -> None:
    now = iter(range(100))
    store = Store(tmp_path, clock=lambda: float(next(now)))
    one, two = (Commit(sha, "subject", "A", "a@example.org", "2020-01-01", "2020-01-01") for sha in (A, B))
    assert [store.see("master", commit) for commit in (one, one, two)] == [True, False, True]
    assert store.seen() == {"master": [one, two]}
    cycle = store.begin_cycle()
    assert store.cycles()[0].ended is None
    store.end_cycle(cycle, "nothing new")
    assert store.cycles()[0].result == "nothing new"


def test_evicted_blob_leaves_its_row(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.record(run(A, Outcome.PASS))
    for blob in (tmp_path / "blobs").rglob("*.zst"):
        blob.unlink()
    assert store.runs()[0].observation.logs[0].text.startswith("(evicted")


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="schema 99"):
        Store(tmp_path)


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "bot.db").write_bytes(b"x" * 5000)
    with pytest.raises(InfraError, match=r"bot\.db"):
        Store(tmp_path)


WRITER = """
import sys
from pathlib import Path
from bot.store.store import Store
from tests.store.test_store import run, A
from bot.model import Outcome
store = Store(Path(sys.argv[1]))
n = 0
while True:
    store.record(run(A, Outcome.FAIL_DST, text=f"run {n}"))
    n += 1
    print(n, flush=True)
"""


@pytest.mark.parametrize("delay", [0.05, 0.11, 0.23])
def test_kill_loses_nothing_that_was_recorded(tmp_path: Path, delay: float) -> None:
    """kill -9 of a writer: what it said is recorded is there and whole, and the file is sound."""
    root = Path(__file__).parents[2]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"
    time.sleep(delay)
    os.kill(writer.pid, signal.SIGKILL)
    said = [1, *map(int, writer.stdout.read().split())][-1]
    writer.wait()
    writer.stdout.close()
    kept = Store(tmp_path).runs()
    assert len(kept) in (said, said + 1)
    assert [r.observation.logs[0].text for r in kept] == [f"run {n}" for n in range(len(kept))]
    with sqlite3.connect(tmp_path / "bot.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_a_commits_binaries_say_of_themselves(tmp_path: Path) -> None:
    store = Store(tmp_path)
    said = Inventory("x86_64", "7.2.0", (MachineType("pc-q35-7.2", "q35", True, False, "qemu64"),), frozenset({"edu"}))
    store.keep_inventory(A, "x86_64-softmmu", Inventory("x86_64", "7.1.0", ()))
    store.keep_inventory(A, "x86_64-softmmu", said)
    store.keep_inventory(A, "ppc64-softmmu", said)
    kept = Store(tmp_path).inventories(A)
    assert set(kept) == {"x86_64-softmmu", "ppc64-softmmu"}
    assert kept["x86_64-softmmu"] == Inventory("x86_64", "7.2.0", said.machines)  # the machine types are what is asked
    assert store.inventories(B) == {}
