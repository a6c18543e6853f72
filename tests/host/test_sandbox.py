"""The sandbox, by what is tried in it. Real bubblewrap, real processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from bot.errors import InfraError, Stopped
from bot.host import escape
from bot.host import sandbox as sandboxed
from bot.host.process import Completed, run
from bot.model import Limits, Sandbox
from tests.host.test_process import gone
from tests.testing.qemu import until

PLAIN = Sandbox(Limits(reserve=0))


def tried(script: str, sandbox: Sandbox = PLAIN, **given: object) -> Completed:
    """What became of a shell script in a sandbox, which must not last long."""
    return run(["bash", "-c", script], sandbox=sandbox, timeout=30, **given)  # type: ignore[arg-type] # as run takes it


def test_it_runs_and_says_how_it_ended() -> None:
    done = tried("echo out; echo err >&2; exit 3")
    assert (done.returncode, sorted(done.output.split())) == (3, ["err", "out"])
    assert tried("kill -11 $$").returncode == -11
    assert run(["bash", "-c", "cat"], sandbox=PLAIN, stdin=b"given", timeout=30).output == "given"


def test_only_what_is_named_can_be_seen(tmp_path: Path) -> None:
    for name in ("shown", "hidden", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n")
    box = PLAIN.with_paths(read=(tmp_path / "shown",), write=(tmp_path / "work",))
    done = tried(f"cd {tmp_path}; cat shown/file work/file; cat hidden/file; ls / /etc ~", box)
    assert done.output.splitlines()[:2] == ["shown", "work"]
    assert "hidden/file: No such file" in done.output
    assert not {"root", "home", "var", "run", "passwd", "shadow"} & set(done.output.split())


def test_only_what_is_named_can_be_changed(tmp_path: Path) -> None:
    for name in ("shown", "work"):
        (tmp_path / name).mkdir()
    box = PLAIN.with_paths(read=(tmp_path / "shown",), write=(tmp_path / "work",))
    places = ("/usr", "/etc", "/dev", "/", "/proc", str(tmp_path / "shown"))
    done = tried("\n".join(f"touch {place}/new && echo changed {place}" for place in places), box)
    assert "changed" not in done.output
    assert tried(f"touch {tmp_path}/work/new /tmp/new /dev/shm/new && echo done", box).output == "done\n"
    assert (tmp_path / "work" / "new").exists()
    assert not (tmp_path / "new").exists()


def test_what_lies_in_what_may_be_read_can_be_made_writable(tmp_path: Path) -> None:
    inner = tmp_path / "src" / "build"
    inner.mkdir(parents=True)
    box = PLAIN.with_paths(read=(tmp_path / "src",), write=(inner,))
    assert tried("touch x && ! touch ../x", box, cwd=inner).ok


@pytest.mark.parametrize("name", ["kernel/core_pattern", "kernel/hostname", "vm/drop_caches"])
def test_root_cannot_change_the_kernel_s_settings(name: str) -> None:
    """Without capabilities, but as the owner of those files, it could: core_pattern would be a way out."""
    file = Path("/proc/sys", name)
    before = file.read_bytes() if os.access(file, os.R_OK) else b""
    done = tried(f"same=$(cat {file} || echo 1); echo $same > {file} && echo written")
    assert "written" not in done.output
    assert (file.read_bytes() if os.access(file, os.R_OK) else b"") == before


def test_no_network_and_no_socket_of_the_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0bot-test-sandbox")
        abstract.listen()
        port = server.getsockname()[1]
        tcp = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached"
        unix = (
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0bot-test-sandbox\")' && echo reached"
        )
        assert run(["bash", "-c", tcp], timeout=30).output == "reached\n"
        for script in (tcp, unix):
            assert "reached" not in tried(script).output


def test_no_process_but_its_own_and_no_environment_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOT_TEST_SECRET", "canary")
    done = tried(f"kill -0 {os.getpid()} && echo se''en; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'")
    assert "canary" not in done.output
    assert "seen" not in done.output
    assert "pytest" not in done.output


def test_no_capability_and_no_way_to_one() -> None:
    done = tried(
        "grep -h ^Cap /proc/self/status; mount -t tmpfs none /tmp; unshare -U true && echo fresh; chroot / true"
    )
    caps = [line.split()[1] for line in done.output.splitlines() if line.startswith("Cap")]
    assert caps
    assert set(caps) == {"0" * 16}
    assert "fresh" not in done.output


def test_what_leaves_the_session_ends_with_it() -> None:
    done = tried("setsid -f sleep 4321; (trap '' TERM HUP; exec -a stays sleep 4322) & sleep 0.2; echo end")
    assert done.output == "end\n"
    assert done.seconds < 200  # and not as long as they sleep, on however busy a machine
    assert gone("sleep", "4321")
    assert gone("stays", "4322")


def test_a_stop_lets_it_tidy_up_first(tmp_path: Path) -> None:
    """make and ninja remove what they were making when they hear TERM; bwrap would leave them no time."""
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    script = f"trap 'rm {tmp_path}/half; exit 1' TERM; touch {tmp_path}/half; while :; do sleep 0.05; done"
    with pytest.raises(Stopped):
        tried(script, PLAIN.with_paths(write=(tmp_path,)), stop=stop)
    assert not (tmp_path / "half").exists()


def test_what_ignores_a_stop_is_killed() -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Stopped):
        tried("trap '' TERM; exec -a deaf sleep 4323", stop=stop)
    assert gone("deaf", "4323")


def test_a_timeout_leaves_nothing() -> None:
    done = run(["bash", "-c", "setsid -f sleep 4324; sleep 4325"], sandbox=PLAIN, timeout=1)
    assert done.timed_out
    assert gone("sleep", "4324")
    assert gone("sleep", "4325")


def test_too_many_processes_are_ended_and_named() -> None:
    done = tried("for i in {1..300}; do sleep 4328 & done; wait", Sandbox(Limits(processes=200, reserve=0)))
    assert not done.ok
    # An ordinary user is held by RLIMIT_NPROC already.
    assert (
        done.exceeded == "it had more than 200 processes (sandbox.processes)" or "Resource temporarily" in done.output
    )
    assert gone("sleep", "4328")


def test_what_closed_its_output_is_watched_all_the_same() -> None:
    script = "exec >&- 2>&-; for i in {1..300}; do sleep 4331 & done; wait"
    done = tried(script, Sandbox(Limits(processes=200, reserve=0)))
    assert not done.ok or os.geteuid() != 0  # an ordinary user's shell goes on with fewer
    assert gone("sleep", "4331")


def test_memory_is_limited_and_named() -> None:
    limits = Limits(memory=300 * 2**20, reserve=0)
    script = (
        "python3 -c 'x = bytearray(600 << 20)\nx[::4096] = bytes([1]) * len(x[::4096])\nimport time; time.sleep(60)'"
    )
    done = tried(script, Sandbox(limits))
    assert done.exceeded == "it used more than 0.3 GiB of memory (sandbox.memory)"


def test_a_file_has_a_largest_size(tmp_path: Path) -> None:
    box = Sandbox(Limits(file_size=2**20, reserve=0), write=(tmp_path,))
    done = tried(f"truncate -s 1T {tmp_path}/sparse; head -c 2000000 /dev/zero > {tmp_path}/real", box)
    assert done.output.count("File size limit exceeded") == 2
    assert not done.ok
    assert all(file.stat().st_size <= 2**20 for file in tmp_path.iterdir())


def test_scratch_space_is_limited() -> None:
    box = Sandbox(Limits(scratch=2**20, reserve=0))
    done = tried("for d in /tmp /dev/shm; do head -c 3000000 /dev/zero > $d/x || echo full; done", box)
    assert done.output.count("full") == 2


def test_the_disk_is_left_some_room(tmp_path: Path) -> None:
    done = tried("sleep 60", Sandbox(Limits(reserve=2**60), write=(tmp_path,)))
    assert done.exceeded is not None
    assert "of space on the disk (sandbox.reserve)" in done.exceeded


def test_a_sandbox_that_cannot_be_made_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"no sandbox for true: bwrap: Can't .*absent.*; see `bot doctor`"):
        run(["true"], sandbox=PLAIN.with_paths(read=(tmp_path / "absent",)))


def test_where_bubblewrap_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxed, "BWRAP", "/nonexistent/bwrap")
    with pytest.raises(InfraError, match="no sandbox for true: choom: failed to execute /nonexistent/bwrap"):
        run(["true"], sandbox=PLAIN)


def test_a_killed_bot_leaves_nothing(tmp_path: Path) -> None:
    """kill -9 of whoever started it, and all of the sandbox is gone."""
    script = (
        "from bot.host.process import run\nfrom bot.model import Sandbox\n"
        "run(['bash', '-c', 'setsid -f sleep 4326; sleep 4327'], sandbox=Sandbox())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script])
    end = time.monotonic() + 20
    while gone("sleep", "4326") and time.monotonic() < end:
        pass
    child.kill()
    child.wait()
    assert gone("sleep", "4326")
    assert gone("sleep", "4327")


@pytest.mark.skipif(os.geteuid() != 0, reason="we are an ordinary user: every test here says so")
def test_an_ordinary_user_has_it_too(tmp_path: Path) -> None:
    """The same command line without a privilege; there the kernel itself counts the processes."""
    read, write = os.pipe()
    script = "for i in {1..300}; do sleep 4329 & done; echo all; wait"
    argv = sandboxed.wrap(["bash", "-c", script], Sandbox(Limits(processes=100)), cwd=None, info=write)
    ordinary = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
    done = subprocess.run(
        [*ordinary, *argv], pass_fds=(write,), capture_output=True, text=True, timeout=60, check=False
    )
    os.close(write)
    os.close(read)
    assert "fork: Resource temporarily unavailable" in done.stderr
    assert gone("sleep", "4329")


def test_one_whose_bwrap_was_killed_while_it_started_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """bwrap is kept from going on, then killed: its first process has not asked to die with it yet."""
    read, write = os.pipe()
    waits = ["--unshare-user", "--unshare-pid", "--die-with-parent", "--userns-block-fd", str(read), "--info-fd", "2"]
    bwrap = ["bwrap", *waits, "--ro-bind", "/", "/", "--chdir", f"{tmp_path}/", "true"]
    monitor = subprocess.Popen(bwrap, pass_fds=(read,))

    def there() -> list[psutil.Process]:
        found = psutil.process_iter(["name", "cmdline"])
        return [p for p in found if p.info["name"] == "bwrap" and f"{tmp_path}/" in (p.info["cmdline"] or ())]

    until(lambda: len(there()) == 2)
    sandboxed.end_strays(tmp_path)
    assert len(there()) == 2  # as long as its bwrap lives it is somebody's
    monitor.kill()
    monitor.wait()
    assert len(there()) == 1
    sandboxed.end_strays(tmp_path / "other")
    assert len(there()) == 1
    sandboxed.end_strays(tmp_path)
    until(lambda: not there())
    os.close(read)
    os.close(write)


def test_nothing_that_is_tried_gets_out() -> None:
    assert escape.missing() is None
    assert escape.escapes() == ()


def test_what_gets_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a sandbox around it the same attempts succeed: they can fail, so their success says something."""

    def bare(argv: Sequence[str], *_: object, info: int, **__: object) -> list[str]:
        return ["bash", "-c", f'exec {info}>&-; exec "$@"', "bash", *argv]

    monkeypatch.setattr(sandboxed, "wrap", bare)
    found = escape.escapes()
    assert {"it reads files of the host", "it reaches the network", "it sees processes of the host"} <= set(found)
    assert "what leaves the session outlives it" in found
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-2:] == ["sleep", "86399"]:
            process.kill()


def test_a_container_is_known_by_its_marks(tmp_path: Path) -> None:
    assert escape.container(tmp_path) is None
    (tmp_path / "proc/1").mkdir(parents=True)
    environ = tmp_path / "proc/1/environ"
    environ.write_bytes(b"HOME=/\0TERM=linux\0")
    assert escape.container(tmp_path) is None
    environ.write_bytes(b"HOME=/\0container=systemd-nspawn\0")
    assert escape.container(tmp_path) == "systemd-nspawn"
    (tmp_path / ".dockerenv").touch()
    assert escape.container(tmp_path) == "Docker"
