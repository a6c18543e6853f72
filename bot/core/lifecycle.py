"""What becomes of a regression: one state machine, (record, event, now) -> record.

    open -> fix posted -> fixed -> fixed in stable
    accepted, until a date; retracted; reopened

A record is the fold of its events, so that nothing else has to be remembered. What a message says (`Claimed`,
`Offered`) never closes a regression: only runs do (`Cured`). Each follow-up mail belongs to one event (`wanted`), and
has the number that its Message-ID is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bot.core.gate import Hold, Kind
from bot.model import RevertOutcome, Sha, Tally


class State(StrEnum):
    OPEN = "open"
    POSTED = "fix posted"  # somebody says that a commit, or a patch, cures it; that was not shown yet
    FIXED = "fixed"  # on the branch that it was found on, shown by runs
    STABLE = "fixed in stable"  # on each stable branch that has the culprit, too
    ACCEPTED = "accepted"  # known and no news until a date
    RETRACTED = "retracted"  # what was said of it is wrong
    REOPENED = "reopened"  # it was fixed, and fails again

    @property
    def live(self) -> bool:
        """Whether it is waited for to be mended."""
        return self in _LIVE

    @property
    def mended(self) -> bool:
        """Whether runs showed that it is gone."""
        return self in (State.FIXED, State.STABLE)


_LIVE = (State.OPEN, State.POSTED, State.REOPENED)


class Way(StrEnum):
    """How a fix was found; either way it was run before anybody is told."""

    NAMED = "named"  # its message says so
    SEARCHED = "searched"


# -- events --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claimed:
    """A commit's message says that it cures the regression; `how` is the line that says so."""

    commit: Sha
    how: str


@dataclass(frozen=True, slots=True)
class Offered:
    """A patch that somebody posted says that it cures the regression: the mail's Message-ID, without brackets."""

    mail: str
    how: str


@dataclass(frozen=True, slots=True)
class Refuted:
    """Runs do not show that such a commit cures it; `why` is a phrase."""

    commit: Sha
    why: str


@dataclass(frozen=True, slots=True)
class Guests:
    """Guests that a release started which has the culprit and not the fix, migrated to a tip that has the fix."""

    release: str
    runs: Tally


@dataclass(frozen=True, slots=True)
class Cured:
    """The failure is gone by this commit: its parents have it, itself and the branch's tip have not.

    `cases` is how many cases of the regression passed at the tip: all that it has there. `guests` are what may stay
    broken; None: there are none, or they were not looked at.
    """

    commit: Sha
    way: Way
    parents: tuple[Tally, ...]
    fix: Tally
    tip: Tally
    cases: int = 1
    guests: Guests | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """The failure is gone at a tip, and the search named no commit for it; `why` is a sentence."""

    tip: Tally
    why: str


