"""`bot accept` and `bot retract`: what a person decides about a regression is an event like others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from bot.config import Config
from bot.core.lifecycle import Accepted, Event, NotNowError, Retracted
from bot.errors import UserError
from bot.host.git import Repository
from bot.pipeline.sending import user
from bot.pipeline.standing import standing
from bot.pipeline.tracking import note
from bot.report.story import told
from bot.store.store import Store, number


def accept(config: Config, work: Path, regression_id: str, owner: str, until: str, why: str) -> int:
    """Take a regression as it is until a day. Raises `UserError` for a wrong day, or for one that does not fail."""
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise UserError(f"--until {until}: not a day; write YYYY-MM-DD, e.g. 2027-06-30") from None
    if day < datetime.now(UTC).date():
        raise UserError(f"--until {until}: that day has passed")
    return _decide(
        config, work, regression_id, Accepted(_said("--owner", owner), day.isoformat(), _said("--why", why), user())
    )


def retract(config: Config, work: Path, regression_id: str, why: str) -> int:
    """Take a report back. Raises `UserError` if that was done before."""
    return _decide(config, work, regression_id, Retracted(_said("--why", why), user()))


def _said(option: str, text: str) -> str:
    if not text.strip():
        raise UserError(f"{option} is empty: it is what people read who ask")
    return text.strip()


def _decide(config: Config, work: Path, regression_id: str, event: Event) -> int:
    store, clone = Store(work), work / "upstream.git"
    before = {(item.id, item.state) for item in store.outbox.items(number(regression_id))}
    try:
        record = note(store, config, regression_id, event, Repository(clone) if clone.exists() else None)
    except NotNowError as error:
        raise UserError(f"{regression_id}: {error}") from error
    print(f"{regression_id}: {record.state}: {told(event)}")
    for item in store.outbox.items(number(regression_id)):
        if (item.id, item.state) not in before:
            print(f"{regression_id}: {standing(item)}")
    return 0
