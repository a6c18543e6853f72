"""Mail to a server, by SMTP (RFC 5321) with verified TLS.

What a lost connection means depends on when it is lost. Before the line that ends the message was sent the server has
nothing; after it, and before the answer, it may have all (RFC 5321, 4.1.1.4).
"""

from __future__ import annotations

import contextlib
import email
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from email.message import EmailMessage

from pydantic import SecretStr

from bot.core.outbox import Accepted, Answer, Deferred, Lost, Rejected
from bot.errors import UserError
from bot.model import SmtpServer
from bot.report.envelope import MAIL
from bot.report.post import Letter
from bot.report.safe import line

_TOTAL = 6  # times the timeout: so long may a whole conversation take, however the server spreads its bytes


class Smtp:
    """A server and how we are known to it."""

    repeatable = False  # a Message-ID is for readers: servers take a mail twice

    def __init__(self, server: SmtpServer, password: SecretStr | None) -> None:
        if server.user is not None and password is None:
            raise UserError("report.smtp.user needs a password: give password_file, or the variable BOT_SECRET_SMTP")
        self._server, self._password = server, password

    def send(self, letter: Letter) -> Answer:
        server = self._server
        try:
            client = self._client()
        except OSError as error:
            return Deferred(f"report.smtp.ca: {_words(error)}", everything=True)
        with _ended_after(client, _TOTAL * server.timeout):
            try:
                self._connect(client)
                return _hand_over(client, letter, 2 * server.timeout)
            except ssl.SSLCertVerificationError as error:
                return Deferred(f"the server's certificate is not believed: {error.verify_message}", everything=True)
            except smtplib.SMTPAuthenticationError as error:  # what it says may repeat what we sent
                return Deferred(f"{error.smtp_code}: the server does not take user and password", everything=True)
            except (OSError, smtplib.SMTPException) as error:
                return Deferred(f"{server.host}: {_words(error)}", everything=True)
            finally:
                client.close()

    def _client(self) -> smtplib.SMTP:
        if self._server.tls == "implicit":
            return smtplib.SMTP_SSL(timeout=self._server.timeout, context=self._context())
        return smtplib.SMTP(timeout=self._server.timeout)

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=None if self._server.ca is None else str(self._server.ca))

    def _connect(self, client: smtplib.SMTP) -> None:
        """Have a connection over which mail may be handed over: TLS and login are done."""
        server = self._server
        client._host = server.host  # type: ignore[attr-defined]  # what TLS verifies; only the constructor sets it
        code, said = client.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        client.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            client.starttls(context=self._context())
            client.ehlo()
        if server.user is not None and self._password is not None:
            client.login(server.user, self._password.get_secret_value())


def _hand_over(client: smtplib.SMTP, letter: Letter, patience: float) -> Answer:
    """The mail itself. `patience`: seconds to wait for the last answer, for servers look at what they take."""
    refused: list[str] = []
    later: list[str] = []
    taken: list[str] = []
    said = ""
    try:
        data = letter.data
        eight = not data.isascii() and client.has_extn("8bitmime")
        if not data.isascii() and not eight:
            data = _seven_bit(data)
        code, reply = client.mail(letter.sender, ["BODY=8BITMIME"] if eight else [])
        if code // 100 != 2:
            return _turned_down(code, reply)
        for recipient in letter.recipients:
            code, reply = client.rcpt(recipient)
            if code == 421:
                return Deferred(_reply(code, reply), everything=True)
            (taken if code // 100 == 2 else refused if code // 100 == 5 else later).append(recipient)
            said = said if code // 100 == 2 else f"{recipient}: {_reply(code, reply)}"
        if not taken:
            return Deferred(said) if later else Rejected(said)
        code, reply = client.docmd("DATA")
        if code != 354:
            return _turned_down(code, reply)
        client.send(_stuffed(data))
    except (OSError, smtplib.SMTPException) as error:
        return Deferred(f"the connection broke before the message was whole: {_words(error)}", everything=True)
    try:
        if client.sock is not None:
            client.sock.settimeout(patience)
        client.send(b".\r\n")
        code, reply = client.getreply()
    except (OSError, smtplib.SMTPException) as error:
        return Lost(f"the whole message was sent and no answer came: {_words(error)}")
    if code // 100 in (4, 5):
        return _turned_down(code, reply)
    if code // 100 != 2:
        return Lost(f"the whole message was sent, and the answer is none that SMTP knows: {_reply(code, reply)}")
    with contextlib.suppress(OSError, smtplib.SMTPException):
        client.quit()
    told = _reply(code, reply) + (f"; {said}" if said else "")
    return Accepted(told, tuple(taken), tuple(refused), tuple(later))


def _turned_down(code: int, reply: bytes) -> Answer:
    """4xx: not now. 5xx: never. Anything else is no answer that RFC 5321 knows, and nothing was taken."""
    told = _reply(code, reply)
    return Rejected(told) if code // 100 == 5 else Deferred(told, everything=code == 421)


def _reply(code: int, reply: bytes) -> str:
    return line(f"{code} {reply.decode(errors='replace')}", 300)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return line(str(error) or type(error).__name__, 300)


def _stuffed(data: bytes) -> bytes:
    """The message with CR LF line ends and dots doubled, without the line that ends it (RFC 5321, 4.5.2)."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    lines = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", lines)


def _seven_bit(data: bytes) -> bytes:
    """The same mail for a server without 8BITMIME (RFC 6152)."""
    message = email.message_from_bytes(data, policy=MAIL)
    assert isinstance(message, EmailMessage)  # noqa: S101 - narrows the type; MAIL's factory makes them
    message.set_content(message.get_content(), charset="utf-8", cte="quoted-printable")
    return message.as_bytes()


@contextlib.contextmanager
def _ended_after(client: smtplib.SMTP, seconds: float) -> Iterator[None]:
    """End the connection after so long: a timeout counts anew with each byte that comes."""

    def end() -> None:
        with contextlib.suppress(OSError):
            if client.sock is not None:
                client.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
