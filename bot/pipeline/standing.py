"""Where what is to go out stands, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.core.outbox import DIGEST, GITLAB, OPERATOR, Item, State


def standing(item: Item) -> str:
    """Where an item stands, as a person is told."""
    text = f"{item.destination} {item.message_id}: "
    match item.state:
        case State.HELD:
            return text + f"held: {'; '.join(item.held)}"
        case State.QUEUED if item.attempts:
            when = datetime.fromtimestamp(item.next_try, UTC)
            return text + f"waits for try {item.attempts + 1}, {when:%Y-%m-%d %H:%M} UTC: {item.said}"
        case State.SENT:
            left = f"; not taken for {', '.join(item.refused)}" if item.refused else ""
            test = "report.gitlab.test_project" if item.destination == GITLAB else "report.test_to"
            where = f"to {test} alone" if item.test else "sent"
            return text + f"{where}: {item.said or 'no more is known'}{left}"
        case State.UNKNOWN if item.destination == OPERATOR:
            return text + f"may have gone out: {item.said}. It is not sent again"
        case State.UNKNOWN:
            return text + (
                f"may have gone out: {item.said}. Look for it in the archive and the log of the mail server;"
                f" only if it is not there: bot report {item.regression} --send --again"
            )
    return text + str(item.state) + (f": {item.said}" if item.said else "")


def no_mail(regression_id: str, kind: str | None) -> str:
    """What a person is told who asks for a mail that there is not."""
    if regression_id == DIGEST:
        return (
            f"{DIGEST}: has no mail yet: with report.digest: true one is written at a release candidate, if a"
            " regression that was reported is open then"
        )
    what = f"mail of kind {kind}" if kind else "mail"
    return (
        f"{regression_id}: has no {what}: `bot show {regression_id}` says how its search ended, and which mails it has"
    )
