"""What a failure is called: the text and exit of a QEMU in, a `Signature` out that other releases give alike.

One bug prints differently in 2.3, 2.8, 5.2 and 10.2, with other addresses, ids and program names. So a table of message
families picks the line that says why, and keeps only what is stable in it: class, device, PCI offset, feature bits,
field. Consequences ("error while loading state", "load of migration failed") count only if nothing better was said.
"""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from bot.model import Signature

_TIME = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?:?\s+")
_PROGRAM = re.compile(r"^(?:\S*/)?(?:lt-)?(?:qemu[\w.+-]*|kvm)(?:\[\d+\])?:\s*")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\x00]")
_SOURCE_FILE = re.compile(r"(?:[\w.+-]*/)*([\w.+-]+\.(?:c|h|cc|rs)(?:\.inc)?):\d+")
_DIRECTORY = re.compile(r"(?<![\w.])/(?:[^\s/'\":,]+/)+")
_WARNING = re.compile(
    r"(?:^|[\s:(-])warning(?: \*\*)?:|^info:|^cap-\S+ lower level|^Machine type '[^']+' is deprecated", re.IGNORECASE
)
_NOISE = re.compile(
    r"^(?:Bail out!|\*\*$|Aborted|Segmentation fault|\[\.\.\. \d+ bytes dropped|Make sure that your current VM setup"
    r"|terminating on signal|[0-9a-f]+ != [0-9a-f]+$|-?\d+$)"
)


class Rank(IntEnum):
    """How much a line explains: the highest rank in a text is its root cause, the first line of equals."""

    GENERIC = 1  # that it failed
    DEVICE = 2  # where it failed
    TEXT = 3  # words that no family knows
    FIELD = 4  # where exactly
    CAUSE = 5  # why


@dataclass(frozen=True, slots=True)
class _Family:
    """Messages of one kind.

    Groups of the pattern: `device` and `detail` go into the signature, `block` is a RAM block (both of them), `vmsd`
    names the device if nothing else does.
    """

    klass: str
    rank: Rank
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Found:
    family: _Family | None  # None: unknown text
    line: str  # verbatim
    match: re.Match[str] | None = None

    @property
    def rank(self) -> Rank:
        return self.family.rank if self.family else Rank.TEXT


def _bits(match: re.Match[str]) -> str | None:
    """Numbers of the feature bits that were asked for and not allowed; QEMU prints both masks."""
    groups = match.groupdict()
    if groups.get("allowed") is None:
        return groups.get("detail")
    refused = int(groups["features"], 16) & ~int(groups["allowed"], 16)
    return "bits " + ",".join(str(bit) for bit in range(refused.bit_length()) if refused >> bit & 1)


def _expression(match: re.Match[str]) -> str:
    """Function and expression of a failed assertion; they outlive line numbers and folders."""
    function = re.sub(r"\(.*", "", match["function"]).split()[-1]
    return f"{function}: {' '.join(match['expression'].split())}"