@dataclass(frozen=True, slots=True)
class Partly:
    """At a tip some of its cases (ids) pass and others still fail; none passes: those that did fail again."""

    tip: Sha
    passing: tuple[str, ...]
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stuck:
    """None of its cases can be run any more, seen at a tip; `why` is a phrase. "": they can be run again."""

    tip: Sha
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A stable branch. `culprit` and `fix` are the commits that it has them as, None: it has not.

    `runs` are those of its tip, None: it was not run, or could not be. `pick` is what came of the fix on its tip, where
    the branch has none of its own; `before` are commits of the fix's series that were picked before it, oldest first,
    for it alone does not do.
    """

    branch: str
    culprit: Sha | None
    fix: Sha | None
    runs: Tally | None = None
    pick: RevertOutcome = RevertOutcome.NOT_TRIED
    before: tuple[Sha, ...] = ()

    @property
    def broken(self) -> bool:
        """It was run, and fails."""
        return self.runs is not None and self.runs.bad > 0

    @property
    def passes(self) -> bool:
        """It was run, and does not fail."""
        return self.runs is not None and self.runs.n > 0 and self.runs.bad == 0

    @property
    def cured(self) -> bool:
        """It has the fix, and passes."""
        return self.culprit is not None and self.fix is not None and self.passes

    @property
    def settled(self) -> bool:
        """Nothing is waited for."""
        return self.culprit is None or self.passes


@dataclass(frozen=True, slots=True)
class Surveyed:
    """The stable branches were looked at: what each is now."""

    branches: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class Reopened:
    """It fails again at `tip`, after it was fixed. The new search begins at `good`, the last one where it was gone."""

    good: Sha
    tip: Sha


@dataclass(frozen=True, slots=True)
class Accepted:
    """A person takes it as it is. `until` is the last day of that (YYYY-MM-DD); then `owner` is asked again."""

    owner: str
    until: str
    why: str
    by: str


@dataclass(frozen=True, slots=True)
class Expired:
    """The day has passed until which it was accepted. It still fails at `tip`; None: that was not run."""

    owner: str
    until: str
    why: str
    tip: Sha | None = None


@dataclass(frozen=True, slots=True)
class Retracted:
    """A person says that the report is wrong."""

    why: str
    by: str


@dataclass(frozen=True, slots=True)
class Disputed:
    """A person says that another commit brought it. That was run, and the report stands: `why` is a phrase.

    `brings`: that commit does bring the failure, too, on another line of the history; a fix has to mend both.
    """

    commit: Sha
    by: str
    culprit: Tally
    parents: tuple[Tally, ...]
    why: str
    brings: bool = False


@dataclass(frozen=True, slots=True)
class Corrected:
    """A person said that another commit brought it, and runs show it. It is searched anew since `good`, a parent of it.

    `instead` is the commit that the report named: in the history of this one, where the failure was gone again. None:
    the report named no one commit.
    """

    commit: Sha
    by: str
    culprit: Tally
    parents: tuple[Tally, ...]
    good: Sha
    instead: Sha | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """A patch that somebody posted was put on the branch's tip, for a person asked; `said` is what came of it."""

    mail: str  # Message-ID of it, without brackets
    by: str
    said: str


