"""The tools that builds run: which there are, which are missing, and the meson of an era."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from bot.errors import BotError, InfraError, UserError
from bot.host import disk, process
from bot.host.process import Completed
from bot.host.sandbox import PATH
from bot.model import Recipe

_PROGRAMS = (
    ("gcc", "compiles QEMU", "gcc"),
    ("strip", "makes artifacts small", "binutils"),
    ("make", "builds QEMU up to 5.1, and firmware tables of later ones", "make"),
    ("ninja", "builds QEMU from 5.2 on", "ninja-build"),
    ("pkg-config", "finds libraries", "pkg-config"),
    ("flex", "configure of QEMU asks for it", "flex"),
    ("bison", "configure of QEMU asks for it", "bison"),
    ("git", "reads history", "git"),
    ("python3", "runs QEMU's generators and meson", "python3"),
)
_LIBRARIES = (
    ("glib-2.0", "library of every QEMU", "libglib2.0-dev"),
    ("pixman-1", "library of QEMU's displays", "libpixman-1-dev"),
    ("zlib", "library of every QEMU", "zlib1g-dev"),
)
_HEADERS = (  # those of libfdt come without a .pc file on Debian 12
    ("stdlib.h", "the C library", "libc6-dev"),
    ("libfdt.h", "library of QEMU's ppc64, arm and riscv targets", "libfdt-dev"),
)


class Problem(NamedTuple):
    """Something that builds need and this machine lacks; `package` is Debian's name of what brings it."""

    tool: str
    purpose: str
    package: str


Runner = Callable[..., Completed]
"""Runs a command of a build as `process.run` does. The one seam for a sandbox: what a commit brings runs only by it."""


def tool_problems() -> list[Problem]:
    """Programs and libraries that the recipes need and that are missing; empty if all is there."""
    found = [Problem(*p) for p in _PROGRAMS if shutil.which(p[0], path=PATH) is None]
    absent = {p.tool for p in found}
    if "pkg-config" not in absent:
        found += [Problem(*lib) for lib in _LIBRARIES if not _succeeds("pkg-config", "--exists", lib[0])]
    if "gcc" not in absent:
        found += [Problem(*h) for h in _HEADERS if not _succeeds("gcc", "-E", "-include", h[0], "-x", "c", "/dev/null")]
    if "python3" not in absent and not _succeeds("python3", "-c", "import venv, ensurepip"):
        found.append(Problem("python3 -m venv", "brings the meson that QEMU of an era needs", "python3-venv"))
    return found


def missing(problems: list[Problem]) -> str:
    """One line that names what is missing and the command that brings it."""
    names = ", ".join(p.tool for p in problems)
    packages = " ".join(dict.fromkeys(p.package for p in problems))
    return f"missing to build QEMU: {names}; on Debian: apt-get install {packages}"


def compiler_of(env: Mapping[str, str]) -> str:
    """The C compiler of a recipe's environment, by name or path."""
    return next((word for word in env.get("CC", "gcc").split() if word not in ("ccache", "distcc")), "gcc")


def versions(recipe: Recipe, env: Mapping[str, str]) -> dict[str, str]:
    """Tool -> version of what takes part in a build: another version may make another binary.

    Raises `UserError` if there is no compiler.
    """
    compiler = compiler_of(env)
    asked = {
        "cc": (compiler, "--version"),
        "ld": ("ld", "--version"),
        "python": ("python3", "--version"),
        "glib": ("pkg-config", "--modversion", "glib-2.0"),
        "pixman": ("pkg-config", "--modversion", "pixman-1"),
        "libfdt": ("pkg-config", "--modversion", "libfdt"),
        "zlib": ("pkg-config", "--modversion", "zlib"),
    }
    found = {"meson": recipe.meson or "", "system": _system()}
    for name, argv in asked.items():
        try:
            done = process.run(argv, env=env, timeout=30)
        except UserError:
            if name == "cc":
                gone = [p for p in tool_problems() if p.tool == compiler]
                raise UserError(missing(gone) if gone else f"no compiler {compiler}: install it") from None
            continue
        found[name] = done.output.splitlines()[0].strip() if done.ok and done.output else ""
    return found


