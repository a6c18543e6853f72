"""Lines that QEMU says, as any release, program, host or log would give them.

A person pastes what libvirt, journald, a shell or a mail made of a log, so a line may stand behind times, hosts,
programs and words of others, or be broken in two. What is stable is what QEMU itself said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256

_LONGEST = 4096  # characters of a line that are looked at; QEMU's messages are below 1000

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]|#033\[[0-9;]*m")
_PROGRAM = r"(?:[\w.-]*-)?(?:qemu|kvm|QEMU)(?:[-.\d][\w.+-]*)?(?:\[\d+\])?:(?:\s+|$)"
_BEFORE = re.compile(
    r"""
    \s+
    | (?P<prompt>\(qemu\))
    | [>|+](?=\s|$)                                                         # quoted in a mail, marked in a diff
    | \#(?=\s|$)                                                            # in the output of a test
    | \d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?\s?(?:Z|[+-]\d\d:?\d\d)?:?(?=\s|$)   # -msg timestamp, libvirt
    | \d\d:\d\d:\d\d(?:[.,]\d+)?(?=\s)
    | [A-Z][a-z]{2}\s+\d{1,2}\s\d\d:\d\d:\d\d(?:\.\d+)?\s\S+(?=\s\S+:\s)    # syslog: date and host
    | \[\s*\d+\.\d+\](?=\s)
    | \[[\w:.,\ /+-]{1,80}\](?=\s)
    | (?:\S*/)?(?:lt-)?(?P<program>""" + _PROGRAM + r""")
    | (?P<daemon>[\w.@/-]+\[\d+\]:(?=\s))
    | \d+:\ (?:debug|info|warning|error)\ :\ \w+:\d+\ :(?=\s)               # libvirt's own log
    | (?:libvirt\.)?libvirtError:(?=\s)
    | (?:internal\ )?[Ee]rror:(?=\s)
    | operation\ failed:(?=\s)
    | (?:qemu|QEMU)\ unexpectedly\ closed\ the\ monitor(?:\ \(vm='[^']*'\))?:(?=\s|$)
    | process\ exited\ while\ connecting\ to\ monitor:(?=\s|$)
    | early\ end\ of\ file\ from\ monitor,\ possible\ problem:(?=\s|$)
    | guest\ unexpectedly\ quit:(?=\s)
    | unable\ to\ execute\ QEMU\ command\ '[^']*':(?=\s)
    | job\ '[^']*'\ failed:(?=\s)
    """,
    re.VERBOSE,
)  # fmt: skip
_INSIDE = re.compile(
    r"(?<![/\w'\"`.-])(?P<program>(?:qemu-system-\w+|qemu-kvm)(?:\[\d+\])?:\s+)"
    r"|unable to execute QEMU command '[^']*': |(?:qemu|QEMU) unexpectedly closed the monitor(?: \(vm='[^']*'\))?: "
)
_GLUED = re.compile(r"(?<=[a-z])(?P<program>qemu-system-\w+:\s+)")  # (qemu) info migrateqemu-system-x86_64: ...
_SAID_OVER_QMP = re.compile(r"\"(?:error-)?desc\": \"((?:[^\"\\]|\\.)*)\"")

_SOURCE_FILE = re.compile(r"(?<![\w.+/-])(?:[\w.+-]*/)*([\w.+-]+\.(?:c|h|cc|m|rs)(?:\.inc)?):\d+(?::\d+)?")
_DIRECTORY = re.compile(r"(?<![\w.])/(?:[^\s/'\":,]+/)+")
_QUOTED_PATH = re.compile(r"'([^'\s]+/[^'\s]+)'")
_ADDRESS = re.compile(r"\d*|[0-9a-fA-F]*(?:[:.][0-9a-fA-F]*)+")  # of a slot; not a name such as e1000
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_NUMBER = re.compile(
    r"0[xX][0-9a-fA-F]+"
    r"|(?<![\w.-])(?=[0-9a-f]*\d)[0-9a-f]{8,}(?![\w-])"  # %p and %lx without 0x
    r"|(?<![\w.-])-?\d++(?:[.:]\d++)*+(?![\w.-]*[A-Za-z])"
)

_UNFINISHED = re.compile(
    r"(?:for instance \S+ of|of\s?device|while loading state for|\bAssertion|assertion failed:?|i=\S+(?: read:)?"
    r"|load of migration failed:|panicked at \S+:\d+:\d+:|(?:mismatch|too large): \S+:|(?:at|in) \S+\(\) ?\\?)$"
)
_CONTINUES = re.compile(
    r"(?:Assertion [`'\u2018]|(?:of )?device '|instance 0x|inconsistent with Host|delta 0x|cmask: )"
)
_STARTS_ANEW = re.compile(r"\*\*|ERROR:|\{|==\d+==")


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is what was said, `raw` the (first) line of the log that holds it."""

    text: str
    raw: str
    indent: int
    speaker: str | None  # what stood before it: "program" a QEMU's name, "daemon" another's, "prompt" the monitor's


