"""What becomes of a mail, an issue or a notice that is to go out: one state machine, (item, event, now) -> item.

    held -> queued -> sending -> sent | refused | unknown

An item is `sending` from before the first byte leaves until the answer is recorded. Whoever finds one in that state
later knows only that it may have gone out: it is `unknown`, and nothing but a person's word sends it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

HOUR, DAY = 3600.0, 86400.0
_SIGNS = re.compile(r"[*?\[]")  # that mean something in a pattern
GIVE_UP = 5 * DAY  # after that an MTA gives up, too: RFC 5321, 4.5.4.1
FIRST, LONGEST = 300.0, 4 * HOUR  # seconds between tries: twice as long each time
MAIL, GITLAB, OPERATOR = "mail", "gitlab", "operator"
"""The destinations of mails, of issues, and of mails to the bot's operator; others are webhooks, by their names."""
ANSWER = "answer"
"""The kind of a mail to one person who told us something: no news of a regression, so it takes no other's place."""
DIGEST = "digest"
"""The kind of a mail about what is open at a release candidate, and what `bot report` knows the last of them by."""


class State(StrEnum):
    HELD = "held"  # a person, or the gate, keeps it back
    QUEUED = "queued"  # it goes out at `next_try`
    SENDING = "sending"  # it may be going out at this moment
    SENT = "sent"
    REFUSED = "refused"  # by the other side, or we gave up
    UNKNOWN = "unknown"  # it may have gone out


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is to reach one destination. Times are seconds since the epoch."""

    regression: str  # "": it is about the bot itself
    kind: str
    message_id: str  # with `destination` the identity of the item
    destination: str
    body: str  # sha256 of what is sent, as it was written
    held: tuple[str, ...] = ()  # "name: why", as `gate.Hold` is written
    state: State = State.HELD
    approved_by: str | None = None
    approved_at: float | None = None
    queued_at: float | None = None  # from when on it is tried; the bound of retrying counts from here
    attempts: int = 0
    tried: float | None = None  # when it was last tried
    next_try: float = 0.0
    said: str = ""  # what the other side, or a person, said last
    delivered: tuple[str, ...] = ()  # recipients that have it
    refused: tuple[str, ...] = ()  # recipients that it was not taken for
    test: bool = False  # it went elsewhere than it is for: `report.test_to`, `report.gitlab.test_project`
    id: int = 0

    @property
    def key(self) -> str:
        """The same for each try of this item and for no other: what a receiver knows a repetition by."""
        return self.message_id.strip("<>")


# -- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rendered:
    """It was written anew, before it went out: what was approved was another text."""

    body: str
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody keeps it back: `name` is `person`, or what else does."""

    why: str
    name: str = "person"


@dataclass(frozen=True, slots=True)
class Approved:
    """A person has read it and lets it go, as far as it is theirs to say."""

    by: str


@dataclass(frozen=True, slots=True)
class Again:
    """A person wants an item sent that was refused or may have gone out."""

    by: str


@dataclass(frozen=True, slots=True)
class Began:
    """From now on it may reach the other side. `hurry`: a person does not want to wait for the next try."""

    hurry: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """Taken, for all recipients but `refused`; `later` are those that the other side wants tried again."""

    said: str = ""
    delivered: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not taken now, and certainly not gone out. `after`: seconds that the other side asks to wait.

    `everything`: it was not about this item; others would fare the same.
    """

    why: str
    after: float = 0.0
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not taken, and trying again would not change that."""

    why: str


@dataclass(frozen=True, slots=True)
class Lost:
    """It was handed over, and no answer came."""

    why: str


@dataclass(frozen=True, slots=True)
class Died:
    """The process that sent it ended before it recorded an answer. `repeatable`: the other side knows repetitions."""

    repeatable: bool = False


Answer = Accepted | Deferred | Rejected | Lost
Event = Rendered | Held | Approved | Again | Began | Answer | Died


class NotNowError(ValueError):
    """The event does not fit the item's state; the text says so to a person."""


_THEIRS = {"approval", "sending", "person", "recipients"}
"""Names of holds that a person's approval lifts. The gate's others are about what was measured."""


