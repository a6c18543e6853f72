"""The built-in scenario: precopy over a unix socket between two QEMUs, both watched, strictly judged.

It asks each binary what it can (query-commands, not the version), so it speaks to every QEMU since 2.12.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.errors import InfraError
from bot.model import Binary, Case, Direction, Log, Observation, Profile, SmokeSettings
from bot.smoke import judge as rules
from bot.smoke.argv import shared, side
from bot.smoke.control import Control, Controls, alarming
from bot.smoke.judge import Facts, Judgement, Side, Stage
from bot.smoke.qemu import SOCKET_PATH_LIMIT, Gone, Qemu, Refused, qemu
from bot.smoke.until import until_stopped

_POLL = 0.2  # seconds without an event after which the status is asked for
_GRACE = 5.0  # seconds that the second side gets to end after the first has failed
_BANDWIDTH = 2**40  # bytes per second: no limit that a unix socket would notice
_DOWNTIME = 60  # seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """Who migrates to whom, with which arguments ({dir} still in them)."""

    machine: str
    source: Binary
    destination: Binary
    common: tuple[str, ...]
    source_args: tuple[str, ...]
    destination_args: tuple[str, ...]
    run: float  # seconds that the guest runs before
    deadline: float  # seconds for all of it


def migrate(
    case: Case,
    profile: Profile,
    source: Binary,
    destination: Binary,
    settings: SmokeSettings,
    controls: Controls,
    scratch: Path,
    stop: threading.Event | None = None,
) -> Observation:
    """Run the case's migration once. A board that does not accept the configured memory is tried again without -m.

    Raises `Stopped` if `stop` was set, `UserError` if a binary cannot be executed, `InfraError` if the machine cannot
    give a socket, process or directory. Whatever happens, no process and no file is left.
    """
    began = time.monotonic()
    with _directories(scratch) as (directory, sockets):
        for memory in (True, False):
            plan = Plan(
                case.machine, source, destination,
                tuple(shared(case, profile, settings, memory=memory)),
                profile.source_args, profile.destination_args, profile.run, settings.deadline + profile.run,
            )  # fmt: skip
            work = _smoke(plan, case.direction, controls, directory, sockets)
            facts, judgement = asyncio.run(until_stopped(work, stop))
            if facts.stage is not Stage.START or not memory or not rules.wants_other_memory(facts):
                break
    return Observation(
        outcome=judgement.outcome,
        signature=judgement.signature,
        message=judgement.message,
        seconds=time.monotonic() - began,
        argv=tuple(s.argv for s in facts.sides),
        exits=tuple(s.returncode for s in facts.sides),
        logs=tuple(
            Log(f"{s.name}.{kind}", text)
            for s in facts.sides
            for kind, text in (("stderr", s.stderr), ("qmp", s.trace))
        ),
    )


@contextlib.contextmanager
def _directories(scratch: Path) -> Iterator[tuple[Path, Path]]:
    """A directory for files and one for sockets, which must have a short path; both are gone afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smoke-", dir=scratch.absolute())))
            sockets = directory
            if len(os.fsencode(directory)) + 3 > SOCKET_PATH_LIMIT:
                sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bot-sockets-")))
        except OSError as error:
            raise InfraError(f"{scratch}: no scratch directory can be made here: {error.strerror}") from error
        yield directory, sockets


async def _smoke(
    plan: Plan, direction: Direction, controls: Controls, directory: Path, sockets: Path
) -> tuple[Facts, Judgement]:
    facts = await _observe(plan, directory, sockets)
    if not all(s.connected for s in facts.sides):
        culprits = _culprits(direction)
        starts = await _starts_elsewhere(plan, facts, culprits, direction, controls, sockets)
        return facts, rules.judge_start(facts, culprits, starts)
    sides = []
    for s, binary, extra in (
        (facts.source, plan.source, plan.source_args),
        (facts.destination, plan.destination, plan.destination_args),
    ):
        if alarming(s.said):
            control = await controls.control(binary, plan.common, extra, plan.run, sockets, plan.deadline)
            s = replace(s, said=control.unexpected(s.said))
        sides.append(s)
    facts = replace(facts, source=sides[0], destination=sides[1])
    return facts, rules.judge(facts)


def _culprits(direction: Direction) -> frozenset[str]:
    """The sides that run the commit under test."""
    both = frozenset({"source", "destination"})
    return {Direction.FORWARD: frozenset({"destination"}), Direction.BACKWARD: frozenset({"source"})}.get(
        direction, both
    )


async def _starts_elsewhere(
    plan: Plan, facts: Facts, culprits: frozenset[str], direction: Direction, controls: Controls, sockets: Path
) -> bool:
    """Whether the other release (or, for `same`, this binary alone) starts as the failing side should have."""
    failed = next((s for s in facts.sides if not s.connected and s.name in culprits), None)
    if failed is None:
        return False
    extra = plan.source_args if failed.name == "source" else plan.destination_args
    # The other side's binary. For `same` that is this binary: a start that works now worked not a moment ago.
    reference = plan.destination if failed.name == "source" else plan.source
    control: Control = await controls.control(reference, plan.common, extra, 0.0, sockets, plan.deadline)
    return control.started


