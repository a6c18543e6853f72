"""The command line: the options before the command, and the commands of bot/commands/.

Each command imports what it runs when it is run: the libraries of all together take most of a second, which `--help`,
completion and a script that calls `bot list` need not wait for (`tests/test_startup.py`).
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from bot import __version__
from bot.commands.deciding import accept, retract
from bot.commands.looking import list_, show, signature_, site, status
from bot.commands.mailing import replies, report
from bot.commands.running import run, scheduler, worker
from bot.commands.searching import bisect, replay
from bot.commands.trying import build, hints, smoke, test
from bot.commands.upkeep import baselines, doctor_, gc
from bot.options import Settings


def _default_work() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or str(Path("~/.local/share").expanduser())
    return Path(os.environ.get("BOT_WORK") or Path(data) / "qemu-migration-bot")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bot")
@click.option(
    "-c",
    "--config",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration.  [default: ./config.yaml if it is there, else the shipped one]",
)
@click.option(
    "-C",
    "--work",
    "place",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=_default_work,
    help="Work directory: clone, builds, database.  [default: $BOT_WORK, else in ~/.local/share]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override one value of the configuration, e.g. --set upstream.url=/src/qemu. Repeatable.",
)
@click.pass_context
def bot(context: click.Context, path: Path | None, place: Path, overrides: tuple[str, ...]) -> None:
    """Finds the commit that broke QEMU migration: watches, builds, smokes, bisects, reports.

    \b
    Start here:
      bot doctor                        what this machine lacks
      bot smoke --source A --destination B --machine pc-q35-9.2
      bot bisect v9.2.0..master --machine pc-q35-9.2 --profile mem-path
      bot run --once                    one watch cycle, for cron

    Exit codes from 129 on are never a verdict: 129 bad input, 130 interrupted, 131 machine trouble, 132 fault of bot.
    """
    context.obj = Settings(path, overrides, place)


for _command in (
    accept, baselines, bisect, build, doctor_, gc, hints, list_, replay, replies, report, retract, run, scheduler, show,
    signature_, site, smoke, status, test, worker,
):  # fmt: skip
    bot.add_command(_command)
