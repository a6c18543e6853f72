"""The sections of config.yaml as frozen models, and how their values are written."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bot.config.document import Text, shown
from bot.errors import UserError
from bot.model import Baseline, BuildSettings, Direction, Profile, Recipe, ReportSettings, SmokeSettings, Submodule

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_YEAR = 366 * 86400
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_NAME_SAYS = "a name of letters, digits and . _ + -"

_Titled = TypeVar("_Titled", Baseline, Recipe)

# -- values -------------------------------------------------------------------------------------------------------
# A validator that raises ValueError("") is reported as "is VALUE, must be WORDS", WORDS being what `_says` says.


def _seconds(value: object) -> float:
    text = str(value).strip() if isinstance(value, str) else ""
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text):
        seconds = float(text)
    elif re.fullmatch(r"(\d{1,12}(\.\d{1,6})?[smhd])+", text):
        seconds = math.fsum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([smhd])", text))
    else:
        raise ValueError
    if seconds > _YEAR:
        raise ValueError
    return seconds


def _bytes(value: object) -> int:
    text = value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)([KMGT]?)(?:i?B)?", text)
    if match is None:
        raise ValueError
    return int(float(match[1]) * _SIZES[match[2]])


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError
    return seconds


def _words(value: object) -> object:
    """A text is split as a shell does it, so that `-device virtio-net-pci,id=n` needs no list."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"is {shown(value)}, which a shell cannot split: {str(error).lower()}") from error


def _path(value: object) -> object:
    return value.path() if isinstance(value, Text) and value else value


def _url(value: object) -> object:
    """A git URL, or a local path made absolute. A password in it would end in logs: refused, and not quoted."""
    if not isinstance(value, Text):
        return value
    if not value.isprintable():
        raise ValueError
    if re.match(r"[a-z+]+://[^/@]*:[^/@]*@", value):
        raise ValueError("holds a password, must not: use an ssh:// URL with a key")
    if re.match(r"(https|ssh|file)://.|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:.", value):
        return value
    if not value or value.startswith("-") or "://" in value or re.match(r"[^/]*:", value):
        raise ValueError
    return value.path()


def _mailbox(value: str) -> str:
    if not re.fullmatch(r"[^\s@<>,]+@[^\s@<>,]+", parseaddr(value)[1]) or not value.isprintable():
        raise ValueError
    return value


def _target(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_]+(-softmmu)?", value):
        raise ValueError
    return value.removesuffix("-softmmu") + "-softmmu"


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"names {shown(twice)} twice, must name each once")
    return values


def _baseline(value: object) -> object:
    """Exactly one of ref and path; a relative path is taken from where it is written."""
    if not isinstance(value, Mapping):
        return value
    if bool(value.get("ref")) == bool(value.get("path")):
        raise ValueError("must have exactly one of ref (a release that is built) and path (an installed binary)")
    return {key: _path(v) if key == "path" else v for key, v in value.items()}


def _submodule(value: object) -> object:
    trees = value.get("trees") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(trees, Mapping):
        return value
    return {**value, "trees": {pin: _path(tree) for pin, tree in trees.items()}}


def _named(value: _Titled) -> _Titled:
    """Names go into ids of cases and into paths: no slash, no blank."""
    if not re.fullmatch(_NAME, value.name):
        raise ValueError(f"has the name {shown(value.name)}, must be {_NAME_SAYS}")
    return value


def _says(words: str) -> WithJsonSchema:
    """What a value may be, in words, for errors and for the reference of keys."""
    return WithJsonSchema({"type": "string", "says": words})


