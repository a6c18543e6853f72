"""Options that several commands have, each group handed on as one value."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bot.errors import UserError
from bot.model import METHODS, SWEEPS, Direction, Profile

if TYPE_CHECKING:
    from bot.config import Config


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options before the command say. The configuration is loaded when a command asks for it."""

    path: Path | None
    overrides: tuple[str, ...]
    place: Path

    def config(self) -> Config:
        from bot.config import load

        return load(self.path, self.overrides)

    def work(self) -> Path:
        from bot.pipeline.place import work_directory

        return work_directory(self.place)


@dataclass(frozen=True, slots=True)
class Typed:
    """What says how QEMU is started, as typed."""

    target: str | None
    machines: tuple[str, ...]
    profile: str | None
    args: str | None
    source_args: str | None
    destination_args: str | None
    accel: str | None
    run_for: float | None
    methods: tuple[str, ...]
    cmdline: Path | None

    def read(self) -> Typed:
        """With what the command line in a file says instead of --target, --machine and --args."""
        if self.cmdline is None:
            return self
        from bot.core import cmdline
        from bot.pipeline import logs

        if self.profile is not None or self.args is not None or self.machines:
            raise UserError(
                "--cmdline says machine type and arguments itself; leave --machine, --profile and --args out"
            )
        try:
            started = cmdline.read(logs.read(self.cmdline))
        except cmdline.NotACommandLine as error:
            raise UserError(f"--cmdline {self.cmdline}: {error}") from error
        for phrase in started.left_out:
            click.echo(f"left out, it is the host's: {phrase}", err=True)
        target = self.target or started.arch
        return replace(self, target=target, machines=(started.machine,), args=shlex.join(started.args))

    def config(self, settings: Settings) -> Config:
        from bot.config import load

        overrides = settings.overrides if self.accel is None else (*settings.overrides, f"smoke.accel={self.accel}")
        return load(settings.path, overrides)

    def chosen(self, config: Config, sweep: str | None = None) -> Profile | None:
        """The profile that was typed; None if a sweep names the profiles."""
        if sweep is not None:
            own = (self.profile, self.args, self.source_args, self.destination_args, self.run_for)
            if any(value is not None for value in own):
                raise UserError("--sweep names its profiles itself; leave --profile, --args and --run out")
            return None
        return self.one(config)

    def one(self, config: Config) -> Profile:
        from bot.pipeline.asking import tailored

        return tailored(
            config.profile(self.profile or "bare") if self.args is None else None,
            words(self.args, "--args"),
            words(self.source_args, "--source-args"),
            words(self.destination_args, "--destination-args"),
            self.run_for,
        )


def words(text: str | None, option: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise UserError(f"{option}: {error}: {text}") from error


def address(_context: click.Context, option: click.Parameter, text: str) -> tuple[str, int]:
    """HOST:PORT, as a callback of an option; an IPv6 address stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise UserError(f"{option.opts[0]} {text}: not HOST:PORT, e.g. 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


FILE = click.Path(path_type=Path)
_CASE = (
    click.option("--target", help="QEMU target, e.g. ppc64-softmmu.  [default: the configuration's first]"),
    click.option(
        "--machine",
        "machines",
        multiple=True,
        metavar="TYPE",
        help="Versioned machine type, e.g. pc-q35-9.2. Repeatable.",
    ),
    click.option("--profile", metavar="NAME", help="Device set and options of the configuration.  [default: bare]"),
    click.option("--args", metavar="ARGS", help="QEMU arguments for both sides, instead of a profile's."),
    click.option(
        "--cmdline",
        type=FILE,
        metavar="FILE",
        help="Machine type and arguments of the QEMU command line in FILE, as libvirt logs it; - for standard input.",
    ),
    click.option("--source-args", metavar="ARGS", help="More arguments for the source."),
    click.option("--destination-args", metavar="ARGS", help="More arguments for the destination."),
    click.option("--accel", metavar="NAME", help="tcg or kvm.  [default: smoke.accel]"),
    click.option(
        "--run",
        "run_for",
        type=click.FloatRange(0, 3600),
        metavar="SECONDS",
        help="Let the guest run before it migrates.",
    ),
    click.option(
        "--method",
        "methods",
        multiple=True,
        type=click.Choice(METHODS),
        help="How it migrates. Repeatable.  [default: precopy, or those of the sweep]",
    ),
)
_SIDES = (
    click.option(
        "--source", metavar="REF|PATH", help="Pin the source: a release that is built, or an installed binary."
    ),
    click.option("--destination", metavar="REF|PATH", help="Pin the destination: the source is then what varies."),
    click.option(
        "--direction",
        type=click.Choice([d.value for d in Direction]),
        help="With --baseline: which side varies.  [default: same, or forward with --baseline]",
    ),
    click.option(
        "--source-side",
        is_flag=True,
        help="The source is what varies, and the baseline is migrated to: for breaks that a stable branch brought.",
    ),
    click.option("--baseline", metavar="NAME", help="A baseline of the configuration as the other side."),
)
REPO = click.option(
    "--repo",
    type=FILE,
    metavar="DIR",
    help="A clone to use as it is.  [default: the QEMU clone you are in, else upstream.url]",
)
_MATRIX = (
    click.option(
        "--sweep",
        type=click.Choice(SWEEPS),
        help="A part of the matrix, as the configuration has it, instead of one profile.",
    ),
    click.option("--strict", is_flag=True, help="Failures that the configuration expects count like others."),
    click.option("--json", "json", type=FILE, metavar="FILE", help="Write the runs as JSON."),
    click.option("--junit", type=FILE, metavar="FILE", help="Write the runs as JUnit XML."),
    click.option("--html", type=FILE, metavar="FILE", help="Write a page: machine types by baselines."),
)


def case_options(function: Callable[..., int]) -> Callable[..., int]:
    """The options of `Typed`, handed on as one value named `typed`."""

    @functools.wraps(function)
    def collected(*args: Any, **options: Any) -> int:
        typed = Typed(**{field.name: options.pop(field.name) for field in fields(Typed)})
        return function(*args, typed=typed.read(), **options)

    return _all(_CASE, collected)


def side_options(function: Callable[..., int]) -> Callable[..., int]:
    """The options of `Sides`, handed on as one value named `sides`."""

    @functools.wraps(function)
    def collected(*args: Any, **options: Any) -> int:
        from bot.pipeline.asking import Sides

        direction = options.pop("direction")
        options["direction"] = Direction(direction) if direction else None
        sides = Sides(**{field.name: options.pop(field.name) for field in fields(Sides)})
        return function(*args, sides=sides, **options)

    return _all(_SIDES, collected)


def matrix_options(function: Callable[..., int]) -> Callable[..., int]:
    """Which part of the matrix, and where the runs go: the files are handed on as one value named `files`."""

    @functools.wraps(function)
    def collected(*args: Any, **options: Any) -> int:
        from bot.pipeline.telling import Files

        files = Files(**{field.name: options.pop(field.name) for field in fields(Files)})
        return function(*args, files=files, **options)

    return _all(_MATRIX, collected)


def _all(options: Sequence[Callable[..., Any]], function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(options):
        function = option(function)
    return function
