"""What goes out: `bot run` sends what waits after each cycle, `bot report ID --approve --send` at a person's word.

One process at a time sends (`lock.sender`), so what it finds `sending` a dead one left. An item is marked in the
database before the first byte leaves, and again when the answer is there.
"""

from __future__ import annotations

import os
import pwd
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.config import Config
from bot.core.alarms import waits_for
from bot.core.outbox import (
    ANSWER,
    DIGEST,
    GITLAB,
    MAIL,
    Accepted,
    Again,
    Approved,
    Began,
    Deferred,
    Held,
    Item,
    NotNowError,
    State,
    counted,
    exactly,
    waiting,
)
from bot.errors import UserError
from bot.host import lock
from bot.host.secret import secret
from bot.model import PostSettings
from bot.pipeline.standing import no_mail, standing
from bot.report.post import Letter, Transport
from bot.report.post import addressing as addressed
from bot.report.post.gitlab import GitLab
from bot.report.post.sendmail import Sendmail
from bot.report.post.smtp import Smtp
from bot.report.post.webhook import Webhook
from bot.store.outbox import Post
from bot.store.store import Store, number
from bot.terminal import duration

SENDMAIL_TIME = 300.0  # seconds that a sendmail command may take
DONE, NOT_NOW, TROUBLE = 0, 129, 131


@dataclass(frozen=True, slots=True)
class Office:
    """Sends items of one store, by one configuration. `stop`: nothing more is begun once it is set."""

    store: Store
    settings: PostSettings
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    def open(self, destination: str) -> bool:
        """Whether anything is sent there."""
        if destination == MAIL:
            return self.settings.by != "never"
        if destination == GITLAB:
            return self.settings.gitlab is not None
        return any(hook.name == destination for hook in self.settings.webhooks)

    def transport(self, destination: str) -> Transport:
        """The way to a destination. Raises `UserError` for what its configuration lacks."""
        settings = self.settings
        for hook in settings.webhooks:
            if hook.name == destination:
                return Webhook(hook, secret(hook.secret, hook.token_file, f"report.webhooks.{hook.name}.token_file"))
        if destination == GITLAB and settings.gitlab is not None:
            key = "report.gitlab.token_file"
            return GitLab(settings.gitlab, secret("GITLAB", settings.gitlab.token_file, key))
        if settings.by == "sendmail":
            return Sendmail(settings.sendmail, SENDMAIL_TIME)
        password = secret("SMTP", settings.smtp.password_file, "report.smtp.password_file")
        return Smtp(settings.smtp, password if settings.smtp.user else None)

    def repeatable(self, destination: str) -> bool:
        """Whether the other side knows a repetition; also of a destination that is configured no more."""
        return destination != MAIL

    def flush(self) -> None:
        """Send what is due, as far as the caps let it, oldest first.

        While nothing can be handed to the mail server its oldest mail asks for all whether it is back; then the others
        follow in their order.
        """
        for item in self.store.outbox.end_orphans(self.repeatable):
            self.tell(item)
        shut: set[str] = set()
        way, asked = self.store.alarms.way(), False
        for item in self.store.outbox.items():
            if self.stop.is_set():
                return
            if item.state is not State.QUEUED or item.destination in shut or not self.open(item.destination):
                continue
            follows = item.destination == MAIL and waits_for(item, way)
            if item.next_try > self.store.clock() and not (follows and asked):
                if follows:
                    shut.add(MAIL)
                continue
            if wait := self.waits(item.destination):
                self.say(f"{item.destination}: enough for now (report.caps); goes on in {duration(wait)}")
                shut.add(item.destination)
                continue
            try:
                sent, gone = self.send(item, Began(hurry=follows and asked, test=self.tests(item)))
                asked = asked or item.destination == MAIL
            except NotNowError:  # a person was quicker
                continue
            except UserError as error:
                self.say(f"{item.destination}: {error}")
                gone = True
            else:
                self.tell(sent)
            if gone:
                shut.add(item.destination)

    def waits(self, destination: str) -> float:
        """Seconds until one more may go there."""
        times = counted(self.store.outbox.items(), destination)
        return waiting(times, self.settings.hour, self.settings.day, self.store.clock())

    def tests(self, item: Item) -> bool:
        """Whether it goes elsewhere than it is for."""
        if item.destination == GITLAB:
            return self.settings.gitlab is not None and self.settings.gitlab.test_project is not None
        return item.destination == MAIL and self.settings.test_to is not None

    def send(self, item: Item, began: Began) -> tuple[Item, bool]:
        """One try: the item after it, and whether the other side is not there for anything."""
        letter = self.letter(item)
        if item.state is State.QUEUED and item.destination == MAIL and not letter.recipients:
            why = "nobody of To and Cc may get it (report.domains, report.no_cc)"
            return self.store.outbox.change(item, Held(why, "recipients")), False
        transport = self.transport(item.destination)
        going = self.store.outbox.change(item, began)
        answer = transport.send(letter)
        sent = self.store.outbox.change(going, answer)
        if item.destination == MAIL:
            self.store.alarms.heard(answer)
        return sent, isinstance(answer, Deferred) and answer.everything

    def letter(self, item: Item) -> Letter:
        """What goes out: the same in each try but for those who have it already."""
        text = self.store.outbox.text(item)
        if item.destination != MAIL:
            return Letter(item.key, text.encode())
        since = self.store.clock() if item.queued_at is None else item.queued_at
        date = datetime.fromtimestamp(since, UTC)
        return addressed.letter(text, self.settings, date, but={*item.delivered, *item.refused})

    def tell(self, item: Item) -> None:
        self.say(f"{item.regression}: {standing(item)}")


def _but(settings: PostSettings, store: Store) -> PostSettings:
    """Settings that leave those alone who asked for it."""
    return replace(settings, no_cc=(*settings.no_cc, *map(exactly, store.replies.no_cc())))


