"""`bot run`, `bot worker`, `bot scheduler`: what goes on until it is stopped."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from bot.commands.foreground import stopping, watching
from bot.options import REPO, Settings


@click.command()
@click.option(
    "--once", is_flag=True, help="One cycle, then exit: 0 nothing new, 10 a new regression, 131 could not test."
)
@click.option(
    "--log", type=click.Choice(["auto", "json"]), default="auto", show_default=True,
    help="What standard error gets: what a person reads, or a JSON object a line.",
)  # fmt: skip
@click.pass_obj
def run(settings: Settings, once: bool, log: str) -> int:
    """Watch upstream: fetch, build new commits, smoke them, bisect what broke, write reports.

    Without --once it goes on, a cycle every watch.every, until it is stopped; SIGHUP has it read the configuration
    again before the next cycle. With --once the exit code is 0 nothing new, 10 a new regression, 131 something could
    not be tested.
    """
    from bot.pipeline import daemon

    reread = threading.Event()
    signal.signal(signal.SIGHUP, lambda *_: reread.set())
    with watching(log) as watcher:
        return daemon.run(settings.config, settings.work(), watcher, stopping(), reread, once=once)


@click.command()
@REPO
@click.option("--name", metavar="NAME", help="What it is called.  [default: the host's name]")
@click.pass_obj
def worker(settings: Settings, repo: Path | None, name: str | None) -> int:
    """Build and test on this host what a `bot bisect` or `bot run` elsewhere searches, until stopped.

    It connects to executor.address, and again when that was lost. Work directory, sandbox, compilers and
    executor.slots are this host's; what is tested is the coordinator's. See docs/hosts.md.
    """
    from bot.pipeline import serve

    with watching() as watcher:
        return serve.worker(settings.config(), settings.work(), repo, name, watcher, stopping())


@click.command()
@click.pass_obj
def scheduler(settings: Settings) -> int:
    """Listen at executor.address, and hand tests to the workers that connect, until stopped. It does nothing else."""
    from bot.pipeline import serve

    with watching() as watcher:
        return serve.scheduler(settings.config(), watcher, stopping())