async def _observe(plan: Plan, directory: Path, sockets: Path) -> Facts:
    """Start both, migrate, look, end both."""
    began = asyncio.get_running_loop().time()
    changed = asyncio.Event()
    files = str(directory)
    source_argv = side(plan.source, plan.common, plan.source_args, files)
    destination_argv = side(plan.destination, plan.common, plan.destination_args, files, ("-incoming", "defer"))
    scenario = _Scenario(plan.run, f"unix:{sockets / 'm'}")
    timed_out = False
    refused: tuple[str, str] | None = None
    async with (
        qemu("destination", destination_argv, sockets / "d", began, changed) as destination,
        qemu("source", source_argv, sockets / "s", began, changed) as source,
    ):
        try:
            async with asyncio.timeout_at(began + plan.deadline):
                await scenario.play(source, destination)
        except TimeoutError:
            timed_out = True
        except Refused as error:
            refused = (error.name, str(error))
        except Gone:
            if scenario.stage in (Stage.MIGRATE, Stage.CHECK):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GRACE):
                        await _settle(source, destination)
            await _last_words(source, destination)
    (sockets / "m").unlink(missing_ok=True)
    return Facts(
        machine=plan.machine,
        source=_side(source, source_argv),
        destination=_side(destination, destination_argv),
        stage=scenario.stage,
        s0=scenario.s0,
        timed_out=timed_out,
        refused=refused,
    )


def _side(machine: Qemu, argv: Sequence[str]) -> Side:
    stderr = machine.process.text()
    return Side(
        name=machine.name,
        argv=tuple(argv),
        connected=machine.connected,
        returncode=machine.process.returncode,
        migration=machine.migration,
        runstate=machine.runstate,
        stderr=stderr,
        said=rules.judged_lines(stderr),
        trace=machine.trace,
    )


async def _settle(source: Qemu, destination: Qemu) -> None:
    """Wait until neither has more to tell. Once something has failed, that takes at most `_GRACE` seconds more.

    Events wake us; without one the statuses are asked for, which is all that QEMU before 2.4 would need.
    """
    clock = asyncio.get_running_loop().time
    patience: float | None = None
    while not (_over(source) and _over(destination)):
        if patience is None and (_failed(source) or _failed(destination)):
            patience = clock() + _GRACE
        if patience is not None and clock() > patience:
            return
        source.changed.clear()
        try:
            async with asyncio.timeout(_POLL):
                await source.changed.wait()
        except TimeoutError:
            for machine in (source, destination):
                with contextlib.suppress(Gone):
                    await _refresh(machine, incoming=machine is destination)


async def _last_words(*machines: Qemu) -> None:
    for machine in machines:
        if not machine.alive:
            await machine.process.drained()


def _over(machine: Qemu) -> bool:
    """Whether nothing more is to come. A source that failed goes on living; a destination that failed exits."""
    return not machine.alive or machine.migration == "completed" or (_failed(machine) and machine.name == "source")


def _failed(machine: Qemu) -> bool:
    return not machine.alive or machine.migration in ("failed", "cancelled")


class _Scenario:
    """The sequence, and how far it came. Later checks of the guest's state follow the ones in `_check`."""

    def __init__(self, run: float, uri: str) -> None:
        self.stage = Stage.START
        self.s0: str | None = None
        self._run = run
        self._uri = uri

    async def play(self, source: Qemu, destination: Qemu) -> None:
        """All of it; raises `Gone`, `Refused`, and TimeoutError by the deadline around it."""
        starts = await asyncio.gather(source.connect(), destination.connect(), return_exceptions=True)
        for failure in starts:
            if failure is not None:
                raise failure
        self.stage = Stage.SETUP
        await self._prepare(source, destination)
        self.stage = Stage.MIGRATE
        await source.ask("migrate", uri=self._uri)
        await _settle(source, destination)
        await _last_words(source, destination)
        if not all(machine.alive and machine.migration == "completed" for machine in (source, destination)):
            return
        self.stage = Stage.CHECK
        await self._check(source, destination)
        self.stage = Stage.DONE

    async def _prepare(self, source: Qemu, destination: Qemu) -> None:
        for machine in (destination, source):
            with contextlib.suppress(Refused):  # without events the statuses are asked for
                events = [{"capability": "events", "state": True}]
                await machine.ask("migrate-set-capabilities", capabilities=events)
        if self._run:
            await _run_guest(self._run, source, destination)
        self.s0 = await source.query_status()
        await _lift_limits(source)
        await destination.ask("migrate-incoming", uri=self._uri)

    async def _check(self, source: Qemu, destination: Qemu) -> None:
        """What must hold after both said completed: the destination tells its state and obeys."""
        await source.query_status()
        state = await destination.query_status()
        await destination.ask("stop")
        await destination.query_status()
        destination.runstate = state


async def _run_guest(seconds: float, *machines: Qemu) -> None:
    """Let the guest run; raises `Gone` if a side ends meanwhile."""
    waits = [asyncio.ensure_future(machine.process.exited.wait()) for machine in machines]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    for machine in machines:
        if not machine.alive:
            raise Gone(machine.name)


async def _lift_limits(source: Qemu) -> None:
    """Bandwidth and downtime out of the way: by migrate-set-parameters (since 2.8), else by the commands before it."""
    commands = {entry["name"] for entry in await source.ask("query-commands")}
    if "migrate-set-parameters" in commands:
        try:
            await source.ask("migrate-set-parameters", max_bandwidth=_BANDWIDTH, downtime_limit=_DOWNTIME * 1000)
            return
        except Refused:
            pass  # 2.4 to 2.7 have the command without these parameters
    if "migrate_set_speed" in commands:
        await source.ask("migrate_set_speed", value=_BANDWIDTH)
        await source.ask("migrate_set_downtime", value=_DOWNTIME)


async def _refresh(machine: Qemu, *, incoming: bool) -> None:
    """Ask for the status when no event told it. Destinations before 3.0 have none: there, to leave inmigrate is it."""
    status = (await machine.ask("query-migrate")).get("status")
    if status is not None and status != "none":
        machine.migration = str(status)
    elif incoming and (machine.resumed or await machine.query_status() != "inmigrate"):
        machine.migration = "completed"
