"""How a commit is built, as pure functions of a recipe: which recipe fits, which commands it means, what names it.

Recipes are data (config.yaml, `build.recipes`); this module knows only how configure refuses an option.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UserError
from bot.host.sandbox import PATH
from bot.model import Ccache, Recipe

_UNKNOWN = re.compile(r"^ERROR: unknown option (\S+)", re.MULTILINE)
_DROPPED = "configure does not know "
_CONFIGURED = re.compile(r"^\$ .*/configure(?: |$)", re.MULTILINE)

_MANNER = 1  # raise it when a builder of a newer version makes something else of the same commit and recipe

CONFIGURE_INPUTS = (
    "configure",
    "scripts/meson-buildoptions.sh",
    "meson_options.txt",
    "pythondeps.toml",
    "python/wheels",
    "python/scripts",
)
"""Paths that ./configure reads and that ninja does not: where one of them changes, configure has to run again."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the placeholders of a recipe stand for. Paths are absolute; `jobs` is the number of parallel commands."""

    target: str
    source: Path
    build: Path
    jobs: int

    @property
    def arch(self) -> str:
        return self.target.removesuffix("-softmmu")

    def fill(self, text: str) -> str:
        """`text` with {arch}, {target}, {source}, {build}, {jobs} replaced; other braces stay as they are."""
        for name in ("arch", "target", "source", "build", "jobs"):
            text = text.replace("{" + name + "}", str(getattr(self, name)))
        return text


def select(recipes: Sequence[Recipe], has: Callable[[str], bool]) -> Recipe:
    """The first recipe whose `has` are all in the tree and whose `lacks` are not; `has` answers for one entry.

    Raises `UserError` if none fits.
    """
    for recipe in recipes:
        if all(map(has, recipe.has)) and not any(map(has, recipe.lacks)):
            return recipe
    names = ", ".join(r.name for r in recipes) or "none"
    raise UserError(f"build.recipes: no recipe fits this commit (there are: {names}); add one for its era")


def configure_argv(place: Place, options: Sequence[str]) -> list[str]:
    """The command that configures, with the options (filled in) that are left of the recipe's."""
    return [str(place.source / "configure"), *options]


def build_argv(recipe: Recipe, place: Place) -> list[str]:
    """The command that builds, with `-jN` right after the program (ninja and make both take it there)."""
    program, *rest = (place.fill(part) for part in recipe.build)
    return [program, f"-j{place.jobs}", *rest]


def refused(output: str) -> str | None:
    """The option that configure said it does not know, or None. QEMU says it so since 2.12 at the latest."""
    found = _UNKNOWN.search(output)
    return found[1] if found else None


def drop_note(unknown: str) -> str:
    """The line of a build's log that says which option was dropped."""
    return f"{_DROPPED}{unknown}\n"


def dropped(log: str) -> tuple[str, ...] | None:
    """The options that were dropped in a build, by its log; None (not known) if configure did not run."""
    if _CONFIGURED.search(log) is None:
        return None
    return tuple(text.removeprefix(_DROPPED) for text in log.splitlines() if text.startswith(_DROPPED))


def without(options: Sequence[str], unknown: str) -> tuple[str, ...] | None:
    """The options once configure refused `unknown`; None if it is none of ours, so that asking again is no use.

    `--enable-fdt=system` becomes `--enable-fdt` first (it had no value before 5.1), and goes if that is refused too.
    """
    if unknown not in options:
        return None
    bare, equals, _ = unknown.partition("=")
    shorter = (bare,) if equals and bare.startswith(("--enable-", "--disable-")) and bare not in options else ()
    at = options.index(unknown)
    return (*options[:at], *shorter, *options[at + 1 :])


def by_ccache(ccache: Ccache, folder: Path, place: Place) -> dict[str, str]:
    """What ccache is told, of which `folder` holds the local part (https://ccache.dev/manual/4.7.5.html).

    Paths of a tree are made relative, so that other trees have use of what one compiled. It is not to go by times of
    files that it has seen (the inode cache): it would then open none of them, and what a build read is noted by that.
    """
    return {
        "CCACHE_DIR": str(folder),
        "CCACHE_TEMPDIR": str(folder / "tmp"),
        "CCACHE_CONFIGPATH": str(folder / "none.conf"),
        "CCACHE_MAXSIZE": f"{max(ccache.size // 2**20, 1)}Mi",  # 0 would be no limit
        "CCACHE_BASEDIR": str(place.source.parent),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_NOINODECACHE": "1",
        "CCACHE_COMPILERCHECK": "content",
        **({"CCACHE_REMOTE_STORAGE": ccache.remote} if ccache.remote else {}),
    }


def environment(recipe: Recipe, place: Place, first: Sequence[Path], home: Path) -> dict[str, str]:
    """The whole environment of a build. `first` are directories put before the system's in PATH.

    Nothing of the caller's environment gets in: a build has to come out the same for everybody. /usr/bin is before
    /usr/local, where other Pythons live; pinned dates and a plain locale keep outputs and messages stable.
    """
    return {
        "PATH": ":".join([*(str(p) for p in first), PATH]),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "SOURCE_DATE_EPOCH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: place.fill(value) for name, value in recipe.env.items()},
    }


def digest(recipe: Recipe) -> str:
    """16 hex digits over all that can change what is built; not over how the recipe is chosen."""
    parts = [recipe.name, recipe.configure, recipe.build, sorted(recipe.env.items()), recipe.meson, recipe.submodules]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def group(target: str, recipe: Recipe, toolchain: Mapping[str, str]) -> str:
    """Name of what this target, recipe and toolchain (tool -> version) make of any commit: 16 hex digits."""
    parts = [_MANNER, target, digest(recipe), sorted(toolchain.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
