"""Servers that take what the bot sends, and that fail in the ways in which servers fail."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

# -- SMTP ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Received:
    sender: str
    recipients: tuple[str, ...]
    data: bytes
    tls: bool
    user: str | None


@dataclass
class Sink:
    """A mail server. `answers` says what it answers to a recipient, `data` what to the whole mail."""

    answers: dict[str, str] = field(default_factory=dict)
    data: str = "250 2.0.0 queued as 1"
    mails: list[Received] = field(default_factory=list)
    port: int = 0
    implicit: bool = False  # TLS from the first byte

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data.startswith("250"):
            assert isinstance(envelope.content, bytes)
            user = session.auth_data.login.decode() if session.auth_data else None
            tls = self.implicit or session.ssl is not None
            to = tuple(envelope.rcpt_tos)
            self.mails.append(Received(str(envelope.mail_from), to, envelope.content, tls, user))
        return self.data


@contextlib.contextmanager
def sink(*, tls: str = "none", certificate: Path | None = None, password: str | None = None) -> Iterator[Sink]:
    """A mail server on a free port of 127.0.0.1. `certificate` is a PEM with its key."""
    taken = Sink(implicit=tls == "implicit")
    options: dict[str, Any] = {}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        options |= {"ssl_context": context} if tls == "implicit" else {"tls_context": context, "require_starttls": True}
    if password is not None:
        options |= {"authenticator": partial(_login, password)}
        # aiosmtpd does not know that an implicit TLS is one, and would offer no login
        options |= {"auth_require_tls": False} if tls == "implicit" else {"auth_required": True}
    controller = Controller(taken, hostname="127.0.0.1", port=free_port(), **options)
    if tls == "implicit":
        controller._trigger_server = partial(_knock, controller.port)  # type: ignore[method-assign]
    controller.start()
    taken.port = controller.port
    try:
        yield taken
    finally:
        controller.stop()


def _knock(port: int) -> None:
    """What starts the server for its first connection, over TLS that believes anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 30) as plain, context.wrap_socket(plain) as secure:
        secure.recv(100)


def _login(
    password: str, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword
) -> AuthResult:
    return AuthResult(success=given.password == password.encode(), handled=False, auth_data=given)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    """A certificate of our own for an address, with its key, as one PEM."""
    key, cert, both = folder / "key.pem", folder / "cert.pem", folder / f"{host}.pem"
    kind = "IP" if host[0].isdigit() else "DNS"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName={kind}:{host}"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


Script = Callable[[socket.socket], None]


@contextlib.contextmanager
def scripted(talk: Script) -> Iterator[int]:
    """A port whose connections are talked to by a function, one after another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    connection, _ = server.accept()
                    connection.settimeout(20)
                    with connection:
                        talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join(30)


def breaks(at: str, how: str = "drop", said: list[bytes] | None = None) -> Script:
    """SMTP that goes well until `at` (GREETING, EHLO, MAIL, RCPT, DATA, BODY), then drops, hangs, or answers `how`."""

    def act(connection: socket.socket) -> bool:
        if how == "drop":
            return False
        if how == "hang":
            time.sleep(3)
            return False
        connection.sendall(how.encode() + b"\r\n")
        return True

    def talk(connection: socket.socket) -> None:
        if at == "GREETING":
            act(connection)
            return
        connection.sendall(b"220 ready\r\n")
        reader = connection.makefile("rb")
        while command := reader.readline():
            verb = command.split()[0].decode().upper() if command.split() else ""
            if verb == "QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            if verb == at and at != "BODY":
                if not act(connection):
                    return
                continue
            if verb != "DATA":
                connection.sendall(b"250 ok\r\n")
                continue
            connection.sendall(b"354 go on\r\n")
            body = b""
            while not body.endswith(b"\r\n.\r\n"):
                if not (text := reader.readline()):
                    return
                body += text
            if said is not None:
                said.append(body)
            if at == "BODY" and not act(connection):
                return
            if at != "BODY":
                connection.sendall(b"250 queued\r\n")

    return talk


# -- HTTP ----------------------------------------------------------------------------------------------------------


@dataclass
class Web:
    """An HTTP server that notes what it is asked. `answers` are given in turn, the last one for ever.

    An answer is (status, headers, body); status 0 takes the request and drops the connection, -1 hangs.
    """

    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=lambda: [(201, {}, {})])
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def web() -> Iterator[Web]:
    state = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.asked.append(
                (self.command, self.path, dict(self.headers.items()), json.loads(body) if body else None)
            )
            status, headers, answer = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            if status <= 0:
                time.sleep(3 if status < 0 else 0)
                self.close_connection = True
                return
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
