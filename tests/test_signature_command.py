"""`bot signature` as a person meets it: a log pasted or named, JSON out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.core.signature import signature
from bot.model import Regression, Signature
from bot.report import data
from bot.store.store import Store
from tests.test_cli import environment
from tests.testing.reports import first_bad

RING = (
    "2019-07-24T06:47:22.187749Z qemu-system-x86_64: VQ 2 size 0x80 < last_avail_idx 0xb57 - used_idx 0xb59\n"
    "2019-07-24T06:47:22.187768Z qemu-system-x86_64: Failed to load virtio-balloon:virtio\n"
    "2019-07-24T06:47:22.187771Z qemu-system-x86_64: error while loading state for instance 0x0 of device "
    "'0000:00:05.0/virtio-balloon'\n"
    "2019-07-24T06:47:22.188194Z qemu-system-x86_64: load of migration failed: Operation not permitted\n"
)
ASSERTION = "qemu-system-arm: ../migration/vmstate.c:363: vmstate_save_state_v: Assertion `first_elem' failed.\n"


def run(place: Path, *args: str, log: bytes | str = b"", code: int = 0) -> tuple[dict[str, Any], str]:
    """`bot -C work signature ARGS` with a log on standard input; its answer and what it said besides."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", "-C", "work", "signature", *args],
        cwd=place,
        env=environment(),
        input=log.encode() if isinstance(log, str) else log,
        capture_output=True,
        timeout=60,
    )
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    assert done.returncode == code, said
    return json.loads(done.stdout) if done.stdout else {}, said


def test_a_log_is_named_with_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "guest.log").write_text(RING)
    answer, _ = run(tmp_path, "guest.log")
    assert answer == run(tmp_path, "-", log=RING)[0]
    known = answer.pop("known")
    assert answer == {
        "schema": 1, "signal": None, "class": "virtio-ring", "device": "virtio-balloon", "detail": "index",
        "key": "038d1a3b", "line": RING.splitlines()[0],
    }  # fmt: skip
    (poison,) = known
    assert poison["id"] == "balloon-page-poison"
    assert poison["from"] == "catalogue"
    assert poison["fixes"][0]["commit"] == "243a9284a989"
    assert poison["culprits"][0]["release"] == "5.1"


def test_both_sides_in_one_log(tmp_path: Path) -> None:
    source = "qemu-system-x86_64: Unable to write to socket: Broken pipe\n"
    assert run(tmp_path, "-", log=source + RING)[0] == run(tmp_path, "-", log=RING)[0]


def test_the_exit_may_be_told_or_read_from_the_text(tmp_path: Path) -> None:
    signals = [run(tmp_path, *args, "-", log=ASSERTION)[0]["signal"] for args in ((), ("--returncode", "134"))]
    assert signals == ["SIGABRT", "SIGABRT"]
    assert run(tmp_path, "--returncode", "1", "-", log=ASSERTION)[0]["signal"] is None
    crash, _ = run(tmp_path, "--returncode=-11", "-", log="qemu-system-arm: load of migration failed: Broken pipe\n")
    assert (crash["class"], crash["signal"], crash["line"]) == ("crash", "SIGSEGV", None)
    assert run(tmp_path, "--returncode", "3", "-")[0]["detail"] == "exit 3"


def test_a_log_without_a_failure(tmp_path: Path) -> None:
    for log in (
        "",
        "\n\n",
        "qemu-system-x86_64: warning: nic e1000.0 has no peer\n2026-01-01 00:00:00.1+0000: shutting down\n",
    ):
        answer, _ = run(tmp_path, "-", log=log, code=125)
        assert answer.pop("known") == []
        assert answer.pop("schema") == 1
        assert len(answer) == 6 and not any(answer.values())


def test_what_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    for path in ("missing.log", "."):
        assert f"{path}: cannot be read" in run(tmp_path, path, code=129)[1]
    run(tmp_path, code=129)
    run(tmp_path, "--returncode", "x", "-", code=129)


def test_binary_garbage_and_long_logs(tmp_path: Path) -> None:
    run(tmp_path, "-", log=bytes(range(256)) * 100)
    found, _ = run(tmp_path, "-", log=b"\xff\xfe\x00 \x1b[31m" + RING.encode() + b"\x00\xff")
    assert found["device"] == "virtio-balloon"
    late, _ = run(tmp_path, "-", log=b" \n" * (5 * 2**20) + RING.encode())
    early, _ = run(tmp_path, "-", log=RING.encode() + b" \n" * (5 * 2**20))
    assert late["key"] == early["key"] == found["key"]
    one_line, _ = run(tmp_path, "-", log=b"x" * 2**20)
    assert len(one_line["line"]) == 4096


def test_regressions_of_the_work_directory_are_named_first(tmp_path: Path) -> None:
    report = first_bad()
    (tmp_path / "work").mkdir()
    store = Store(tmp_path / "work")
    named = signature(report.symptom, 1)
    assert named is not None
    store.open_regression(replace(report.regression, signature=named))
    store.open_regression(Regression("", named, report.regression.cases, report.good.sha, report.bad.sha))
    store.open_regression(replace(report.regression, signature=Signature("ramblock", "ram", "another")))
    store.conclude("r0001", "first-bad", data.dump(report), "")
    (tmp_path / "symptom").write_text(report.symptom)
    answer, said = run(tmp_path, "symptom")
    assert said == ""
    assert answer["key"] == named.key
    first, second, *shipped = answer["known"]
    assert [entry["id"] for entry in shipped] == ["ram-block-prefix"]
    assert report.culprit is not None
    assert (first["id"], first["from"], first["finding"]) == ("r0001", "work directory", "first-bad")
    assert first["culprits"] == [{"commit": report.culprit.short, "subject": report.culprit.subject}]
    assert (second["id"], second["finding"], second["culprits"]) == ("r0002", None, [])
    assert run(tmp_path, "-", log=RING)[0]["known"][0]["from"] == "catalogue"


def test_a_work_directory_is_not_made_and_may_be_broken(tmp_path: Path) -> None:
    run(tmp_path, "-", log=RING)
    assert not (tmp_path / "work").exists()
    (tmp_path / "work").mkdir()
    run(tmp_path, "-", log=RING)
    assert list((tmp_path / "work").iterdir()) == []
    (tmp_path / "work" / "bot.db").write_text("this is no database, though it is long enough to look like one" * 20)
    answer, said = run(tmp_path, "-", log=RING)
    assert answer["class"] == "virtio-ring"
    assert "regressions of the work directory were not looked at" in said


def test_help_tells_the_exit_codes(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bot", "signature", "--help"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0
    assert "125 the log tells of none" in " ".join(done.stdout.split())
