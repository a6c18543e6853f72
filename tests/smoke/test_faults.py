"""Whatever happens to a QEMU, or to us: an outcome with a name, in time, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from qemu.qmp import Message

from bot.errors import InfraError, Stopped
from bot.model import Binary, Case, Direction, Outcome, Profile, Signature, SmokeSettings
from bot.smoke.control import Controls
from bot.smoke.inspect import identify
from bot.smoke.qemu import Qemu
from bot.smoke.scene import Scene
from bot.smoke.smoke import smoke
from bot.store.store import Store
from tests.smoke.conftest import BARE, Smoke
from tests.testing import reports
from tests.testing.qemu import ROOT, faulty, installed, nothing_left, qemus, second, until
from tests.testing.tmpfs import tmpfs

LONG = Profile("long", ("-nodefaults",), run=1.5)
QUICK = SmokeSettings(deadline=2.0)


def hit(sig: signal.Signals, side: str) -> threading.Thread:
    """Send a signal to one side as soon as both QEMUs of a smoke run."""

    def work() -> None:
        until(lambda: len(qemus("accel=tcg")) == 2 and all(p.num_threads() > 2 for p in qemus("accel=tcg")))
        time.sleep(0.3)
        for process in qemus("accel=tcg"):
            with contextlib.suppress(psutil.Error):  # the other side may be gone by now
                if ("-incoming" in process.cmdline()) == (side == "destination"):
                    process.send_signal(sig)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize(
    ("sig", "outcome"),
    [
        (signal.SIGSTOP, {"source": Outcome.HANG, "destination": Outcome.HANG}),
        (signal.SIGKILL, {"source": Outcome.INFRA, "destination": Outcome.INFRA}),
        (signal.SIGTERM, {"source": Outcome.INFRA, "destination": Outcome.INFRA}),
        (signal.SIGSEGV, {"source": Outcome.CRASH_SRC, "destination": Outcome.CRASH_DST}),
        (signal.SIGABRT, {"source": Outcome.CRASH_SRC, "destination": Outcome.CRASH_DST}),
    ],
)
def test_signals(run: Smoke, sig: signal.Signals, outcome: dict[str, Outcome], side: str) -> None:
    controls = Controls()
    controls.inventory(installed())
    thread = hit(sig, side)
    seen = run(LONG, settings=QUICK, controls=controls)
    thread.join()
    assert seen.outcome is outcome[side], seen.message
    assert seen.seconds < 1.5 + 2.0 + 3.0
    if sig in (signal.SIGSEGV, signal.SIGABRT):
        assert seen.signature == Signature("crash", signal=sig.name)
        assert seen.exits[side == "destination"] == -sig
    elif sig == signal.SIGSTOP:
        assert seen.signature is not None and seen.signature.klass == "hang"
    else:
        assert seen.signature is None and f"{side} was killed from outside" in seen.message


def test_a_stop_ends_a_smoke_at_once(run: Smoke) -> None:
    stop = threading.Event()

    def later() -> None:
        until(lambda: len(qemus("accel=tcg")) == 2)
        stop.set()

    thread = threading.Thread(target=later)
    thread.start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        run(Profile("long", ("-nodefaults",), run=60.0), stop=stop)
    thread.join()
    assert time.monotonic() - began < 20


def test_no_qemu_outlives_a_killed_bot(tmp_path: Path) -> None:
    """kill -9 of ourselves: the kernel takes the children along."""
    code = (
        "from pathlib import Path\nfrom bot.model import *\nfrom bot.smoke.smoke import smoke\n"
        "from bot.smoke.inspect import identify\nb = identify('/usr/bin/qemu-system-x86_64')\n"
        "smoke(Case('x86_64-softmmu', 'pc-i440fx-7.2', 'p'), Profile('p', ('-nodefaults',), run=100.0), b, b,\n"
        f"      SmokeSettings(), scratch=Path({str(tmp_path)!r}))\n"
    )
    bot = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        until(lambda: len(qemus("accel=tcg")) == 2, 30)
        started = qemus("accel=tcg")
    finally:
        bot.kill()
        bot.wait()
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started), 10)


def test_a_flood_on_stderr_is_cut_and_survived(run: Smoke, tmp_path: Path) -> None:
    """1 GB of it, before the QEMU even starts."""
    flood = faulty(tmp_path, "yes 'qemu: error, error, all is error' | head -c 1073741824 >&2", when="*-incoming*")
    before = psutil.Process().memory_info().rss
    seen = run(source=installed(), destination=flood, direction=Direction.FORWARD, settings=SmokeSettings(deadline=50))
    assert psutil.Process().memory_info().rss - before < 100 * 2**20
    text = next(entry.text for entry in seen.logs if entry.name == "destination.stderr")
    assert len(text) < 300 * 1024 and "bytes dropped" in text
    assert seen.outcome is Outcome.FAIL_DST and seen.signature is not None
    assert seen.signature.detail == "error, error, all is error"


def test_what_the_guest_makes_a_source_say_before_it_migrates_is_no_failure(run: Smoke, tmp_path: Path) -> None:
    """Once only: control runs, which come later, do not say it."""
    said = tmp_path / "said"
    chatty = faulty(tmp_path, f"mkdir {said} 2>/dev/null && (sleep 0.3; echo 'virtio: zero sized buffer' >&2) &")
    inventory = Controls()
    inventory.inventory(chatty)
    shutil.rmtree(said, ignore_errors=True)
    seen = run(LONG, source=chatty, destination=installed(), direction=Direction.FORWARD, controls=inventory)
    assert "zero sized buffer" in next(entry.text for entry in seen.logs if entry.name == "source.stderr")
    assert seen.outcome is Outcome.PASS, seen.message


def test_an_endless_flood_hangs_only_until_the_deadline(run: Smoke, tmp_path: Path) -> None:
    flood = faulty(tmp_path, "exec yes >&2", when="*-incoming*")
    seen = run(source=installed(), destination=flood, direction=Direction.FORWARD, settings=QUICK)
    assert seen.outcome is Outcome.HANG and seen.seconds < 8
    assert seen.signature is not None and seen.signature.klass == "start"


STEPS = {
    # command before which a side is hit, and which side that is asked of
    "qmp_capabilities": ("source", "destination"),
    "migrate-set-capabilities": ("source", "destination"),
    "query-status": ("source", "destination"),
    "migrate-set-parameters": ("source",),
    "migrate-incoming": ("destination",),
    "migrate": ("source",),
    "human-monitor-command": ("source", "destination"),
    "cont": ("destination",),
    "stop": ("destination",),
}


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP])
@pytest.mark.parametrize("victim", ["source", "destination"])
@pytest.mark.parametrize(("command", "side"), [(c, s) for c, sides in STEPS.items() for s in sides])
def test_a_side_is_lost_at_each_step(
    run: Smoke, monkeypatch: pytest.MonkeyPatch, command: str, side: str, victim: str, sig: signal.Signals
) -> None:
    """Before each command of the sequence either side is killed, crashes, or stands still for ever."""
    both: dict[str, Qemu] = {}
    original = Qemu.ask
    hit: list[str] = []
    connect = Qemu.connect

    async def connecting(self: Qemu) -> None:
        both[self.name] = self
        if command == "qmp_capabilities" and self.name == side:
            await strike()
        await connect(self)

    async def strike() -> None:
        if victim in both and not hit:
            hit.append(victim)
            while not psutil.Process(both[victim].process.pid).name().startswith("qemu"):
                await asyncio.sleep(0.001)  # its sandbox is still being made
            os.kill(both[victim].process.pid, sig)

    async def ask(self: Qemu, asked: str, **arguments: object) -> object:
        if (asked, self.name) == (command, side):
            await strike()
        return await original(self, asked, **arguments)

    monkeypatch.setattr(Qemu, "connect", connecting)
    monkeypatch.setattr(Qemu, "ask", ask)
    controls = Controls()
    controls.inventory(installed())
    seen = run(Profile("p", ("-nodefaults",), run=0.1), settings=QUICK, controls=controls)
    if not hit:  # the side that is asked starts before its victim
        assert command == "qmp_capabilities" and seen.outcome is Outcome.PASS
        return
    expected = {
        signal.SIGKILL: {Outcome.INFRA},
        signal.SIGSEGV: {Outcome.CRASH_SRC if victim == "source" else Outcome.CRASH_DST, Outcome.FAIL_START},
        signal.SIGSTOP: {Outcome.HANG},
    }
    # once it has sent everything a source is asked nothing more, and at the end its death need not be seen
    asked_no_more = ("cont", "stop", "human-monitor-command") if sig is signal.SIGSTOP else ("cont", "stop")
    late = victim == "source" and command in asked_no_more
    assert seen.outcome in expected[sig] or (late and seen.outcome is Outcome.PASS), seen.message
    assert seen.seconds < 2.1 + 3.0 + 5.0


def test_the_migration_socket_is_taken_away(run: Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Scene.send

    async def send(self: Scene, uri: str) -> None:
        Path(uri.removeprefix("unix:")).unlink()
        await original(self, uri)

    monkeypatch.setattr(Scene, "send", send)
    for binary in (installed(), second()):
        seen = run(source=binary, destination=binary)
        assert (seen.outcome, seen.signature) == (Outcome.INFRA, None)
        assert "the migration's socket is gone" in seen.message


def test_the_qmp_socket_is_taken_away(run: Smoke, tmp_path: Path) -> None:
    """Before QEMU connects to it: it says so and exits, which is the machine's doing."""
    binary = faulty(tmp_path, 'rm -f "$(dirname "$0")/scratch"/*/[sd]')
    seen = run(source=binary, destination=binary)
    assert seen.outcome is Outcome.INFRA, seen.message
    assert "No such file or directory" in seen.message


