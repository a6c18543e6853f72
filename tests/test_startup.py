"""What a command imports: libraries that it does not use are not loaded, for to load all takes most of a second."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_cli import BOT, environment

HEAVY = {
    "distributed", "dask", "git", "jinja2", "numpy", "psutil", "pydantic", "qemu", "requests", "rich", "smtplib",
    "sqlalchemy", "yaml",
}  # fmt: skip
STORE = {"sqlalchemy", "pydantic"}
CONFIG = {"yaml", "pydantic"}


def imported(*args: str, place: Path, code: int) -> set[str]:
    """The heavy libraries that `bot ARGS` imports, as the interpreter itself tells it."""
    done = subprocess.run(
        [BOT[0], "-X", "importtime", *BOT[1:], "-C", "work", *args],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    modules = {found[1] for found in re.finditer(r"^import time: .*\| *([\w.]+)$", done.stderr, re.MULTILINE)}
    assert "bot.cli" in modules
    return {name.partition(".")[0] for name in modules} & HEAVY


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--help",), 0),
        (("--version",), 0),
        (("bisect", "--help"), 0),
        (("smoke", "--help"), 0),
        ((), 129),
        (("nonsense",), 129),
        (("test", "HEAD", "--methd", "exec"), 129),
        (("test", "HEAD", "--sweep", "weekly"), 129),
        (("bisect", "a..b", "--side-test", "perhaps"), 129),
    ],
)
def test_what_only_reads_options_imports_no_library(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    assert imported(*args, place=tmp_path, code=code) == set()


def test_what_reads_the_database_imports_no_more_than_that(tmp_path: Path) -> None:
    assert imported("list", place=tmp_path, code=0) <= STORE
    assert imported("list", "--json", place=tmp_path, code=0) <= STORE
    assert imported("show", "r0001", place=tmp_path, code=129) <= STORE | {"jinja2"}
    assert imported("status", place=tmp_path, code=0) <= STORE | CONFIG | {"rich", "jinja2"}


def test_smoke_needs_neither_database_nor_git(tmp_path: Path) -> None:
    found = imported("smoke", "--source", "/bin/false", "--machine", "pc-q35-7.2", place=tmp_path, code=129)
    assert "qemu" in found and not found & {"sqlalchemy", "git", "requests", "smtplib", "distributed"}


def test_replay_needs_neither_database_nor_git(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("git bisect start\n")
    found = imported("replay", "log", place=tmp_path, code=129)
    assert not found & {"sqlalchemy", "git", "psutil", "qemu", "requests", "smtplib", "distributed"}


def test_a_search_on_this_host_imports_neither_dask_nor_what_sends(tmp_path: Path) -> None:
    """Whoever runs here does not wait for what connects hosts; and secrets are not where commits are built and run."""
    needless = "{'distributed', 'requests', 'smtplib', 'bot.host.secret'}"
    script = f"import sys, bot.pipeline.bisect; sys.exit(bool({needless} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", script], env=environment(), cwd=tmp_path).returncode == 0
    script = "import sys, bot.pipeline.daemon; sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], env=environment(), cwd=tmp_path).returncode == 0
