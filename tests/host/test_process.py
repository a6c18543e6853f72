"""The one door to child processes: deadlines, groups, logs, stops."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from bot.errors import InfraError, Stopped, UserError
from bot.host import process
from bot.host.process import HeadTail, check, run


def alive(*argv: str) -> bool:
    return any(p.info["cmdline"] == list(argv) for p in psutil.process_iter(["cmdline"]))


def gone(*argv: str) -> bool:
    """Whether no such process is left, now or soon: one that was killed needs the processor once more to end."""
    end = time.monotonic() + 30
    while alive(*argv):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_output_exit_code_and_both_streams() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.returncode, done.ok, done.timed_out) == (3, False, False)
    assert sorted(done.output.split()) == ["err", "out"]


def test_a_signal_is_a_negative_code() -> None:
    assert run(["sh", "-c", "kill -11 $$"]).returncode == -11


def test_lines_come_while_it_runs_and_the_last_without_newline() -> None:
    seen: list[tuple[str, float]] = []
    began = time.monotonic()
    run(["sh", "-c", "echo one; sleep 0.6; printf two"], on_line=lambda s: seen.append((s, time.monotonic() - began)))
    assert [s for s, _ in seen] == ["one", "two"]
    assert seen[0][1] < 0.5 < seen[1][1]


def test_the_environment_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "canary")
    assert "canary" not in run(["env"], env={"PATH": os.environ["PATH"]}).output


def test_stdin_is_given_or_empty() -> None:
    assert run(["cat"]).output == ""
    assert len(run(["cat"], stdin=b"x" * 300000, log_limit=2**20).output) == 300000


def test_timeout_ends_children_too() -> None:
    done = run(["sh", "-c", "sleep 4712 & sleep 4712"], timeout=0.5)
    assert done.timed_out and not done.ok
    assert done.seconds < 200  # and not as long as they sleep, on however busy a machine
    assert gone("sleep", "4712")


def test_a_child_that_ignores_term_is_killed() -> None:
    done = run(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], timeout=0.3)
    assert done.timed_out


def test_a_survivor_that_holds_the_pipe_does_not_hold_us() -> None:
    done = run(["sh", "-c", "sleep 4713 & echo done"])
    assert done.returncode == 0 and done.output == "done\n"
    assert done.seconds < 200  # and not as long as they sleep, on however busy a machine
    assert gone("sleep", "4713")


def test_stop_ends_it() -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        run(["sleep", "4714"], stop=stop)
    assert gone("sleep", "4714")


_PARENT = "import sys; from bot.host.process import run; print('go', flush=True); run(['sleep', '4715'])"


def test_children_die_with_a_killed_parent() -> None:
    argv = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"go\n"
        end = time.monotonic() + 5
        while not alive("sleep", "4715") and time.monotonic() < end:
            time.sleep(0.02)
        assert alive("sleep", "4715")
        parent.kill()
    assert gone("sleep", "4715")


def test_what_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot run /no/such/program"):
        run(["/no/such/program"])
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(UserError, match="cannot run"):
        run([str(script)])  # no x bit


def test_an_executable_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_setpriv", lambda: None)
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\2\1\1garbage")
    program.chmod(0o755)
    with pytest.raises(UserError, match="not an executable of this machine"):
        run([str(program)])


def test_a_flood_is_cut_in_the_middle_and_said() -> None:
    done = run(["sh", "-c", "echo HEAD; seq 1 200000; echo TAIL"], log_limit=10000)
    assert done.output.startswith("HEAD\n1\n") and done.output.endswith("200000\nTAIL\n")
    assert "bytes dropped ...]" in done.output
    assert len(done.output) < 11000


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
def test_head_and_tail_account_for_every_byte(chunk: int) -> None:
    data = "".join(f"{i:07d}\n" for i in range(500)).encode()  # 4000 bytes
    keep = HeadTail(1000)
    for start in range(0, len(data), chunk):
        keep.feed(data[start : start + chunk])
    text = keep.text()
    assert text.startswith(data[:500].decode())
    assert text.endswith(data[-500:].decode())
    dropped = int(text.split("[... ")[1].split(" ")[0])
    kept = len(text) - len(f"\n[... {dropped} bytes dropped ...]\n")
    assert kept + dropped == len(data)


def test_check_says_command_code_and_last_lines() -> None:
    assert check(run(["echo", "fine"])) == "fine\n"
    with pytest.raises(InfraError, match=r"(?s)sh -c .*: exited 4 after \d+ s.*why"):
        check(run(["sh", "-c", "echo why; exit 4"]))
    with pytest.raises(InfraError, match="timed out"):
        check(run(["sleep", "9"], timeout=0.2))


def test_stop_is_heard_after_the_child_closed_its_output() -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        process.run(["sh", "-c", "exec >/dev/null 2>&1; sleep 3000"], stop=stop)
    assert time.monotonic() - began < 200


def test_a_noisy_survivor_is_not_taken_for_a_hanging_leader() -> None:
    done = process.run(["sh", "-c", "(while :; do echo x; sleep 0.02; done) & exit 0"], timeout=5)
    assert (done.returncode, done.timed_out) == (0, False)
