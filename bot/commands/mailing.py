"""`bot report`, `bot replies`: what goes out, and what is answered."""

from __future__ import annotations

from pathlib import Path

import click

from bot.core.gate import Kind
from bot.core.outbox import ANSWER
from bot.errors import UserError
from bot.options import Settings


@click.command()
@click.argument("regression", metavar="ID")
@click.option(
    "--kind",
    type=click.Choice([*(kind.value for kind in Kind), ANSWER]),
    help="The mail of that kind.  [default: the last about the regression]",
)
@click.option(
    "--eml", type=click.Path(path_type=Path), metavar="FILE", help="Write the mail there instead of printing it."
)
@click.option("--approve", is_flag=True, help="You have read it: it may go out. Who and when is noted.")
@click.option("--hold", metavar="WHY", help="Keep it back until --approve, or note WHY on what went wrong.")
@click.option("--send", is_flag=True, help="Send it now, if nothing holds it.")
@click.option("--again", is_flag=True, help="With --send: although it was refused, or may have gone out already.")
@click.option("--send-to", metavar="ADDRESS", help="Send a copy to this address alone; the mail itself stays as it is.")
@click.pass_obj
def report(
    settings: Settings, regression: str, kind: str | None, eml: Path | None, approve: bool, hold: str | None,
    send: bool, again: bool, send_to: str | None,
) -> int:  # fmt: skip
    """Print the mail of a regression (r0001), the answer to a series (s0001) or the last mail about a release candidate
    (digest); approve it, send it.

    What holds it back stands in X-Migbot-Held.

    \b
      bot report r0001 | less
      bot report r0001 --send-to me@example.org
      bot report r0001 --approve --send

    Exit: 0 done, 129 it cannot be sent (the text says what holds it), 131 it was not taken now, or nobody knows.
    """
    from bot.pipeline import look, sending

    wish = sending.Wish(approve=approve, hold=hold, send=send, again=again, send_to=send_to)
    if not wish.any:
        return look.report(settings.work(), regression, kind, eml)
    if eml is not None:
        raise UserError("--eml writes the mail; give it without --approve, --hold and --send")
    return sending.fulfil(settings.config(), settings.work(), regression, kind, wish)


@click.command()
@click.option("--all", "everything", is_flag=True, help="All that was told, and who wants no mails.")
@click.option("--done", type=click.IntRange(min=1), metavar="NUMBER", help="Note that you did what was asked.")
@click.option("--why", metavar="TEXT", help="With --done: what you did, or why not.")
@click.pass_obj
def replies(settings: Settings, everything: bool, done: int | None, why: str | None) -> int:
    """List what people told the bot in answers to its mails, and what of it waits. See docs/replies.md.

    \b
      bot replies --done 3 --why "tested by hand, it is good"
    """
    from bot.pipeline import replying

    if done is None:
        if why is not None:
            raise UserError("--why says what was done: give it with --done NUMBER")
        return replying.listing(settings.work(), everything=everything)
    return replying.settle(settings.work(), done, why or "done")
