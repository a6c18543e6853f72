"""What `bot run` tells its operator: once a minute it looks how things are, also while a cycle hangs.

There is one that looks, for `bot run` holds its work directory. A trouble is recorded together with the mail about it;
each mail is marked before its first byte leaves, as all that goes out is (`pipeline.sending`).
"""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.config import Config
from bot.core import drift
from bot.core.alarms import Begins, Change, Ended, Kind, World, decide, due
from bot.core.outbox import MAIL, OPERATOR, Began, Deferred, Item, State
from bot.core.plain import line
from bot.data import data_dir
from bot.errors import BotError
from bot.host.disk import free
from bot.model import PostSettings
from bot.pipeline.sending import SENDMAIL_TIME, Office
from bot.pipeline.standing import standing
from bot.report.operator import Told, mail, message_id
from bot.report.post import Transport
from bot.report.post.addressing import to_operator
from bot.report.post.sendmail import Sendmail
from bot.store.outbox import Post
from bot.store.store import STOPPED, Store
from bot.terminal import duration

_EVERY = 60.0  # seconds between two looks
_PATIENCE = 20.0  # seconds for a mail that is on its way when bot is told to stop


@dataclass(frozen=True, slots=True)
class Doing:
    """What this process does: since when it is in a cycle (seconds since the epoch), and how the last one ended."""

    since: float | None = None
    ended: Ended | None = None


# -- one look ------------------------------------------------------------------------------------------------------


def look(
    config: Config, work: Path, store: Store, doing: Doing, say: Callable[[str], None], stop: threading.Event
) -> None:
    """Record what has begun and what is over, say so, and send what the operator is to have.

    Raises `InfraError` if that cannot be recorded, `UserError` for what is wrong with the settings of mails.
    """
    world = _world(config, work, store, doing)
    changes = decide(store.alarms.known(), world)
    for change in changes:
        _record(config, work, store, change, world.now)
        say(f"operator: {_said(change, world.now)}")
    if config.report.operator is not None:
        # what waits for its next try need not, once it has another way, or its own again
        deliver(store, config.post_settings, say, stop, hurry=any(_kind(change) is Kind.MAIL for change in changes))


def _world(config: Config, work: Path, store: Store, doing: Doing) -> World:
    cycles = [(cycle.began, cycle.ended) for cycle in store.cycles(100) if cycle.result != STOPPED]
    return World(
        now=store.clock(),
        every=config.watch.every,
        budget=config.watch.budget,
        due=due(cycles, doing.since),
        recorded=store.alarms.recorded(),
        ended=doing.ended,
        free=free(work),
        floor=config.build.free_space,
        way=None if config.report.send == "never" else store.alarms.way(),
        drifted=_drifted(store),
        held="; ".join(one.said for one in store.releases.waiting().values() if one.held and one.person is None),
    )


def _drifted(store: Store) -> str:
    """What fails since the toolchain changed, alone or with something else: the first of it, and how much more."""
    ours = (drift.Kind.TOOLCHAIN, drift.Kind.BOTH)
    found = [known.drift for known in store.drifts.known() if known.drift.kind in ours]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return found[0].said + more if found else ""


def _record(config: Config, work: Path, store: Store, change: Change, now: float) -> None:
    if isinstance(change, Begins):
        store.alarms.begin(change.trouble, now, _post(config, work, Told(change.trouble, now), now))
        return
    known = change.known
    told = Told(known.trouble, known.began, duration(now - known.trouble.since))
    store.alarms.end(known.trouble.kind, now, _post(config, work, told, now) if known.told else None)


def _post(config: Config, work: Path, told: Told, now: float) -> Post | None:
    """The mail, as it is put into the outbox; None: there is no operator."""
    if config.report.operator is None:
        return None
    settings = config.report_settings
    written = mail(
        told, config.report.operator, settings=settings, templates=data_dir() / "templates",
        host=socket.gethostname(), work=work.absolute(), date=datetime.fromtimestamp(now, UTC),
    )  # fmt: skip
    return Post(told.trouble.kind, message_id(told, settings), OPERATOR, (), written.as_bytes().decode())