def strip(line: str) -> str:
    """The line without terminal codes, times, hosts, monitor prompt, program names and what libvirt puts before."""
    return _strip(line)[0]


def device_name(path: str) -> str:
    """A section's or block's name without the qdev path before it, which names a slot and not a thing.

    `0000:00:01.0/virtio-rng`, `pci@800000020000000:01.0/virtio-blk`, `fe.0.0001/virtio-blk`, `1.2/usb-ptr` and
    `/objects/pc.ram` lose what stands before the last part; `cpu/slb`, `e1000/tso_state` and `/rom@etc/acpi/rsdp` are
    whole names.
    """
    if path.startswith("/rom@"):
        return path
    parts = path.removeprefix("/objects/").strip("/").split("/")
    while len(parts) > 1 and (_ADDRESS.fullmatch(parts[0]) or "@" in parts[0]):
        parts = parts[1:]
    return "/".join(parts)


@lru_cache(maxsize=4096)
def normalise(line: str) -> str:
    """The line as another run, build and release would print it: no program names, folders, addresses or numbers."""
    text = strip(line)
    text = _QUOTED_PATH.sub(lambda m: f"'{device_name(m[1])}'", text)
    text = _SOURCE_FILE.sub(r"\1", text)
    text = _DIRECTORY.sub("", text)
    text = _UUID.sub("#", text)
    text = _NUMBER.sub("#", text)
    return " ".join(text.split())


def fingerprint(text: str) -> str:
    """Words that no family knows, as a detail: normalised, and of bounded length."""
    words = normalise(text)
    return words if len(words) <= 200 else f"{words[:160]}... {sha256(words.encode(errors='replace')).hexdigest()[:8]}"


def read(log: str) -> Iterator[Line | None]:
    """What a log says, line by line, the broken ones made whole; None where there are empty ones between."""
    pending: Line | None = None
    for raw in _physical(log):
        text, speaker = _strip(raw) if raw and not raw.isspace() else ("", None)
        if not text:
            if pending is not None:
                yield pending
                yield None
            pending = None
        elif pending is not None and speaker != "program" and _goes_on(pending.text, text):
            pending = replace(pending, text=f"{pending.text} {text}")
        else:
            if pending is not None:
                yield pending
            pending = Line(text, raw.strip(), len(raw) - len(raw.lstrip()), speaker)
    if pending is not None:
        yield pending


def _physical(log: str) -> Iterator[str]:
    """Lines; one that holds a JSON string with line breaks counts as that many."""
    for line in log.splitlines():
        if "\\n" in line and '{"' in line:
            yield from line.split("\\n")
        else:
            yield line


def _goes_on(said: str, text: str) -> bool:
    if len(said) > _LONGEST // 4:
        return False
    return bool(_CONTINUES.match(text) or (_UNFINISHED.search(said[-120:]) and not _STARTS_ANEW.match(text)))


def _strip(line: str) -> tuple[str, str | None]:
    """The line without what stands before QEMU's own words, and the speaker (see `Line`)."""
    text = _ANSI.sub("", line[:_LONGEST]).strip()
    if '"' in text and (said := _SAID_OVER_QMP.search(text)):
        text = said[1].strip()
    speaker = None
    while (
        match := _BEFORE.match(text)
        or (_INSIDE.search(text) if "qemu" in text or "QEMU" in text else None)
        or _glued(text)
    ):
        speaker = "program" if speaker == "program" else match.lastgroup or speaker
        text = text[match.end() :]
    return text.rstrip(), speaker


def _glued(text: str) -> re.Match[str] | None:
    return _GLUED.search(text) if "qemu-system-" in text else None
