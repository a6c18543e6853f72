"""The clone that a command reads, and what a person typed of its history."""

from __future__ import annotations

import threading
from pathlib import Path

from bot.config import Config
from bot.errors import UserError
from bot.host.git import Repository
from bot.host.remote import clone
from bot.model import Sha
from bot.progress import Progress


def open_clone(config: Config, work: Path, repo: Path | None, progress: Progress, stop: threading.Event) -> Repository:
    """The clone to read: `repo`, else the QEMU clone we are in, else the bot's own copy of upstream, fetched now."""
    if repo is not None:
        return Repository(repo)
    try:
        here = Repository(Path.cwd())
        tip = here.resolve("HEAD")
        if here.entry(tip, "VERSION") and here.entry(tip, "migration") and here.entry(tip, "hw"):
            progress.say(f"using the clone in {here.path}, nothing is fetched")
            return here
    except UserError:
        pass  # not in a clone
    return clone(config.upstream.url, work / "upstream.git", say=progress.say, stop=stop)


def ends(text: str, repository: Repository) -> tuple[tuple[str, Sha], tuple[str, Sha]]:
    """(name, commit) of GOOD and of BAD. Raises `UserError` for what is no range, or names nothing."""
    good_name, dots, bad_name = text.partition("..")
    if not dots or not good_name or not bad_name or bad_name.startswith("."):
        raise UserError(f"{text!r}: not a range; write GOOD..BAD, e.g. v9.0.0..master")
    good, bad = repository.resolve(good_name), repository.resolve(bad_name)
    if good == bad:
        raise UserError(f"{text}: both ends are {good[:12]}; there is nothing between them")
    if repository.is_ancestor(bad, good):
        raise UserError(
            f"{text}: BAD is an ancestor of GOOD; to find the commit that fixed something, swap their meaning"
        )
    return (good_name, good), (bad_name, bad)
