"""Errors, split by who has to act: the user, or whoever runs the machine.

Neither is ever a verdict about a commit. What QEMU did is an `Outcome`, not an exception.
"""


class BotError(Exception):
    """Base of all errors that the one handler in `cli` prints as a line instead of a traceback."""


class UserError(BotError):
    """What was asked for cannot be done as asked: the text says what, where, and what to do."""


class InfraError(BotError):
    """The machine failed us (disk, network, memory, lost process). Retryable, never a verdict."""


class Aborted(InfraError):
    """A person's own command asked for an end, as `git bisect run` takes it; another host is not tried."""


class Stopped(BotError):
    """The user or the init system asked us to stop (SIGINT, SIGTERM). What was recorded stays."""


class Killed(Stopped):
    """So they did, and it ended a process in its middle: what that was writing may be half written."""
