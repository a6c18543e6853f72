"""Words of sending: by what, to whom, how many."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server that takes our mails. `tls`: asked for on a plain connection, from the first byte, or not at all.

    `ca` is a file of certificates to believe besides the system's; `timeout` the seconds that one answer may take.
    """

    host: str
    port: int = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class Webhook:
    """A URL that is told of each regression by a POST of JSON. `template` None: the shipped one."""

    name: str
    url: str
    template: Path | None = None
    token_file: Path | None = None
    timeout: float = 30.0

    @property
    def secret(self) -> str:
        """What its token's variable is called, after BOT_SECRET_."""
        return re.sub(r"[^A-Z0-9]", "_", self.name.upper())


@dataclass(frozen=True, slots=True)
class GitLab:
    """A project that gets an issue for each regression; all of them go to `test_project` instead if that is given.

    `labels` are those to add, by the kind of news or for `all`. `timeout`: seconds that one answer may take.
    """

    url: str
    project: str | None
    test_project: str | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    confidential: bool = False
    token_file: Path | None = None
    ca: Path | None = None
    timeout: float = 30.0

    @property
    def place(self) -> str:
        """Where issues go."""
        return self.test_project or self.project or ""


@dataclass(frozen=True, slots=True)
class PostSettings:
    """How mails are sent, and the bounds of it. `hour` and `day` are the most that go out in such a time."""

    by: Literal["never", "smtp", "sendmail"]
    sender: str
    smtp: SmtpServer
    sendmail: tuple[str, ...]
    hour: int
    day: int
    domains: tuple[str, ...]  # patterns of domains that may get mail
    no_cc: tuple[str, ...]  # patterns of addresses that may not
    test_to: str | None = None  # all mails go there instead
    webhooks: tuple[Webhook, ...] = ()
    gitlab: GitLab | None = None
