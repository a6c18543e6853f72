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


def test_it_travels_in_the_wheel(tmp_path: Path) -> None:
    """Built for real and installed into an environment that sees the libraries but not the checkout."""
    python, env = sys.executable, {**os.environ, "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    wheels, venv = tmp_path / "wheels", tmp_path / "venv"

    def run(*argv: str | Path, cwd: Path = tmp_path) -> str:
        done = subprocess.run(list(map(str, argv)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(python, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", wheels, TOP)
    run(python, "-m", "venv", "--system-site-packages", venv)
    (wheel,) = wheels.glob("*.whl")
    run(venv / "bin" / "python", "-m", "pip", "install", "--no-deps", "--no-index", "--ignore-installed", wheel)
    site = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    program = (
        f"import sys; sys.path.append({str(site)!r}); import bot.data, bot.config;"
        "print(bot.data.data_dir()); print(sorted(p.name for p in bot.data.data_dir().iterdir()));"
        "print(bot.config.load(environ={}).upstream.url)"
    )
    where, names, url = run(venv / "bin" / "python", "-c", program).splitlines()
    assert where.startswith(str(venv))
    assert where.endswith("bot/_data")
    assert names == "['config.yaml', 'templates']"
    assert url == load(TOP / "config.yaml", environ={}).upstream.url


def test_a_lost_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.data.__file__", str(tmp_path / "bot" / "data.py"))
    with pytest.raises(UserError, match="install its wheel again"):
        data_dir()
