"""`bot accept` and `bot retract`: what a person decides about a regression."""

from __future__ import annotations

import click

from bot.options import Settings


@click.command()
@click.argument("regression", metavar="ID")
@click.option("--owner", required=True, metavar="NAME", help="Who is asked again then: a name, or Name <user@host>.")
@click.option("--until", required=True, metavar="DATE", help="The last day of it, YYYY-MM-DD.")
@click.option("--why", required=True, metavar="TEXT", help="Why it stays as it is; for those who ask.")
@click.pass_obj
def accept(settings: Settings, regression: str, owner: str, until: str, why: str) -> int:
    """Take a regression as it is, until a day: its failures are no news until then.

    \b
      bot accept r0017 --owner "Ann <ann@example.org>" --until 2027-06-30 --why "2.12 is out of support"

    Then it is open again, and the owner is asked, if the report went out. If it is fixed before, that is noted and told
    as ever. Accepting it once more moves the day.
    """
    from bot.pipeline import deciding

    return deciding.accept(settings.config(), settings.work(), regression, owner, until, why)


@click.command()
@click.argument("regression", metavar="ID")
@click.option("--why", required=True, metavar="TEXT", help="What was wrong with the report; it stands in the mail.")
@click.pass_obj
def retract(settings: Settings, regression: str, why: str) -> int:
    """Take a report back. Those who had it are told, once `bot report ID --approve` lets that go out.

    \b
      bot retract r0030 --why "Its parent fails 3 of 20, too: the failure is older and random."

    It is final: the same failure is not reported again, unless the case passes on a newer commit and then breaks anew.
    """
    from bot.pipeline import deciding

    return deciding.retract(settings.config(), settings.work(), regression, why)