def test_a_full_disk_under_the_saved_state(tmp_path: Path) -> None:
    """A real file system of 64 KiB takes the stream of exec: and no more."""
    place = tmp_path / "small"
    with tmpfs(place, "64k"):
        case = Case("x86_64-softmmu", "pc-i440fx-7.2", "bare", method="exec")
        seen = smoke(case, BARE, installed(), installed(), SmokeSettings(), scratch=place)
        assert (seen.outcome, seen.signature) == (Outcome.INFRA, None), seen.message
        assert "No space left on device" in seen.message
        assert list(place.iterdir()) == []


def test_kvm_that_is_gone_is_no_verdict(run: Smoke, tmp_path: Path) -> None:
    """In a /dev without kvm, as in a container without the device."""
    wrapper = tmp_path / "qemu-system-x86_64"
    wrapper.write_text(f'#!/bin/sh\nexec bwrap --bind / / --dev /dev -- {installed().path} "$@"\n')
    wrapper.chmod(0o755)
    binary = identify(wrapper)
    seen = run(source=binary, destination=binary, accel="kvm", box=False)
    assert (seen.outcome, seen.signature) == (Outcome.INFRA, None), seen.message
    assert "Could not access KVM kernel module" in seen.message
    assert run(source=binary, destination=binary, box=False).outcome is Outcome.PASS