def after(item: Item, event: Event, now: float) -> Item:
    """The item after an event. Raises `NotNowError` if there is no such step."""
    state = item.state
    match event:
        case Rendered() if state in (State.HELD, State.QUEUED):
            fresh = Item(item.regression, item.kind, item.message_id, item.destination, event.body, event.held)
            fresh = replace(fresh, id=item.id, delivered=item.delivered, refused=item.refused, tried=item.tried)
            return _released(fresh, now)
        case Held() if state in (State.HELD, State.QUEUED):
            others = tuple(text for text in item.held if _name(text) != event.name)
            return replace(item, state=State.HELD, held=(*others, f"{event.name}: {event.why}"))
        case Held() if state in (State.REFUSED, State.UNKNOWN):  # a note: neither goes out by itself
            return replace(item, said=f"{item.said}; {event.name}: {event.why}".removeprefix("; "))
        case Approved() if state in (State.HELD, State.QUEUED):
            left = tuple(text for text in item.held if _name(text) not in _THEIRS)
            return _released(replace(item, held=left, approved_by=event.by, approved_at=now), now)
        case Again() if state in (State.REFUSED, State.UNKNOWN) or (state is State.SENT and item.test):
            had = () if item.test else item.delivered
            return _queued(replace(item, test=False, said=f"again, says {event.by}", delivered=had, refused=()), now)
        case Again() if state is State.SENT and item.refused:
            return _queued(replace(item, said=f"again, says {event.by}", refused=()), now)
        case Began() if state is State.QUEUED and (event.hurry or item.next_try <= now):
            return replace(item, state=State.SENDING, attempts=item.attempts + 1, tried=now, test=event.test)
        case Accepted() if state is State.SENDING:
            return _accepted(item, event, now)
        case Deferred() if state is State.SENDING:
            return _later(replace(item, said=event.why), now, event.after)
        case Rejected() if state is State.SENDING:
            return replace(item, state=State.REFUSED, said=event.why)
        case Lost() if state is State.SENDING:
            return replace(item, state=State.UNKNOWN, said=event.why)
        case Died() if state is State.SENDING:
            told = "bot ended while it was being sent"
            return replace(item, state=State.QUEUED if event.repeatable else State.UNKNOWN, said=told)
    raise NotNowError(_not_now(item, event))


def begun(item: Item, now: float) -> Item:
    """A new item: queued if nothing holds it."""
    return _released(item, now)


def _released(item: Item, now: float) -> Item:
    if item.held:
        return replace(item, state=State.HELD)
    return item if item.state is State.QUEUED else _queued(item, now)


def _queued(item: Item, now: float) -> Item:
    return replace(item, state=State.QUEUED, queued_at=now, next_try=now, attempts=0)


def _accepted(item: Item, answer: Accepted, now: float) -> Item:
    delivered = tuple(dict.fromkeys((*item.delivered, *answer.delivered)))
    refused = tuple(dict.fromkeys((*item.refused, *answer.refused)))
    went = replace(item, state=State.SENT, delivered=delivered, refused=refused, said=answer.said)
    if not answer.later:
        return went
    waits = _later(went, now, 0.0)
    if waits.state is State.QUEUED:
        return waits
    return replace(went, refused=(*refused, *answer.later))  # those that have it have it


def _later(item: Item, now: float, asked: float) -> Item:
    """Queued for its next try, or given up."""
    since = now if item.queued_at is None else item.queued_at
    if now - since >= GIVE_UP:
        return replace(item, state=State.REFUSED, said=f"given up after {GIVE_UP / DAY:.0f} days: {item.said}")
    return replace(item, state=State.QUEUED, next_try=min(now + pause(item.attempts, asked), since + GIVE_UP))


def pause(attempts: int, asked: float = 0.0) -> float:
    """Seconds until the next try, after so many; at least what the other side asks for, up to a day."""
    return max(min(FIRST * 2.0 ** min(max(attempts - 1, 0), 20), LONGEST), min(asked, DAY))


def _name(held: str) -> str:
    return held.partition(":")[0]


def _not_now(item: Item, event: Event) -> str:
    match event:
        case Again() if item.state is State.SENT:
            return "it was sent, and nobody refused it; --send-to sends a copy to one address"
        case Again():
            return f"it is {item.state}; --again is for what was refused or may have gone out"
        case Began() if item.state is State.HELD:
            return f"it is held: {'; '.join(item.held)}"
        case Began() if item.state is State.UNKNOWN:
            return f"it may have gone out ({item.said}); look for it, and if it did not, give --again"
        case Began() if item.state is State.REFUSED:
            return f"it was refused ({item.said}); mend that, then give --again"
        case _ if item.state is State.SENDING:
            return "it is being sent"
    return f"it is {item.state}"


# -- who may get mail, and how many ----------------------------------------------------------------------------------


def waiting(times: Iterable[float], hour: int, day: int, now: float) -> float:
    """Seconds until one more may go out, if these went out before, and at most `hour` and `day` may in such a time."""
    gone, wait = sorted(times), 0.0
    for cap, window in ((hour, HOUR), (day, DAY)):
        recent = [at for at in gone if at > now - window]
        if len(recent) >= cap:
            wait = max(wait, recent[-cap] + window - now)
    return wait


def counted(items: Iterable[Item], destination: str) -> list[float]:
    """When items went out to a destination, or may have."""
    gone = (State.SENT, State.UNKNOWN, State.SENDING)
    return [
        item.tried
        for item in items
        if item.destination == destination and item.tried is not None and (item.state in gone or item.delivered)
    ]


def allowed(address: str, domains: Iterable[str], no_cc: Iterable[str], own: str) -> bool:
    """Whether mail may go to `user@host`: its domain is named, it does not want to be left alone, and is not ours."""
    user, _, domain = address.lower().rpartition("@")
    mine, _, home = own.lower().rpartition("@")
    if domain == home and user.partition("+")[0] == mine.partition("+")[0]:
        return False  # it would come back to us
    return not named(address, no_cc) and named(domain, domains)


def exactly(address: str) -> str:
    """The pattern that fits this text alone."""
    return _SIGNS.sub(r"[\g<0>]", address)


def named(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (fnmatch) fits, capitals or not."""
    return any(fnmatchcase(text.lower(), pattern.lower()) for pattern in patterns)