def summary(versions: Mapping[str, str]) -> str:
    """What reports say of the tools: "gcc 12.2.0, Debian 12"."""
    line = versions.get("cc", "")
    number = re.search(r"\d+\.\d+(?:\.\d+)?", line.rpartition(")")[2] or line)
    name = line.split(" ", 1)[0].rpartition("/")[2]
    return ", ".join(part for part in (f"{name} {number[0]}" if number else name, versions.get("system", "")) if part)


def identity(versions: Mapping[str, str]) -> str:
    """The summary, and 8 digits that differ where any tool or library does: "gcc 12.2.0, Debian 12 (0f3a9c21)"."""
    digest = hashlib.sha256(json.dumps(sorted(versions.items())).encode()).hexdigest()[:8]
    return f"{summary(versions)} ({digest})"


def meson(version: str, tools: Path) -> Path:
    """A directory that holds just `meson` of that version, made with pip on first need.

    Debian 12 has one meson, QEMU of 5.2 to 8.0 wants others, and 5.2 to 7.2 refuse --python with one from outside.
    """
    home = tools / f"meson-{version}"
    ready = home / "only"
    with disk.writing(tools):
        tools.mkdir(parents=True, exist_ok=True)
        with FileLock(tools / f"meson-{version}.lock"):
            if not ready.is_dir():
                shutil.rmtree(home, ignore_errors=True)
                _make_venv(version, home)
                part = home / "part"
                part.mkdir()
                (part / "meson").symlink_to(home / "bin" / "meson")
                part.rename(ready)
    return ready


def ccache_program() -> str | None:
    """Where ccache is, None if it is not installed."""
    return shutil.which("ccache", path=PATH)


def ccache(compiler: str, tools: Path) -> Path:
    """A directory that holds ccache under the names of compilers, to be put first in PATH.

    Raises `UserError` if it is not installed.
    """
    program = ccache_program()
    if program is None:
        raise UserError("build.ccache.use: ccache is not installed; apt-get install ccache, or set it to never")
    folder = tools / "ccache"
    with disk.writing(tools):
        folder.mkdir(parents=True, exist_ok=True)
        for name in {"cc", "gcc", "c++", "g++", *([compiler] if "/" not in compiler else [])}:
            link = folder / name
            if not link.is_symlink() or str(link.readlink()) != program:
                part = folder / f".{name}.{os.getpid()}"
                part.symlink_to(program)
                part.replace(link)
    return folder


def _make_venv(version: str, home: Path) -> None:
    python = shutil.which("python3", path=PATH) or sys.executable
    _must([python, "-m", "venv", str(home)], f"cannot make a venv for meson {version}; apt-get install python3-venv")
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    _must(
        [*pip, f"meson=={version}"],
        f"cannot install meson {version} from the Python package index; check the network, or run: "
        f"{' '.join(pip)} meson=={version}",
    )


def _must(argv: list[str], hint: str) -> None:
    done: Completed = process.run(argv, timeout=300)
    if not done.ok:
        last = done.output.strip().splitlines()[-1:] or ["no output"]
        raise InfraError(f"{hint} ({last[0]})")


def _succeeds(*argv: str) -> bool:
    try:
        return process.run(argv, env={"PATH": PATH}, timeout=30).ok
    except BotError:
        return False


def _system() -> str:
    """Distribution and version by /etc/os-release: "Debian 12"."""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.exists():
            pairs = (line.partition("=") for line in path.read_text().splitlines())
            values = {key: value.strip("\"'") for key, _, value in pairs}
            name = values.get("NAME", "").split(" ")[0]
            return f"{name} {values.get('VERSION_ID', '')}".strip()
    return ""
