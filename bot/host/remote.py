"""The bot's own copy of upstream, brought up to now. It talks to a network, so git goes by the process door."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from bot.errors import InfraError, Stopped, UserError
from bot.host import process
from bot.host.git import Repository
from bot.host.gitdir import environment

_NETWORK = 3600.0  # seconds for a clone or a fetch


def clone(
    url: str,
    path: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
    stop: threading.Event | None = None,
) -> Repository:
    """The bot's own bare copy of upstream at `path`, fetched to now. A half-made one from a killed start is redone.

    Whoever calls has the copy for itself. So the locks that are there are those of a git that was killed, which would
    keep every fetch from then on from its refs; they are removed.

    Raises `UserError` with git's words if url cannot be reached and there is no copy yet, `InfraError` if there is
    one, `Stopped` if `stop` was set.
    """
    if is_local(url) and not url.startswith("file://"):
        url = str(Path(url).absolute())  # `fetch` runs elsewhere
    shown = re.sub(r"://[^/@\s]+@", "://", url)  # a password in it is not for logs
    if not (path / "HEAD").exists():
        say(f"cloning {shown}")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        argv = ["git", "clone", "--quiet", "--bare", "--no-recurse-submodules", "--end-of-options", url, str(part)]
        result = process.run(argv, env=environment(is_local(url)), timeout=_NETWORK, stop=stop)
        if not result.ok:
            said = result.output.strip().replace(url, shown)
            raise UserError(f"upstream.url: cannot clone {shown}: {said}")
        part.rename(path)
        return Repository(path)
    repository = Repository(path)
    for lock in (*path.glob("*.lock"), *(path / "refs").rglob("*.lock")):
        lock.unlink(missing_ok=True)
    for pause in (1, 4, 0):
        try:
            fetch(repository, url, stop)
            return repository
        except InfraError as error:
            if not pause:
                said = str(error).replace(url, shown)
                raise InfraError(f"upstream.url: cannot fetch {shown}: {said}") from error
            if (stop or threading.Event()).wait(pause):
                raise Stopped(f"stopped while fetching {shown}") from error
    raise AssertionError("unreachable")


def fetch(repository: Repository, url: str, stop: threading.Event | None = None) -> None:
    """Bring every branch and tag of url here, also those that were forced; what went is pruned.

    Raises `Stopped` if `stop` was set, `InfraError` with git's words if it fails, or has not ended after an hour.
    """
    argv = [
        "git", "fetch", "--quiet", "--prune", "--no-recurse-submodules", "--end-of-options", url,
        "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
    ]  # fmt: skip
    env = environment(is_local(url)) | {"GIT_DIR": str(repository.git.dir)}
    done = process.run(argv, env=env, timeout=_NETWORK, stop=stop)
    if not done.ok:
        why = f"not done after {_NETWORK:.0f} s" if done.timed_out else f"git fetch exited {done.returncode}"
        raise InfraError(f"{repository.path}: {why}: {done.output.strip()}")


def is_local(url: str) -> bool:
    """True for a path or file:// URL."""
    return url.startswith(("/", "./", "../", "file://")) or ("://" not in url and ":" not in url)
