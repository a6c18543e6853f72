"""Who told us something is told what came of it: one mail for one, once all of it is done.

It is put into the outbox together with the note that it is written, so there is no second one. Nobody has to approve
it: it goes to the one who asked, and says nothing but what was run, and what was noted.
"""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable
from datetime import UTC, datetime

from bot.config import Config
from bot.core.gate import FINDINGS
from bot.core.outbox import ANSWER, MAIL, allowed
from bot.core.replies import Command, Verb, over
from bot.data import data_dir
from bot.model import ReplySettings
from bot.pipeline.posting import NEVER
from bot.report import people
from bot.report.answer import Answer, mail
from bot.report.deliver import as_text
from bot.store.outbox import Post
from bot.store.replies import Asked, Fate, Told
from bot.store.store import Store

_LATER = "noted; the clone does not have that commit yet, it is run once the branch has it"


def answer(store: Store, config: Config, say: Callable[[str], None]) -> None:
    """Write the answers that are due: to mails of which no command waits for its turn."""
    settings = config.reply_settings
    if settings is None:
        return
    for told in store.replies.owed():
        if not all(map(_done, told.commands)):
            continue
        post = None
        if (why := _unwanted(store, config, settings, told)) is None:
            post = _post(store, config, told)
            why = None if post else "that is no address that is written to"
        store.replies.answer(told, post)
        if why is not None:
            say(f"{told.regression}: {told.sender} gets no answer: {why}")


def _done(asked: Asked) -> bool:
    """Whether all is known that its sender can be told now. That a commit is missing may be so for weeks."""
    return asked.fate is not Fate.WAITING or asked.command.verb is Verb.FIXED_BY


def _unwanted(store: Store, config: Config, settings: ReplySettings, told: Told) -> str | None:
    """Why there is no answer; None: there is one."""
    if told.sender in store.replies.no_cc():
        return "they want no mails"
    post, own = config.post_settings, people.sender(config.report_settings).addr_spec
    if post.test_to is None and not allowed(told.sender, post.domains, post.no_cc, own):
        return "report.domains and report.no_cc say who may get mail"
    if over(store.replies.answered(told.sender), settings.day, store.clock()):
        return f"they had {settings.day} in a day (replies.day)"
    return None


def _post(store: Store, config: Config, told: Told) -> Post | None:
    outcomes: list[tuple[Command, str]] = []
    for asked in told.commands:
        waits = asked.fate is Fate.WAITING
        outcomes.append((asked.command, _LATER if waits else f"{asked.said}."))
    written = Answer(
        told.id, told.regression, told.sender, told.message_id, _subject(store, told.regression), tuple(outcomes),
        told.refused,
    )  # fmt: skip
    date = datetime.fromtimestamp(store.clock(), UTC)
    message = mail(written, settings=config.report_settings, templates=data_dir() / "templates", date=date)
    if message is None:
        return None
    held = () if config.post_settings.by != "never" else (NEVER,)
    return Post(ANSWER, str(message["Message-ID"]), MAIL, held, as_text(message))


def _subject(store: Store, regression_id: str) -> str:
    """That of the last report."""
    mails = [kept.eml for kept in store.mails(regression_id) if kept.kind in FINDINGS]
    if not mails:
        return regression_id
    return str(email.message_from_bytes(mails[-1].encode(), policy=email.policy.default)["Subject"])
