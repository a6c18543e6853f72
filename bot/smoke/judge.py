"""From what was seen of a migration to its outcome: pure rules, in the order in which they apply.

Only PASS is good, and everything else has a name of its own. What the machine did to us (no memory, no disk, a QEMU
killed from outside) is INFRA and never counts against a commit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from bot.core.matrix import version_key
from bot.core.signature import explains, is_warning, root_cause, signature
from bot.model import Outcome, Signature

_INFRA = re.compile(
    r"No space left on device|Cannot allocate memory|cannot set up guest memory|Resource temporarily unavailable"
    r"|Too many open files|Disk quota exceeded|Input/output error: '/|Could not access KVM kernel module"
    r"|failed to initialize kvm|setpriv: |^(?:bwrap|prlimit|choom): |^sandbox: ended|-qmp unix:.+: Failed to connect"
)
_UNREACHED = re.compile(r"Failed to connect (?:to|socket)")
_OUTSIDE = (-9, -15, -2, -1)  # KILL, TERM, INT, HUP: QEMU raises none of them itself
_ENDED = re.compile(r"terminating on signal \d+")
ABSENT = re.compile(
    r"is not a valid device model name|[Uu]nsupported machine type|invalid option|unable to find CPU model"
    r"|^-[\w-]+ .*(?:[Pp]roperty '[^']*' not found|[Pp]roperty not found|Invalid parameter|is not a valid)"
    r"|expects a pluggable device type|[Ii]nvalid accelerator|No accelerator found|accelerator .* is not available"
    r"|Device '[^']+' (?:not found|could not be initialized)|is not compiled into this binary"
)
BLOCKED = re.compile(
    r"non-migratable|not migratable|[Mm]igration (?:is )?(?:disabled|blocked|not supported)|disallowed"
)
_STANDS = ("prelaunch", "paused")
_FIRST_GLOBAL_STATE = (2, 4)  # 13d16814d2 (2.4): types up to 2.3 have store-global-state=off


class Stage(StrEnum):
    """How far a smoke came."""

    START = "start"
    SETUP = "setup"
    MIGRATE = "migrate"
    CHECK = "check"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Side:
    """One QEMU after its run. `said` is its stderr without warnings and without what its control run prints too."""

    name: str
    argv: tuple[str, ...]
    connected: bool
    returncode: int | None  # None: ended by us
    migration: str | None
    runstate: str | None
    stderr: str
    said: str
    trace: str
    lived: float = 0.0  # seconds from its start to its end

    @classmethod
    def absent(cls, name: str) -> Side:
        """A side that was never started."""
        return cls(name, (), False, None, None, None, "", "", "")

    @property
    def killed_from_outside(self) -> bool:
        return self.returncode in _OUTSIDE or (self.returncode == 0 and bool(_ENDED.search(self.stderr)))

    @property
    def crashed(self) -> bool:
        return self.returncode is not None and self.returncode < 0 and not self.killed_from_outside


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was seen of one migration. `refused` is who answered a QMP command with an error, and the error."""

    machine: str
    source: Side
    destination: Side
    stage: Stage
    s0: str | None = None  # the source's runstate before the migration
    timed_out: bool = False
    refused: tuple[str, str] | None = None
    untestable: str | None = None  # why it could not be tried at all
    mismatch: str | None = None  # where the destination's memory is not the source's
    complaint: str | None = None  # why the guest did not go on
    hop: int = 1  # 2: back to a fresh QEMU of the first source
    takes_state: bool = True  # the destination takes over the source's runstate
    all_sides: tuple[Side, ...] = ()  # every process, in the order of their start

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.source, self.destination

    @property
    def unstarted(self) -> tuple[Side, ...]:
        """Processes that never answered."""
        return tuple(side for side in self.all_sides or self.sides if not side.connected)

    @property
    def status(self) -> str:
        """Where both stood, for the signature of a hang."""
        words = (f"{side.name} {side.migration or side.runstate or 'silent'}" for side in self.sides)
        return f"{self.stage}: {', '.join(words)}"


@dataclass(frozen=True, slots=True)
class Judgement:
    outcome: Outcome
    signature: Signature | None = None
    message: str = ""


def judge(facts: Facts) -> Judgement:
    """What became of a migration whose two sides did start."""
    source, destination = facts.sides
    rules = (
        _infrastructure, _crash, _untestable, _unreached, _hang, _refusal, _end,
        _statuses, _stray_lines, _runstate, _memory, _guest,
    )  # fmt: skip
    for rule in rules:
        found = rule(facts, source, destination)
        if found is not None:
            return found
    return Judgement(Outcome.PASS)


def judge_start(facts: Facts, culprits: frozenset[str], starts_elsewhere: bool) -> Judgement:
    """What it means that a side did not start.

    `culprits` are the names of the sides that run the commit under test; `starts_elsewhere` says whether the reference
    (the other release, or the same binary alone) starts with the failing side's command line.
    """
    failed = facts.unstarted
    infra = _infrastructure(facts, *facts.sides)
    if infra is not None:
        return infra
    strangers = tuple(side for side in failed if side.name not in culprits)
    side = (strangers or failed)[0]
    mark = start_signature(side)
    message = last_words(side)
    absent = any(ABSENT.search(_without_program(line)) for line in side.stderr.splitlines())
    if strangers or absent or not starts_elsewhere:
        return Judgement(Outcome.UNTESTABLE, mark, f"{side.name} does not start: {message}")
    if side.returncode is None:
        return Judgement(Outcome.HANG, mark, f"{side.name} did not answer in time after its start")
    return Judgement(Outcome.FAIL_START, mark, message)


