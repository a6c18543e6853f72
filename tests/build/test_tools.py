"""Tools: what is missing is named with its package; versions are real ones; meson of an era."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bot.build import recipe as recipes
from bot.build import tools
from bot.errors import InfraError, UserError
from bot.model import Recipe


def test_a_machine_that_lacks_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only python3 and pkg-config there, no library known."""
    (tmp_path / "python3").symlink_to("/usr/bin/python3")
    (tmp_path / "pkg-config").symlink_to("/bin/false")
    monkeypatch.setattr(tools, "PATH", str(tmp_path))
    problems = tools.tool_problems()
    assert {p.tool for p in problems} >= {
        "gcc",
        "ninja",
        "make",
        "flex",
        "bison",
        "git",
        "glib-2.0",
        "pixman-1",
    }
    assert "python3" not in {p.tool for p in problems}
    line = tools.missing(problems)
    assert "ninja-build" in line and line.startswith("missing to build QEMU: gcc, ")


def test_a_machine_that_has_all() -> None:
    if any(shutil.which(t) is None for t in ("gcc", "ninja", "flex", "bison")):
        pytest.skip("this machine lacks tools")
    assert tools.tool_problems() == []


def test_versions_are_those_of_the_tools(tmp_path: Path) -> None:
    recipe = Recipe("r", meson="0.61.5")
    place = recipes.Place("x86_64-softmmu", tmp_path, tmp_path, 1)
    found = tools.versions(recipe, recipes.environment(recipe, place, [], tmp_path))
    said = subprocess.run(
        ["/usr/bin/gcc", "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]
    assert found["cc"] == said and found["meson"] == "0.61.5" and found["glib"]
    number = said.split()[-1]
    assert tools.summary(found).startswith(f"gcc {number}, ")


def test_summary_of_real_lines() -> None:
    line = "gcc (Debian 12.2.0-14+deb12u1) 12.2.0"
    assert tools.summary({"cc": line, "system": "Debian 12"}) == "gcc 12.2.0, Debian 12"
    assert tools.summary({"cc": "Debian clang version 14.0.6", "system": ""}) == "Debian 14.0.6"
    assert tools.summary({}) == ""


def test_no_compiler(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no compiler no-such-cc"):
        tools.versions(Recipe("r"), {"PATH": "/usr/bin:/bin", "CC": "no-such-cc -m64"})


def test_meson_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network: said with the command to run; nothing half is taken for it later."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for _ in range(2):
        with pytest.raises(InfraError, match=r"cannot install meson 0\.61\.5 .*check the network"):
            tools.meson("0.61.5", tmp_path)
    assert not (tmp_path / "meson-0.61.5/only").exists()
