"""What the output of a build says: how far it is, what failed first, and whose fault that is. Pure.

Three answers are told apart: the commit does not build (a fact about the commit), the machine failed (never a fact
about the commit), and unsure (a used build directory may be at fault: ask again in a clean one).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_NINJA = re.compile(r"\[(\d+)/(\d+)\] ")
_MAKE = re.compile(r" {2,}[A-Z][A-Z0-9_+-]* +\S")
_COMPILER = re.compile(r"(?P<path>[^\s:][^:]*):\d+(?::\d+)?: (?:fatal )?error: (?P<text>.*)")
_ERRORS = (
    _COMPILER,
    re.compile(r"(?:\S+: )?(?:fatal error|error|ERROR): |.*: ERROR: |.*undefined reference to |\w*Error: |collect2: "),
    re.compile(r"ninja: error: |make(?:\[\d+\])?: \*\*\* |FAILED: "),
)
_KEPT = 200  # error lines remembered of one build


class Fault(Enum):
    """A way in which the machine, not the commit, made a build fail; the value says what to do."""

    DISK = "the disk is full; free space, or lower build.cache_size"
    MEMORY = "the machine ran out of memory; lower build.jobs, or add memory or swap"
    HARDWARE = "the compiler says that its crash does not repeat; check the machine's memory"
    SIZE = "a file grew beyond sandbox.file_size; raise it if the commit is right to ask for so much"
    TOOL = "a program or library is missing; install it (`bot doctor` says which)"


_FAULTS = (
    (Fault.DISK, re.compile(r"No space left on device|Disk quota exceeded|ENOSPC")),
    (
        Fault.MEMORY,
        re.compile(
            r"Killed signal terminated program|error: Killed\b|internal compiler error: Killed|virtual memory exhausted"
            r"|: Cannot allocate memory|: out of memory|: memory exhausted|^MemoryError|^Killed$"
            r"|fork: .*Resource temporarily unavailable",
            re.MULTILINE,
        ),
    ),
    (Fault.SIZE, re.compile(r"\bFile size limit exceeded\b|: File too large$", re.MULTILINE)),
    (Fault.HARDWARE, re.compile(r"The bug is not reproducible, so it is likely a hardware or OS problem")),
    (Fault.TOOL, re.compile(r"^/bin/(?:ba)?sh: .*: (?:command )?not found$|\bError 127$", re.MULTILINE)),
)
_QUOTED = re.compile(r"^ *\d* \|.*\n?", re.MULTILINE)  # source that gcc shows under a diagnostic
# What ./configure and meson say when something is not installed.
_MISSING = re.compile(
    r"ERROR: (?:.* is required(?: to compile QEMU)?\b|.* not present|.* not found\b|.*not found\. |Cannot use '"
    r"|.* either does not exist or does not work|User requested feature|.* check failed|.* could not be found)"
    r"|ERROR: (?:Dependency|Program|C shared or static library) .* not found",
)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """One error; `path` is the file that a compiler named, as it named it."""

    text: str
    path: str | None = None


class Reader:
    """Fed each line of a build's output; knows the steps so far and the error lines, whatever the log had to drop."""

    def __init__(self) -> None:
        self.steps = 0  # commands that ran
        self.total = 0  # as ninja counts; 0 if unknown
        self.at = 0
        self._found: list[list[ErrorLine]] = [[] for _ in _ERRORS]

    def feed(self, line: str) -> bool:
        """Take one line; True if it was a step."""
        if match := _NINJA.match(line):
            self.steps, self.at, self.total = self.steps + 1, int(match[1]), int(match[2])
            return True
        if _MAKE.match(line):
            self.steps, self.at = self.steps + 1, self.steps + 1
            return True
        for kind, pattern in zip(self._found, _ERRORS, strict=True):
            if match := pattern.match(line):
                if len(kind) < _KEPT:
                    kind.append(ErrorLine(plain(line), match["path"] if pattern is _COMPILER else None))
                break
        return False

    def take(self, other: Reader) -> None:
        """Add the errors that another reader found."""
        for mine, theirs in zip(self._found, other._found, strict=True):
            mine += theirs

    @property
    def blamed(self) -> frozenset[str] | None:
        """Files that compilers complained about, as they named them; None if the failure is anything more than that.

        A header that was not found is more: it may be one that the build should have made.
        """
        compiler, other, tools = self._found
        if other or any("No rule to make" in e.text or e.text.startswith("ninja: error") for e in tools):
            return None
        if any("No such file or directory" in e.text for e in compiler):
            return None
        return frozenset(e.path for e in compiler if e.path is not None) or None

    @property
    def first_error(self) -> str | None:
        """The line that says best why it failed: a compiler's, else any other error, else make's or ninja's."""
        return next((kind[0].text for kind in self._found if kind), None)


def place(log: str, error: str) -> int | None:
    """The number of the line of a log, from 0, that is an error as `first_error` gives it; None: it is not there."""
    wanted = error.strip()
    return next((at for at, line in enumerate(log.split("\n")) if wanted and plain(line) == wanted), None)


def plain(line: str) -> str:
    """An error line with plain quotes and without paths of our own in front."""
    return re.sub(r"^(?:\.\./)+src/|^/\S*?/src/", "", line.strip().translate({0x2018: "'", 0x2019: "'"}))


def fault(output: str, returncode: int, *, configuring: bool = False) -> Fault | None:
    """The machine's fault in a command that failed, or None if it looks like the commit's own failure."""
    if returncode == -9:
        return Fault.MEMORY
    said = _QUOTED.sub("", output)
    for kind, pattern in _FAULTS:
        if pattern.search(said):
            return kind
    return Fault.TOOL if configuring and _MISSING.search(said) else None
