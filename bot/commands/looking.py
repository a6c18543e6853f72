"""`bot list`, `bot show`, `bot status`, `bot site`, `bot signature`: what is known, and what goes on."""

from __future__ import annotations

from pathlib import Path

import click

from bot.commands.foreground import stopping
from bot.core.lifecycle import State
from bot.errors import UserError
from bot.options import Settings, address


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.option(
    "--state", "states", multiple=True, type=click.Choice([s.value for s in State]), help="Only these. Repeatable."
)
@click.option("--inherited", "before", is_flag=True, help="What fails at the tips and was never seen good, instead.")
@click.option("--lost", is_flag=True, help="Machine types that were tested and are deleted since, instead.")
@click.pass_obj
def list_(settings: Settings, as_json: bool, states: tuple[str, ...], before: bool, lost: bool) -> int:
    """List regressions: id, state, failure, range, finding; then series that somebody posted and that break something.

    \b
      bot list --state open --state "fix posted" --state reopened      what waits to be fixed
      bot list --inherited                         failures that were there before the bot looked
      bot list --lost                              cases that went with their machine types
    """
    if before + lost + bool(states) > 1:
        raise UserError("--state is of regressions, --inherited and --lost are about none: give one of the three")
    if lost:
        from bot.pipeline.losing import list_lost

        return list_lost(settings.work(), as_json)
    if before:
        from bot.pipeline.inherited import inherited

        return inherited(settings.config(), settings.work(), as_json)
    from bot.pipeline import look

    return look.list_(settings.work(), as_json, states)


@click.command()
@click.argument("regression", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="The whole report as JSON.")
@click.pass_obj
def show(settings: Settings, regression: str, as_json: bool) -> int:
    """Show one regression (r0001), or a series (s0001): finding, steps, where it fails, what holds its mail."""
    from bot.pipeline import showing

    return showing.show(settings.work(), regression, as_json)


@click.command(name="signature")
@click.argument("log", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE|-")
@click.option("--returncode", type=int, metavar="N", help="How QEMU ended: its exit code, or -N or 128+N for signal N.")
@click.pass_obj
def signature_(settings: Settings, log: Path, returncode: int | None) -> int:
    """Say what the failure in a log is called, and which known regressions are called the same, as JSON.

    The log is stderr of QEMU's destination, of both sides, or what libvirt, the journal or a report made of it.

    \b
      bot signature /var/log/libvirt/qemu/guest.log
      journalctl -u libvirtd | bot signature -

    Exit: 0 a failure was named, 125 the log tells of none, 129 it cannot be read.
    """
    from bot.pipeline import signature as naming

    return naming.show(settings.place, log, returncode)


@click.command()
@click.option("--check", is_flag=True, help="Exit 1 if `bot run` does not do its work; for a monitor.")
@click.pass_obj
def status(settings: Settings, check: bool) -> int:
    """Say what goes on, and what was done last: cycles, builds, disk, open regressions.

    With --check the exit code is 1 if the last cycle that ended is older than twice what a cycle may take: the longer
    of watch.every and watch.budget.
    """
    from bot.pipeline import status as stating

    return stating.status(settings.config(), settings.work(), check=check)


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="[OUT]", required=False)
@click.option("--serve", is_flag=True, help="Then serve them over HTTP, to whoever can connect, until stopped.")
@click.option(
    "--listen",
    callback=address,
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="With --serve: where.",
)
@click.pass_obj
def site(settings: Settings, out: Path | None, serve: bool, listen: tuple[str, int]) -> int:
    """Write the static pages into the directory OUT (with --serve that of `bot run` will do)."""
    from bot.pipeline import publish

    if serve:
        return publish.show(settings.config(), settings.work(), out, listen, stopping())
    if out is None:
        raise UserError("bot site: OUT is missing: the directory for the pages; only --serve does without")
    return publish.pages(settings.config(), settings.work(), out)