Name = Annotated[str, Field(pattern=f"^{_NAME}$"), _says(_NAME_SAYS)]
Duration = Annotated[
    float, BeforeValidator(_seconds), AfterValidator(_positive), _says("a time such as 90s, 30m, 3h or 1h30m")
]
Seconds = Annotated[float, BeforeValidator(_seconds), _says("a time such as 0, 2s or 1m")]
Size = Annotated[int, BeforeValidator(_bytes), _says("a size such as 500M or 10G")]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d*[MG]?$"), _says("a value of QEMU's -m such as 128M or 1G")]
Accel = Annotated[
    str, Field(pattern=r"^(tcg|kvm)(,[a-z0-9-]+=[^,]+)*$"), _says("tcg or kvm, with or without ,property=value")
]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(_words),
    WithJsonSchema({"type": "array", "says": "arguments, as a list or as on a command line"}),
]
LocalPath = Annotated[str, BeforeValidator(_path), Field(min_length=1), _says("a path")]
Url = Annotated[str, BeforeValidator(_url), _says("an https:// or ssh:// URL, or a path")]
Web = Annotated[str, Field(pattern=r"^https?://[^\s<>]+$"), _says("an http:// or https:// URL")]
Domain = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"), _says("a domain such as example.org")]
Mailbox = Annotated[str, AfterValidator(_mailbox), _says("an address such as Name <name@example.org>")]
Target = Annotated[str, BeforeValidator(_target), _says("a QEMU target such as x86_64-softmmu or ppc64")]
Filled = Annotated[str, Field(min_length=1), _says("text")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# -- sections -----------------------------------------------------------------------------------------------------


class Upstream(_Section):
    url: Url


class Branch(_Section):
    """Branches to watch. `name` may be a pattern (fnmatch); `since` is tested first, as the good end."""

    name: Filled
    since: Filled | None = None


class Watch(_Section):
    branches: tuple[Branch, ...]
    stable: int = Field(ge=0, le=99)
    every: Duration


class EachTip(_Section):
    """What is run on each new tip of a branch."""

    profiles: Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_unique)]
    directions: Annotated[tuple[Direction, ...], Field(min_length=1), AfterValidator(_unique)]


class ProfileOptions(_Section):
    """A profile without its name, which is its key."""

    args: Words = ()
    source_args: Words = ()
    destination_args: Words = ()
    run: Seconds = 0.0


class Smoke(_Section):
    memory: dict[str, Memory]
    accel: Accel
    deadline: Duration
    script: LocalPath | None
    exclude: tuple[Filled, ...]


class Build(_Section):
    recipes: Annotated[tuple[Annotated[Recipe, AfterValidator(_named)], ...], Field(min_length=1)]
    submodules: dict[str, Annotated[Submodule, BeforeValidator(_submodule)]]
    jobs: int = Field(ge=0, le=4096)
    timeout: Duration
    cache_size: Size
    free_space: Size


class Executor(_Section):
    smokes: int = Field(ge=0, le=4096)


class Bisect(_Section):
    min_runs: int = Field(ge=3, le=10_000)
    max_runs: int = Field(ge=3, le=10_000)


class Report(_Section):
    """As `model.ReportSettings`, and `out`, the directory that everything is written to."""

    out: LocalPath | None
    sender: Mailbox
    lists: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    domain: Domain | None
    url: Web | None
    archive: Web | None
    owner: Filled | None
    approval: Literal["required", "automatic"]


class Config(_Section):
    """All that can be configured; every value is valid, every name that refers to another is known."""

    upstream: Upstream
    watch: Watch
    baselines: tuple[Annotated[Baseline, BeforeValidator(_baseline), AfterValidator(_named)], ...]
    targets: Annotated[tuple[Target, ...], Field(min_length=1), AfterValidator(_unique)]
    each_tip: EachTip
    profile_options: dict[Name, ProfileOptions] = Field(alias="profiles", json_schema_extra={"keys_say": _NAME_SAYS})
    smoke: Smoke
    build: Build
    executor: Executor
    bisect: Bisect
    report: Report

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Every profile by its name."""
        return {
            name: Profile(name, given.args, given.source_args, given.destination_args, given.run)
            for name, given in self.profile_options.items()
        }

    @property
    def smoke_settings(self) -> SmokeSettings:
        smoke = self.smoke
        return SmokeSettings(smoke.memory, smoke.deadline, smoke.script, smoke.exclude)

    @property
    def build_settings(self) -> BuildSettings:
        build = self.build
        return BuildSettings(
            build.recipes, build.submodules, build.jobs, build.timeout, build.cache_size, build.free_space
        )

    @property
    def report_settings(self) -> ReportSettings:
        given = self.report.model_dump(exclude={"out", "approval"})
        return ReportSettings(**given, approval=self.report.approval == "required")

    def profile(self, name: str) -> Profile:
        """The profile of that name; raises `UserError` with the names there are."""
        if name not in self.profile_options:
            known = ", ".join(self.profile_options) or "none"
            raise UserError(f"no profile {shown(name)}: there are {known}; add it under `profiles` in config.yaml")
        return self.profiles[name]

    def baseline(self, name: str) -> Baseline:
        """The baseline of that name; raises `UserError` with the names there are."""
        for baseline in self.baselines:
            if baseline.name == name:
                return baseline
        known = ", ".join(b.name for b in self.baselines) or "none"
        raise UserError(f"no baseline {shown(name)}: there are {known}; add it under `baselines` in config.yaml")
