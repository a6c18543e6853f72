"""What a failure is called: the text and exit of a QEMU in, a `Signature` out that other releases give alike.

One bug prints differently in 2.3, 2.8, 5.2 and 10.2, with other addresses, ids and program names. So a table of message
families (`core.messages`) picks the line that says why, and keeps only what is stable in it: class, device, PCI offset,
feature bits, field. Consequences ("error while loading state", "load of migration failed") count only if nothing better
was said. The rules are told to users in docs/signatures.md.
"""

from __future__ import annotations

import errno
import re
import signal as signals
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.core import lines
from bot.core.lines import Line, device_name, fingerprint, normalise, strip
from bot.core.messages import CHAIN, FAMILIES, NOISE, WARNING, WORDS, Family, Rank
from bot.model import Signature

__all__ = ["device_name", "explains", "identify", "is_warning", "normalise", "root_cause", "signature", "strip"]

_END = re.compile(r"load of migration failed|while loading VM state")  # the last word of an attempt to load
_OPTION = re.compile(r"-[a-z][\w-]* ")  # words about the command line
_ERRNO = {
    errno.EPERM: "Operation not permitted",
    errno.ENOENT: "No such file or directory",
    errno.EIO: "Input/output error",
    errno.ENOMEM: "Cannot allocate memory",
    errno.EINVAL: "Invalid argument",
    errno.EPIPE: "Broken pipe",
    errno.ENOTSUP: "Operation not supported",
}
_OF_NO_DEVICE = {
    "assert", "panic", "sanitizer", "heap",
    "machine-name", "page-bits", "uuid", "config-missing", "capability", "snapshot",
}  # fmt: skip
_REGISTER = re.compile(r"\bregister (op\d:.*?op2:\d+|(?!op\d)\w+)|\bcpregs?\b\D*(0x[0-9a-fA-F]+)")
_FRAME = re.compile(r"(?:^|\s)#\d+\s+(?:0x[0-9a-fA-F]+ in (\w+)|(\w+) \()", re.MULTILINE)
_LIBRARY = re.compile(
    r"_|mem(?:cpy|move|set|cmp)|str\w+$|free|malloc|calloc|realloc|raise|abort|gsignal|g_\w+|pthread_|qsort"
)
_TOLD = re.compile(
    r"(?:received signal|terminated with signal|crashed with) (?P<name>SIG[A-Z]+)"
    r"|(?P<SIGSEGV>(?:^|[\s:])Segmentation fault|terminated with signal 11\b)"
    r"|(?P<SIGABRT>(?:^|[\s:])Aborted(?: \(core dumped\))?$|Aborted +\(core|terminated with signal 6\b"
    r"|Assertion (?:[`'\u2018\"].+ failed|failed: )|assertion failed[: (]|code should not be reached)"
    r"|(?P<SIGBUS>(?:^|[\s:])Bus error(?: \(core|$))"
    r"|(?P<SIGFPE>Floating point exception ?\(core)"
    r"|(?P<SIGTRAP>Trace/breakpoint trap)",
    re.MULTILINE,
)
_ON_PURPOSE = {"SIGABRT", "SIGTRAP"}  # who dies of these said why
_DEADLY = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGTRAP", "SIGILL", "SIGSYS"}


@dataclass(frozen=True, slots=True)
class _Said:
    """One thing that was said: a line, or a link of the chain in a line of 10.2 and later."""

    text: str
    line: Line
    family: Family | None  # None: words that no family knows
    match: re.Match[str] | None
    follows: bool  # it stands directly below what was said before it

    @property
    def rank(self) -> Rank:
        return self.family.rank if self.family else Rank.TEXT

    @property
    def klass(self) -> str:
        return self.family.klass if self.family else "text"

    def group(self, name: str) -> str | None:
        return self.match.groupdict().get(name) if self.match else None


def is_warning(line: str) -> bool:
    """True for a line that QEMU itself calls a warning or information: it is kept, never judged.

    Two have no mark in older releases: `cap-X lower level` of pseries (a plain fprintf in 2.12, warn_report later) and
    `Machine type 'X' is deprecated` (until 5.2). One has it wrongly: `error while loading state`, until 2.2.
    """
    return bool(WARNING.search(strip(line))) and "warning: error while loading state" not in line


def root_cause(stderr: str) -> str:
    """The line, verbatim, that the signature comes from; empty if the text says nothing."""
    said = _read(stderr)
    root = _root(said)
    return "" if root is None else said[root].line.raw


def explains(stderr: str) -> bool:
    """Whether the text says more than that it failed: of two sides, the one that explains is believed."""
    said = _read(stderr)
    root = _root(said)
    return root is not None and said[root].rank > Rank.SECTION


