"""What the operator of the bot is to know: how things are -> which troubles there are -> which begin, which are over.

There is one trouble of a kind at a time. It begins once, is over once, and each is told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core.outbox import HOUR, Accepted, Answer, Deferred, Item, Rejected

PATIENCE = HOUR
"""Seconds between the first mail that is not taken and the one that makes it a trouble: others mend themselves."""
_MORE = 1.1  # of the floor must be free again before a full disk is over, so that it is not told of every minute


class Kind(StrEnum):
    CYCLE = "cycle"  # none ends
    FAILED = "failed"  # one was ended by an exception
    DISK = "disk"
    MAIL = "mail"  # the server, or the command, takes none
    TOOLCHAIN = "toolchain"  # cases fail since what builds is another, and no commit is to blame
    BASELINE = "baseline"  # a release is not taken as baseline until a person decides


@dataclass(frozen=True, slots=True)
class Way:
    """Mails are not taken: since when, when one was last tried, and what was answered. Seconds since the epoch.

    `down`: nothing can be handed over at all, whoever it is for.
    """

    since: float
    last: float
    why: str
    down: bool


def heard(way: Way | None, answer: Answer, now: float, *, own: bool = False) -> Way | None:
    """What is known of the way after an answer; None: mails are taken. `own`: the mail was one for the operator.

    That the operator's mail is taken does not say that mails to lists are, nor does it that it is not.
    """
    match answer:
        case Accepted() if way is None or way.down or not own:
            return None
        case Deferred(why, everything=True):
            return replace(way, last=now, why=why, down=True) if way else Way(now, now, why, down=True)
        case Deferred(why) | Rejected(why) if not own:
            return Way(way.since if way else now, now, why, down=False)  # it answers
    return way


def waits_for(item: Item, way: Way | None) -> bool:
    """Whether a mail waits for a way that takes nothing at all, and not for something of its own."""
    return way is not None and way.down and item.tried is not None and item.tried >= way.since


@dataclass(frozen=True, slots=True)
class Ended:
    """How the last cycle of this process ended; `error`: the exception that ended it."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """How things are. Times are seconds since the epoch, sizes are bytes."""

    now: float
    every: float  # `watch.every`
    budget: float | None  # `watch.budget`
    due: float | None  # `due` below
    recorded: float | None  # when the last build or run was recorded
    ended: Ended | None  # None: no cycle of this process has ended
    free: int
    floor: int  # `build.free_space`
    way: Way | None
    drifted: str = ""  # what fails since the toolchain changed; "": nothing
    held: str = ""  # the releases that are not taken; "": there is none


@dataclass(frozen=True, slots=True)
class Trouble:
    """One trouble, since when it is there, and what shows it, in a line."""

    kind: Kind
    since: float
    said: str


@dataclass(frozen=True, slots=True)
class Known:
    """A trouble that was recorded, and is not over. `told`: there is a mail to the operator."""

    trouble: Trouble
    began: float  # when it was recorded
    told: bool


@dataclass(frozen=True, slots=True)
class Begins:
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Over:
    known: Known


Change = Begins | Over


def bound(every: float, budget: float | None) -> float:
    """Seconds within which a cycle has to end: twice the longer of `watch.every` and `watch.budget`."""
    return 2 * max(every, budget or 0.0)


def due(cycles: Iterable[tuple[float, float | None]], running: float | None) -> float | None:
    """Since when a cycle is to end: when the first began after the last one that ended. None: none has begun.

    `cycles` are (began, ended) of those that nobody stopped; `running` is when this process began the one at hand.
    """
    cycles = list(cycles)
    last = max((ended for _, ended in cycles if ended is not None), default=None)
    begun = [began for began, ended in cycles if ended is None] + ([] if running is None else [running])
    return min((began for began in begun if last is None or began > last), default=None)


def decide(known: Iterable[Known], world: World) -> tuple[Change, ...]:
    """What begins, and what is over."""
    there = {entry.trouble.kind: entry for entry in known}
    found = {trouble.kind: trouble for trouble in _troubles(world)}
    if Kind.FAILED in there or Kind.FAILED in found:  # that is why none ends: one trouble
        found.pop(Kind.CYCLE, None)
    over = [Over(entry) for kind, entry in there.items() if kind not in found and _over(entry, world)]
    return (*over, *(Begins(trouble) for kind, trouble in found.items() if kind not in there))


def _troubles(world: World) -> Iterator[Trouble]:
    most = bound(world.every, world.budget)
    if world.due is not None and world.now - world.due > most and not _works(world, most):
        said = f"no cycle has ended within {most / HOUR:.1f} h (twice the longer of watch.every and watch.budget)"
        yield Trouble(Kind.CYCLE, world.due, said)
    if world.ended is not None and world.ended.error:
        yield Trouble(Kind.FAILED, world.now, world.ended.error)
    if world.free < world.floor:
        said = f"{world.free / 2**30:.1f} GiB free, build.free_space asks for {world.floor / 2**30:.1f} GiB"
        yield Trouble(Kind.DISK, world.now, said)
    if world.way is not None and world.way.last - world.way.since >= PATIENCE:
        yield Trouble(Kind.MAIL, world.way.since, world.way.why)
    if world.drifted:
        yield Trouble(Kind.TOOLCHAIN, world.now, world.drifted)
    if world.held:
        yield Trouble(Kind.BASELINE, world.now, world.held)


def _works(world: World, most: float) -> bool:
    """Whether a cycle without a budget does something: it may last as long as its searches do."""
    return world.budget is None and world.recorded is not None and world.now - world.recorded <= most


def _over(known: Known, world: World) -> bool:
    match known.trouble.kind:
        case Kind.CYCLE:  # one has ended since
            return world.due is None or world.due > known.began
        case Kind.FAILED:
            return world.ended is not None and not world.ended.error
        case Kind.DISK:
            return world.free >= world.floor * _MORE
        case Kind.MAIL:
            return world.way is None
        case Kind.TOOLCHAIN:
            return not world.drifted
        case Kind.BASELINE:
            return not world.held
