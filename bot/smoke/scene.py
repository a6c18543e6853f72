"""One migration on stage: the processes, the sequence that every method shares, and what was seen of it.

Each binary is asked what it can (query-commands, not the version), so this speaks to every QEMU since 2.12.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from bot.core.signature import normalise, signature
from bot.errors import InfraError
from bot.model import Inventory
from bot.smoke import guest as guests
from bot.smoke import memory
from bot.smoke.argv import side as command_line
from bot.smoke.confine import confined
from bot.smoke.judge import Facts, Side, Stage, judged_lines
from bot.smoke.memory import Memory
from bot.smoke.plan import Method, Plan, Untestable, known
from bot.smoke.qemu import Gone, Qemu, Refused, last_words, qemu

_POLL = 0.2  # seconds without an event after which the status is asked for
_GRACE = 5.0  # seconds that the second side gets to end after the first has failed
_BANDWIDTH = 2**40  # bytes per second: no limit that a unix socket would notice
_DOWNTIME = 60  # seconds
_SECOND_RUN = 0.2  # seconds that a guest runs before its second hop
_BOOT = 30.0  # seconds for our own guest to be up: a KVM that emulates real mode takes ten on a busy host
_PROOF = 10.0  # seconds for our own guest to show that it goes on
_LOOK = 0.02  # seconds between looks at a file


class Scene:
    """The two QEMUs of a hop and how far it came. Made by `on_stage`; its facts can be read afterwards."""

    def __init__(self, plan: Plan, method: Method, directory: Path, sockets: Path, stack: contextlib.AsyncExitStack):
        self.plan, self.stage, self.done = plan, Stage.START, False
        self.s0: str | None = None
        self.runs = False  # whether the guest ran on the source; it may have panicked, or be one with -S
        self.kept: Memory | None = None  # the source's, of a guest that stands still
        self.hop = 1
        self._began = asyncio.get_running_loop().time()
        self._method, self._directory, self._sockets, self._stack = method, directory, sockets, stack
        self._changed = asyncio.Event()
        self._troupe: list[Qemu] = []
        self._source: Qemu | None = None
        self._destination: Qemu | None = None
        self._facts: dict[str, object] = {}

    @property
    def well(self) -> bool:
        """Whether this hop came to its end and nothing was wrong with it."""
        return self.done and not any(self._facts.get(name) for name in ("mismatch", "complaint"))

    # -- what methods are made of --------------------------------------------------------------------------------

    @property
    def source(self) -> Qemu:
        return _present(self._source)

    @property
    def destination(self) -> Qemu:
        return _present(self._destination)

    @property
    def socket(self) -> str:
        """URI of the migration's unix socket, a fresh one for each hop."""
        return f"unix:{self._sockets / f'm{self.hop}'}"

    def file(self, name: str) -> Path:
        """A file of this run."""
        return self._directory / name

    async def start(self) -> None:
        """Start the processes of this hop that do not run yet, and wait until they answer."""
        if self._destination is None and not self._method.late:
            self._destination = await self._enter("destination" if self.hop == 1 else "return")
        if self._source is None:
            self._source = await self._enter("source")
        await self._connect()

    async def start_source(self) -> None:
        """Start the source alone."""
        self._source = await self._enter("source")
        await self._connect()

    async def start_destination(self) -> None:
        """Start the destination of a method that is `late`, or of a stream that was recorded."""
        self._destination = await self._enter("destination")
        await self._connect()

    async def prepare(self, method: Method) -> None:
        """Events and capabilities on, the guest run, its state noted, limits out of the way."""
        self.stage = Stage.SETUP
        for machine, says in ((self._destination, self.plan.destination_says), (self._source, self.plan.source_says)):
            if machine is not None:
                await _capable(machine, method, says if self.hop == 1 else None)
        if self._source is None:
            return
        if self.plan.run:
            if self.hop > 1 and self.runs:
                await self.source.ask("cont")
            await self._run_guest(self.plan.run if self.hop == 1 else _SECOND_RUN)
            if self.plan.guest is not None and self.hop == 1:
                await self._boot(self.file(f"{self.source.name}.console"))
            if self.hop == 1:  # what a firmware makes QEMU say now and then is no word about the migration
                self.source.early = frozenset(map(normalise, set(self.source.process.text().splitlines())))
        self.s0 = await self.source.query_status()
        self.runs = self.s0 == "running"
        if method.stands:
            await self.source.ask("stop")
            self.s0 = await self.source.query_status()
        await self.limit(_BANDWIDTH)

    async def limit(self, bandwidth: int) -> None:
        """Bandwidth in bytes per second, and a downtime of a minute, by the commands that the source has."""
        source, says = self.source, self.plan.source_says if self.hop == 1 else self.plan.destination_says
        if "max-bandwidth" in says.parameters:  # 2.8 and later
            await source.ask("migrate-set-parameters", max_bandwidth=bandwidth, downtime_limit=_DOWNTIME * 1000)
        elif "migrate_set_speed" in says.commands:  # until 5.2
            await source.ask("migrate_set_speed", value=bandwidth)
            await source.ask("migrate_set_downtime", value=_DOWNTIME)

    async def listen(self, uri: str) -> None:
        await self.destination.ask("migrate-incoming", uri=uri)

    async def send(self, uri: str) -> None:
        self.stage = Stage.MIGRATE
        await self.source.ask("migrate", uri=uri)

    async def feed(self, stream: Path) -> None:
        """Send a recorded stream to the destination that listens on `socket`; one that hangs up has its reasons."""
        self.stage = Stage.MIGRATE
        with (
            contextlib.suppress(ConnectionError),
            socket.socket(socket.AF_UNIX) as connection,
            stream.open("rb") as file,
        ):
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, self.socket.removeprefix("unix:"))
            await loop.sock_sendfile(connection, file)

    async def settle(self) -> None:
        """Wait until neither side has more to tell. Once something has failed, that takes at most seconds more."""
        self.stage = Stage.MIGRATE
        there = [machine for machine in (self._source, self._destination) if machine is not None]
        await self._until(lambda: all(self._over(machine) for machine in there), there)
        await last_words(there)
        await self._reason()

    async def _reason(self) -> None:
        """Ask a source that failed why; newer ones tell nobody else."""
        if self._source is not None and self._source.alive and self._source.failed:
            await self._source.refresh(incoming=False)

    async def save(self, file: Path) -> bool:
        """Let the source write its stream to a file; whether it has, to the last byte.

        The status does not tell when the shell has written all: the file gets its name by a rename after that.
        """
        part, whole = shlex.quote(f"{file}.part"), shlex.quote(str(file))
        await self.send(f"exec:cat >{part} && mv {part} {whole}")
        await self._until(lambda: self._over(self.source), [self.source])
        await last_words([self.source])
        if not self.source.alive or self.source.migration != "completed":
            await self._reason()
            return False
        while not file.exists():
            await asyncio.sleep(_LOOK)
        return True

    async def status(self, name: str) -> bool:
        """Wait until the source's migration status is `name`, or it is over; whether it is."""
        await self._until(lambda: self.source.migration == name or self._over(self.source), [self.source])
        return self.source.migration == name

    async def order(self, machine: Qemu, command: str) -> None:
        """A command of the human monitor that says nothing if it works. Raises `Refused` with what it says."""
        self.stage = Stage.MIGRATE
        answer = judged_lines(await machine.monitor(command))  # its warnings go there as well
        if signature(answer, None) is not None:  # else only what the host's sound or display said
            raise Refused(machine.name, answer)
        machine.migration = "completed"

    async def leave(self, machine: Qemu) -> None:
        """Let a source whose guest stands still go, with its memory noted."""
        self.kept = await memory.read(machine, self._directory)
        machine.runstate = await machine.query_status()
        machine.dismissed = True
        with contextlib.suppress(Gone):
            await machine.ask("quit")
        await machine.process.exited.wait()

    async def turn_back(self) -> None:
        """The destination becomes the source of a second hop, to a fresh process of the first source's binary."""
        self.hop, self.stage, self.done = 2, Stage.START, False
        self._source, self._destination = self._destination, None

    def finish(self) -> None:
        """Note that all that was wanted was seen."""
        self.stage, self.done = Stage.DONE, True

    # -- checks ----------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """What must hold after both said completed: states, memory, and that the guest goes on."""
        there = [machine for machine in (self._source, self._destination) if machine is not None]
        if not all((machine.alive or machine.dismissed) and machine.migration == "completed" for machine in there):
            return
        self.stage = Stage.CHECK
        destination = self.destination
        state = await destination.query_status()
        # The kernel writes into the memory of a guest that knows it (kvmclock's version and flags, when it is loaded).
        if state != "running" and not (self.plan.kvm and self.runs):
            await self._compare()
        if self.runs and state != "running":
            await destination.ask("cont")
            await destination.query_status()
            if destination.runstate != "running":
                self._facts["complaint"] = f"it does not go on: {destination.runstate}"
        if self.plan.guest is not None:
            await self._prove()
        await destination.ask("stop")
        await destination.query_status()
        destination.runstate = state
        self.finish()

    async def _compare(self) -> None:
        """The destination's memory must be the source's; both stand still. A difference is looked at a second time."""
        mismatch: str | None = None
        for quick in (True, False):
            if self._source is not None and not self._source.dismissed:
                self.kept = await memory.read(self._source, self._directory, quick=quick)
            if self.kept is None:
                return
            there = await memory.read(self.destination, self._directory, like=self.kept, quick=quick)
            mismatch = None if there is None else memory.difference(self.kept, there)
            if mismatch is None:
                return
        self._facts["mismatch"] = mismatch

    async def _prove(self) -> None:
        """Our own guest must show on the destination's console that it goes on."""
        console = self.file(f"{self.destination.name}.console")
        await self._console(console, guests.answered)
        before = self.file(f"{self.source.name}.console").read_bytes()
        # A source that was a destination before prints what a guest does that goes on: no start is seen there.
        began = before if self.hop == 1 else guests.STARTED + before
        complaint = guests.verdict(began, console.read_bytes())
        if complaint is not None:
            self._facts["complaint"] = complaint

    async def _boot(self, console: Path) -> None:
        """Wait until our own guest is up. One that is not says nothing about migrations: firmware or host were slow."""
        await self._console(console, guests.booted, _BOOT)
        if not guests.booted(console.read_bytes()):
            raise Untestable(f"our guest was not up after {self.plan.run + _BOOT:.0f} s")

    async def _console(self, console: Path, enough: Callable[[bytes], bool], seconds: float = _PROOF) -> None:
        """Wait until a guest's console says enough, for at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not enough(console.read_bytes()):
                    await asyncio.sleep(_LOOK)

    # -- the processes ---------------------------------------------------------------------------------------------

    async def _enter(self, name: str) -> Qemu:
        """Start a process: `source` and `return` are the source's binary, the latter waits for a stream as well."""
        plan = self.plan
        incoming: tuple[str, ...] = () if name == "source" or self._method.late else ("-incoming", "defer")
        binary, extra = (
            (plan.destination, plan.destination_args) if name == "destination" else (plan.source, plan.source_args)
        )
        paused = plan.run > 0 and name != "source" and not self._method.autostart
        if paused and "-S" not in extra:
            incoming = ("-S", *incoming)
        if plan.guest is not None:
            image, console = self.file("guest"), self.file(f"{name}.console")
            image.write_bytes(plan.guest.image)
            extra = (*extra, *plan.guest.arguments(str(image), str(console)))
        extra = (*extra, *self._method.arguments)
        argv = command_line(binary, plan.common, extra, str(self._directory), incoming)
        machine = await self._stack.enter_async_context(
            qemu(
                name,
                argv,
                self._sockets / name[0],
                self._began,
                self._changed,
                sandbox=confined(binary, argv, self._directory, self._sockets),
            )
        )
        self._troupe.append(machine)
        return machine

    async def _connect(self) -> None:
        waiting = [machine.connect() for machine in self._troupe if not machine.connected]
        for failure in await asyncio.gather(*waiting, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _run_guest(self, seconds: float) -> None:
        """Let the guest run; raises `Gone` if a side ends meanwhile."""
        waits = [asyncio.ensure_future(machine.process.exited.wait()) for machine in self._troupe]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for machine in self._troupe:
            if not machine.alive:
                raise Gone(machine.name)

    async def _until(self, condition: Callable[[], bool], machines: Sequence[Qemu]) -> None:
        """Events wake us; without one the statuses are asked for, which is all that QEMU before 2.4 would need."""
        clock = asyncio.get_running_loop().time
        patience: float | None = None
        while not condition():
            if patience is None and any(machine.failed for machine in machines):
                patience = clock() + _GRACE
            if patience is not None and clock() > patience:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(_POLL):
                    await self._changed.wait()
            except TimeoutError:
                for machine in machines:
                    with contextlib.suppress(Gone):
                        await machine.refresh(incoming=machine is self._destination)

    def _over(self, machine: Qemu) -> bool:
        """Whether nothing more is to come. A source that failed goes on living; a destination that failed exits."""
        return not machine.alive or machine.migration == "completed" or (machine.failed and machine is self._source)

    async def last_look(self) -> None:
        """After a process was lost in the middle: give the other one time for its end, and read what both said."""
        there = [machine for machine in (self._source, self._destination) if machine is not None]
        if self.stage in (Stage.MIGRATE, Stage.CHECK):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self._until(lambda: all(self._over(machine) for machine in there), there)
        await last_words(there)

    def note(self, **facts: object) -> None:
        self._facts.update(facts)

    def facts(self, recorded: Side | None = None) -> Facts:
        """All that was seen. `recorded` stands for a source that was not there."""
        sides = {machine.name: _side(machine) for machine in self._troupe}
        source = _side(self._source) if self._source is not None else recorded
        destination = _side(self._destination) if self._destination is not None else None
        absent = Side.absent("destination")
        return Facts(
            machine=self.plan.machine,
            source=source or Side.absent("source"),
            destination=destination or absent,
            stage=self.stage,
            s0=self.s0,
            hop=self.hop,
            takes_state=self._method.takes_state,
            all_sides=(*((recorded,) if recorded else ()), *sides.values()),
            **self._facts,  # type: ignore[arg-type]  # by the names of fields, set in this class only
        )


@contextlib.asynccontextmanager
async def on_stage(plan: Plan, method: Method, directory: Path, sockets: Path) -> AsyncIterator[Scene]:
    """A scene whose processes are gone on every way out. What a side does to us inside becomes a fact of it."""
    for stale in sockets.glob("m[0-9]"):
        stale.unlink()
    async with contextlib.AsyncExitStack() as stack:
        scene = Scene(plan, method, directory, sockets, stack)
        try:
            async with asyncio.timeout(plan.deadline):
                yield scene
        except TimeoutError:
            scene.note(timed_out=True)
        except Untestable as error:
            scene.note(untestable=str(error))
        except Refused as error:
            scene.note(refused=(error.name, str(error)))
        except Gone:
            await scene.last_look()
        except OSError as error:
            raise InfraError(f"{directory}: {error}") from error


def _present(machine: Qemu | None) -> Qemu:
    if machine is None:
        raise RuntimeError("a method asked for a side that is not on stage")
    return machine


def _side(machine: Qemu) -> Side:
    stderr = machine.process.text()
    told = "" if machine.error in stderr else machine.error
    later = "\n".join(line for line in stderr.splitlines() if normalise(line) not in machine.early)
    code = machine.process.returncode
    return Side(
        name=machine.name,
        argv=machine.argv,
        connected=machine.connected,
        returncode=None if machine.dismissed and code == 0 else code,
        migration=machine.migration,
        runstate=machine.runstate,
        stderr=stderr,
        said="\n".join(filter(None, (judged_lines(later), told))),
        trace=machine.trace,
        lived=machine.process.lived,
    )


async def _capable(machine: Qemu, method: Method, says: Inventory | None) -> None:
    """Events on; the method's capabilities too, by the names that the binary has (None: what was on stays on)."""
    with contextlib.suppress(Refused):  # without events the statuses are asked for
        await machine.ask("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
    names = [] if says is None else [known(names, says) for names in method.capabilities]
    if names:
        wanted = [{"capability": name, "state": True} for name in names]
        try:
            await machine.ask("migrate-set-capabilities", capabilities=wanted)
        except Refused as error:
            raise Untestable(f"{machine.name}: {error}") from error