def signature(stderr: str, returncode: int | None, status: str = "") -> Signature | None:
    """What the failure of one side is called, or None if nothing failed.

    `returncode` as Python gives it (negative for a signal; 128 + N, as a shell gives it, is read as signal N), None if
    it is not known or the process was ended by us: then a signal counts that the text tells of. `status` is what both
    sides last said when the deadline passed: it names a HANG that left no text.
    """
    return identify(stderr, returncode, status)[0]


def identify(stderr: str, returncode: int | None, status: str = "") -> tuple[Signature | None, str]:
    """The signature, and the line, verbatim, that it comes from; empty if it comes from none, as that of a crash."""
    said = _read(stderr)
    root = _root(said)
    killed = _told(stderr) if returncode is None else _signal(returncode)
    if root is not None and (killed is None or said[root].rank > Rank.TEXT):
        return _named(said, root, stderr, killed), said[root].line.raw
    if killed is not None:
        if root is not None and killed in _ON_PURPOSE and said[root].klass in ("text", "abort"):
            return Signature("crash", detail=fingerprint(said[root].text), signal=killed), said[root].line.raw
        return Signature("crash", detail=_frame(stderr), signal=killed), ""  # what was said before need not be why
    if returncode:
        return Signature("exit", detail=f"exit {returncode}"), ""
    return (Signature("hang", detail=status) if status else None), ""


# -- what was said -------------------------------------------------------------------------------------------------


def _read(stderr: str) -> list[_Said]:
    """All that was said, warnings and noise left out."""
    found: list[_Said] = []
    known: dict[str, tuple[Family | None, re.Match[str] | None] | None] = {}  # a flood is mostly one line
    follows = False
    for line in lines.read(stderr):
        before = len(found)
        for text in _links(line.text) if line else ():
            if text not in known:
                known[text] = _classify(text)
            fits = known[text]
            typed = line is not None and line.speaker == "prompt" and fits == (None, None)
            if line is not None and fits is not None and not typed:
                found.append(_Said(text, line, *fits, follows))
        follows = len(found) > before
    return found


def _links(text: str) -> Iterator[str]:
    """The links of a chain, the innermost first, as older releases print them; a line that is no chain as it is."""
    links = []
    while match := CHAIN.match(text):
        links.append(match[0].removesuffix(": "))
        text = text[match.end() :]
    yield text
    yield from reversed(links)


def _classify(text: str) -> tuple[Family | None, re.Match[str] | None] | None:
    """The family of a text, or none for words; None if it is a warning or noise."""
    warning = WARNING.match(text) or ("arning" in text.lower() and WARNING.search(text))
    for family in FAMILIES:
        if family.needle in text and (match := family.pattern.search(text)):
            return None if warning and family.rank > Rank.DEVICE else (family, match)
    return None if warning or NOISE.match(text) else (None, None)


def _root(said: Sequence[_Said]) -> int | None:
    """Where the root cause is: the first of what explains most.

    Words that no family knows win over the device whose state was refused, and over a field, if they stand right before
    them: that is how devices say what they do not like. Elsewhere they are less than what is known.
    """
    first: dict[Rank, int] = {}
    for index, thing in enumerate(said):
        first.setdefault(thing.rank, index)
    if not first:
        return None
    if Rank.CAUSE in first:
        cause = first[Rank.CAUSE]
        alike = (index for index in sorted(_named_ones(said)) if said[index].klass == said[cause].klass)
        return next(alike, cause)  # who reports a failure may quote it above the log
    refused = [first[rank] for rank in (Rank.FIELD, Rank.DEVICE) if rank in first]
    if refused:
        words = _words_before(said, min(refused))
        return refused[0] if words is None else words
    known = {rank: index for rank, index in first.items() if rank is not Rank.TEXT}
    words = _words_before(said, min(known.values())) if known else None
    if words is None:
        words = _words(said, among_others=bool(known))
    return known[max(known)] if words is None else words


def _words_before(said: Sequence[_Said], place: int) -> int | None:
    """Unknown words right before a place: of a QEMU, or, without its name, in the very line above."""
    named, below = _named_ones(said), said[place]
    for index in range(place - 1, -1, -1):
        thing = said[index]
        if thing.family is not None or _OPTION.match(thing.text) or thing.text.endswith(":"):
            return None
        if thing.line.speaker == "program" or not named or thing.line is below.line:
            return index
        if thing.line.indent <= below.line.indent:  # else it continues the line above it
            near = index == place - 1 and below.follows and below.rank <= Rank.DEVICE
            return index if near and thing.line.speaker is None else None
    return None


def _words(said: Sequence[_Said], *, among_others: bool) -> int | None:
    """The first unknown words: a QEMU's before any other's, those about the command line last."""
    words = {index for index, thing in enumerate(said) if thing.family is None}
    places = words & _named_ones(said) or (words if not among_others else set())
    return min(places, key=lambda index: (bool(_OPTION.match(said[index].text)), index), default=None)