Event = (
    Claimed | Offered | Refuted | Cured | Unnamed | Partly | Stuck | Surveyed | Reopened | Accepted | Expired
    | Retracted | Disputed | Corrected | Tried
)  # fmt: skip
EVENTS: tuple[type[Event], ...] = (
    Claimed, Offered, Refuted, Cured, Unnamed, Partly, Stuck, Surveyed, Reopened, Accepted, Expired, Retracted,
    Disputed, Corrected, Tried,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Happened:
    """An event and when it was noted, in seconds since the epoch."""

    at: float
    event: Event


class NotNowError(ValueError):
    """The event does not fit the regression's state; the text says so to a person."""


# -- the record ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """A follow-up mail: its kind, its number among the regression's mails, and the event that it is about."""

    kind: Kind
    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Record:
    """Where a regression stands, and all that happened to it."""

    state: State = State.OPEN
    history: tuple[Happened, ...] = ()
    claims: tuple[Sha, ...] = ()  # that are to be run
    refuted: tuple[Sha, ...] = ()  # that were run
    offers: tuple[str, ...] = ()  # Message-IDs of patches that say so
    cure: Cured | None = None  # the last one
    passing: Sha | None = None  # a tip where it is gone, and nobody knows by what
    partly: Partly | None = None  # the last one, if some of its cases pass
    stuck: Stuck | None = None  # nobody can run its cases
    branches: tuple[Standing, ...] = ()
    missing: bool = False  # the stable branches were asked for the fix
    accepted: Accepted | None = None
    times: int = 0  # that it was reopened
    also: tuple[Sha, ...] = ()  # commits that bring it besides the one that is reported
    corrected: Corrected | None = None  # what the last search began from, if that was a correction
    mails: int = 1  # that there are numbers for; the report has the first
    report: int = 1  # the number of the last search's report
    wanted: Wanted | None = None  # the last one

    @property
    def note(self) -> str:
        """What a list says beside the state."""
        match self.state:
            case _ if self.stuck and self.state.live:
                return f"not run any more: {self.stuck.why}"
            case State.ACCEPTED if self.accepted:
                return f"until {self.accepted.until}, {self.accepted.owner}"
            case State.FIXED | State.STABLE if self.cure:
                return f"by {self.cure.commit[:12]}"
            case State.POSTED if self.claims:
                return f"{self.claims[-1][:12]}, not run yet"
            case State.POSTED if self.offers:
                return f"{self.offers[-1]}, not in a branch yet"
            case _ if self.passing:
                return f"passes at {self.passing[:12]}, no fix was found"
            case _ if self.partly and self.state.live:
                here, every = len(self.partly.passing), len(self.partly.passing) + len(self.partly.failing)
                return f"{here} of {every} cases pass"
            case State.OPEN if self.accepted:
                return f"was accepted until {self.accepted.until}"
        return ""


def replay(history: Iterable[Happened]) -> Record:
    """The record of what happened, oldest first. Raises `NotNowError` for a history that cannot be."""
    record = Record()
    for happened in history:
        record = after(record, happened.event, happened.at)
    return record


CORRECTED = "corrected"
"""What became of a report that named the wrong commit, as a person said and runs showed."""


def became(history: Sequence[Happened], place: int) -> str:
    """What became of the report that the event at a place of the history set aside for a new search: `CORRECTED`, or
    the state that it had come to."""
    event = history[place].event
    if isinstance(event, Corrected) and event.instead is not None:
        return CORRECTED
    return str(replay(history[:place]).state)


def after(record: Record, event: Event, now: float) -> Record:
    """The record after an event. Raises `NotNowError` if there is no such step."""
    changed = _step(record, event)
    changed = replace(changed, history=(*record.history, Happened(now, event)))
    kind = _wanted(record, event, changed)
    if kind is None:
        return _anew(changed) if isinstance(event, Corrected) else changed
    seq = record.mails + 1
    missing = changed.missing or kind is Kind.STABLE
    changed = replace(changed, wanted=Wanted(kind, seq, event), mails=seq, missing=missing)
    return _anew(changed) if kind in (Kind.REOPENED, Kind.CORRECTED) else changed


def _anew(record: Record) -> Record:
    """It is searched anew: what that finds has the next number."""
    return replace(record, mails=record.mails + 1, report=record.mails + 1)


def _step(record: Record, event: Event) -> Record:
    state = record.state
    followed = state.live or state is State.ACCEPTED
    match event:
        case Claimed() if followed and event.commit not in (*record.claims, *record.refuted):
            now = State.POSTED if state.live else state
            return replace(record, state=now, claims=(*record.claims, event.commit))
        case Offered() if followed and event.mail not in record.offers:
            return replace(record, state=State.POSTED if state.live else state, offers=(*record.offers, event.mail))
        case Refuted() if followed and event.commit in record.claims:
            left = tuple(commit for commit in record.claims if commit != event.commit)
            now = _unfixed(record) if state is State.POSTED and not left else state
            return replace(record, state=now, claims=left, refuted=(*record.refuted, event.commit))
        case Cured() if followed:
            return replace(
                record, state=State.FIXED, cure=event, claims=(), passing=None, partly=None, accepted=None
            )  # fmt: skip
        case Unnamed() if followed:
            return replace(record, passing=event.tip.commit)
        case Partly() if followed:
            return replace(record, partly=event if event.passing else None)
        case Stuck() if followed:
            return replace(record, stuck=event if event.why else None)
        case Surveyed() if state.mended:
            branches = event.branches
            done = any(standing.cured for standing in branches) and all(standing.settled for standing in branches)
            return replace(record, state=State.STABLE if done else State.FIXED, branches=branches)
        case Reopened() if state.mended:
            return replace(
                record, state=State.REOPENED, claims=(), refuted=(), offers=(), passing=None, branches=(),
                missing=False, times=record.times + 1, also=(), corrected=None,
            )  # fmt: skip
        case Accepted() if followed:
            return replace(record, state=State.ACCEPTED, accepted=event)
        case Expired() if state is State.ACCEPTED:
            return replace(record, state=State.POSTED if record.claims or record.offers else _unfixed(record))
        case Retracted() if state is not State.RETRACTED:
            return replace(record, state=State.RETRACTED, claims=())
        case Disputed() if followed:
            brings = event.brings and event.commit not in record.also
            return replace(record, also=(*record.also, event.commit)) if brings else record
        case Tried() if followed:
            return record
        case Corrected() if state.live:
            return replace(record, also=(), passing=None, corrected=event)
    raise NotNowError(_not_now(record, event))


def _unfixed(record: Record) -> State:
    return State.REOPENED if record.times else State.OPEN


def _wanted(before: Record, event: Event, now: Record) -> Kind | None:
    """The mail that an event wants, if any: one for each state, and one that asks the stable branches."""
    match event:
        case Cured():
            return Kind.FIXED
        case Surveyed() if now.state is State.STABLE and before.state is not State.STABLE:
            return Kind.PICKED
        case Surveyed() if not before.missing and any(s.broken and not s.settled for s in event.branches):
            return Kind.STABLE
        case Reopened():
            return Kind.REOPENED
        case Expired():
            return Kind.EXPIRED
        case Retracted():
            return Kind.RETRACT
        case Corrected() if event.instead is not None:
            return Kind.CORRECTED
    return None


def due(record: Record, today: str, tip: Sha | None = None) -> Expired | None:
    """What is to be noted once the day has passed until which a regression is accepted. `today` is YYYY-MM-DD."""
    accepted = record.accepted
    if record.state is not State.ACCEPTED or accepted is None or today <= accepted.until:
        return None
    return Expired(accepted.owner, accepted.until, accepted.why, tip)


def partly(record: Record, tip: Sha, passing: Iterable[str], failing: Iterable[str]) -> Partly | None:
    """What is to be noted once other cases of a regression pass at a tip than did; None: nothing.

    Given are those that were run. What the others came to before stays true; where all pass it is cured, or will be.
    """
    good, bad = set(passing), set(failing)
    before = record.partly or Partly(tip, (), ())
    now = (set(before.passing) - bad) | good
    still = (set(before.failing) - good) | bad
    if not still or now == set(before.passing):
        return None
    return Partly(tip, tuple(sorted(now)), tuple(sorted(still)))


def moot(record: Record) -> Hold | None:
    """What holds a mail that did not go out before the regression came to this state; None: nothing."""
    match record.state:
        case State.FIXED | State.STABLE:
            return Hold("superseded", "it is fixed" + (f" by {record.cure.commit[:12]}" if record.cure else ""))
        case State.RETRACTED:
            return Hold("superseded", "it is retracted")
        case State.ACCEPTED if record.accepted:
            return Hold("person", f"it is accepted until {record.accepted.until}")
    return None


def overtaken(before: Record, event: Event, now: Record) -> Hold | None:
    """What holds the mails that did not go out before an event; None: nothing new."""
    if isinstance(event, Corrected):
        return Hold("superseded", f"it is searched anew, since {event.good[:12]}")
    return moot(now) if now.state is not before.state else None


def telling(record: Record) -> Wanted | None:
    """The follow-up that says where the regression stands now; None: there is none, or it is out of date."""
    wanted = record.wanted
    if wanted is None:
        return None
    match wanted.kind:
        case Kind.FIXED | Kind.STABLE:
            true = record.state is State.FIXED
        case Kind.PICKED:
            true = record.state is State.STABLE
        case Kind.RETRACT:
            true = record.state is State.RETRACTED
        case Kind.CORRECTED:
            true = False  # what the new search finds says it, too
        case _:
            true = record.state.live
    return wanted if true else None


def _not_now(record: Record, event: Event) -> str:
    match event:
        case Claimed() | Refuted() if record.state.live:
            return f"{event.commit[:12]} is no claim that waits to be run" if isinstance(event, Refuted) else (
                f"that {event.commit[:12]} cures it is noted"
            )  # fmt: skip
        case Offered() if record.state.live:
            return f"that <{event.mail}> says so is noted"
        case Accepted():
            return f"it is {record.state}: only what fails can be accepted"
        case Retracted():
            return "it is retracted already"
    return f"it is {record.state}"