def flush(
    config: Config,
    work: Path,
    say: Callable[[str], None],
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
) -> None:
    """Send what is due. What is wrong with the configuration is told; it waits."""
    settings = config.post_settings
    if stop.is_set() or (settings.by == "never" and not settings.webhooks and settings.gitlab is None):
        return
    try:
        with lock.sender(work):
            store = Store(work, clock)
            Office(store, _but(settings, store), say, stop).flush()
    except UserError as error:
        say(f"nothing was sent: {error}")


# -- at a person's word --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants done with what is to go out about a regression."""

    approve: bool = False
    hold: str | None = None
    send: bool = False
    again: bool = False
    send_to: str | None = None

    @property
    def any(self) -> bool:
        return self.approve or self.send or self.again or self.hold is not None or self.send_to is not None


def fulfil(config: Config, work: Path, regression_id: str, kind: str | None, wish: Wish) -> int:
    """Do it, and print where everything stands. 0; 129 it cannot be sent; 131 it was not taken, or nobody knows.

    Raises `UserError` if nothing of it could be done, with what holds it.
    """
    if wish.again and not wish.send:
        raise UserError("--again goes with --send: it sends what was refused, or may have gone out, once more")
    if wish.hold is not None and (wish.approve or wish.send):
        raise UserError("--hold keeps back what --approve and --send let go; give one of them")
    store = Store(work)
    items = chosen(store, regression_id, kind)
    settings = _but(config.post_settings, store)
    by, outbox = user(), store.outbox
    if wish.hold is not None:
        items = _each(items, lambda item: outbox.change(item, Held(f"{wish.hold} (by {by})")))
    if wish.approve:
        items = _each(items, lambda item: outbox.change(item, Approved(by)))
    if not wish.send:
        for item in items if wish.hold is not None or wish.approve else ():
            print(f"{item.regression}: {standing(item)}")
    office = Office(store, settings, print)
    code = _send_now(office, work, items, wish.again, by) if wish.send else DONE
    if wish.send_to is not None:
        code = max(code, _send_copy(office, items, wish.send_to))
    return code


def chosen(store: Store, regression_id: str, kind: str | None) -> list[Item]:
    """What is to go out about a regression's last finding, or the last of a kind, to each destination."""
    store.known(regression_id)
    kind = kind or (DIGEST if regression_id == DIGEST else None)
    known = {item.message_id for item in store.outbox.items(number(regression_id))}
    for mail in store.mails(regression_id):  # from before there was an outbox
        if mail.message_id not in known:
            held = (*mail.held, "sending: it was written before mails were sent")
            store.post(regression_id, [Post(mail.kind, mail.message_id, MAIL, held, mail.eml)])
    found = [i for i in store.outbox.items(number(regression_id)) if i.kind == kind or (not kind and i.kind != ANSWER)]
    if not found:
        raise UserError(no_mail(regression_id, kind))
    live = [i for i in found if not any(text.startswith("superseded") for text in i.held)] or found
    return [item for item in live if item.message_id == live[-1].message_id]


def _each(items: Sequence[Item], step: Callable[[Item], Item]) -> list[Item]:
    """A step for all that can take it. Raises `UserError` with what speaks against it if none can."""
    changed, refused = [], []
    for item in items:
        try:
            changed.append(step(item))
        except NotNowError as error:
            changed.append(item)
            refused.append(f"{item.regression}: {item.destination}: {error}")
    if len(refused) == len(items):
        raise UserError("\n".join(refused))
    return changed


def _send_now(office: Office, work: Path, items: Sequence[Item], again: bool, by: str) -> int:
    """Send what can be sent. Raises `UserError` with what speaks against it if nothing can."""
    refused, codes = [], []
    with lock.sender(work):
        office.store.outbox.end_orphans(office.repeatable)
        for item in items:
            name = f"{item.regression}: {item.destination}"
            try:
                if not office.open(item.destination):
                    raise UserError("report.send is never" if item.destination == MAIL else "it is configured no more")
                if wait := office.waits(item.destination):
                    raise UserError(f"caps: enough for now (report.caps); one more may go in {duration(wait)}")
                if again:
                    item = office.store.outbox.change(item, Again(by))
                sent, _ = office.send(item, Began(hurry=True, test=office.tests(item)))
            except (NotNowError, UserError) as error:
                refused.append(f"{name}: {error}")
                continue
            office.tell(sent)
            codes.append(_CODES[sent.state])
    if not codes:
        raise UserError("\n".join(refused))
    for text in refused:
        office.say(text)
    return max(codes)


_CODES = {
    State.SENT: DONE, State.HELD: NOT_NOW, State.REFUSED: NOT_NOW, State.QUEUED: TROUBLE, State.UNKNOWN: TROUBLE,
}  # fmt: skip


def _send_copy(office: Office, items: Sequence[Item], to: str) -> int:
    """A copy of the mail to one address; nothing is noted, for the mail itself is not sent by it."""
    mail = next((item for item in items if item.destination == MAIL), None)
    if mail is None or not office.open(MAIL):
        raise UserError("--send-to: report.send is never, so nothing is sent")
    now = datetime.fromtimestamp(office.store.clock(), UTC)
    letter = addressed.copy(office.store.outbox.text(mail), office.settings, now, to)
    answer = office.transport(MAIL).send(letter)
    if isinstance(answer, Accepted):
        office.say(f"{mail.regression}: copy <{letter.key}> sent to {letter.recipients[0]}: {answer.said}")
        return DONE
    office.say(f"{mail.regression}: copy for {letter.recipients[0]} not sent: {answer.why}")
    return TROUBLE


def user() -> str:
    """Who runs this, by the system's word."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
