"""How values of config.yaml are written: the types that sections are made of, each with the words for its errors.

A validator that raises ValueError("") is reported as "is VALUE, must be WORDS", WORDS being what `says` says.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from datetime import date
from email.utils import parseaddr
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from bot.config.document import Text, shown
from bot.core.expected import versions
from bot.core.tracker import ALL as ALL_NEWS
from bot.core.tracker import EFFECTS
from bot.model import METHODS, Baseline, Device, Recipe, Submodule

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_YEAR = 366 * 86400
_NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
NAME_SAYS = "a name of letters, digits and . _ + -"
METHOD_SAYS = f"one of {', '.join(METHODS)}"
NEWS_SAYS = f"one of {', '.join((ALL_NEWS, *EFFECTS))}"
ALL = "all"
NEWEST = "newest"
"""The era of the tip of upstream's master."""

_Titled = TypeVar("_Titled", Baseline, Recipe)


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


def unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"names {shown(twice)} twice, must name each once")
    return values


def every(value: object) -> object:
    """`all` as the list of one that it stands for; `Config.sweep` puts the names in its place."""
    return [ALL] if value == ALL else value


def _patterns(value: object) -> object:
    """Patterns hold no blanks, so they may be written with blanks between them."""
    return value.split() if isinstance(value, str) else value


def _device(value: object) -> object:
    """A device with what it needs, as on a command line: `-netdev ... -device virtio-net-pci,netdev=n0`."""
    words = _words(value)
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise ValueError
    if len(words) < 2 or words[-2] != "-device":
        raise ValueError(f"is {shown(value)}, must be arguments that end in -device NAME")
    return Device(str(words[-1]), tuple(map(str, words[:-2])))


def _condition(value: str) -> str:
    versions(value)
    return value


def _date(value: str) -> str:
    """ISO 8601, as far as it is given."""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", value):
        raise ValueError
    try:
        date.fromisoformat(value + "-01-01"[len(value) - 4 :])
    except ValueError as error:
        raise ValueError from error
    return value


def excluded(value: object) -> object:
    """Patterns alone, without a reason, are a short form."""
    return {"machines": value, "why": "not said"} if isinstance(value, str) else value


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
        raise ValueError(f"has the name {shown(value.name)}, must be {NAME_SAYS}")
    return value


def says(words: str) -> WithJsonSchema:
    """What a value may be, in words, for errors and for the reference of keys."""
    return WithJsonSchema({"type": "string", "says": words})


Name = Annotated[str, Field(pattern=f"^{_NAME}$"), says(NAME_SAYS)]
Duration = Annotated[
    float, BeforeValidator(_seconds), AfterValidator(_positive), says("a time such as 90s, 30m, 3h or 1h30m")
]
Seconds = Annotated[float, BeforeValidator(_seconds), says("a time such as 0, 2s or 1m")]
Size = Annotated[int, BeforeValidator(_bytes), says("a size such as 500M or 10G")]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d*[MG]?$"), says("a value of QEMU's -m such as 128M or 1G")]
_PROPERTIES = r"(,[a-z0-9-]+=[^,\s]+)*"
Accel = Annotated[str, Field(pattern=rf"^(tcg|kvm){_PROPERTIES}$"), says("tcg or kvm, with or without ,property=value")]
SweepAccel = Annotated[
    str,
    Field(pattern=rf"^(tcg|kvm|kvm-if-usable){_PROPERTIES}$"),
    says("tcg, kvm or kvm-if-usable, with or without ,property=value"),
]
MachineProperties = Annotated[
    str,
    Field(pattern=r"^([\w.-]+=[^,\s]+(,[\w.-]+=[^,\s]+)*)?$"),
    says("options of -M such as cap-htm=off,ic-mode=xics"),
]
Words = Annotated[
    tuple[str, ...],
    BeforeValidator(_words),
    WithJsonSchema({"type": "array", "says": "arguments, as a list or as on a command line"}),
]
Patterns = Annotated[
    tuple[Annotated[str, Field(pattern=r"^\S+$")], ...],
    BeforeValidator(_patterns),
    Field(min_length=1),
    WithJsonSchema({"type": "array", "says": "patterns, as a list or with blanks between them"}),
]
Plugged = Annotated[Device, BeforeValidator(_device), says("arguments that end in -device NAME")]
Condition = Annotated[str, AfterValidator(_condition), says("conditions on a release such as >=9.2 or 10.0.13")]
Date = Annotated[str, AfterValidator(_date), says("a date such as 2027-12-31 or 2027-12")]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{10,40}$"), says("a commit id of 10 to 40 hex digits")]
Method = Annotated[str, Field(pattern=f"^({'|'.join(METHODS)})$"), says(METHOD_SAYS)]
LocalPath = Annotated[str, BeforeValidator(_path), Field(min_length=1), says("a path")]
Url = Annotated[str, BeforeValidator(_url), says("an https:// or ssh:// URL, or a path")]
Web = Annotated[str, Field(pattern=r"^https?://[^\s<>]+$"), says("an http:// or https:// URL")]
Project = Annotated[
    str,
    Field(pattern=r"^(\d+|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+)$"),
    says("the path or number of a project such as qemu-project/qemu"),
]
News = Annotated[str, Field(pattern=f"^({'|'.join((ALL_NEWS, *EFFECTS))})$"), says(NEWS_SAYS)]
IssueLabel = Annotated[str, Field(pattern=r"^[^,\s]([^,\r\n]*[^,\s])?$"), says("a label, without a comma")]
CalledBy = Annotated[str, Field(pattern=r"^[A-Za-z#@][A-Za-z0-9_.-]*$"), says("a word such as migbot")]
SchedulerAddress = Annotated[str, Field(pattern=r"^tls://[^\s/:\[\]]+:\d{1,5}$"), says("tls://HOST:PORT")]
Domain = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$"), says("a domain such as example.org")]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9:][A-Za-z0-9:.-]*$"), says("the name or address of a host")]
DomainPattern = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.*-]+$"), says("a domain such as example.org, *.example.org or *")
]
MailboxPattern = Annotated[
    str, Field(pattern=r"^[^\s@<>,]+@[^\s@<>,]+$"), says("an address such as name@example.org or *@example.org")
]
Mailbox = Annotated[str, AfterValidator(_mailbox), says("an address such as Name <name@example.org>")]
Target = Annotated[str, BeforeValidator(_target), says("a QEMU target such as x86_64-softmmu or ppc64")]
Filled = Annotated[str, Field(min_length=1), says("text")]
Era = Annotated[
    str,
    Field(pattern=rf"^({NEWEST}|\d+\.\d+(\.\d+)?)$"),
    says(f"a release such as 9.2.0, or {NEWEST}"),
]
BaselineEntry = Annotated[Baseline, BeforeValidator(_baseline), AfterValidator(_named)]
RecipeEntry = Annotated[Recipe, AfterValidator(_named)]
SubmoduleEntry = Annotated[Submodule, BeforeValidator(_submodule)]
