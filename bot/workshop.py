"""What a worker of another host does for its coordinator: an order in, facts out.

An order is data: the test and the settings that its outcome depends on. What belongs to the host (clone, directories,
sandbox, how many compilers) is the host's own configuration. There is no secret on either way.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bot.build.builder import Builder
from bot.errors import BotError, InfraError
from bot.host import bundles
from bot.host.git import MADE, POSTED, Repository
from bot.host.remote import fetch
from bot.model import Baseline, Build, BuildSettings, Case, Profile, Recipe, Run, Sandbox, Sha, SmokeSettings, Test
from bot.progress import Progress
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.worker import CommandRig, Rig, installed, perform, perform_command


@dataclass(frozen=True, slots=True)
class Order:
    """A test, and all that a worker has to be told for it.

    `setups` says by case what the coordinator's digest of everything else is (`Run.setup`): a worker whose own is
    another would make runs that no other run may be compared with, so it makes none. `bundle` brings commits that the
    worker's clone lacks; `fetch` asks it to get them from its upstream.
    """

    test: Test
    setups: Mapping[Case, str]
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    refs: Mapping[str, Sha] = field(default_factory=dict)
    binaries: Mapping[str, str] = field(default_factory=dict)  # sha256 of installed baselines, by name and target
    smoke: SmokeSettings = field(default_factory=SmokeSettings)
    recipes: tuple[Recipe, ...] = ()
    confined: bool = False  # in a sandbox
    command: tuple[str, ...] = ()  # of the user's own, instead of a build and smokes
    timeout: float = 0.0  # seconds, of the command
    posted: bool = False  # the commit is of a series that somebody posted, and is to be known for that
    bundle: bytes = b""
    fetch: bool = False

    @property
    def commits(self) -> tuple[Sha, ...]:
        """What the worker's clone needs."""
        return tuple(dict.fromkeys((self.test.commit, *self.refs.values())))


@dataclass(frozen=True, slots=True)
class Lacking:
    """Said in place of facts: commits that the clone of a host has not, and the newest that it has."""

    host: str
    commits: tuple[Sha, ...]
    tips: tuple[Sha, ...]


@dataclass(slots=True)
class Workshop:
    """Does orders on one host, several at a time, in threads. `settings` are the host's; the recipes are an order's."""

    host: str
    repository: Repository
    upstream: str | None  # what may be fetched from; None: the clone is somebody else's
    settings: BuildSettings
    work: Path
    progress: Progress
    stop: threading.Event
    slots: int = 1
    smokes: int = 1
    controls: Controls = field(default_factory=Controls)
    _goldens: Goldens = field(init=False)  # one for all orders: it knows who makes which stream, and what cannot be had
    _builders: dict[str, Builder] = field(default_factory=dict)  # by recipes
    _commands: dict[tuple[str, ...], CommandRig] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _doing: int = 0

    def __post_init__(self) -> None:
        self._goldens = Goldens(self.work / "goldens")

    @property
    def sandbox(self) -> Sandbox | None:
        return self.settings.sandbox

    def __call__(self, order: Order, stop: threading.Event) -> Iterator[Build | Run | Lacking]:
        """The facts of an order, each as it becomes known. Errors say which host had them."""
        with self._lock:
            self._doing += 1
        try:
            lacking = self._lacking(order)
            if lacking:
                yield Lacking(self.host, lacking, bundles.tips(self.repository))
                return
            for fact in self._facts(order, stop):
                yield replace(fact, host=self.host)
        except BotError as error:
            raise type(error)(f"{self.host}: {error}") from error
        finally:
            with self._lock:
                self._doing -= 1
                for builder in self._builders.values() if not self._doing else ():
                    builder.release()

    def _lacking(self, order: Order) -> tuple[Sha, ...]:
        """Commits that the clone has not. Raises `InfraError` if what the order brings or allows did not help."""
        missing = self._missing(order)
        if missing and order.bundle:
            bundles.unpack(self.repository, order.bundle, missing, POSTED if order.posted else MADE)
        elif missing and order.fetch and self.upstream is not None:
            with self._lock:
                fetch(self.repository, self.upstream, self.stop)
        missing = self._missing(order) if missing else ()
        if order.posted and order.test.commit not in missing:  # it may have come without being named: see `unpack`
            bundles.keep(self.repository, [order.test.commit], POSTED)
        if missing and (order.bundle or order.fetch):
            names = ", ".join(sha[:12] for sha in missing)
            raise InfraError(
                f"its clone has not {names}, nor what leads there, and its upstream did not bring it: fetch it there, "
                "or give this worker a clone that has it (--repo)"
            )
        return missing

    def _missing(self, order: Order) -> tuple[Sha, ...]:
        return tuple(sha for sha in order.commits if not bundles.has(self.repository, sha))

    def _facts(self, order: Order, stop: threading.Event) -> Iterator[Build | Run]:
        if order.command:
            command = self._command(order)
            self._same(order, {case: command.setup() for case in order.test.cases})
            yield from perform_command(order.test, command.until(stop))
            return
        rig = self._rig(order)
        self._check(order, rig)
        yield from perform(order.test, rig.until(stop))

    def _rig(self, order: Order) -> Rig:
        with self._lock:
            key = json.dumps([asdict(recipe) for recipe in order.recipes], sort_keys=True)
            if key not in self._builders:
                settings = replace(self.settings, recipes=order.recipes)
                builder = Builder(self.repository, settings, self.work, self.progress)
                self._builders[key] = builder.beside(self.slots)
        return Rig(
            builder=self._builders[key],
            profiles=order.profiles,
            baselines=order.baselines,
            refs=order.refs,
            smoke=order.smoke,
            scratch=self.work / "scratch",
            progress=self.progress,
            stop=self.stop,
            smokes=self.smokes,
            controls=self.controls,
            goldens=self._goldens,
            sandbox=self.sandbox,
        )

    def _command(self, order: Order) -> CommandRig:
        with self._lock:
            if order.command not in self._commands:
                tree = self.work / "command"
                rig = CommandRig(self.repository, order.command, tree, order.timeout, self.progress, self.stop)
                self._commands[order.command] = rig.beside(self.slots)
            return self._commands[order.command]

    # -- the same as the coordinator has ---------------------------------------------------------------------------

    def _check(self, order: Order, rig: Rig) -> None:
        """Raise `InfraError` if runs here would not be those that the coordinator asks for."""
        if order.confined is not (self.sandbox is not None):
            here, there = ("no sandbox", "one") if order.confined else ("a sandbox", "none")
            raise InfraError(f"here is {here}, and on the coordinator {there} (sandbox.use): runs would not compare")
        try:
            for case in order.test.cases:
                baseline = rig.baseline(case)
                if baseline is None or baseline.path is None:
                    continue
                wanted, binary = order.binaries[f"{baseline.name} {case.target}"], installed(baseline, case.target)
                if binary.sha256 != wanted:
                    raise InfraError(
                        f"baseline {baseline.name}: {binary.path} has sha256 {binary.sha256[:12]} here, and "
                        f"{wanted[:12]} on the coordinator: install the same"
                    )
            self._same(order, {case: rig.setup(case) for case in order.test.cases})
        except InfraError:
            raise
        except BotError as error:
            raise InfraError(f"{error} (the coordinator has it)") from error

    def _same(self, order: Order, setups: Mapping[Case, str]) -> None:
        other = next((case for case, setup in setups.items() if order.setups[case] != setup), None)
        if other is not None:
            what = "the command's files are" if order.command else f"what {other.id} depends on is"
            raise InfraError(f"{what} not the same here as on the coordinator (another script, or another bot)")
