"""Mail by a program that takes it as sendmail does: recipients as arguments, the message on standard input."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bot.core.outbox import Accepted, Answer, Deferred, Lost, Rejected
from bot.errors import InfraError, UserError
from bot.host import process
from bot.report.post import Letter
from bot.report.safe import line

_TEMPORARY = {69, 71, 72, 73, 74, 75, 77, 78}
"""sysexits.h: what is wrong with the machine or its set-up and not with the mail; 75 is EX_TEMPFAIL."""
_VISIBLE = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL")


class Sendmail:
    """A command, such as `/usr/sbin/sendmail -i`; `-f SENDER -- RECIPIENT...` is added."""

    repeatable = False

    def __init__(self, argv: Sequence[str], timeout: float) -> None:
        self._argv, self._timeout = tuple(argv), timeout

    def send(self, letter: Letter) -> Answer:
        argv = [*self._argv, "-f", letter.sender, "--", *letter.recipients]
        environment = {name: os.environ[name] for name in _VISIBLE if name in os.environ}
        data = letter.data.replace(b"\r\n", b"\n")
        try:
            done = process.run(argv, env=environment, timeout=self._timeout, stdin=data, log_limit=4096)
        except (InfraError, UserError) as error:  # it was not started
            return Deferred(line(str(error), 300), everything=True)
        told = line(f"{self._argv[0]}: exit {done.returncode}: {done.output}", 300)
        if done.timed_out:
            return Lost(f"{self._argv[0]} was ended after {self._timeout:.0f} s, it may have sent the mail")
        if done.returncode < 0:
            return Lost(f"{self._argv[0]} was ended by signal {-done.returncode}, it may have sent the mail")
        if done.returncode == 0:
            return Accepted(f"{self._argv[0]} took it", letter.recipients)
        return Deferred(told, everything=True) if done.returncode in _TEMPORARY else Rejected(told)
