"""One QEMU process and its QMP connection: asked, listened to, traced, and ended on every way out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError

from bot.errors import InfraError
from bot.host.process import HeadTail
from bot.model import Sandbox
from bot.smoke.child import Child, child

SOCKET_PATH_LIMIT = 107  # bytes; sun_path has 108 with the final NUL (unix(7))
_TRACE_LIMIT = 128 * 1024  # bytes kept of a trace, head and tail
_HANG_UP = 10.0  # seconds for a disconnect, on a host under load
_LAST_BREATH = 5.0  # seconds from the loss of the connection to the end of the process
_LINE_LIMIT = 2000  # characters of one message: replies of query-machines have 20,000
# What goes wrong on a connection is our business to tell; the library would also log it to the terminal.
logging.getLogger("qemu.qmp.protocol.bot").setLevel(logging.CRITICAL + 1)


_T = TypeVar("_T")


class Gone(Exception):
    """The process ended while it was asked something."""


class Refused(Exception):
    """QMP answered with an error: who refused ("source"), and QEMU's own words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class _Client(QMPClient):
    """QMPClient whose message hooks, which exist for this, also feed the trace and the events, from the first on."""

    def __init__(self, heard: Callable[[str, Message], None]) -> None:
        super().__init__("bot")
        self._heard = heard

    def _cb_outbound(self, msg: Message) -> Message:
        self._heard("->", msg)
        return msg

    def _cb_inbound(self, msg: Message) -> Message:
        msg = _writable(msg)
        self._heard("<-", msg)
        return msg


def _writable(msg: Message) -> Message:
    """A message without halves of surrogate pairs: JSON can escape one, and neither UTF-8 nor the database has it."""
    if b"\\ud" not in bytes(msg).lower():
        return msg
    return Message(json.dumps(dict(msg), ensure_ascii=False).encode(errors="replace"))


class Qemu:
    """A QEMU that `qemu` started. Its migration status and RESUME are noted as the events come, none can be missed."""

    def __init__(self, name: str, argv: Sequence[str], began: float, changed: asyncio.Event | None = None) -> None:
        self.name = name  # "source", "destination", "control"
        self.connected = False
        self.migration: str | None = None  # last status of a MIGRATION event
        self.error = ""  # why the migration failed, as query-migrate says it; newer sources print nothing
        self.runstate: str | None = None  # last answer of query-status
        self.resumed = False
        self.dismissed = False  # it was told to quit when it had done its part
        self.early: frozenset[str] = frozenset()  # lines of stderr, normalised, while its guest ran before it migrated
        self.argv = tuple(argv)
        self.changed = changed or asyncio.Event()  # set at each event and at the end of the process
        self.process: Child
        self.client = _Client(self._hear)
        self._began = began
        self._trace = HeadTail(_TRACE_LIMIT)

    @property
    def alive(self) -> bool:
        return not self.process.exited.is_set()

    @property
    def failed(self) -> bool:
        """Whether it ended, or its migration did without being completed."""
        return not self.alive or self.migration in ("failed", "cancelled")

    @property
    def trace(self) -> str:
        """What was sent (->) and received (<-), each line with seconds since the smoke began."""
        return self._trace.text()

    def _hear(self, arrow: str, message: Message) -> None:
        text = bytes(message).decode("utf-8", "replace").strip()  # as it is sent or was received
        if len(text) > _LINE_LIMIT:
            text = f"{text[:_LINE_LIMIT]}... ({len(text)} characters)"
        seconds = asyncio.get_running_loop().time() - self._began
        self._trace.feed(f"{seconds:9.3f} {arrow} {text}\n".encode())
        event = message.get("event")
        if event == "MIGRATION":
            data = message.get("data")
            if isinstance(data, Mapping):
                self.migration = str(data.get("status"))
        elif event == "RESUME":
            self.resumed = True
        if event is not None:
            self.changed.set()

    async def connect(self) -> None:
        """Wait until QEMU has connected to us and negotiated QMP.

        Raises `Gone` if it ends before, or if it closes the connection.
        """
        async with self._connection():
            try:
                await self._race(self.client.accept())
            except AssertionError as error:  # qemu.qmp asserts that a connection just made is still there
                raise EOFError from error
        self.connected = True

    async def ask(self, command: str, **arguments: object) -> Any:
        """Send a command and return its answer; an underscore in an argument's name stands for a dash.

        Raises `Refused` with QEMU's words if it answers with an error, `Gone` if it ends or hangs up first. Waits as
        long as that takes: deadlines are the caller's (asyncio.timeout).
        """
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        async with self._connection():
            return await self._race(self.client.execute(command, given or None))

    async def query_status(self) -> str:
        """The runstate: "running", "prelaunch", "inmigrate", ..."""
        self.runstate = str((await self.ask("query-status"))["status"])
        return self.runstate

    async def refresh(self, *, incoming: bool) -> None:
        """Ask for the migration's status when no event told it.

        Destinations before 3.0 have none: there, to leave inmigrate is it.
        """
        answer = await self.ask("query-migrate")
        status = answer.get("status")
        self.error = str(answer.get("error-desc", ""))
        if status is not None and status != "none":
            self.migration = str(status)
        elif incoming and (self.resumed or await self.query_status() != "inmigrate"):
            self.migration = "completed"

    async def monitor(self, command: str) -> str:
        """The answer of a command of the human monitor, for what QMP does not know. Raises as `ask` does."""
        return str(await self.ask("human-monitor-command", command_line=command))

    async def _race(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result, or `Gone` if the process ends first."""
        asked = asyncio.ensure_future(coroutine)
        try:
            either: set[asyncio.Future[Any]] = {asked, self.process.gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise Gone(self.name)
            return asked.result()
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.gather(asked, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        """The library's exceptions as ours. Whoever hangs up is about to end, and gets the time for it."""
        try:
            yield
        except ExecuteError as error:
            raise Refused(self.name, str(error)) from error
        except (QMPError, EOFError, ConnectionError) as error:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_BREATH):
                    await self.process.exited.wait()
            raise Gone(self.name) from error