def last_words(side: Side) -> str:
    """What a side says of its end, else how it ended."""
    return root_cause(side.stderr) or _how(side)


def start_signature(side: Side) -> Signature:
    """Class `start`, told apart by what the side says about it."""
    why = signature(side.said or side.stderr, side.returncode, "hang")
    if why is None:
        return Signature("start", detail="exit 0")
    detail = why.detail if why.klass in ("text", "exit", "hang") else f"{why.klass} {why.detail or ''}".strip()
    return Signature("start", why.device, detail, why.signal)


def _without_program(line: str) -> str:
    return re.sub(r"^\S+: (?=-)", "", line)


def _how(side: Side) -> str:
    if side.returncode is None:
        return "no answer in time"
    return f"died of signal {-side.returncode}" if side.returncode < 0 else f"exited {side.returncode}"


def _infrastructure(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    for side in (source, destination):
        if side.killed_from_outside:
            return Judgement(Outcome.INFRA, None, f"{side.name} was killed from outside ({_how(side)})")
        trouble = next((line for line in side.said.splitlines() if _INFRA.search(line)), None)
        failed = side.returncode or facts.refused or not side.connected or facts.timed_out or side.migration == "failed"
        if trouble is not None and failed:
            return Judgement(Outcome.INFRA, None, trouble.strip())
    return None


def _crash(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    for side, outcome in ((source, Outcome.CRASH_SRC), (destination, Outcome.CRASH_DST)):
        if side.crashed:
            return Judgement(outcome, signature(side.said, side.returncode), root_cause(side.said) or _how(side))
    return None


def _untestable(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    return Judgement(Outcome.UNTESTABLE, None, facts.untestable) if facts.untestable is not None else None


def _unreached(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    """The destination listened and lives, and the source found no socket: somebody took it away."""
    lost = next((line for line in source.said.splitlines() if _UNREACHED.search(line)), None)
    if lost is None or destination.returncode is not None:
        return None
    return Judgement(Outcome.INFRA, None, f"the migration's socket is gone: {lost.strip()}")


def _hang(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    if not facts.timed_out:
        return None
    said = destination.said if explains(destination.said) else source.said
    return Judgement(Outcome.HANG, signature(said, None, facts.status), f"no end in time; {facts.status}")


def _refusal(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    if facts.refused is None:
        return None
    name, text = facts.refused
    if name == destination.name:
        return Judgement(Outcome.FAIL_DST, signature(text, 1), text)
    blocked = BLOCKED.search(text)
    return Judgement(Outcome.UNTESTABLE if blocked else Outcome.FAIL_SRC, signature(text, 1), text)


def _end(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    """A side ended by itself, or the migration failed: whoever explains it is believed, the destination first."""
    ended = [side for side in (destination, source) if side.returncode is not None]
    failed = [side for side in (destination, source) if side.migration in ("failed", "cancelled")]
    if not ended and not failed:
        return None
    speakers = [side for side in (destination, source) if explains(side.said)]
    side = (speakers or ended or failed)[0]
    if not speakers and destination in ended and destination.said:
        side = destination
    outcome = Outcome.FAIL_DST if side is destination else Outcome.FAIL_SRC
    mark = signature(side.said, side.returncode or 1)
    return Judgement(outcome, mark, root_cause(side.said) or f"{side.name} {_verb(side)}")


def _verb(side: Side) -> str:
    return _how(side) if side.returncode is not None else f"says: migration {side.migration}"


def _statuses(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    for side, outcome in ((destination, Outcome.FAIL_DST), (source, Outcome.FAIL_SRC)):
        if side.migration != "completed":
            mark = Signature("status", detail=facts.status)
            return Judgement(outcome, mark, f"migration did not complete: {facts.status}")
    return None


def _stray_lines(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    for side, outcome in ((destination, Outcome.FAIL_DST), (source, Outcome.FAIL_SRC)):
        if side.said:
            return Judgement(outcome, signature(side.said, 1), root_cause(side.said) or side.said.splitlines()[0])
    return None


def _runstate(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    expected = expected_runstate(facts.machine, facts.s0 or "", destination.argv)
    if destination.runstate == expected or (not facts.takes_state and destination.runstate in _STANDS):
        return None
    mark = Signature("runstate", detail=f"{facts.s0} -> {destination.runstate}, not {expected}")
    return Judgement(Outcome.SILENT, mark, f"destination is {destination.runstate}, expected {expected}")


def _memory(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    if facts.mismatch is None:
        return None
    block = facts.mismatch.partition(" at ")[0]
    return Judgement(
        Outcome.SILENT, Signature("memory", block), f"memory differs after the migration: {facts.mismatch}"
    )


def _guest(facts: Facts, source: Side, destination: Side) -> Judgement | None:
    if facts.complaint is None:
        return None
    return Judgement(Outcome.SILENT, Signature("guest", detail=facts.complaint), f"the guest: {facts.complaint}")


def expected_runstate(machine: str, s0: str, destination_argv: tuple[str, ...]) -> str:
    """The runstate that the destination takes over: the source's, as the stream carries it; -S turns running to paused.

    Machine types up to 2.3 (store-global-state=off) send all but running and paused, so a paused one runs on there
    unless it has -S.
    """
    numbers = version_key(machine).numbers
    silent = bool(numbers) and numbers < _FIRST_GLOBAL_STATE and s0 == "paused"
    if s0 != "running" and not silent:
        return s0
    return "paused" if "-S" in destination_argv else "running"


def judged_lines(stderr: str) -> str:
    """The different lines of stderr, without warnings and empty ones."""
    return "\n".join(line for line in dict.fromkeys(stderr.splitlines()) if line.strip() and not is_warning(line))
