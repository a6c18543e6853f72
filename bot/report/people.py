"""Who gets a mail, and which thread it joins: who wrote, reviewed or maintains the culprit, not its whole Cc list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from urllib.parse import quote

from bot.core.branches import stable_series
from bot.core.gate import Kind
from bot.core.outbox import named
from bot.core.sides import comes_from
from bot.core.trailers import message_ids, reviewers
from bot.errors import UserError
from bot.model import Readers, Report, ReportSettings
from bot.report.safe import address, message_id, parse_address

MOST_PEOPLE = 8  # in Cc, besides the lists
_STABLE = {"qemu-devel@nongnu.org": "qemu-stable@nongnu.org"}
_ARCHIVES = {"qemu-devel@nongnu.org": "https://lore.kernel.org/qemu-devel"}
YOUNG = timedelta(days=90)  # a patch mail younger than this is answered, an older one is left alone


@dataclass(frozen=True, slots=True)
class Recipients:
    """To and Cc, without doubles; at least one To."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]


def recipients(report: Report, kind: Kind, settings: ReportSettings) -> Recipients:
    """For a culprit its author, and who reviewed it, maintains its files, and maintains migration; when nobody is
    blamed the lists, and who maintains migration. The people of the configuration and the lists either way.

    The list of the stable branches too, if the culprit was searched for and found in one; and who wrote the fix that
    one lacks.
    """
    lists = tuple(configured("report.lists", text) for text in settings.lists)
    if comes_from(report.sides, report.good.sha, report.bad.sha) or stable_series(report.regression.branch):
        lists += stable_lists(settings)
    readers = report.readers or Readers(reviewers=reviewers(report.culprit.body) if report.culprit else ())
    others = (*_addresses(readers.migration), *(configured("report.cc", text) for text in settings.cc))
    author = address(report.culprit.author, report.culprit.email) if report.culprit and kind is Kind.REPORT else None
    if author is None or report.culprit is None:
        to, cc = lists, _distinct(others, lists)[:MOST_PEOPLE]
    else:
        to = (author,)
        mended = ((fix.author, fix.email) for fix in report.fixed_by or () if fix.sha in report.missing)
        near = _addresses((*mended, *readers.reviewers, *readers.maintainers))
        cc = (*_distinct((*near, *others), (*to, *lists))[:MOST_PEOPLE], *lists)
    return only_wanted(to, cc, settings)


def stable_lists(settings: ReportSettings) -> tuple[Address, ...]:
    """Where the stable branches are talked about, of the lists that are configured."""
    lists = (configured("report.lists", text).addr_spec for text in settings.lists)
    return tuple(configured("report.lists", _STABLE[text]) for text in lists if text in _STABLE)


def only_wanted(to: Iterable[Address], cc: Iterable[Address], settings: ReportSettings) -> Recipients:
    """Without doubles, and those who want no mail (`report.no_cc`)."""
    to, cc = _wanted(to, settings), _wanted(cc, settings)
    if not to:  # who wants no mail is not named either: answers would go there
        to, cc = cc, ()
    to = to or (sender(settings),)
    return Recipients(_distinct(to), _distinct(cc, to))


def few(who: Recipients, settings: ReportSettings) -> Recipients:
    """The same with no more people in Cc than there may be, the first of them; lists stay."""
    lists = every_list(settings)
    named = [found for found in who.cc if found.addr_spec.lower() not in lists][:MOST_PEOPLE]
    return Recipients(who.to, tuple(found for found in who.cc if found in named or found.addr_spec.lower() in lists))


def every_list(settings: ReportSettings) -> frozenset[str]:
    """Addresses of lists that mails may go to, in small letters."""
    lists = {configured("report.lists", text).addr_spec for text in settings.lists}
    return frozenset(text.lower() for text in lists | {_STABLE[text] for text in lists if text in _STABLE})


def _wanted(addresses: Iterable[Address], settings: ReportSettings) -> tuple[Address, ...]:
    return tuple(found for found in addresses if not named(found.addr_spec, settings.no_cc))


def sender(settings: ReportSettings) -> Address:
    """The address that mails come from."""
    return configured("report.sender", settings.sender)


def configured(key: str, text: str) -> Address:
    """An address of the configuration. Raises `UserError` with its key if it is none."""
    found = parse_address(text)
    if found is None:
        raise UserError(f"{key}: {text!r} is not a mail address; write user@host or Name <user@host>")
    return found


def tagged(settings: ReportSettings, tag: str) -> Address:
    """The sender with a plus-address (`migbot+r0017@host`), so that answers and tags find their regression."""
    own = sender(settings)
    return Address(own.display_name, f"{own.username}+{tag}", own.domain)


def domain(settings: ReportSettings) -> str:
    """The right side of our Message-IDs."""
    return settings.domain or sender(settings).domain


def archive(settings: ReportSettings, own_id: str) -> str | None:
    """Where a mail to the lists can be read by its Message-ID; None if no archive of theirs is known."""
    known = (_ARCHIVES.get(configured("report.lists", text).addr_spec) for text in settings.lists)
    base = settings.archive or next((url for url in known if url), None)
    return f"{base.rstrip('/')}/{quote(own_id.strip('<>'), safe='@')}/" if base else None


def thread(report: Report, now: datetime) -> tuple[str, ...]:
    """Message-ID of the culprit's patch mail, if it is young and unreleased; else nothing: a new thread."""
    culprit = report.culprit
    if culprit is None or report.releases is None or report.releases:
        return ()
    posted = datetime.fromisoformat(culprit.date)  # `git am` keeps the Date of the patch mail as the author's
    if now - posted > YOUNG:
        return ()
    found = (message_id(text) for text in message_ids(culprit.body))
    return tuple(text for text in found if text)[:1]


def _addresses(found: Iterable[tuple[str, str]]) -> list[Address]:
    named = (address(name, email) for name, email in found)
    return [one for one in named if one is not None]


def _distinct(addresses: Iterable[Address], but: Iterable[Address] = ()) -> tuple[Address, ...]:
    seen = {found.addr_spec.lower() for found in but}
    out = []
    for found in addresses:
        if found.addr_spec.lower() not in seen:
            seen.add(found.addr_spec.lower())
            out.append(found)
    return tuple(out)
