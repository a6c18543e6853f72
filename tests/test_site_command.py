"""`bot site`: pages of a work directory, written and served, and killed while they are written."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from urllib.request import urlopen

from bot.store.store import Store
from tests.test_cli import BOT, environment
from tests.testing import lab, reports
from tests.testing.killing import KILLED, Place, ended
from tests.testing.killing import bot as fragile


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


def test_the_log_of_a_build_that_was_not_noted_before_a_kill_goes_when_nothing_leads_there(tmp_path: Path) -> None:
    """The process dies when the page is there and the notes do not say so; then the branch moves on."""
    (tmp_path / "work").mkdir()
    store = Store(tmp_path / "work")
    lab.fill(store)
    page = tmp_path / "out" / "builds" / f"{lab.TIPS[-1].short}-aarch64.html"
    dies = Place("bot.report.memory:renew", which=f"args[0].name == '{page.name}'")
    ended(fragile(tmp_path, "site", "out", dies=dies), KILLED)
    assert "has no member" in page.read_text() and not (tmp_path / "out" / ".made.json").exists()
    for number in range(5):
        assert store.see("master", reports.commit(f"a{number}" * 6, "Merge another pull request"))
    ended(fragile(tmp_path, "site", "out"), 0)
    assert not page.exists() and (tmp_path / "out" / "health.html").exists()
    assert not list((tmp_path / "out").glob(".begun*"))
