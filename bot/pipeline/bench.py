"""What a command works with: the clone, the store and the rig, made once from the configuration."""

from __future__ import annotations

import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bot.build.builder import Builder
from bot.config import Config
from bot.errors import UserError
from bot.host.executor import Remote
from bot.host.git import Repository
from bot.host.sandbox import end_strays
from bot.model import Baseline, Build, BuildKind, Case, Direction, Inventory, Outcome, Profile, Run
from bot.pipeline.confining import sandbox
from bot.progress import Progress
from bot.smoke.golden import Goldens
from bot.smoke.inspect import inspect
from bot.store.store import Store
from bot.worker import Rig, installed


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything but the question. `clock` gives seconds since the epoch."""

    config: Config
    work: Path
    repository: Repository
    store: Store
    rig: Rig
    progress: Progress
    stop: threading.Event
    clock: Callable[[], float] = time.time
    remote: Remote | None = None  # who performs the tests of searches; None: this process

    def keep(self, fact: Build | Run) -> None:
        """Record a fact, with the time it became known. That a build came from the cache is kept once."""
        if isinstance(fact, Run):
            self.store.record(replace(fact, at=self.clock()))
        elif fact.kind is not BuildKind.CACHED or not self._recorded(fact):
            self.store.record(fact)

    def _recorded(self, build: Build) -> bool:
        return any(known.target == build.target for known in self.store.builds(commit=build.commit))

    def runs(self, commit: str, cases: Iterable[Case]) -> list[Run]:
        """Recorded answers of cases at a commit, under today's setups."""
        wanted = list(cases)
        setups = {self.rig.setup(case) for case in wanted}
        return answers(self.store.runs(commit=commit, cases=wanted, setups=setups, logs=False))


def other_inventory(
    desk: Bench, target: str, direction: Direction, baseline: Baseline | None
) -> dict[str, dict[str, Inventory]]:
    """What the other side says of itself, by its name and target, as `core.matrix.cases` takes it; built if need be."""
    if baseline is None:
        return {}
    binary, build = desk.rig.other(Case(target, "-", "-", direction, baseline.name))
    if build is not None:
        desk.keep(build)
    return {} if binary is None else {baseline.name: {target: inspect(binary, stop=desk.stop)}}


def baseline_name(bench: Bench, baseline: Baseline, target: str) -> str:
    """`v2.12.0` for one that is built; `qemu-7.2.22 (/usr/bin/qemu-system-x86_64)` for one that is installed."""
    if baseline.ref is not None:
        return baseline.ref
    binary = installed(baseline, target)
    version = inspect(binary, stop=bench.stop).version.split()[0]
    return f"qemu-{version} ({binary.path})"


def answers(runs: Iterable[Run]) -> list[Run]:
    """The runs that need not be run again.

    Not those that the machine failed; nor those of commits that did not build: the builder remembers that by recipe and
    toolchain, which may have been mended since, and answers from its cache if not.
    """
    return [run for run in runs if run.outcome not in (Outcome.INFRA, Outcome.NOT_BUILT)]


def work_directory(path: Path) -> Path:
    """The directory, made if need be. Raises `UserError` if it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be used as work directory: {error.strerror}; give another with -C DIR"
        ) from error
    return path.resolve()


def bench(
    config: Config,
    work: Path,
    repository: Repository,
    progress: Progress,
    stop: threading.Event,
    *,
    baselines: Iterable[Baseline],
    profiles: Iterable[Profile],
    remote: Remote | None = None,
) -> Bench:
    """A bench with these baselines and profiles. Raises `UserError` for a baseline that cannot be had."""
    used = {baseline.name: newest(repository, baseline) for baseline in baselines}
    refs = {b.name: _resolve(repository, b) for b in used.values() if b.ref is not None}
    scratch = work / "scratch"
    scratch.mkdir(exist_ok=True)
    end_strays(work)
    box = sandbox(config, progress)
    builder = Builder(repository, replace(config.build_settings, sandbox=box), work, progress)
    rig = Rig(
        builder=builder,
        profiles={profile.name: profile for profile in profiles},
        baselines=used,
        refs=refs,
        smoke=config.smoke_settings,
        scratch=scratch,
        progress=progress,
        stop=stop,
        smokes=at_once(config),
        goldens=Goldens(work / "goldens"),
        sandbox=box,
    )
    return Bench(config, work, repository, Store(work), rig, progress, stop, remote=remote)


def at_once(config: Config) -> int:
    """Smokes at the same time. One more than there are cores: now and then each waits for a disk or a socket."""
    return config.executor.smokes or (os.cpu_count() or 1) + 1


def newest(repository: Repository, baseline: Baseline) -> Baseline:
    """A baseline `v10.0.x` as the newest point release of stable-10.0 (of master before there is one); others as given.

    Raises `UserError` if there is no such release.
    """
    series = _POINT.fullmatch(baseline.ref or "")
    if series is None:
        return baseline
    branches = repository.branches()
    tip = branches.get(f"stable-{series[1]}", branches.get("master"))
    found = [name for name in repository.releases(tip) if name.startswith(f"v{series[1]}.")] if tip else []
    if not found:
        raise UserError(f"baseline {baseline.name}: no release of {series[1]} on stable-{series[1]} or master")
    return replace(baseline, ref=max(found, key=lambda name: int(name.rpartition(".")[2])))


_POINT = re.compile(r"v?(\d+\.\d+)\.x")


def _resolve(repository: Repository, baseline: Baseline) -> str:
    try:
        return repository.resolve(baseline.ref or "")
    except UserError as error:
        raise UserError(f"baseline {baseline.name}: {error}") from error


def host() -> str:
    """The machine in a phrase, as reports say it."""
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        name = platform.system()
    return f"{platform.machine()}, {name}, {os.cpu_count()} cores"
