"""Content of submodules and meson wraps in a tree: at the pinned commit, from a directory, a mirror, or upstream."""

from __future__ import annotations

import configparser
import dataclasses
import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bot.errors import UserError
from bot.host import disk
from bot.host.checkout import checkout
from bot.host.git import Repository
from bot.host.remote import clone
from bot.model import Recipe, Sha, Submodule

_HEX = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class Pin:
    """A path of the tree whose content is some commit of another repository."""

    path: str
    commit: Sha
    url: str | None
    overlay: str | None = None  # a directory of the tree whose files are put on top (meson's `patch_directory`)
    overlay_id: Sha | None = None  # git's id of that directory

    @property
    def content(self) -> str:
        """Identity of what belongs there."""
        return f"{self.commit}+{self.overlay_id}" if self.overlay_id else self.commit

    @property
    def name(self) -> str:
        """What build.submodules calls it: the last part of the path."""
        return self.path.rpartition("/")[2]


def pins(repository: Repository, commit: Sha, recipe: Recipe) -> tuple[Pin, ...]:
    """What has to be placed: the recipe's paths that this commit pins. Paths with plain files need nothing.

    A path is pinned by a gitlink, or from 8.1 on by a `.wrap` file of that name (QEMU commit 2019cabfee).
    """
    found = []
    for path in recipe.submodules:
        entry = repository.entry(commit, path)
        if entry is not None and entry[0] == "commit":
            found.append(Pin(path, entry[1], repository.submodule_url(commit, path)))
        elif entry is None and (wrap := repository.file(commit, f"{path}.wrap")) is not None:
            pin = _wrapped(path, wrap)
            files = pin.overlay and repository.entry(commit, pin.overlay)
            found.append(dataclasses.replace(pin, overlay_id=files[1]) if files else pin)
    return tuple(found)


def trusted(repository: Repository, commit: Sha, recipe: Recipe, pin: Pin) -> bool:
    """Whether it is a branch or a tag that pins this, with this URL: the commit is on one, or what it stands on has it.

    Anybody may write a commit that names a server; only of what was merged is anything fetched.
    """
    same = (pin.path, pin.commit, pin.url)
    found = (pins(repository, base, recipe) for base in repository.bases(commit))
    return any((known.path, known.commit, known.url) == same for known in itertools.chain(*found))


def _wrapped(path: str, text: str) -> Pin:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        section = parser["wrap-git"]
        revision = section["revision"]
    except (configparser.Error, KeyError) as error:
        raise UserError(f"{path}.wrap: not a wrap of a git repository: {error}") from error
    if not _HEX.match(revision):
        raise UserError(f"{path}.wrap: revision {revision!r} is no commit id; take {path} from the recipe's submodules")
    patch = section.get("patch_directory")
    overlay = f"{path.rpartition('/')[0]}/packagefiles/{patch}" if patch else None
    return Pin(path, revision, section.get("url"), overlay)


