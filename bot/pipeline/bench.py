"""What a command works with: the clone, the store and the rig, made once from the configuration."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bot.build.builder import Builder
from bot.config import Config
from bot.core.succession import Release
from bot.core.verdict import answers
from bot.errors import InfraError, UserError
from bot.host.executor import Remote
from bot.host.git import Repository
from bot.host.sandbox import end_strays
from bot.model import Baseline, Build, BuildKind, Case, Direction, Inventory, Profile, Run, Sha
from bot.pipeline.confining import sandbox
from bot.pipeline.local import at_once
from bot.progress import Progress
from bot.smoke.golden import Goldens
from bot.smoke.inspect import inspect
from bot.store.store import Store
from bot.worker import Rig, installed


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything but the question."""

    config: Config
    work: Path
    repository: Repository
    store: Store
    rig: Rig
    progress: Progress
    stop: threading.Event
    remote: Remote | None = None  # who performs the tests of searches; None: this process

    def keep(self, fact: Build | Run) -> None:
        """Record a fact, with the time it became known. That a build came from the cache is kept once."""
        if isinstance(fact, Run):
            self.store.record(replace(fact, at=self.store.clock()))
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


def of_today(bench: Bench, runs: Iterable[Run]) -> list[Run]:
    """Runs of commits that the same toolchain would build today; of another host's builds that is not known."""

    known = cache(lambda commit, target: toolchain(bench, commit, target))
    return [run for run in runs if run.host or not run.toolchain or run.toolchain == known(run.commit, run.case.target)]


def toolchain(bench: Bench, commit: Sha, target: str) -> str:
    """What builds a commit today; "": it cannot be built with these settings, or the clone has lost it."""
    try:
        return bench.rig.builder.toolchain(commit, target)
    except (UserError, InfraError):
        return ""


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
    clock: Callable[[], float] = time.time,
) -> Bench:
    """A bench with these baselines and profiles; `clock` gives seconds since the epoch.

    Raises `UserError` for a baseline that cannot be had.
    """
    store = Store(work, clock)
    used = {baseline.name: in_use(repository, baseline, store) for baseline in baselines}
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
    config = config.without(store.replies.no_cc())
    return Bench(config, work, repository, store, rig, progress, stop, remote=remote)


def in_use(repository: Repository, baseline: Baseline, store: Store) -> Baseline:
    """A baseline that is a series as the release that the watch has it as, else as the newest."""
    series = SERIES.fullmatch(baseline.ref or "")
    used = store.releases.used().get(baseline.name) if series else None
    if series is None or used is None or not used.ref.startswith(f"v{series[1]}."):
        return newest(repository, baseline)
    try:
        repository.resolve(used.ref)
    except UserError:  # a tag that upstream took back
        return newest(repository, baseline)
    return replace(baseline, ref=used.ref)


def having(bench: Bench, cases: Iterable[Case], names: Mapping[str, str] = {}) -> Bench:
    """The bench with the releases, too, that cases name and that are baselines no more (`watch.releases`): as the watch
    had them last, else as a report calls them in its `names`. Installed ones cannot be had so."""
    gone = {case.baseline for case in cases if case.baseline} - set(bench.rig.baselines)
    found = {name: bench.store.releases.last(name) or _named(bench, name, names.get(name)) for name in gone}
    more = {name: release for name, release in found.items() if release is not None}
    return having_releases(bench, more.values()) if more else bench


def _named(bench: Bench, name: str, ref: str | None) -> Release | None:
    """The release that a report calls so; None: it names an installed binary, or the clone has lost it."""
    with suppress(UserError):
        return Release(name, ref, bench.repository.resolve(ref), bench.store.clock()) if ref else None
    return None


def having_releases(bench: Bench, releases: Iterable[Release]) -> Bench:
    """The bench with these releases as what their baselines are."""
    rig, there = bench.rig, list(releases)
    baselines = {**rig.baselines, **{one.baseline: Baseline(one.baseline, ref=one.ref) for one in there}}
    refs = {**rig.refs, **{one.baseline: one.sha for one in there}}
    return replace(bench, rig=replace(rig, baselines=baselines, refs=refs))


def newest(repository: Repository, baseline: Baseline) -> Baseline:
    """A baseline `v10.0.x` as the newest point release of stable-10.0 (of master before there is one); others as given.

    Raises `UserError` if there is no such release.
    """
    series = SERIES.fullmatch(baseline.ref or "")
    if series is None:
        return baseline
    branches = repository.branches()
    tip = branches.get(f"stable-{series[1]}", branches.get("master"))
    found = [name for name in repository.releases(tip) if name.startswith(f"v{series[1]}.")] if tip else []
    if not found:
        raise UserError(f"baseline {baseline.name}: no release of {series[1]} on stable-{series[1]} or master")
    return replace(baseline, ref=max(found, key=lambda name: int(name.rpartition(".")[2])))


SERIES = re.compile(r"v?(\d+\.\d+)\.x")
"""A `ref` that stands for a series: `v10.0.x`."""


def _resolve(repository: Repository, baseline: Baseline) -> str:
    try:
        return repository.resolve(baseline.ref or "")
    except UserError as error:
        raise UserError(f"baseline {baseline.name}: {error}") from error
