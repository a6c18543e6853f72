"""A drawn history in which each commit behaves as told: what a search is tested on without QEMU.

What a commit holds is read from its tree in the real repository, so a probe of the wrong commit answers wrongly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bot.model import (
    Build,
    BuildKind,
    BuildStatus,
    Case,
    Direction,
    Observation,
    Outcome,
    Run,
    Sha,
    Signature,
    Test,
)
from tests.testing.history import History

CASE = Case("x86_64-softmmu", "pc-q35-9.2", "mem-path", Direction.FORWARD, "qemu-7.2")
SIGNATURE = Signature("ramblock", "ram", "pc.ram")
OTHER = Signature("assert", None, "memory_region_set_alias_offset", "SIGABRT")

LETTERS = {
    "G": Observation(Outcome.PASS),
    "B": Observation(Outcome.FAIL_DST, SIGNATURE, 'Unknown ramblock "pc.ram", cannot accept migration'),
    "O": Observation(Outcome.CRASH_DST, OTHER, "memory.c:1: memory_region_set_alias_offset: Assertion failed."),
    "N": Observation(Outcome.NOT_BUILT, message="undefined reference to `x'"),
    "U": Observation(Outcome.UNTESTABLE, message="unsupported machine type"),
    "S": Observation(Outcome.UNTESTABLE, SIGNATURE, "does not start"),
    "I": Observation(Outcome.INFRA, message="no space left on device"),
}
"""What one run of a commit may be, by letter: good, bad, another failure, not built, untestable, start, infra."""


def run(sha: Sha, letter: str, *, case: Case = CASE, at: float = 0.0, binary: str | None = None) -> Run:
    """A run of a commit that observed what the letter says."""
    return Run(sha, case, LETTERS[letter], binary=None if letter in "NI" else binary, at=at)


@dataclass(slots=True)
class World:
    """A history and its faults; `perform` is what a search is given. `asked` notes the names in order."""

    history: History
    breaks: Mapping[str, str] = field(default_factory=dict)  # a commit, and the one that cures it ("" for none)
    together: tuple[str, ...] = ()  # bad where all of these are held
    told: Mapping[str, str] = field(
        default_factory=dict
    )  # letters that a commit's runs take in turn, the last for ever
    cycles: Mapping[str, str] = field(default_factory=dict)  # the same, over and over
    intermittent: str = ""  # letters that the runs of each bad commit take over and over
    same_binary: Mapping[str, str] = field(default_factory=dict)  # a commit whose executable is that of another
    asked: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)

    def letter(self, name: str, sha: Sha) -> str:
        """What the next run of a commit observes."""
        turn = self.runs[name] = self.runs.get(name, -1) + 1
        if name in self.told:
            return self.told[name][min(turn, len(self.told[name]) - 1)]
        if name in self.cycles:
            return self.cycles[name][turn % len(self.cycles[name])]
        held = self.history.holds(sha)
        broken = any(sinner in held and (not cure or cure not in held) for sinner, cure in self.breaks.items())
        if broken or (self.together and held.issuperset(self.together)):
            return self.intermittent[turn % len(self.intermittent)] if self.intermittent else "B"
        return "G"

    def perform(self, test: Test, _stop: threading.Event | None = None) -> Iterator[Build | Run]:
        """Build and run as a worker does, without its work."""
        name = self.history.name(test.commit)
        self.asked.append(name)
        letters = [self.letter(name, test.commit) for _ in range(test.times)]
        built = not set(letters) & {"N"}
        kind = BuildKind.CACHED if self.asked.count(name) > 1 else BuildKind.INCREMENTAL
        status = BuildStatus.BUILT if built else BuildStatus.FAILED
        yield Build(test.commit, CASE.target, "7.2", status, kind, 1.0)
        for letter in letters if built else letters[:1]:
            for case in test.cases:
                found = run(test.commit, letter, case=case, binary=f"sha256 of {self.same_binary.get(name, name)}")
                yield replace(found, other="sha256 of the baseline")
