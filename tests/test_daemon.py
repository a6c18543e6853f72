"""`bot run` as a service: signals, what systemd hears, the budget of a cycle, what `bot status` says meanwhile."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.host import notify
from bot.pipeline.noted import Noted, noted
from bot.progress import Silent
from bot.store.store import Store
from tests.test_cli import BOT, Place, environment, place, until
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return place(tmp_path_factory.mktemp("daemon"), GOOD)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket, as systemd makes it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield heard


def test_what_is_told_is_a_datagram_of_lines(manager: socket.socket) -> None:
    notify.tell(READY="1", STATUS="two\nlines")
    assert manager.recv(1000) == b"READY=1\nSTATUS=two lines"
    notify.reloading()
    first, second = manager.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    assert 0 <= time.monotonic() * 1e6 - int(second.removeprefix("MONOTONIC_USEC=")) < 60e6


def test_a_name_in_the_abstract_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{tmp_path}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{tmp_path}")
        notify.tell(READY="1")
        assert heard.recv(1000) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nobody/listens", "vsock:2:1234", "@\0"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address and "\0" not in address:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.tell(READY="1")


def test_what_goes_on_is_noted_and_gone_at_the_end(tmp_path: Path) -> None:
    now = 1000.0
    progress = Noted(Silent(), tmp_path, lambda: now)
    assert noted(tmp_path, now) is None
    progress.work("building \x1b[31mred", 3, 10)
    now = 1030.0
    assert noted(tmp_path, now) == "building red (3 of 10), since 30 s"
    progress.work("building \x1b[31mred", 6, 10)
    assert noted(tmp_path, now) == "building red (6 of 10, about 20 s left), since 30 s"
    progress.close()
    assert noted(tmp_path, now) is None


def test_a_note_that_cannot_be_written_or_read_hurts_nobody(tmp_path: Path) -> None:
    Noted(Silent(), tmp_path / "gone").work("building")
    for text in ("", "{", "[]", '{"what": 1}', "null"):
        (tmp_path / "now.json").write_text(text)
        assert noted(tmp_path, 1.0) is None


def test_the_configuration_is_read_again_and_a_wrong_one_is_not_taken(
    here: Place, tmp_path: Path, manager: socket.socket
) -> None:
    """A cycle an hour; told to read it again, the daemon has one each second."""
    config = here.path / "config.yaml"
    before = config.read_text()
    said = tmp_path / "said"
    argv = [*BOT, "-c", str(config), "-C", str(tmp_path / "work"), "run"]
    env = environment() | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with said.open("w") as out:
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=out)
    try:
        assert manager.recv(1000).startswith(b"READY=1")
        until(said, "waiting 30 min for the next cycle")
        status = here.run("-C", str(tmp_path / "work"), "status", "--check", code=0).stdout
        assert f"now: process {process.pid}: waiting 30 min for the next cycle, since" in status
        assert "next cycle: " in status
        config.write_text(before.replace("  stable: 0", "  stable: 0\n  evry: 1s"))
        process.send_signal(signal.SIGHUP)
        until(said, "the configuration stays as it was: ")
        config.write_text(before.replace("  stable: 0", "  stable: 0\n  every: 1s"))
        process.send_signal(signal.SIGHUP)
        until(said, "the configuration was read again")
        deadline = time.monotonic() + 60
        while said.read_text().count("cycle done") < 2:
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 130
        manager.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(manager.recv(1000).decode())
            except BlockingIOError:
                break
        assert [text.split("\n")[0] for text in heard if text.startswith("RELOADING")] == ["RELOADING=1"] * 2
        assert sum(text == "READY=1" for text in heard) == 2
        assert heard[-1].startswith("STOPPING=1")
    finally:
        config.write_text(before)
        process.kill()
        process.wait()
    status = here.run("-C", str(tmp_path / "work"), "status").stdout
    assert "now: nothing, no bot is running here" in status


def test_a_cycle_over_its_budget_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    common = ("--set", "bisect.min_runs=3", "--set")
    here.run(*common, "watch.budget=1h", "run", "--once", code=0)
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER)}, "hw/core: make it smaller")
    first = here.run(*common, "watch.budget=1s", "run", "--once", code=0)
    assert "1 searches left for the next cycle (watch.budget)" in first.stderr
    assert "r0001" in first.stderr and "first bad commit" not in first.stdout
    second = here.run(*common, "watch.budget=1h", "run", "--once", code=10)
    assert "first bad commit" in second.stdout


def test_the_check_fails_if_no_cycle_ends(tmp_path: Path, here: Place) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert "no cycle has ended" in here.run("-C", str(work), "status", "--check", code=1).stdout
    store = Store(work, clock=lambda: time.time() - 3700)
    store.end_cycle(store.begin_cycle(), "nothing new")
    store.begin_cycle()  # was killed, or hangs
    late = here.run("-C", str(work), "status", "--check", code=1).stdout
    assert "the last cycle ended 62 min ago, 60 min is the most" in late
    here.run("-C", str(work), "--set", "watch.every=40m", "status", "--check", code=0)
    here.run("-C", str(work), "--set", "watch.budget=2h", "status", "--check", code=0)
    here.run("-C", str(work), "status", code=0)


def test_a_release_is_a_baseline_from_the_cycle_on_that_sees_it(tmp_path: Path) -> None:
    """Without a change of the configuration; what breaks against it is found as anything else is."""
    here = place(tmp_path, GOOD)
    run = ("--set", "bisect.min_runs=3", "--set", "watch.releases=1", "run", "--once")

    def tested() -> set[str | None]:
        tip = here.project.git("rev-parse", "HEAD").strip()
        return {run.case.baseline for run in Store(tmp_path / "work").runs(commit=tip, logs=False)}

    here.run(*run, code=0)
    assert tested() == {None, "debian", "v7.2"}
    here.project.commit({"VERSION": "7.3.0\n"}, "Update version for v7.3.0 release")
    here.project.commit({"VERSION": "7.3.50\n"}, "Open 7.4 development tree")
    here.run(*run, code=0)
    assert tested() == {None, "debian", "v7.3"}
    here.project.commit({"dev.c": fastqemu.dev_c(SMALLER)}, "hw/core: make it smaller")
    here.run(*run, code=10)
    (entry,) = Store(tmp_path / "work").regressions()
    assert {case.baseline for case in entry.regression.cases} == {"debian", "v7.3"}
