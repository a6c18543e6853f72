"""Builds and smokes on workers, as a person starts them; and what a worker refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.errors import InfraError
from bot.host import bundles
from bot.host.git import Repository
from bot.model import Baseline, BuildKind, Case, Direction, Profile, Run, Sandbox, SmokeSettings
from bot.model import Test as Job
from bot.pipeline.doctor import checks
from bot.progress import Silent
from bot.store.store import Store
from bot.worker import Rig
from bot.workshop import Order, Workshop
from tests.testing import fastqemu
from tests.testing.cluster import Cluster, environment, free_port
from tests.testing.fastqemu import BROKEN, GOOD, QEMU, SMALLER

MACHINE = ("--machine", "pc-i440fx-7.2", "--source", str(QEMU))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The third does not build, from the fifth on RAM is smaller; what comes after it has nothing to do with that."""
    place = tmp_path_factory.mktemp("history") / "qemu"
    project, shas = fastqemu.history(place, GOOD, GOOD, BROKEN, GOOD, SMALLER)
    shas += [project.commit({"dev.h": f"/* {number} */\n"}, f"hw: remark {number}") for number in (6, 7)]
    return project.path, shas


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, history: tuple[Path, list[str]]) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("workers"), f"tls://127.0.0.1:{free_port()}")
    base = fastqemu.CONFIG.format(url=history[0], qemu=QEMU, out=made.path / "out")
    made.configuration(base)
    try:
        made.scheduler()
        made.workers("a", "b", repo=history[0])
        yield made
    finally:
        made.close()


def test_a_search_builds_and_smokes_on_the_workers(cluster: Cluster, history: tuple[Path, list[str]]) -> None:
    """Its ends, side test and reproducer are built here; the tests are theirs, the revert's too, which only we have."""
    path, shas = history
    argv = ["--set", "bisect.min_runs=3", "bisect", f"{shas[0]}..master", *MACHINE, "--jobs", "2", "--repo", str(path)]
    done = subprocess.run([sys.executable, "-m", "bot", "-C", "work", *argv], cwd=cluster.path, env=environment(),
                          capture_output=True, text=True, timeout=200)  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{cluster.log('a')}\n{cluster.log('b')}"
    assert f"first bad commit: {shas[5][:12]}" in done.stdout
    assert "it works again" in done.stdout
    store = Store(cluster.path / "work")
    searched = [run for run in store.runs(logs=False) if run.host]
    assert {run.host for run in searched} == {"a", "b"}
    asked = json.loads((cluster.path / "work/out/r0001/report.json").read_text())["report"]
    where = asked["host"].split(";")[0].removeprefix("worker ")
    mine = [run for run in searched if run.case.machine == MACHINE[1] and run.case.direction is Direction.FORWARD]
    confirmed = [run for run in mine if run.commit == shas[5]]
    parents = [run for run in mine if run.commit == shas[4] and run.host == where]
    assert len([run for run in confirmed if run.host == where]) >= 3 and len(parents) >= 3
    log = cluster.path / "work/out/r0001/bisect.log"
    again = subprocess.run([sys.executable, "-m", "bot", "replay", str(log)], env=environment(), capture_output=True,
                           text=True, timeout=60)  # fmt: skip
    assert again.stdout.splitlines()[-1] == f"first bad commit: {shas[5]}"
    built = [build for build in store.builds() if build.kind is not BuildKind.CACHED and build.host]
    assert {build.host for build in built} == {"a", "b"} and all(build.toolchain for build in built)


def test_doctor_lists_the_workers_and_names_what_differs(cluster: Cluster) -> None:
    config = load(cluster.path / "config.yaml", environ={})
    found = {check.name: check for check in checks(config, cluster.path / "work")}
    assert found["executor"].ok and "2 workers" in found["executor"].found
    for name in ("worker a", "worker b"):
        assert found[name].ok, found[name]
        assert "slot 1" in found[name].found and "gcc" in found[name].found
    without = config.model_copy(update={"sandbox": config.sandbox.model_copy(update={"use": "never"})})
    other = {check.name: check for check in checks(without, cluster.path / "work")}["worker a"]
    assert not other.ok and "its runs would not compare" in other.found


def test_doctor_names_what_a_sandbox_needs_in_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.host.escape.missing", lambda: "bwrap: Can't mount proc on /newroot/proc")
    for where, mend in (("Docker", "--security-opt systempaths=unconfined"), (None, "apt-get install bubblewrap")):
        monkeypatch.setattr("bot.host.escape.container", lambda where=where: where)
        check = next(check for check in checks(load(environ={}), tmp_path) if check.name == "sandbox")
        assert not check.ok and mend in check.mend
        assert ("this is a container (Docker)" in check.found) is (where is not None)


