"""What people told in answers to our mails becomes events of the regressions that they are about.

A command is settled after its event is noted. Whoever is killed between them notes the event again: it does not fit any
more, or changes nothing, and the command is settled then. What is noted of a command is what its sender is answered:
it has none of their words.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bot.config import Config
from bot.core.lifecycle import Accepted, Claimed, Event, NotNowError, Retracted, State
from bot.core.replies import Verb
from bot.errors import UserError
from bot.host.git import Repository
from bot.pipeline.said import commit
from bot.pipeline.tracking import note
from bot.store.replies import Asked, Fate
from bot.store.store import Store


def obey(store: Store, config: Config, repository: Repository, say: Callable[[str], None]) -> None:
    """Carry out what waits: `invalid` takes a report back, `expected` accepts it for a time, `fixed-by` is a claim, and
    is run like those in commits' messages. A commit that the clone does not have yet goes on waiting. What has to be
    run is for `pipeline.asked`.
    """
    for asked in store.replies.commands(Fate.WAITING):
        event = _event(asked, config, repository, store.clock())
        if event is None:
            continue
        try:
            _note(store, config, repository, asked.regression, event)
            said = _said(event, config)
        except NotNowError as error:
            said = f"nothing to do: {error}"
        except UserError as error:  # it waits, and the others are not to suffer for it
            say(f"{asked.regression}: {asked.sender} says: {asked.command}: not done: {error}")
            continue
        store.replies.settle(asked.id, said)
        say(f"{asked.regression}: {asked.sender} says: {asked.command}: {said}")


def _said(event: Event, config: Config) -> str:
    match event:
        case Claimed():
            return f"noted; {event.commit[:12]} is run once the branch has it, and only runs close the regression"
        case Accepted():
            return f"accepted until {event.until}; then {event.owner} is asked again"
        case Retracted():
            return "retracted; those who had the report are told" + (
                ", once a person lets that mail go" if config.report_settings.approval else ""
            )
    raise AssertionError(event)


def _note(store: Store, config: Config, repository: Repository, regression_id: str, event: Event) -> State:
    (entry,) = store.regressions(regression_id)
    if entry.state is State.ACCEPTED and entry.record.accepted == event:
        return entry.state
    return note(store, config, regression_id, event, repository).state


def _event(asked: Asked, config: Config, repository: Repository, now: float) -> Event | None:
    value, by = asked.command.value, asked.sender
    match asked.command.verb:
        case Verb.INVALID:
            return Retracted(value, by)
        case Verb.EXPECTED:
            until = datetime.fromtimestamp(now, UTC) + timedelta(days=config.replies.expected_days)
            return Accepted(by, until.date().isoformat(), value, by)
        case Verb.FIXED_BY:
            sha = commit(repository, value)
            return None if sha is None else Claimed(sha, f"fixed-by, {by}")
    return None
