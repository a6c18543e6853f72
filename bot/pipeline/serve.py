"""`bot worker` and `bot scheduler`: this host's part in the searches of a coordinator elsewhere."""

from __future__ import annotations

import platform
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot import __version__
from bot.build import recipe, tools
from bot.config import Config
from bot.errors import UserError
from bot.host import executor, kvm
from bot.host.git import Repository
from bot.host.lock import coordinator
from bot.host.remote import clone
from bot.host.sandbox import end_strays
from bot.model import Link
from bot.pipeline.confining import sandbox
from bot.pipeline.hands import SLOT
from bot.pipeline.local import at_once, host
from bot.progress import Progress
from bot.workshop import Workshop


def worker(
    config: Config, work: Path, repo: Path | None, name: str | None, progress: Progress, stop: threading.Event
) -> int:
    """Build and test what a coordinator asks for, until stopped; returns 0 then.

    The clone is `repo`, else the bot's own copy of upstream. Raises `UserError` for what is missing here.
    """
    link = _link(config)
    with coordinator(work):
        if repo is not None:
            repository = Repository(repo)
        else:
            repository = clone(config.upstream.url, work / "upstream.git", say=progress.say, stop=stop)
        scratch = work / "scratch"
        scratch.mkdir(exist_ok=True)
        end_strays(work)
        settings = replace(config.build_settings, sandbox=sandbox(config, progress))
        slots = config.executor.slots
        workshop = Workshop(
            host=name or socket.gethostname(),
            repository=repository,
            upstream=None if repo is not None else config.upstream.url,
            settings=settings,
            work=work,
            progress=progress.aside() if slots > 1 else progress,
            stop=stop,
            slots=slots,
            smokes=at_once(config),
        )
        executor.serve(
            link, workshop, name=workshop.host, slots=slots, resources=resources(slots), facts=facts(config, workshop),
            scratch=scratch / "dask", say=progress.say, stop=stop,
        )  # fmt: skip
    return 0


def scheduler(config: Config, progress: Progress, stop: threading.Event) -> int:
    """Hand the tests of coordinators to workers, until stopped; returns 0 then."""
    executor.schedule(_link(config), progress.say, stop)
    return 0


def resources(slots: int) -> dict[str, float]:
    """What this host has for tests: of each as much as it does tests at a time."""
    guests = [f"kvm-{arch}" for arch in kvm.guests() if kvm.usable(arch)]
    return dict.fromkeys([SLOT, platform.machine(), *guests], float(slots))


def facts(config: Config, workshop: Workshop) -> dict[str, Any]:
    """What `bot doctor` says of a worker."""
    return {
        "bot": __version__,
        "host": host(),
        "toolchain": toolchain(config, workshop.work),
        "sandbox": workshop.sandbox is not None,
    }


def toolchain(config: Config, work: Path) -> str:
    """The compiler of the first recipe, in a phrase: "gcc 12.2.0, Debian 12"."""
    first = config.build.recipes[0]
    place = recipe.Place("x86_64-softmmu", work / "src", work / "build", 1)
    return tools.summary(tools.versions(first, recipe.environment(first, place, [], work / "home")))


def _link(config: Config) -> Link:
    link = config.executor.link
    if link is None:
        raise UserError("executor.address is missing: tls://HOST:PORT of the scheduler; see docs/hosts.md")
    return link
