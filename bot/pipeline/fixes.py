"""Who says that a culprit is mended already: commits in the clone, and patches that somebody posted; and what has them.

What is said is a hint, no verdict: anybody may say so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import getaddresses, parsedate_to_datetime

from bot.config import Config
from bot.core import trailers
from bot.core.claims import alike, offer, picked
from bot.core.replies import Letter, message_id
from bot.errors import InfraError, UserError
from bot.host import postings
from bot.host.git import Repository
from bot.model import Commit, Offer, ReplySettings, Sha
from bot.report.people import every_list

_MOST = 3  # patches that are told of, the newest ones: the versions of one, most times


def later_fixes(repository: Repository, culprit: Commit) -> tuple[Commit, ...]:
    """Commits on any branch that say they fix or revert the culprit, or the commit that it was picked from.

    Not those of a series that was only posted, and put on a branch's tip to be tried.
    """
    same = alike(culprit)
    found = {sha: None for one in same for sha in repository.mentioning(one)}
    others = repository.commits(sha for sha in found if sha not in same)
    saying = (c for c in others if any(trailers.names(c.body, one) for one in same))
    return tuple(c for c in saying if not repository.posted(c.sha))


def has(repository: Repository, tip: Sha, commit: Sha) -> Sha | None:
    """The commit in a tip's history that is this one, or says that it was picked from it; None: there is none."""
    if repository.is_ancestor(commit, tip):
        return commit
    mentioning = repository.commits(repository.mentioning(commit))
    picks = (one.sha for one in mentioning if picked(one, commit))
    return next((sha for sha in picks if repository.is_ancestor(sha, tip)), None)


def posted_fixes(
    config: Config, culprit: Commit, taken: Iterable[Commit], say: Callable[[str], None], stop: threading.Event
) -> tuple[Offer, ...] | None:
    """Patches on a list that say they fix or revert the culprit, newest last. None if mails are not read, or cannot be.

    Left out are those that `taken` commits say they were mailed as, and a mail that went to none of `report.lists`: its
    author did not show it to everybody.
    """
    settings = config.reply_settings
    if settings is None:
        return None
    try:
        found = sorted(_found(settings, every_list(config.report_settings), culprit, stop), key=lambda one: one[0])
    except (UserError, InfraError) as error:  # the search is not to suffer for it
        say(f"mails were not searched for a fix of {culprit.short}: {error}")
        return None
    merged = {name for commit in taken for name in trailers.message_ids(commit.body)}
    return tuple({one.mail: one for _, one in found if one.mail not in merged}.values())[-_MOST:]


def _found(
    settings: ReplySettings, lists: frozenset[str], culprit: Commit, stop: threading.Event
) -> Iterator[tuple[datetime, Offer]]:
    named = alike(culprit)
    texts = (*(sha[:8] for sha in named), culprit.subject)
    for letter in postings.saying(settings.source, texts, stop):
        own, how = message_id(letter), offer(letter.text, named)
        if own is not None and how is not None and lists & set(_recipients(letter)):
            yield _date(letter), Offer(own, how)


def _recipients(letter: Letter) -> Iterator[str]:
    fields = [value for name in ("to", "cc") for value in letter.all(name)]
    return (address.lower() for _, address in getaddresses(fields))


def _date(letter: Letter) -> datetime:
    """When it was sent, as it says itself; what says nothing is the oldest."""
    try:
        sent = parsedate_to_datetime(letter.one("date"))
    except (ValueError, TypeError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
    return sent.astimezone(UTC) if sent.tzinfo else sent.replace(tzinfo=UTC)
