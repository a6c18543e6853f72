"""`bot hints`: the static second opinion on two QEMUs. What it says is for a person to judge, never a verdict."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from bot.config import Config
from bot.core import description, matrix, stream, vmstate
from bot.core.checkers import read_checker, read_machine_types
from bot.core.hints import HARM, Hint, fold
from bot.errors import UserError
from bot.model import Binary, Case, Direction, Inventory, Profile, SmokeSettings
from bot.pipeline.asking import known_machines
from bot.pipeline.known import known, unknown
from bot.progress import Progress
from bot.report.safe import line
from bot.smoke.control import Controls
from bot.smoke.inspect import identify
from bot.smoke.own_stream import NotSaved, save
from bot.smoke.smoke import settled
from bot.smoke.vmstate import NotDumped, dump_vmstate

SIDES = ("source", "destination")
SOURCES = {
    "stream": "what both send",
    "dump": "what both know of device state (-dump-vmstate)",
    "checker": "vmstate-static-checker.py",
    "machine-types": "compare-machine-types.py",
}
"""Where hints come from, by the word of the JSON, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Request:
    """`bot hints` as typed."""

    source: Path
    destination: Path
    profile: Profile
    machines: tuple[str, ...] = ()  # none: all versioned types that both have
    checker: Path | None = None
    machine_types: Path | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """What could not be compared, and why: `side` is "source" or "destination"."""

    machine: str
    side: str
    what: str  # "stream" or "dump"
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Hints by where they come from, and what is missing in them."""

    hints: dict[str, list[Hint]] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)


def hints(config: Config, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Compare, print; 0 whatever was found. Raises `UserError` for binaries, types or files that cannot be compared."""
    source, destination = identify(request.source), identify(request.destination)
    controls = Controls()
    old, new = controls.inventory(source, stop), controls.inventory(destination, stop)
    if old.arch != new.arch:
        raise UserError(f"--source is QEMU for {old.arch}, --destination for {new.arch}: they cannot migrate")
    settings = config.smoke_settings
    machines = _machines(request, old, new, known(config, unknown).exclude)
    read = {
        "checker": _read(request.checker, "--checker", read_checker),
        "machine-types": _read(request.machine_types, "--machine-types", read_machine_types),
    }
    pair = Pair(source, destination, f"{old.arch}-softmmu", request.profile, settings, controls)
    found = compare(pair, machines, config.executor.smokes, progress, stop)
    found.hints.update(read)
    print(_as_json(found, old, new, machines) if request.json else _as_text(found, old, new, machines), end="")
    return 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two QEMUs of one target, and how they are started."""

    source: Binary
    destination: Binary
    target: str
    profile: Profile
    settings: SmokeSettings
    controls: Controls


def compare(pair: Pair, machines: Sequence[str], jobs: int, progress: Progress, stop: threading.Event) -> Comparison:
    """Dumps and own streams of both sides for each machine type; `jobs` at once, 0 being one per core."""
    found = Comparison({"stream": [], "dump": []})
    with tempfile.TemporaryDirectory(prefix="bot-hints-") as scratch:
        pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1)
        try:
            futures = {pool.submit(_machine, pair, machine, Path(scratch), stop): machine for machine in machines}
            done = {}
            for number, future in enumerate(as_completed(futures), 1):
                done[futures[future]] = future.result()
                progress.work("comparing", number, len(machines))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for machine in machines:
        for kind, hints in done[machine].hints.items():
            found.hints[kind] += hints
        found.missing.extend(done[machine].missing)
    return found


def _machine(pair: Pair, machine: str, scratch: Path, stop: threading.Event) -> Comparison:
    """One machine type, with the CPU and devices that a smoke of it would have."""
    case = Case(pair.target, machine, pair.profile.name, Direction.FORWARD, "source")
    common = settled(
        case, pair.profile, pair.source, pair.destination, pair.settings,
        controls=pair.controls, scratch=scratch, stop=stop,
    )  # fmt: skip
    found = Comparison({"stream": [], "dump": []})
    dumps: dict[str, vmstate.Dump] = {}
    streams: dict[str, stream.Stream] = {}
    for side, binary in zip(SIDES, (pair.source, pair.destination), strict=True):
        try:
            dumps[side] = vmstate.parse(dump_vmstate(binary, machine, scratch, stop=stop))
        except (NotDumped, vmstate.DumpError) as error:
            found.missing.append(Missing(machine, side, "dump", str(error)))
        try:
            streams[side] = stream.read(save(binary, common, scratch, stop))
        except (NotSaved, stream.StreamError) as error:
            found.missing.append(Missing(machine, side, "stream", str(error)))
        else:
            if streams[side].partial:
                found.missing.append(Missing(machine, side, "stream", streams[side].reason))
    if len(dumps) == len(SIDES):
        found.hints["dump"] += vmstate.compare(*(dumps[side] for side in SIDES))
    if len(streams) == len(SIDES):
        old, new = (streams[side] for side in SIDES)
        known = tuple(dumps[side].names if side in dumps else frozenset[str]() for side in SIDES)
        found.hints["stream"] += description.compare(old, new, machine, (known[0], known[1]))
    return found


def _machines(request: Request, old: Inventory, new: Inventory, exclude: Sequence[str]) -> tuple[str, ...]:
    if request.machines:
        names = known_machines(tuple(dict.fromkeys(request.machines)), old, str(request.source))
        return known_machines(names, new, str(request.destination))
    there = {m.name for m in new.machines}
    shared = tuple(
        m.name
        for m in old.machines
        if m.versioned and m.name in there and not any(fnmatchcase(m.name, pattern) for pattern in exclude)
    )
    if not shared:
        raise UserError(
            f"qemu {old.version} and {new.version} have no versioned machine type in common; give --machine TYPE"
        )
    return shared


def _read(path: Path | None, option: str, reader: Callable[[str], Iterable[Hint]]) -> list[Hint]:
    if path is None:
        return []
    try:
        return list(reader(path.read_text(encoding="utf-8", errors="replace")))
    except OSError as error:
        raise UserError(f"{option} {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{option} {path}: {error}") from error


# -- what is printed -----------------------------------------------------------------------------------------------


def _as_json(found: Comparison, old: Inventory, new: Inventory, machines: Sequence[str]) -> str:
    rows = [
        {
            "from": kind, "kind": hint.kind, "section": hint.section, "detail": hint.detail,
            "effect": hint.effect, "machines": types,
        }
        for kind in SOURCES
        for hint, types in fold(found.hints.get(kind, ()))
    ]  # fmt: skip
    missing = [{"machine": m.machine, "side": m.side, "what": m.what, "why": m.why} for m in found.missing]
    document = {
        "schema": 1, "arch": old.arch, "source": old.version, "destination": new.version, "machines": machines,
        "hints": rows, "missing": missing,
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def _as_text(found: Comparison, old: Inventory, new: Inventory, machines: Sequence[str]) -> str:
    """What may do harm, by source of the hint and effect; of the rest only how much there is."""
    lines = [
        f"qemu {old.version} -> {new.version}, {old.arch}: {_types(machines, machines)}",
        "Hints for a person to judge, never a verdict: what is meant, or handled elsewhere, is here too.",
    ]
    for kind, title in SOURCES.items():
        if kind not in found.hints or (kind not in ("stream", "dump") and not found.hints[kind]):
            continue
        folded = fold(found.hints[kind])
        lines += ["", f"{title}:"]
        for effect, harm in HARM.items():
            chosen = [(hint, types) for hint, types in folded if hint.effect is effect]
            if chosen:
                lines.append(f"  {harm}")
            for hint, types in chosen:
                where = f"{hint.section}: " if hint.section else ""
                lines.append(f"    {line(where + hint.detail)}{_suffix(types, machines)}")
        rest = sum(hint.effect is None for hint, _ in folded)
        harmless = "1 difference that does" if rest == 1 else f"{rest or 'no'} differences that do"
        lines.append(f"  {harmless} no harm that is known")
    if found.missing:
        lines += ["", "not compared:"]
        lines += [f"  {line(why)}{_suffix(types, machines)}" for why, types in _by_reason(found.missing).items()]
    return "\n".join(lines) + "\n"


def _by_reason(missing: Iterable[Missing]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for m in missing:
        reasons.setdefault(f"{m.what} of the {m.side}: {m.why}", []).append(m.machine)
    return reasons


def _suffix(types: Sequence[str], machines: Sequence[str]) -> str:
    """Of which types, if not of all."""
    return "" if not types or set(types) == set(machines) else f" [{_types(types, machines)}]"


def _types(types: Sequence[str], machines: Sequence[str]) -> str:
    return ", ".join(matrix.machine_ranges(types, machines))
