"""What happened to a regression is noted, and those are told who were told of it.

An event and its mail are one transaction (`Store.happened`). There is a follow-up only where the report went out; where
it goes out later, `late` writes what is to be told then. Nothing is sent here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from bot.config import Config
from bot.core.cure import gate
from bot.core.gate import FINDINGS, Hold, Kind
from bot.core.lifecycle import (
    Corrected,
    Cured,
    Event,
    Expired,
    Record,
    Reopened,
    State,
    Surveyed,
    Wanted,
    after,
    telling,
)
from bot.core.outbox import GITLAB, MAIL, Item
from bot.core.outbox import State as Sending
from bot.core.tracker import addresses
from bot.core.verdict import failed
from bot.data import data_dir
from bot.errors import UserError
from bot.host.git import Repository
from bot.model import Case, Commit, Expected, Regression, Report, Run, Sha
from bot.pipeline.posting import posts
from bot.pipeline.shipped import shipped
from bot.report import data, follow
from bot.report.deliver import as_text
from bot.store.outbox import Post
from bot.store.store import Entry, Mail, Store, number


def note(
    store: Store,
    config: Config,
    regression_id: str,
    event: Event,
    repository: Repository | None,
    again: Regression | None = None,
) -> Record:
    """Note an event, with the mail that it wants; the record after. `repository` says of commits what mails cite.

    Raises `NotNowError` if the event does not fit what is known by now.
    """
    while True:  # a person may note something at this moment, too
        (entry,) = store.regressions(regression_id)
        record = after(entry.record, event, store.clock())
        mail, waiting = None, tuple[Post, ...]()
        if record.wanted is not None and record.wanted != entry.record.wanted:
            mail, waiting = _follow_up(store, config, entry, record, record.wanted, repository)
        done = store.happened(regression_id, event, entry.record, mail=mail, posts=waiting, again=again)
        if done is not None:
            return done


def late(store: Store, config: Config, repository: Repository | None) -> None:
    """Write the follow-ups that are due by now: the report was not out yet when what they tell happened."""
    for entry in store.regressions():
        wanted, name = telling(entry.record), entry.regression.id
        if wanted is None:
            continue
        mine = f"<{name}.{wanted.seq}.{wanted.kind}."
        items = store.outbox.items(number(name))
        have = {item.destination for item in items if item.message_id.startswith(mine)}
        if have.issuperset(_destinations(wanted, reported(store, config, name), items)):
            continue
        mail, waiting = _follow_up(store, config, entry, entry.record, wanted, repository)
        if mail is not None:
            store.post(name, [post for post in waiting if post.destination not in have], mail)


def accepted(store: Store, branch: str, runs: Iterable[Run]) -> dict[Case, Expected]:
    """The failures on a branch that a person accepts for now, each as an entry that knows it."""
    entries: dict[tuple[Case, str], Expected] = {}
    for entry in store.regressions():
        taken, kept = entry.record.accepted, entry.regression
        if entry.state is State.ACCEPTED and taken is not None and kept.branch == branch:
            known = Expected(kept.id, taken.why, taken.owner, taken.until)
            entries |= {(case, kept.signature.key): known for case in kept.cases}
    failing = ((run.case, (run.case, run.signature.key)) for run in runs if run.signature and failed(run))
    return {case: entries[key] for case, key in failing if key in entries}


def reported(store: Store, config: Config, regression_id: str) -> dict[str, Item]:
    """By destination the report that went out there, or may have; of several the last. Where none did, the mail that
    stands alone: it asked stable branches for the fix.

    What went to `report.test_to` or `report.gitlab.test_project` instead counts for as long as everything goes there.
    """
    settings = config.post_settings
    testing = {MAIL: settings.test_to, GITLAB: settings.gitlab.test_project if settings.gitlab else None}
    found: dict[str, Item] = {}
    alone: dict[str, Item] = {}
    for item in store.outbox.items(number(regression_id)):
        there = item.state is Sending.SENT and (not item.test or testing.get(item.destination) is not None)
        if not there and item.state is not Sending.UNKNOWN:
            continue
        if item.kind in FINDINGS:
            found[item.destination] = item
        elif item.kind == Kind.STABLE:
            alone[item.destination] = item
    return found or alone


def thread(store: Store, config: Config, regression_id: str) -> str:
    """The Message-ID of the mail that began the thread about a regression; "" if none went out."""
    there = reported(store, config, regression_id).get(MAIL)
    if there is None:
        return ""
    kinds: Collection[str] = FINDINGS if there.kind in FINDINGS else (there.kind,)
    items = store.outbox.items(number(regression_id))
    first = (i for i in items if i.destination == MAIL and i.kind in kinds and i.state is there.state)
    return next(first).message_id


def issue(store: Store, regression_id: str) -> str:
    """The URL of the issue that was opened for a regression; "" if none was, or only one for trials."""
    items = store.outbox.items(number(regression_id))
    said = [i.said for i in items if i.destination == GITLAB and i.state is Sending.SENT and not i.test]
    return next((url for text in said for url in addresses(text)), "")


def _destinations(wanted: Wanted, told: Iterable[str], items: Iterable[Item]) -> frozenset[str]:
    """Where a follow-up goes: to who was told. Where nobody was, a stable branch that has it is news all the same: that
    mail stands alone, unless the report is just going out."""
    found = frozenset(told)
    if found or wanted.kind is not Kind.STABLE:
        return found
    going = any(item.kind in FINDINGS and item.state in (Sending.QUEUED, Sending.SENDING) for item in items)
    return found if going else frozenset((MAIL,))


def _withheld(items: Iterable[Item]) -> tuple[Hold, ...]:
    """What held the report that did not go out, and is as true of a mail that stands alone: not that it is fixed by
    now, nor what is asked about each mail anew."""
    reports = [item for item in items if item.destination == MAIL and item.kind in FINDINGS]
    texts = reports[-1].held if reports else ()
    holds = (Hold(name, why) for name, _, why in (text.partition(": ") for text in texts))
    return tuple(hold for hold in holds if hold.name not in _ANEW)


_ANEW = {"approval", "caps", "fixed", "sending", "superseded"}


def _follow_up(
    store: Store, config: Config, entry: Entry, record: Record, wanted: Wanted, repository: Repository | None
) -> tuple[Mail | None, tuple[Post, ...]]:
    """The mail about it, and what is to go out to each destination that was told of the regression."""
    name = entry.regression.id
    told, items = reported(store, config, name), store.outbox.items(number(name))
    destinations = _destinations(wanted, told, items)
    if entry.report is None or not destinations:
        return None, ()
    report = replace(data.load(entry.report, entry.regression.id), regression=entry.regression)
    settings = config.report_settings
    holds = list(gate(wanted, approved=not settings.approval))
    if any(item.state is Sending.UNKNOWN for item in told.values()):
        holds.append(Hold("person", "the report may have gone out, or not: look for it first"))
    original: str | None = ""
    if told:
        known = told.get(MAIL, next(iter(told.values())))
        original = next((m.eml for m in store.mails(name) if m.message_id == known.message_id), None)
    else:
        holds = [*_withheld(items), *holds]
    if original is None:
        return None, ()
    followed = follow.Followed(
        report, record, wanted, original, _commits(record, wanted, repository), _shipped(report, record, repository)
    )
    now = store.clock()
    message = follow.mail(
        followed, settings=settings, templates=data_dir() / "templates", date=datetime.fromtimestamp(now, UTC),
        holds=holds,
    )  # fmt: skip
    own = str(message["Message-ID"])
    mail = Mail(name, wanted.kind, own, now, tuple(str(hold) for hold in holds), as_text(message))
    return mail, tuple(post for post in posts(report, wanted.kind, mail, config) if post.destination in destinations)


def _shipped(report: Report, record: Record, repository: Repository | None) -> tuple[str, ...] | None:
    """The releases that have the culprit and not the fix; None: nobody looked."""
    if repository is None or record.cure is None or report.culprit is None:
        return None
    try:
        return shipped(repository, record.cure.tip.commit, report.culprit.sha, record.cure.commit)
    except UserError:
        return None  # a commit was on a branch that is gone


def _commits(record: Record, wanted: Wanted, repository: Repository | None) -> dict[Sha, Commit]:
    """The commits that a follow-up names, as far as there is a clone that has them."""
    if repository is None:
        return {}
    found: dict[Sha, Commit] = {}
    for sha in dict.fromkeys(_named(record, wanted)):
        try:
            found[sha] = repository.commit(repository.resolve(sha))
        except UserError:
            continue  # it was on a branch that is gone
    return found


def _named(record: Record, wanted: Wanted) -> Iterator[Sha]:
    if record.cure is not None:
        yield record.cure.commit
    match wanted.event:
        case Surveyed():
            yield from _distinct(standing.fix for standing in wanted.event.branches)
            yield from _distinct(sha for standing in wanted.event.branches for sha in standing.before)
        case Expired() if wanted.event.tip:
            yield wanted.event.tip
        case Cured():
            yield wanted.event.tip.commit
        case Reopened():
            yield wanted.event.tip
        case Corrected():
            yield from _distinct((wanted.event.commit, wanted.event.instead))


def _distinct(shas: Iterable[Sha | None]) -> Iterator[Sha]:
    return (sha for sha in dict.fromkeys(shas) if sha is not None)