STARTS = [
    # fault of the failing side, direction, which side has it, outcome, detail of the signature
    ("echo 'qemu: no compat for you' >&2; exit 1", "forward", "destination", Outcome.FAIL_START, "no compat for you"),
    ("echo 'qemu: no compat for you' >&2; exit 1", "backward", "source", Outcome.FAIL_START, "no compat for you"),
    ("kill -ABRT $$", "forward", "destination", Outcome.FAIL_START, None),
    ("exit 3", "forward", "destination", Outcome.FAIL_START, "exit 3"),
    ("exit 3", "forward", "source", Outcome.UNTESTABLE, "exit 3"),  # the baseline does not start: nobody's fault here
    ("exit 3", "backward", "destination", Outcome.UNTESTABLE, "exit 3"),
    ("exit 3", "same", "both", Outcome.UNTESTABLE, "exit 3"),  # never started, as far as anybody knows
    ("echo \"qemu: -device x: 'x' is not a valid device model name\" >&2; exit 1", "forward", "destination",
     Outcome.UNTESTABLE, "-device x: 'x' is not a valid device model name"),
    ("echo 'qemu: unsupported machine type' >&2; exit 1", "forward", "destination", Outcome.UNTESTABLE, None),
    ("echo 'qemu: cannot set up guest memory: Cannot allocate memory' >&2; exit 1", "forward", "destination",
     Outcome.INFRA, None),
    ("exec sleep 1000", "forward", "destination", Outcome.HANG, None),
    ("exec sleep 1000", "forward", "source", Outcome.UNTESTABLE, None),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "direction", "side", "outcome", "detail"), STARTS)
def test_starts_that_fail(
    run: Smoke, tmp_path: Path, fault: str, direction: str, side: str, outcome: Outcome, detail: str | None
) -> None:
    bad = faulty(tmp_path / "bad", fault)
    pair: dict[str, Binary] = {"source": installed(), "destination": installed()}
    pair |= {name: bad for name in pair if side in (name, "both")}
    seen = run(**pair, direction=Direction(direction), settings=QUICK)
    assert seen.outcome is outcome, seen.message
    if outcome is not Outcome.INFRA:
        assert seen.signature is not None and seen.signature.klass == "start"
        assert detail is None or seen.signature.detail == detail


