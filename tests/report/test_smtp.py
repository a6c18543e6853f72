"""A mail as it is written to a file, through a real SMTP server: what arrives is what was written."""

from __future__ import annotations

import email
import smtplib
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from bot.data import data_dir
from bot.model import Report, ReportSettings
from bot.report import render
from bot.report.deliver import deliver
from tests.testing import reports


class Sink:
    """Keeps what it is sent, as bytes."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.recipients: list[list[str]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert envelope.original_content is not None
        self.received.append(envelope.original_content)
        self.recipients.append([str(address) for address in envelope.rcpt_tos])
        return "250 taken"


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    handler = Sink()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])  # aiosmtpd connects to the port it was given, so it must be a real one
    controller = Controller(handler, hostname="127.0.0.1", port=port, data_size_limit=2**20)
    controller.start()
    try:
        yield handler, port
    finally:
        controller.stop()


HOSTILE = replace(
    reports.first_bad(),
    symptom="qemu-system-ppc64: first\n.\n..\nFrom here on\r\nBcc: victim@example.org\n"
    + "x" * 1500
    + "\nGrüße, \x1b[31mrot",
)


@pytest.mark.parametrize("report", [reports.first_bad(), reports.suspects(), reports.merge_conflict(), HOSTILE])
def test_what_arrives_is_what_was_written(report: Report, sink: tuple[Sink, int], tmp_path: Path) -> None:
    handler, port = sink
    date = datetime(2020, 2, 26, 6, 12, 44, tzinfo=UTC)
    message: EmailMessage = render.mail(
        report, settings=ReportSettings(), templates=data_dir() / "templates", date=date
    )
    written = deliver(message, tmp_path / "mail.eml").read_bytes()
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        refused = client.sendmail("bot@example.org", ["a@example.org", "b@example.org"], written, ["BODY=8BITMIME"])
    assert refused == {}
    assert handler.received == [written]
    assert handler.recipients == [["a@example.org", "b@example.org"]]
    arrived = email.message_from_bytes(handler.received[0], policy=default)
    assert arrived["Message-ID"] == message["Message-ID"]
    assert arrived["Bcc"] is None
    assert all(len(line) <= 998 for line in written.split(b"\r\n"))