def _named_ones(said: Sequence[_Said]) -> set[int]:
    """What was said by a QEMU that gave its name. In a report all else may be the words of who wrote it."""
    return {index for index, thing in enumerate(said) if thing.line.speaker == "program"}


# -- what it is called ---------------------------------------------------------------------------------------------


def _named(said: Sequence[_Said], root: int, stderr: str, killed: str | None) -> Signature:
    thing = said[root]
    section = _section(said, root)
    if thing.family is None:
        return Signature("device" if section else "text", section, fingerprint(thing.text), killed)
    device, detail = thing.group("device"), _detail(said, root, stderr)
    block = thing.group("block")
    if block is not None:
        device, detail = section or device_name(block), device_name(block)
    elif device is None and thing.rank > Rank.GENERIC and thing.klass not in _OF_NO_DEVICE:
        device = section or thing.group("vmsd")
    return Signature(thing.klass, device_name(device) if device else None, detail, killed)


def _detail(said: Sequence[_Said], root: int, stderr: str) -> str | None:
    thing = said[root]
    assert thing.family is not None and thing.match is not None  # noqa: S101 - narrows the types; the caller asked
    klass, detail = thing.klass, thing.group("detail") or thing.family.detail
    if klass == "assert":
        return _expression(thing.match)
    if klass == "cpreg":
        return _registers(said)
    if klass == "panic":
        return fingerprint(detail or "")
    if klass == "sanitizer":
        return ": ".join(filter(None, (detail, _frame(stderr))))
    if (number := thing.group("errno")) is not None:
        return _ERRNO.get(abs(int(number)), number) if number.lstrip("-").isdigit() else number
    if thing.group("allowed") is not None:
        return _bits(thing.match)
    return fingerprint(thing.text) if detail == WORDS else detail and detail.strip()


def _expression(match: re.Match[str]) -> str:
    """Function and expression of a failed assertion; they outlive line numbers, folders and the compiler's habits."""
    groups = match.groupdict()
    function = groups.get("function")
    if function is None:  # glibc: `file:line: function: Assertion`, where clang's function is a whole prototype
        before = match.string[: match.start()].rstrip(": ").rsplit(": ", 1)[-1].split("(")[0].split()
        function = before[-1].lstrip("*&") if before else ""
    expression = groups["expression"].partition("Bail out!")[0].replace("((void *)0)", "NULL")
    expression = re.sub(r"\): .*", ")", " ".join(expression.split()))  # glib's values
    return f"{function}: {expression}" if function else expression


def _bits(match: re.Match[str]) -> str:
    """Numbers of the feature bits that were asked for and not allowed; QEMU prints both masks."""
    refused = int(match["features"], 16) & ~int(match["allowed"], 16)
    return "bits " + ",".join(str(bit) for bit in range(refused.bit_length()) if refused >> bit & 1)


def _registers(said: Sequence[_Said]) -> str | None:
    """All registers that were named; one bug may concern several."""
    texts = [thing.text for thing in said if thing.klass == "cpreg"]
    names = {(match[1] or match[2]).lower() for text in texts for match in _REGISTER.finditer(text)}
    return ",".join(sorted(names)) or None


def _section(said: Sequence[_Said], root: int) -> str | None:
    """The section that was read in the attempt to load that the root belongs to; QEMU names it below the cause."""

    def attempt(things: Sequence[_Said]) -> Iterator[_Said]:
        for thing in things:
            yield thing
            if _END.search(thing.text):
                return

    after = list(attempt(said[root:]))
    before = [thing for thing in attempt(said[:root][::-1]) if not _END.search(thing.text)]
    for thing in (*after, *before):
        if (section := thing.group("section")) is not None:
            return device_name(section)
    outer = [vmsd for thing in after if thing.rank is Rank.FIELD and (vmsd := thing.group("vmsd"))]
    return device_name(outer[-1]) if outer else None


# -- how it died ---------------------------------------------------------------------------------------------------


def _signal(returncode: int) -> str | None:
    if 0 <= returncode <= 128:
        return None
    number = -returncode if returncode < 0 else returncode - 128
    try:
        return signals.Signals(number).name
    except ValueError:
        return None


def _told(stderr: str) -> str | None:
    """The signal that the text tells of: a shell's, a debugger's or libvirt's word, or an assertion."""
    for match in _TOLD.finditer(stderr[: 2**20]):
        name = match["name"] or match.lastgroup
        if name in _DEADLY:
            return name
    return None


def _frame(stderr: str) -> str | None:
    """The innermost function of a backtrace that is QEMU's own."""
    frames = (match[1] or match[2] for match in _FRAME.finditer(stderr[: 2**20]))
    return next((name for name in frames if not _LIBRARY.match(name)), None)