_DETAIL = {"assert": _expression, "virtio-features": _bits}
_DEVICE = r"'?(?P<device>[^\s',]+)'?"
_CAUSES = (
    # death
    ("assert", r"\w\.\w+:\d+: (?P<function>.+?): Assertion [`'\u2018](?P<expression>.+)['\u2019] failed"),
    ("assert", r"ERROR:[^:]+:\d+:(?P<function>\w+): assertion failed:? ?(?P<expression>.*)"),
    ("assert", r"ERROR:[^:]+:\d+:(?P<function>\w+): (?P<expression>code should not be reached)"),
    ("sanitizer", r"ERROR: (?P<device>\w+Sanitizer): (?P<detail>[\w-]+)"),
    ("heap", r"^(?P<detail>(?:malloc|free|realloc|corrupted|double free|munmap_chunk)\b[^0-9]*)"),
    # the stream as a whole
    ("machine-name", r"Machine type received is "),
    ("page-bits", r"Received TARGET_PAGE_BITS is"),
    ("config-missing", r"Configuration section missing"),
    ("capability", r"Capability (?P<detail>\S+) is \w+, but"),
    ("capability", r"Received unknown capability (?P<detail>\S+)"),
    ("stream", r"(?P<detail>Not a migration stream|SaveVM v2 format is obsolete)"),
    ("stream", r"(?P<detail>Unsupported migration stream version|Expected vmdescription section)"),
    ("stream", r"(?P<detail>Unknown combination of migration flags|Ack, bad migration stream)"),
    ("stream", r"(?P<detail>Unknown section ?type|Unknown command)\b"),
    # sections
    ("unknown-section", rf"Unknown (?:savevm )?section or instance {_DEVICE}"),
    ("unknown-section", r"Unknown savevm section \d+"),
    ("section-version", rf"unsupported version \d+ for {_DEVICE}"),
    ("section-version", r"(?P<device>[^\s:]+): incoming version_id \d+ is too (?:new|old)"),
    ("footer", rf"(?:Missing section footer|Mismatched section id in footer) for {_DEVICE}"),
    ("footer", r"Section footer error, section_id"),
    ("subsection", r"VM subsection '(?P<detail>[^']+)' in '(?P<device>[^']+)' does not exist"),
    # RAM
    ("ramblock", r"Unknown ramblock \"(?P<block>[^\"]+)\""),
    ("ramblock", r"[Bb]lock (?P<block>\S+) should not be migrated"),
    ("ramblock", r"Can't find block (?P<block>[^\s!]+)"),
    ("ram-size", r"(?:Length|Size) mismatch: (?P<block>\S+): 0x"),
    ("ram-page-size", r"Mismatched RAM page size (?P<block>[^\s(]+)"),
    ("ram-gpa", r"Mismatched GPAs for block (?P<block>\S+)"),
    # devices
    ("unmigratable", r"non-migratable device '?(?P<device>[^\s']+)'?"),
    ("pci-config", r"Bad config data: (?P<detail>i=0x[0-9a-fA-F]+)"),
    ("pci-config", r"Bad config data|get_pci_config_device"),
    ("virtio-features", r"Features 0x(?P<features>\w+) unsupported\. Allowed features: 0x(?P<allowed>[0-9a-fA-F]+)"),
    ("virtio-features", r"Features 0x\w+ unsupported"),
    ("virtio-features", r"(?P<device>virtio-net): saved image requires (?P<detail>[\w=+]+)"),
    ("virtio-ring", r"\bVQ \d+ \w+|Invalid number of virtqueues"),
    ("virtio-ring", r"Guest says index \d+ is available|Guest moved (?:used|avail) index"),
    ("spapr-cap", r"(?P<detail>cap-[\w-]+) higher level"),
    ("cpreg", r"\bcpregs?\b"),
    ("msr", r"(?:failed to set|unable to set|putting) MSR (?P<detail>0x[0-9a-fA-F]+)"),
    ("cpu", r"Some features requested in the CPU model|TCG doesn't support requested feature"),
)
_FIELDS = (
    ("field", r"Input validation failed: (?P<vmsd>[^\s/]+)/(?P<detail>[^\s:]+)"),
    ("field", r"Failed to load element of type .+? for (?P<detail>[\w.\[\]-]+)"),
    ("field", r"Failed to load (?P<vmsd>[^\s:]+):(?P<detail>[^\s:]+)"),
)
_DEVICES = (
    ("device", r"error while loading state for instance \S+ of\s+device '(?P<vmsd>[^']+)'"),
    ("device", r"post load hook failed for: (?P<vmsd>[^\s,]+)"),
    ("device", r"Failed to load (?P<vmsd>\S+) state"),
    ("device", r"Load state of device (?P<vmsd>\S+) failed"),
)
_GENERIC = (
    ("io", r"(?P<detail>Unable to (?:write to|read from) socket|socket_writev_buffer: Got err|Failed to read)"),
    ("io", r"(?P<detail>Broken pipe|Connection reset by peer)"),
    ("load", r"load of migration failed(?:: (?P<detail>[^:]+))?"),
    (
        "load",
        r"loadvm failed|Load VM state failed|[Ee]rror (?:-\d+ )?while loading (?:vmstate|VM state|state section id)",
    ),
)
_FAMILIES = tuple(
    _Family(klass, rank, re.compile(pattern))
    for rank, rows in (
        (Rank.CAUSE, _CAUSES),
        (Rank.FIELD, _FIELDS),
        (Rank.DEVICE, _DEVICES),
        (Rank.GENERIC, _GENERIC),
    )
    for klass, pattern in rows
)
_DEVICE_LINE = re.compile(r"for instance \S+ of\s+device '([^']+)'")
_ERROR_ABORT = re.compile(r"^Unexpected error in \w+\(\) at ")


def is_warning(line: str) -> bool:
    """True for a line that QEMU itself calls a warning or information: it is kept, never judged.

    Two have no mark in older releases: `cap-X lower level` of pseries (a plain fprintf in 2.12, warn_report later) and
    `Machine type 'X' is deprecated` (until 5.2).
    """
    return bool(_WARNING.search(strip(line)))


def strip(line: str) -> str:
    """The line without terminal codes, -msg timestamp, monitor prompt and program name."""
    text = _ANSI.sub("", line).strip()
    text = text.removeprefix("(qemu)").lstrip()
    return _PROGRAM.sub("", _TIME.sub("", text))


def device_name(path: str) -> str:
    """A section's or block's name without the qdev path before it, which names a slot and not a thing.

    `0000:00:01.0/virtio-rng`, `pci@800000020000000:01.0/virtio-blk`, `fe.0.0001/virtio-blk`, `1.2/usb-ptr` and
    `/objects/pc.ram` lose what stands before the last part; `cpu/slb` and `icp/server` are whole names.
    """
    parts = path.removeprefix("/objects/").strip("/").split("/")
    while len(parts) > 1 and (re.fullmatch(r"[0-9a-fA-F:.]*\d[0-9a-fA-F:.]*", parts[0]) or "@" in parts[0]):
        parts = parts[1:]
    return "/".join(parts)


