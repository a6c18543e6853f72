"""The built-in smoke of two QEMUs: one method played, both sides watched, strictly judged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bot.core import stream
from bot.core.description import registers_refused
from bot.core.verdict import FAILURES
from bot.errors import InfraError
from bot.model import Direction, Log, Observation, Outcome, Signature
from bot.smoke import judge as rules
from bot.smoke.argv import Common
from bot.smoke.control import Control, Controls, alarming
from bot.smoke.golden import Golden, Goldens
from bot.smoke.guest import guest_for
from bot.smoke.judge import Facts, Judgement, Side
from bot.smoke.methods import method_of
from bot.smoke.plan import Plan
from bot.smoke.qemu import SOCKET_PATH_LIMIT
from bot.smoke.saved import save
from bot.smoke.scene import on_stage
from bot.smoke.settle import Pair, Settled, adapted, settle
from bot.smoke.until import until_stopped

_LONGER = 1.0  # seconds
_AS_LONG = 3  # times the life of a QEMU that ended
_ARM = ("arm", "aarch64")
_LOADING = (Outcome.FAIL_DST, Outcome.CRASH_DST)  # what a destination does that fails while it loads


def migrate(
    pair: Pair, controls: Controls, scratch: Path, stop: threading.Event | None = None, goldens: Goldens | None = None
) -> Observation:
    """Run the case's migration once. A board that does not start so is tried again as it wants (`adapted`).

    Where there is a recorded stream of the baseline, it stands for the source; a failure with it is repeated with two
    live processes, and only what they do counts.

    Raises `Stopped` if `stop` was set, `UserError` if a binary cannot be executed or a method is not known,
    `InfraError` if the machine cannot give a socket, process or directory. Whatever happens, nothing is left.
    """
    began = time.monotonic()
    with directories(scratch) as (directory, sockets):
        smoke = _Smoke(pair, controls, directory, sockets, goldens)
        seen = asyncio.run(until_stopped(smoke.observe(), stop))
    return replace(seen, seconds=time.monotonic() - began)


@contextlib.contextmanager
def directories(scratch: Path) -> Iterator[tuple[Path, Path]]:
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


class _Smoke:
    """One smoke in one event loop."""

    def __init__(self, pair: Pair, controls: Controls, directory: Path, sockets: Path, goldens: Goldens | None) -> None:
        self._pair, self._controls, self._goldens = pair, controls, goldens
        self._directory, self._sockets = directory, sockets
        self._method = method_of(pair.case.method)

    async def observe(self) -> Observation:
        pair = self._pair
        says = (pair.source_says, pair.destination_says)
        releases = tuple(inventory.release for inventory in says)
        lacking = self._method.lacks(*says)
        if lacking is not None:
            return Observation(Outcome.UNTESTABLE, None, f"{self._method.name}: {lacking}", releases=releases)
        if pair.profile.guest and guest_for(pair.case.arch, pair.case.machine) is None:
            return Observation(
                Outcome.UNTESTABLE, None, f"there is no guest of ours for {pair.case.machine}", releases=releases
            )
        settled = await settle(pair, self._controls, self._sockets)
        if settled.broken is not None:
            device, why = settled.broken
            mark = rules.start_signature(replace(Side.absent("commit"), returncode=1, stderr=why, said=why))
            message = f"does not start with {device.name}, which the baseline does: {why}"
            seen = Observation(Outcome.FAIL_START, replace(mark, device=mark.device or device.name), message)
        else:
            seen = await self._settled(settled)
        return replace(seen, releases=releases, left_out=settled.left_out)

    async def _settled(self, settled: Settled) -> Observation:
        first = settled.common
        golden = await self._golden(first)
        if golden is not None:
            passed = await self._passed(first, golden)
            if passed is not None:
                return passed
        common: Common | None = first
        while common is not None:
            seen, facts = await self._live(common)
            settled, common = replace(settled, common=common), adapted(common, facts)
        if seen.outcome in FAILURES and seen.signature is not None and seen.signature.device == "cpu":
            seen = replace(seen, signature=await self._registers(settled.common, seen.signature))
        if seen.outcome in _LOADING and seen.signature is not None and seen.signature.device is not None:
            recorded = golden if settled.common == first else None
            seen = replace(seen, loaded=await self._loaded(settled.common, seen.signature.device, recorded))
        if seen.outcome in FAILURES and settled.common.devices:
            seen = replace(seen, blamed=await self._blame(settled.common))
        return seen

    async def _registers(self, common: Common, mark: Signature) -> Signature:
        """The signature with the registers that an arm destination refuses, by both sides' own streams.

        Without them every break of the CPU's state would look the same.
        """
        if self._pair.alike or self._pair.case.arch not in _ARM:
            return mark
        plan, streams = self._plan(common), []
        away = replace(
            plan, source=plan.destination, source_says=plan.destination_says, source_args=plan.destination_args
        )
        for own in (plan, away):
            saved = await save(own, self._directory, self._sockets)
            if not saved.whole:
                return mark
            try:
                streams.append(stream.read(saved.file.read_bytes()))
            except stream.StreamError:
                return mark
        registers = registers_refused(*streams)
        return replace(mark, klass="cpreg", detail=",".join(map(hex, registers))) if registers else mark

    async def _loaded(self, common: Common, device: str, golden: Golden | None) -> tuple[str, ...]:
        """What the destination had loaded when it failed on a device, by the order of what the source sends.

        A bisection for a failure of one of those hears that this one is good. What is sent has one order, whatever the
        guest did, so a stream that was recorded of this source tells it as well.
        """
        sent = None if golden is None else golden.read()
        if sent is None:
            plan = replace(self._plan(common), run=0.0, guest=None)
            saved = await save(plan, self._directory, self._sockets)
            if not saved.whole:
                return ()
            sent = saved.file.read_bytes()
        try:
            return stream.loaded_before(stream.read(sent), device)
        except stream.StreamError:
            return ()

    async def _golden(self, common: Common) -> Golden | None:
        case, profile = self._pair.case, self._pair.profile
        if self._goldens is None or case.direction is not Direction.FORWARD or not Goldens.fits(case, profile):
            return None
        return await self._goldens.stream(self._plan(common), self._directory, self._sockets)

    async def _blame(self, common: Common) -> tuple[str, ...]:
        """The devices that fail when each is plugged alone; none if the machine fails without any of them too."""
        seen, _ = await self._live(replace(common, devices=()))
        if seen.outcome in FAILURES:
            return ()
        if len(common.devices) == 1:
            return (common.devices[0].device,)
        found = []
        for device in common.devices:
            seen, _ = await self._live(replace(common, devices=(device,)))
            if seen.outcome in FAILURES:
                found.append(device.device)
        return tuple(found)

    async def _live(self, common: Common) -> tuple[Observation, Facts]:
        plan = self._plan(common)
        async with on_stage(plan, self._method, self._directory, self._sockets) as scene:
            await self._method.play(scene)
        facts = scene.facts()
        facts, judgement = await self._judge(plan, facts)
        return observation(facts, judgement), facts

    async def _passed(self, common: Common, golden: Golden) -> Observation | None:
        """What was seen with a recorded stream, if it passes. Else None: two live processes have to show it anyway."""
        plan = self._plan(common)
        facts = await golden.load(plan, self._directory, self._sockets)
        if facts.unstarted:
            return None
        facts, _ = await self._without_control(plan, facts, again=False)
        judgement = rules.judge(facts)
        if judgement.outcome is not Outcome.PASS:
            return None
        return replace(observation(facts, judgement), stream=golden.sha256)

    def _plan(self, common: Common) -> Plan:
        pair = self._pair
        return Plan(
            machine=pair.case.machine,
            source=pair.source,
            destination=pair.destination,
            common=tuple(common.arguments()),
            source_args=pair.profile.source_args,
            destination_args=pair.profile.destination_args,
            run=pair.profile.run,
            deadline=pair.settings.deadline + pair.profile.run,
            source_says=pair.source_says,
            destination_says=pair.destination_says,
            guest=guest_for(pair.case.arch, pair.case.machine) if pair.profile.guest else None,
            kvm=pair.case.accel.partition(",")[0] == "kvm",
        )

    async def _judge(self, plan: Plan, facts: Facts) -> tuple[Facts, Judgement]:
        """Lines that a control run prints too are no failure; a failure is held against a fresh one."""
        if facts.unstarted:
            return facts, rules.judge_start(facts, self._pair.culprits, await self._starts_elsewhere(plan, facts))
        judged = facts
        for again in (False, True):
            judged, trouble = await self._without_control(plan, facts, again=again)
            if trouble is not None:
                return judged, trouble
            judgement = rules.judge(judged)
            if judgement.outcome not in FAILURES or not any(alarming(side.said) for side in facts.sides):
                break
        return judged, judgement

    async def _without_control(self, plan: Plan, facts: Facts, *, again: bool) -> tuple[Facts, Judgement | None]:
        """The facts without lines of control runs, and what it means if one does not start any more."""
        sides = []
        for side in facts.sides:
            if alarming(side.said):
                run = _longer(plan.run, side.lived) if again else plan.run
                control = await self._control(plan, side.name, run, again=again)
                if again and not control.started and plan.run:
                    why = f"{side.name} does not run without a migration either: {rules.last_words(side)}"
                    return facts, Judgement(Outcome.UNTESTABLE, rules.start_signature(side), why)
                if again and not control.started:
                    said = control.stderr.strip()[-200:]
                    why = f"{side.name} did start, but its control run does not any more: {said}"
                    return facts, Judgement(Outcome.INFRA, None, why)
                side = replace(side, said=control.unexpected(side.said))
            sides.append(side)
        return replace(facts, source=sides[0], destination=sides[1]), None

    async def _starts_elsewhere(self, plan: Plan, facts: Facts) -> bool:
        """Whether the other release (or, for `same`, this binary alone) starts as the failing side should have."""
        failed = next((side for side in facts.unstarted if side.name in self._pair.culprits), None)
        if failed is None:
            return False
        # The other side's binary. For `same` that is this binary: a start that works now worked not a moment ago.
        elsewhere = replace(plan, source=plan.destination, destination=plan.source)
        return (await self._control(elsewhere, failed.name, _longer(plan.run))).started

    async def _control(self, plan: Plan, name: str, run: float, *, again: bool = False) -> Control:
        binary, extra = (
            (plan.destination, plan.destination_args) if name == "destination" else (plan.source, plan.source_args)
        )
        return await self._controls.control(binary, plan.common, extra, run, self._sockets, plan.deadline, again=again)


def _longer(run: float, lived: float = 0.0) -> float:
    """How long a guest runs that is held against one that ended: boards without any code last a moment, or two.

    On a host under load these are moments of load, so the QEMU that ended says how long they were.
    """
    return max(run + _LONGER, _AS_LONG * lived) if run else 0.0


def observation(facts: Facts, judgement: Judgement) -> Observation:
    """What was seen, as it is kept: every process's command line, exit, stderr and QMP trace."""
    sides = facts.all_sides or facts.sides
    order = {"source": 0, "destination": 1}
    sides = tuple(sorted(sides, key=lambda side: order.get(side.name, 2)))
    message = f"on the way back: {judgement.message}" if facts.hop == 2 and judgement.message else judgement.message
    return Observation(
        outcome=judgement.outcome,
        signature=judgement.signature,
        message=message,
        argv=tuple(side.argv for side in sides),
        exits=tuple(side.returncode for side in sides),
        logs=tuple(
            Log(f"{side.name}.{kind}", text)
            for side in sides
            for kind, text in (("stderr", side.stderr), ("qmp", side.trace))
        ),
    )
