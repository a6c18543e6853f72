"""`bot doctor`, `bot gc`, `bot baselines`: what an operator does now and then."""

from __future__ import annotations

import click

from bot.errors import UserError
from bot.options import Settings


@click.command(name="doctor")
@click.pass_obj
def doctor_(settings: Settings) -> int:
    """Say what is missing on this machine, and which command mends it. Exit: 0 all there, 131 something is missing."""
    from bot.pipeline import doctor

    return doctor.doctor(settings.config(), settings.place)


@click.command()
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=90,
    show_default=True,
    help="What is older goes: logs, unused build trees.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def gc(settings: Settings, days: int, dry_run: bool) -> int:
    """Remove what the work directory gathered: old logs, unused build trees, what killed processes left.

    \b
      bot gc --dry-run
      bot gc --days 30

    Reports, mails, searches, and what every run and build came to stay for ever. Binaries are bounded by themselves
    (build.cache_size). Not while `bot run` works in the directory.
    """
    from bot.pipeline import collecting

    return collecting.collect(settings.work(), days, dry=dry_run)


@click.command()
@click.argument("name", required=False)
@click.option("--use", "release", metavar="RELEASE", help="Have this release as the baseline NAME.")
@click.option("--why", metavar="TEXT", help="With --use: why; for those who ask.")
@click.pass_obj
def baselines(settings: Settings, name: str | None, release: str | None, why: str | None) -> int:
    """Say which release each baseline is that is a series (v10.0.x), and what keeps a newer one from its place.

    \b
      bot baselines
      bot baselines v10.0 --use v10.0.14 --why "what fails is fixed in it, on purpose"
      bot baselines v10.0 --use v10.0.13 --why "v10.0.14 cannot load its own streams"

    It counts from the next cycle on. Newer releases than RELEASE that there are now do not take its place; the ones
    after them are tried as ever.
    """
    from bot.pipeline import baselines as showing

    if name is None and release is None and why is None:
        return showing.show(settings.work())
    if name is None or release is None or why is None:
        raise UserError("give NAME, --use RELEASE and --why TEXT together, or nothing of them")
    return showing.use(settings.work(), name, release, why)