def test_an_address_without_tls_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("executor: {address: 'tls://host:8786'}\n")
    done = subprocess.run([sys.executable, "-m", "bot", "-C", "w", "worker"], cwd=tmp_path, env=environment(),
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 129
    assert "executor.tls.ca, executor.tls.cert, executor.tls.key must be given" in done.stderr


# -- what is not the coordinator's ---------------------------------------------------------------------------------

CASE = Case("x86_64-softmmu", "pc-i440fx-7.2", "bare", Direction.FORWARD, "debian")


@pytest.fixture
def workshop(history: tuple[Path, list[str]], tmp_path: Path) -> Workshop:
    config = load(environ={})
    (tmp_path / "scratch").mkdir()
    return Workshop("alpha", Repository(history[0]), None, config.build_settings, tmp_path, Silent(), threading.Event())


def order(commit: str, workshop: Workshop, **more: object) -> Order:
    given = Order(
        test=Job(commit, (CASE,)),
        setups={CASE: "?"},
        profiles={"bare": Profile("bare")},
        baselines={"debian": Baseline("debian", path=str(QEMU))},
        binaries={"debian x86_64-softmmu": "0" * 64},
        smoke=SmokeSettings(),
        recipes=workshop.settings.recipes,
    )
    return replace(given, **more)  # type: ignore[arg-type]


def refused(workshop: Workshop, asked: Order) -> str:
    with pytest.raises(InfraError) as raised:
        list(workshop(asked, threading.Event()))
    return str(raised.value)


def test_another_binary_under_the_baselines_path_is_refused(
    workshop: Workshop, history: tuple[Path, list[str]]
) -> None:
    said = refused(workshop, order(history[1][1], workshop))
    assert said.startswith(f"alpha: baseline debian: {QEMU} has sha256 ")
    assert "here, and 000000000000 on the coordinator" in said


def test_a_baseline_that_is_not_there_is_the_hosts_trouble(workshop: Workshop, history: tuple[Path, list[str]]) -> None:
    gone = {"debian": Baseline("debian", path="/nonexistent/qemu")}
    said = refused(workshop, order(history[1][1], workshop, baselines=gone))
    assert "alpha: baseline debian: /nonexistent/qemu: no such file" in said and "(the coordinator has it)" in said


def test_runs_in_a_sandbox_and_without_are_not_mixed(workshop: Workshop, history: tuple[Path, list[str]]) -> None:
    assert "here is no sandbox, and on the coordinator one" in refused(
        workshop, order(history[1][1], workshop, confined=True)
    )
    workshop.settings = replace(workshop.settings, sandbox=Sandbox())
    assert "here is a sandbox, and on the coordinator none" in refused(workshop, order(history[1][1], workshop))


def test_another_setup_is_refused(workshop: Workshop, history: tuple[Path, list[str]]) -> None:
    """Whatever it is: a script of other contents, another version of the bot."""
    same = replace(CASE, direction=Direction.SAME, baseline=None)
    asked = order(history[1][1], workshop, test=Job(history[1][1], (same,)), setups={same: "?"}, baselines={})
    assert f"alpha: what {same.id} depends on is not the same here" in refused(workshop, asked)


# -- what orders have in common ------------------------------------------------------------------------------------


def test_orders_make_each_recorded_stream_once(
    workshop: Workshop, history: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that are done at a time would write the same files, and what cannot be recorded would be tried each time."""
    rigs: list[Rig] = []
    monkeypatch.setattr(Workshop, "_check", lambda *_: None)

    def nothing(_job: Job, rig: Rig) -> Iterator[Run]:
        rigs.append(rig)
        return iter(())

    monkeypatch.setattr("bot.workshop.perform", nothing)
    for commit in history[1][:2]:
        assert list(workshop(order(commit, workshop), threading.Event())) == []
    one, other = rigs
    assert one.goldens is not None and one.goldens is other.goldens


HALF = """
import os, signal, sys
from pathlib import Path
from bot.host import bundles
from bot.host.git import POSTED, Repository
bundles.keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
bundles.unpack(Repository(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes(), [sys.argv[3]], POSTED)
"""


def test_what_somebody_posted_is_known_for_that_after_a_kill(
    workshop: Workshop, history: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """The worker had unpacked it and not yet named it: it is there, and nothing says that nobody vouches for it."""
    subprocess.run(["git", "clone", "-q", str(history[0]), str(tmp_path / "mine")], check=True)
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "p"], cwd=tmp_path / "mine", check=True)
    mine = Repository(tmp_path / "mine")
    sha = mine.resolve("HEAD")
    packed = bundles.pack(mine, [sha], [history[1][-1]])
    assert packed is not None
    (tmp_path / "pack").write_bytes(packed)
    asked = [sys.executable, "-c", HALF, str(history[0]), str(tmp_path / "pack"), sha]
    assert subprocess.run(asked, env=environment(), timeout=100).returncode == -signal.SIGKILL
    assert bundles.has(workshop.repository, sha) and not workshop.repository.posted(sha)
    refused(workshop, order(sha, workshop, posted=True))
    assert workshop.repository.posted(sha)