def _kind(change: Change) -> Kind:
    return change.trouble.kind if isinstance(change, Begins) else change.known.trouble.kind


def _said(change: Change, now: float) -> str:
    if isinstance(change, Begins):
        return f"{change.trouble.kind}: {line(change.trouble.said, 500)}"
    trouble = change.known.trouble
    return f"{trouble.kind}: over, after {duration(now - trouble.since)}"


# -- sending -------------------------------------------------------------------------------------------------------


def deliver(
    store: Store, settings: PostSettings, say: Callable[[str], None], stop: threading.Event, *, hurry: bool = False
) -> None:
    """Send what is due to the operator. To be called by the one process, and thread, that does. `hurry`: now."""
    for item in store.outbox.end_orphans(lambda _: False, operator=True):
        say(f"operator: {standing(item)}")
    office = Office(store, settings, say, stop)
    for item in store.outbox.items():
        due_now = item.state is State.QUEUED and (hurry or item.next_try <= store.clock())
        if item.destination != OPERATOR or not due_now:
            continue
        if stop.is_set() or not _handed_over(office, item, hurry=hurry):
            return


def _handed_over(office: Office, item: Item, *, hurry: bool) -> bool:
    """One try. False: others would fare the same."""
    store, settings = office.store, office.settings
    since = store.clock() if item.queued_at is None else item.queued_at
    letter = to_operator(store.outbox.text(item), settings, datetime.fromtimestamp(since, UTC))
    spare = _spare(store, settings)
    transport = spare or office.transport(MAIL)
    going = store.outbox.change(item, Began(hurry=hurry, test=settings.test_to is not None))
    answer = transport.send(letter)
    sent = store.outbox.change(going, answer)
    if spare is None:
        store.alarms.heard(answer, own=True)
    office.say(f"operator: {standing(sent)}")
    return not (isinstance(answer, Deferred) and answer.everything)


def _spare(store: Store, settings: PostSettings) -> Transport | None:
    """The other way, while the server is what the trouble is about; None: there is none, or none is needed."""
    down = any(known.trouble.kind is Kind.MAIL for known in store.alarms.known())
    if not down or settings.by != "smtp" or shutil.which(settings.sendmail[0]) is None:
        return None
    return Sendmail(settings.sendmail, SENDMAIL_TIME)


# -- all the time --------------------------------------------------------------------------------------------------


class Lookout:
    """Looks in a thread of its own, for as long as it is entered; and when a cycle has ended."""

    def __init__(self, config: Config, work: Path, say: Callable[[str], None], stop: threading.Event) -> None:
        self._config, self._work, self._say, self._stop = config, work, say, stop
        self._store = Store(work)
        self._doing = Doing()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._complained = ""
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)

    def begins(self, config: Config) -> None:
        """A cycle begins, by this configuration."""
        self._config = config
        self._doing = replace(self._doing, since=self._store.clock())

    def ended(self, error: Exception | None = None) -> None:
        """It has ended as it should, or by an exception."""
        why = "" if error is None else line(f"{type(error).__name__}: {error}", 500)
        self._doing = Doing(ended=Ended(why))
        self._wake.set()

    def _run(self) -> None:
        while True:
            closing = self._closing.is_set()
            self._wake.clear()
            try:
                look(self._config, self._work, self._store, self._doing, self._say, self._stop)
                self._complained = ""
            except Exception as error:  # whoever looks after trouble outlives it
                self._complain(error)
            if closing or self._stop.is_set():
                return
            self._wake.wait(_EVERY)

    def _complain(self, error: Exception) -> None:
        """Say what keeps us from looking, once."""
        text = str(error) if isinstance(error, BotError) else f"{type(error).__name__}: {error}"
        if text != self._complained:
            self._say(f"operator: nothing was told: {text}")
        self._complained = text

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have a last look; once bot is to stop, not for longer than it takes to end what was begun."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_PATIENCE if self._stop.is_set() else None)
