"""At each release candidate: what was reported, is open, and would be in the release. One mail, or none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from bot.config import Config
from bot.core.gate import Hold
from bot.core.outbox import DIGEST, MAIL
from bot.core.outbox import State as Sending
from bot.data import data_dir
from bot.errors import UserError
from bot.host.git import Repository
from bot.pipeline.curing import report_of
from bot.pipeline.posting import NEVER
from bot.pipeline.readers import readers
from bot.pipeline.tracking import reported
from bot.report import digest
from bot.report.deliver import as_text
from bot.report.words import plural
from bot.store.outbox import Post
from bot.store.store import Mail, Store
from bot.watch.upstream import Tip

_APPROVAL = Hold("approval", "not approved by a person")


def tell(store: Store, config: Config, repository: Repository, tip: Tip, say: Callable[[str], None]) -> None:
    """Write the mail about the candidate that a branch is at, unless there is one, or nothing to tell."""
    settings = config.report_settings
    candidate = repository.candidate(tip.sha) if config.report.digest else None
    if candidate is None:
        return
    own = digest.message_id(candidate, settings)
    found = [] if any(mail.message_id == own for mail in store.mails(DIGEST)) else _open(store, config, tip, say)
    if not found:
        return
    holds = (_APPROVAL,) if settings.approval else ()
    now = store.clock()
    message = digest.mail(
        candidate, found, readers(repository, tip.sha, None, ()), settings=settings,
        templates=data_dir() / "templates", date=datetime.fromtimestamp(now, UTC), holds=holds,
    )  # fmt: skip
    held = tuple(str(hold) for hold in holds)
    kept = Mail(DIGEST, DIGEST, own, now, held, as_text(message))
    unsent = (NEVER,) if config.post_settings.by == "never" else ()
    store.post(DIGEST, [Post(DIGEST, own, MAIL, (*held, *unsent), kept.eml)], kept)
    say(f"{candidate}: {plural(len(found), 'regression')} reported and open: `bot report {DIGEST}`")


def _open(store: Store, config: Config, tip: Tip, say: Callable[[str], None]) -> list[digest.Open]:
    """Regressions of a branch that wait to be mended, and of which a mail went out, oldest first. Of those that nobody
    can run any more it is not known whether they are in the candidate."""
    found = []
    for entry in store.regressions():
        told = reported(store, config, entry.regression.id).get(MAIL)
        followed = entry.regression.branch == tip.branch and entry.state.live and entry.record.stuck is None
        if followed and told and told.state is Sending.SENT:
            note = f" ({entry.record.note})" if entry.record.note else ""
            try:
                found.append(digest.Open(report_of(entry), f"{entry.state}{note}", told.message_id))
            except UserError as error:  # the others are told, and the cycle goes on
                say(f"{entry.regression.id}: is not told of at the release candidate: {error}")
    return found
