"""Who performs the tests of a search: threads of this process, or the workers of `executor.address`."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bot.bisect.crew import Perform
from bot.config import Config
from bot.host import bundles
from bot.host.executor import Remote, Task
from bot.model import Build, Run, Test
from bot.pipeline.bench import Bench
from bot.progress import Progress
from bot.worker import CommandRig, Rig, installed, perform, perform_command
from bot.workshop import Lacking, Order

SLOT = "slot"
"""The resource that each test takes one of; a worker has as many as it does tests at a time."""


@contextmanager
def remote(config: Config, progress: Progress) -> Iterator[Remote | None]:
    """The workers that the configuration names, for as long as they are needed; None: there are none."""
    link = config.executor.link
    if link is None:
        yield None
        return
    far = Remote(link, progress.say)
    try:
        yield far
    finally:
        far.close()


def performer(desk: Bench, rig: Rig | CommandRig, jobs: int = 1) -> Perform:
    """Performs tests as a rig says, `jobs` at a time."""
    if desk.remote is not None:
        return _Afar(desk, desk.remote, rig)
    if isinstance(rig, CommandRig):
        command = rig.beside(jobs)
        return lambda test, stop: perform_command(test, command.until(stop))
    several = rig.beside(jobs)
    return lambda test, stop: perform(test, several.until(stop))


def needs(test: Test) -> dict[str, float]:
    """What a worker must have: a free slot, our architecture, and KVM for those whose cases want it."""
    kvm = {f"kvm-{case.arch}": 1.0 for case in test.cases if case.accel.startswith("kvm")}
    return {SLOT: 1.0, platform.machine(): 1.0, **kvm}


@dataclass(frozen=True, slots=True)
class _Afar:
    """A `Perform` that sends each test away; its commits go with it if a clone lacks them."""

    desk: Bench
    remote: Remote
    rig: Rig | CommandRig

    def __call__(self, test: Test, stop: threading.Event) -> Iterator[Build | Run]:
        order, host = self._order(test), test.host
        while True:
            lacking: Lacking | None = None
            for fact in self.remote.perform(Task(f"the test of {test.commit[:12]}", order, needs(test), host), stop):
                if isinstance(fact, Lacking):
                    lacking = fact
                else:
                    yield fact
            if lacking is None:
                return
            order, host = self._supplied(order, lacking), lacking.host

    def _order(self, test: Test) -> Order:
        rig, posted = self.rig, self.desk.repository.posted(test.commit)
        if isinstance(rig, CommandRig):
            setups = dict.fromkeys(test.cases, rig.setup())
            return Order(test, setups, command=rig.argv, timeout=rig.timeout, posted=posted)
        profiles = {case.profile: rig.profile(case) for case in test.cases}
        used = {case: baseline for case in test.cases if (baseline := rig.baseline(case)) is not None}
        return Order(
            test=test,
            setups={case: rig.setup(case) for case in test.cases},
            profiles=profiles,
            baselines={baseline.name: baseline for baseline in used.values()},
            refs={baseline.name: rig.refs[baseline.name] for baseline in used.values() if baseline.ref is not None},
            binaries={
                f"{baseline.name} {case.target}": installed(baseline, case.target).sha256
                for case, baseline in used.items()
                if baseline.path is not None
            },
            smoke=rig.smoke,
            recipes=self.desk.config.build.recipes,
            confined=rig.sandbox is not None,
            posted=posted,
        )

    def _supplied(self, order: Order, lacking: Lacking) -> Order:
        """The order with the commits that a worker lacks, or leave to fetch them if they are too many to send."""
        found = bundles.pack(self.desk.repository, lacking.commits, lacking.tips)
        return replace(order, fetch=True) if found is None else replace(order, bundle=found)