async def last_words(machines: Sequence[Qemu]) -> None:
    """Wait for what those that ended have still to say on stderr."""
    for machine in machines:
        if not machine.alive:
            await machine.process.drained()


@contextlib.asynccontextmanager
async def qemu(
    name: str,
    argv: Sequence[str],
    socket: Path,
    began: float,
    changed: asyncio.Event | None = None,
    *,
    sandbox: Sandbox | None = None,
) -> AsyncIterator[Qemu]:
    """Run argv with a QMP connection on `socket` while inside; `Qemu.connect` has yet to be awaited there.

    We listen and QEMU connects, so there is nothing to poll for. `began` is the event loop's time that the trace counts
    from. Raises `InfraError` if the socket cannot be made, what `child` raises if the process cannot.
    """
    if len(os.fsencode(socket)) > SOCKET_PATH_LIMIT:
        raise InfraError(f"socket path of over {SOCKET_PATH_LIMIT} bytes: {socket}")
    machine = Qemu(name, argv, began, changed)
    try:
        await machine.client.start_server(str(socket))
    except QMPError as error:
        raise InfraError(f"cannot listen on {socket}: {error}") from error
    try:
        # Named, for else what stands before a `=` in it is taken for a name; a comma is doubled (qemu(1), -chardev).
        listen = ("-qmp", f"unix:path={str(socket).replace(',', ',,')}")
        async with child([*argv, *listen], env=os.environ | {"LC_ALL": "C"}, sandbox=sandbox) as machine.process:
            machine.process.on_exit = machine.changed.set
            yield machine
    finally:
        await _hang_up(machine.client)


async def _hang_up(client: QMPClient) -> None:
    """Disconnect from a process that is gone; what the connection has to say about that is no news.

    Who is cancelled meanwhile waits all the same: a `disconnect` that is cut short leaves a future whose exception
    nobody asks for, and asyncio prints a traceback of that.
    """
    closing = asyncio.ensure_future(client.disconnect())
    try:
        await asyncio.wait({closing}, timeout=_HANG_UP)
    except asyncio.CancelledError:
        await asyncio.wait({closing}, timeout=_HANG_UP)
        raise
    finally:
        if not closing.done():
            closing.cancel()
        elif not closing.cancelled():
            closing.exception()
