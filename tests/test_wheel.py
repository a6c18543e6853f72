"""The program installed from its wheel has what it needs with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.config import load
from bot.data import data_dir
from bot.errors import UserError

TOP = Path(__file__).resolve().parent.parent


def test_the_wheel_works_on_its_own(tmp_path: Path) -> None:
    """Built for real and installed with what it says it depends on into an environment that has nothing else."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BOT_", "VIRTUAL_ENV"))}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "BOT_WORK": str(tmp_path / "work")}
    wheels, binaries = tmp_path / "wheels", tmp_path / "venv" / "bin"

    def run(*argv: str | Path) -> str:
        done = subprocess.run(list(map(str, argv)), cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", wheels, TOP)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    (wheel,) = wheels.glob("*.whl")
    run(binaries / "python", "-m", "pip", "install", wheel)
    where, names, url = run(binaries / "python", "-c", EVERYTHING).splitlines()
    assert where.startswith(str(tmp_path / "venv"))
    assert names == "['config.yaml', 'templates']"
    assert url == load(TOP / "config.yaml", environ={}).upstream.url
    assert "no regressions" in run(binaries / "bot", "list")
    assert (tmp_path / "pages" / "index.html") == Path(run(binaries / "bot", "site", tmp_path / "pages").strip())


EVERYTHING = """
import importlib, pkgutil
import bot, bot.config, bot.data, bot.pipeline.catalogue
for module in pkgutil.walk_packages(bot.__path__, "bot."):
    importlib.import_module(module.name)
assert bot.pipeline.catalogue.catalogue()
print(bot.data.data_dir())
print(sorted(path.name for path in bot.data.data_dir().iterdir()))
print(bot.config.load(environ={}).upstream.url)
"""


def test_a_lost_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.data.__file__", str(tmp_path / "bot" / "data.py"))
    with pytest.raises(UserError, match="install its wheel again"):
        data_dir()
