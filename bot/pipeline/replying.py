"""Answers to our mails: each cycle reads them, and does or keeps what they tell.

`no-cc` is done at once, what is about a regression later in the cycle (`pipeline.obeying`, and `pipeline.asked` what
has to be run). What came of a mail is told to its sender then (`pipeline.answering`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot.config import Config
from bot.core.outbox import MAIL, State, named
from bot.core.plain import line
from bot.core.replies import Command, Policy, Reading, Sent, Verb, over, read
from bot.errors import InfraError, UserError
from bot.host.mailbox import Found, mailbox
from bot.model import ReplySettings
from bot.pipeline.offering import Offers
from bot.report.people import configured, every_list
from bot.store.ids import followed
from bot.store.replies import Asked, Fate, Replies
from bot.store.store import Store

_STEP = 200  # mails that are read before it is noted how far
_TIME = 300.0  # seconds of reading; what is left is the next cycle's
_TURN = "for its turn"
_TOLD = 20  # mails at a time that the log names as not taken


def hear(
    config: Config,
    work: Path,
    say: Callable[[str], None],
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
) -> None:
    """Read what came since the last time. What is wrong with the mailbox is told; a cycle goes on without it."""
    settings = config.reply_settings
    if settings is None or stop.is_set():
        return
    try:
        _hear(config, settings, Store(work, clock), say, stop)
    except (UserError, InfraError) as error:
        say(f"replies: {error}")


def _hear(
    config: Config, settings: ReplySettings, store: Store, say: Callable[[str], None], stop: threading.Event
) -> None:
    policy = Policy(
        name=settings.name,
        own=configured("report.sender", config.report.sender).addr_spec,
        trusted=settings.trusted,
        allowed=settings.allowed,
        lists=every_list(config.report_settings),
    )
    sent = dict(_sent(store))
    source = f"{settings.source.kind}:{settings.source.path}"
    replies = store.replies
    mails = mailbox(settings.source, replies.position(source))
    offers = Offers(store, config, say)
    strange, ends = 0, time.monotonic() + _TIME
    for number, found in enumerate(mails, 1):
        reading = None if found.letter is None else read(found.letter, sent, policy)
        if found.letter is None or (reading is not None and not reading.known):
            strange += 1
            if strange <= _TOLD:
                say(f"replies: {found.name}: passed over: {_why(found, reading)}")
        elif reading is not None and not replies.known(found.digest, reading):
            _take(replies, settings, found.digest, reading, store.clock(), say)
        elif found.letter is not None:
            offers.take(found.letter)
        if number % _STEP == 0:
            replies.move(source, mails.position())
        if stop.is_set() or time.monotonic() > ends:
            break
    if strange > _TOLD:
        say(f"replies: {strange - _TOLD} more mails were passed over")
    replies.move(source, mails.position())


def _why(found: Found, reading: Reading | None) -> str:
    return found.why if reading is None else f"{line(reading.sender, 100)}: {'; '.join(reading.refused)}"


def _sent(store: Store) -> Iterator[tuple[str, Sent]]:
    """Our mails that somebody may have, by Message-ID."""
    for item in store.outbox.items():
        if item.destination == MAIL and (item.delivered or item.state in (State.SENT, State.UNKNOWN)):
            people = frozenset(address.lower() for address in item.delivered)
            yield (f"test.{item.key}" if item.test else item.key), Sent(item.regression, people)


def _take(
    replies: Replies,
    settings: ReplySettings,
    digest: str,
    reading: Reading,
    now: float,
    say: Callable[[str], None],
) -> None:
    """Keep a mail, with what comes of it."""
    times, fates = replies.times(reading.sender), list[tuple[Command, Fate, str]]()
    for command in reading.commands:
        if over(times, settings.day, now):
            fates.append((command, Fate.REFUSED, f"enough for today: {settings.day} in a day (replies.day)"))
        elif command.verb is Verb.NO_CC:
            fates.append((command, Fate.DONE, "gets no more mails"))
        elif not followed(reading.regression):
            fates.append((command, Fate.REFUSED, "that mail is about no regression of its own"))
        else:
            fates.append((command, Fate.WAITING, _TURN))
        times.append(now)
    replies.keep(digest, reading, fates, answer=named(reading.sender, settings.allowed))
    for command, fate, said in fates:
        say(f"{reading.regression}: {reading.sender} says: {command}: {fate}: {said}")
    for why in reading.refused:
        say(f"{reading.regression}: not taken of {reading.sender}: {why}")


# -- at a person's word --------------------------------------------------------------------------------------------


def listing(work: Path, *, everything: bool) -> int:
    """Print what waits, or all that was told, and who wants no mails."""
    store = Store(work)
    found = store.replies.commands(None if everything else Fate.WAITING)
    for asked in found:
        print(_shown(asked))
    if not found:
        print("nobody told anything" if everything else "nothing waits; `bot replies --all` shows what was told")
    if everything and (left_alone := store.replies.no_cc()):
        print(f"get no mails: {', '.join(left_alone)}")
    return 0


def settle(work: Path, number: int, why: str) -> int:
    """Note what a person did about a command."""
    print(_shown(Store(work).replies.settle(number, line(why, 200))))
    return 0


def _shown(asked: Asked) -> str:
    when = datetime.fromtimestamp(asked.at, UTC)
    head = f"{asked.id:4}  {asked.regression}  {when:%Y-%m-%d %H:%M} UTC  {asked.sender}: {asked.command}"
    return f"{head}\n      <{asked.message_id}>, {asked.fate}: {asked.said}"