class Placer:
    """Puts pinned content into one tree and remembers what it put there (`note`, a JSON file beside the tree)."""

    def __init__(self, tree: Path, note: Path, modules: Path, sources: Mapping[str, Submodule]) -> None:
        self._tree = tree
        self._note = note
        self._modules = modules
        self._sources = sources

    def clear(self, wanted: tuple[Pin, ...]) -> None:
        """Remove what was placed and is no longer pinned so. Before the checkout, which may bring files there."""
        placed = self._placed()
        keep = {p.path: p.content for p in wanted}
        for path, content in placed.items():
            if keep.get(path) != content:
                shutil.rmtree(self._tree / path, ignore_errors=True)
        self._write({path: content for path, content in placed.items() if keep.get(path) == content})

    def place(self, wanted: tuple[Pin, ...], trusted: Callable[[Pin], bool]) -> None:
        """Bring what is missing. After the checkout, which leaves an empty directory for a gitlink.

        From the URL that a pin names only if it is `trusted`. Raises `UserError` if there is no source for it, with
        what to set.
        """
        placed = self._placed()
        for pin in wanted:
            if placed.get(pin.path) != pin.content:
                self._bring(pin, trusted)
                placed[pin.path] = pin.content
                self._write(placed)

    def _placed(self) -> dict[str, str]:
        try:
            placed: dict[str, str] = json.loads(self._note.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return placed

    def _write(self, placed: Mapping[str, str]) -> None:
        disk.replace(self._note, json.dumps(placed).encode())

    def _bring(self, pin: Pin, trusted: Callable[[Pin], bool]) -> None:
        source = self._sources.get(pin.name, Submodule())
        part = self._note.with_name("module.part")
        shutil.rmtree(part, ignore_errors=True)
        folder = next((Path(f) for prefix, f in source.trees.items() if pin.commit.startswith(prefix)), None)
        if folder is not None:
            if not folder.is_dir():
                raise UserError(f"build.submodules.{pin.name}.trees: {folder}: no such directory")
            # Times become now: content of another pin must look newer than what was built of the last one.
            shutil.copytree(folder, part, symlinks=True, copy_function=shutil.copy)
        else:
            self._fetch(pin, source.url, part, trusted)
        if pin.overlay is not None:
            self._lay_over(pin.overlay, part)
        to = self._tree / pin.path
        if not to.parent.resolve().is_relative_to(self._tree.resolve()):
            raise UserError(f"{pin.path}: leaves the tree by a symbolic link; nothing is written there")
        shutil.rmtree(to, ignore_errors=True)
        to.parent.mkdir(parents=True, exist_ok=True)
        part.rename(to)

    def _lay_over(self, overlay: str, part: Path) -> None:
        """Put a directory of the tree on top, as meson does for what it fetches itself."""
        source = (self._tree / overlay).resolve()
        if not source.is_relative_to(self._tree.resolve()):
            raise UserError(f"{overlay}: leads out of the tree; nothing is taken from there")
        for file in sorted(source.rglob("*")):
            to = part / file.relative_to(source)
            if not to.parent.resolve().is_relative_to(part.resolve()):
                raise UserError(f"{overlay}: leaves its place by a symbolic link; nothing is written there")
            if file.is_file() and not file.is_symlink():
                to.parent.mkdir(parents=True, exist_ok=True)
                to.unlink(missing_ok=True)
                shutil.copy(file, to)

    def _fetch(self, pin: Pin, ours: str | None, to: Path, trusted: Callable[[Pin], bool]) -> None:
        mirror = self._modules / f"{pin.name}.git"
        self._modules.mkdir(parents=True, exist_ok=True)
        with FileLock(self._modules / f"{pin.name}.lock"):
            if not (mirror / "HEAD").exists() or not _holds(Repository(mirror), pin.commit):
                if ours is None and pin.url is not None and not trusted(pin):
                    raise UserError(
                        f"{pin.path}: {pin.commit[:12]} of {pin.url} is pinned by a commit that is on no branch, so "
                        f"nothing is fetched from there; if you trust it, set build.submodules.{pin.name}.url"
                    )
                self._mirror(pin, ours or pin.url, mirror)
        index = to.with_name("module.index")
        index.unlink(missing_ok=True)
        checkout(Repository(mirror), pin.commit, to, index)
        index.unlink(missing_ok=True)

    @staticmethod
    def _mirror(pin: Pin, url: str | None, mirror: Path) -> None:
        """Bring the pinned commit into the bare mirror."""
        known = f"or give a directory with its files in build.submodules.{pin.name}.trees.{pin.commit[:7]}"
        if url is None or url.startswith("."):
            raise UserError(f"{pin.path}: no source of submodule content; set build.submodules.{pin.name}.url, {known}")
        try:
            repository = clone(url, mirror)
        except UserError as error:
            why = str(error).removeprefix("upstream.url: ")
            raise UserError(f"{pin.path}: {why}; set build.submodules.{pin.name}.url, {known}") from error
        if not _holds(repository, pin.commit):
            raise UserError(f"{pin.path}: {url} has no commit {pin.commit[:12]} on a branch or tag; {known}")


def _holds(repository: Repository, commit: Sha) -> bool:
    try:
        return repository.resolve(commit) == commit
    except UserError:
        return False