def normalise(line: str) -> str:
    """The line as another run, build and release would print it: no program names, folders, addresses or numbers."""
    text = strip(line)
    text = re.sub(r"'([^'\s]+/[^'\s]+)'", lambda m: f"'{device_name(m[1])}'", text)
    text = _SOURCE_FILE.sub(r"\1", text)
    text = _DIRECTORY.sub("", text)
    text = re.sub(r"0x[0-9a-fA-F]+|(?<![\w.-])-?\d+(?![\w.-]*[A-Za-z])", "#", text)
    return " ".join(text.split())


def _findings(stderr: str) -> Iterator[_Found]:
    for line in dict.fromkeys(stderr.splitlines()):  # a flood is mostly one line
        text = strip(line)
        matches = ((family, family.pattern.search(text)) for family in _FAMILIES)  # best rank first
        known = next(((family, match) for family, match in matches if match), None)
        if known is not None and not (known[0].rank > Rank.DEVICE and is_warning(line)):
            yield _Found(known[0], line.strip(), known[1])
        elif known is None and text and not is_warning(line) and not _NOISE.match(text):
            yield _Found(None, line.strip())


def _root(stderr: str) -> _Found | None:
    """The first of the lines that explain most."""
    return max(_findings(stderr), key=lambda found: found.rank, default=None)


def root_cause(stderr: str) -> str:
    """The line, verbatim, that the signature comes from; empty if the text says nothing."""
    found = _root(stderr)
    if found is None:
        return ""
    if found.family is None and _ERROR_ABORT.match(strip(found.line)):
        return _following(stderr, found.line) or found.line
    return found.line


def explains(stderr: str) -> bool:
    """Whether the text says more than that it failed: of two sides, the one that explains is believed."""
    found = _root(stderr)
    return found is not None and found.rank > Rank.GENERIC


def signature(stderr: str, returncode: int | None, status: str = "") -> Signature | None:
    """What the failure of one side is called, or None if nothing failed.

    `returncode` as Python gives it (negative for a signal; 128 + N, as a shell gives it, is read as signal N), None if
    the process was ended by us. `status` is what both sides last said when the deadline passed: it names a HANG that
    left no text.
    """
    killed = _signal(returncode)
    found = _root(stderr)
    if found is not None and found.family is not None and (found.rank > Rank.TEXT or killed is None):
        return _known(found, stderr, killed)
    if killed is not None:
        # these die on purpose and say why; what others said before is not known to be the reason
        spoken = killed in ("SIGABRT", "SIGTRAP") and found is not None and found.family is None
        return Signature("crash", detail=normalise(root_cause(stderr)) if spoken else None, signal=killed)
    if found is not None:
        device = _device_line(stderr)
        return Signature("device" if device else "text", device, normalise(root_cause(stderr)))
    if returncode:
        return Signature("exit", detail=f"exit {returncode}")
    return Signature("hang", detail=status) if status else None


def _known(found: _Found, stderr: str, killed: str | None) -> Signature:
    family, match = found.family, found.match
    assert family is not None and match is not None  # noqa: S101 - narrows the type; the caller asked
    groups = match.groupdict()
    block = groups.get("block")
    detail = _DETAIL[family.klass](match) if family.klass in _DETAIL else groups.get("detail")
    device = groups.get("device")
    if family.klass == "cpreg":
        numbers = {
            n.lower() for line in stderr.splitlines() if "cpreg" in line for n in re.findall(r"0x[0-9a-fA-F]+", line)
        }
        detail = ",".join(sorted(numbers)) or None
    if block is not None:
        device, detail = _device_line(stderr) or device_name(block), device_name(block)
    elif device is None and family.klass != "assert" and family.rank > Rank.GENERIC:
        device = _device_line(stderr) or groups.get("vmsd")
    return Signature(family.klass, device_name(device) if device else None, detail, killed)


def _device_line(stderr: str) -> str | None:
    """The section that was being loaded, by the consequence line that names it."""
    match = _DEVICE_LINE.search(stderr)
    return device_name(match[1]) if match else None


def _following(stderr: str, line: str) -> str:
    """The line after: error_abort prints the place first and the message below."""
    lines = [text.strip() for text in stderr.splitlines()]
    after = lines[lines.index(line) + 1 :] if line in lines else []
    return after[0] if after else ""


def _signal(returncode: int | None) -> str | None:
    if returncode is None or 0 <= returncode <= 128:
        return None
    number = -returncode if returncode < 0 else returncode - 128
    try:
        return signals.Signals(number).name
    except ValueError:
        return None
