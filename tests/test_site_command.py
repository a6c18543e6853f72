"""`bot site`: pages of an empty work directory, written and served."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

from tests.test_cli import BOT, environment


def bot(place: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*BOT, "-C", "work", *args], cwd=place, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_pages_are_written_and_served_until_stopped(tmp_path: Path) -> None:
    with bot(tmp_path, "site", "--serve", "--listen", "127.0.0.1:0") as serving:
        assert serving.stdout is not None
        url = serving.stdout.readline().strip()
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - our own
            assert "No open regression" in answer.read().decode()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    assert (tmp_path / "work" / "out" / "index.json").is_file()


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    for args, said in (
        (["site"], "OUT is missing"),
        (["site", "--serve", "--listen", "8080"], "--listen 8080: not HOST:PORT"),
        (["site", "--serve", "--listen", "127.0.0.1:70000"], "--listen 127.0.0.1:70000: not HOST:PORT"),
    ):
        with bot(tmp_path, *args) as run:
            _, error = run.communicate(timeout=60)
            assert run.returncode == 129
            assert said in error
