"""A child process that can be killed anywhere: a fork of the test, so that it starts at once."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import NoReturn

KILLED = -signal.SIGKILL


def forked(work: Callable[[], None]) -> int:
    """Do it in a child process; 0, 1 for an exception, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def die() -> NoReturn:
    """kill -9 of this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
