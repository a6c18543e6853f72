"""What a sweep costs above its QEMUs: the shipped smoke beside a shell loop that starts and quits the same processes.

    python -m benchmarks.sweep [--source BIN] [--destination BIN] [--rounds 5] [--jobs N] [--json]

The sweep is every versioned machine type of the destination's binary, bare: `same` with two live processes, and, with a
source of another release, `forward` from recorded streams, which starts one process for each type both have. The peer
is `xargs -P2` over the same command lines, with a `quit` over QMP and nothing else: no migration at all. Both are
run in turn, round by round, in one process; streams are recorded before the first round and that is timed apart.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

from bot.config import load
from bot.core.matrix import versioned
from bot.model import Binary, Case, Direction, Observation, Outcome, Profile
from bot.pipeline.known import known, unknown
from bot.smoke.control import Controls
from bot.smoke.golden import Goldens
from bot.smoke.inspect import identify
from bot.smoke.smoke import smoke

BARE = Profile("bare", ("-nodefaults",))
_QUIT = '{"execute": "qmp_capabilities"} {"execute": "quit"}'
SETTINGS = load().smoke_settings
EXCLUDE = known(load(), unknown).exclude


class Sweep:
    """The cases, and the binaries that they are between."""

    def __init__(self, source: Binary | None, destination: Binary, scratch: Path, jobs: int) -> None:
        self._controls, self._goldens = Controls(), Goldens(scratch / "goldens")
        self._source, self._destination = source, destination
        self._scratch, self._jobs = scratch, jobs
        mine = self._controls.inventory(destination)
        target = f"{mine.arch}-softmmu"
        names = [m.name for m in mine.machines if versioned(m.name)]
        names = [n for n in names if not any(fnmatchcase(n, p) for p in EXCLUDE)]
        theirs = {m.name for m in self._controls.inventory(source).machines} if source else set()
        self.cases = [Case(target, name, "bare") for name in names]
        self.cases += [Case(target, name, "bare", Direction.FORWARD, "source") for name in names if name in theirs]

    def run(self) -> list[Observation]:
        """All of it, as many at once as the pipeline would."""
        with ThreadPoolExecutor(self._jobs) as pool:
            return list(pool.map(self._one, self.cases))

    def _one(self, case: Case) -> Observation:
        source = self._source if case.direction is Direction.FORWARD and self._source else self._destination
        return smoke(
            case, BARE, source, self._destination, SETTINGS,
            controls=self._controls, goldens=self._goldens, scratch=self._scratch / "scratch",
        )  # fmt: skip


def commands(seen: Sequence[Observation]) -> list[str]:
    """One shell line for each process that the sweep started: it starts, hears `quit` over QMP and is gone."""
    lines = []
    for observation in seen:
        for argv in observation.argv[-1:] if observation.stream else observation.argv:
            lines.append(f"echo '{_QUIT}' | {shlex.join([*argv, '-qmp', 'stdio'])} >/dev/null 2>&1")
    return lines


def peer(lines: Sequence[str]) -> float:
    """Seconds that `xargs -P2` takes for them."""
    text = "\0".join(lines)
    began = time.perf_counter()
    subprocess.run(["xargs", "-0", "-P2", "-I{}", "sh", "-c", "{}"], input=text, text=True, check=True)
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--source", help="QEMU of another release, for the forward half; none: `same` only")
    parser.add_argument("--destination", default="/usr/bin/qemu-system-x86_64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--jobs", type=int, default=3, help="smokes at once; the shipped default is one more than cores"
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    source = identify(options.source) if options.source else None
    with tempfile.TemporaryDirectory(prefix="bot-sweep-") as scratch:
        sweep = Sweep(source, identify(options.destination), Path(scratch), options.jobs)
        began = time.perf_counter()
        seen = sweep.run()
        first = time.perf_counter() - began
        lines = commands(seen)
        rounds = []
        for _ in range(options.rounds):
            began = time.perf_counter()
            seen = sweep.run()
            rounds.append((time.perf_counter() - began, peer(lines)))
    outcomes = Counter(str(observation.outcome) for observation in seen)
    result = {
        "cases": len(seen), "processes": len(lines), "outcomes": dict(outcomes), "first": round(first, 2),
        "ours": [round(ours, 2) for ours, _ in rounds], "peer": [round(theirs, 2) for _, theirs in rounds],
        "ratio": round(statistics.median(ours / theirs for ours, theirs in rounds), 2),
    }  # fmt: skip
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{result['cases']} cases, {result['processes']} processes of QEMU, {dict(outcomes)}")
        print(f"first sweep, streams recorded: {first:.2f} s")
        for ours, theirs in rounds:
            print(f"sweep {ours:5.2f} s   start and quit {theirs:5.2f} s   ratio {ours / theirs:.2f}")
        print(f"median ratio {result['ratio']}")
    return 0 if outcomes[str(Outcome.PASS)] == len(seen) else 1


if __name__ == "__main__":
    sys.exit(main())