def test_a_device_that_the_commit_lacks(run: Smoke) -> None:
    profile = Profile("p", ("-nodefaults", "-device", "no-such-device"))
    seen = run(profile, source=installed(), destination=second(), direction=Direction.FORWARD)
    assert seen.outcome is Outcome.UNTESTABLE and "is not a valid device model name" in seen.message


def test_a_binary_that_cannot_start_with_incoming_only(run: Smoke, tmp_path: Path) -> None:
    """The control run starts, so it is the failing side's own doing, also for `same`."""
    bad = faulty(tmp_path, "echo 'qemu: incoming is broken' >&2; exit 1", when="*-incoming*")
    seen = run(source=bad, destination=bad)
    assert seen.outcome is Outcome.FAIL_START and seen.message == "qemu: incoming is broken"


def test_control_runs_and_inventories_are_made_once(run: Smoke, tmp_path: Path) -> None:
    count = tmp_path / "count"
    noisy = faulty(tmp_path / "q", f"echo x >>{count}; echo 'board: odd' >&2")
    controls = Controls()
    for _ in range(3):
        assert run(source=noisy, destination=noisy, controls=controls).outcome is Outcome.PASS
    # three smokes of two sides, and one control run for both: they have the same arguments
    assert count.read_text().count("x") == 3 * 2 + 1


def test_threads_do_not_meet(run: Smoke) -> None:
    controls = Controls()
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: run(controls=controls), range(12)))
    assert [o.outcome for o in seen] == [Outcome.PASS] * 12


def test_a_scratch_path_longer_than_a_socket_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = tmp_path / "t"
    short.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    scratch = tmp_path / ("long-" * 30) / "x,y"
    with nothing_left(scratch, short):
        seen = smoke(
            Case("x86_64-softmmu", "pc-i440fx-7.2", "bare"), BARE, installed(), installed(), SmokeSettings(),
            scratch=scratch,
        )  # fmt: skip
    assert seen.outcome is Outcome.PASS, seen.message


def test_a_scratch_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="no scratch directory can be made here"):
        smoke(
            Case("x86_64-softmmu", "pc-i440fx-7.2", "bare"), BARE, installed(), installed(), SmokeSettings(),
            scratch=tmp_path / "file" / "dir",
        )  # fmt: skip


def test_what_a_qemu_answers_can_be_written_down(tmp_path: Path) -> None:
    """JSON can escape half of a surrogate pair, which neither UTF-8 nor the database has."""
    answer = Message(b'{"return": {"error-desc": "half: \\uD800, whole: \\ud83d\\ude00, none: \\\\ud800"}}')

    async def heard() -> Message:
        return Qemu("source", (), 0.0).client._cb_inbound(answer)

    said = str(asyncio.run(heard())["return"]["error-desc"])  # type: ignore[index]  # it is a mapping
    assert said == "half: ?, whole: \U0001f600, none: \\ud800"
    seen = replace(reports.run(reports.BAD).observation, message=said)
    store = Store(tmp_path)
    store.record(replace(reports.run(reports.BAD), observation=seen))
    assert [run.observation.message for run in store.runs()] == [said]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_and_no_thread_is_leaked(run: Smoke) -> None:
    controls = Controls()
    run(controls=controls)
    before = _descriptors(), threading.active_count()
    for _ in range(5):
        run(controls=controls)
        run(Profile("p", ("-nodefaults",), ("-device", "virtio-rng-pci")), controls=controls)
    assert (_descriptors(), threading.active_count()) == before


def test_identify_is_by_content(tmp_path: Path) -> None:
    one, two = faulty(tmp_path / "1", "true"), faulty(tmp_path / "2", "false")
    assert one.sha256 != two.sha256 and identify(one.path).sha256 == one.sha256


def test_a_guest_that_ends_its_qemu_by_itself_proves_nothing(run: Smoke) -> None:
    """A microcontroller without code locks up, sooner or later, with a migration or without."""
    for length in (0.05, 0.3, 0.8):
        seen = run(Profile("ran", ("-nodefaults",), run=length), machine="stm32vldiscovery", arch="arm")
        assert seen.outcome is Outcome.UNTESTABLE, seen.message
        assert seen.signature is not None and seen.signature.klass == "start"
        assert "Lockup" in seen.message
