"""How often a sweep gives another verdict: the same cases many times over, with all cores busy with something else.

    python -m benchmarks.flakes [--binary '/usr/bin/qemu-system-{arch}'] [--rounds 20] [--load 2] [--profile bare] ...

Each round is `bot smoke --all` with the profiles given; the load is as many processes that only count. Every case whose
outcome or signature was not the same in all rounds is named with what it gave. Exit: 0 none, 1 some.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from bot.model import Signature

_INSTALLED = "/usr/bin/qemu-system-{arch}"


@contextmanager
def load(count: int) -> Iterator[None]:
    """Processes that keep `count` cores busy while inside."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def sweep(binary: str, profile: str, methods: Sequence[str], out: Path) -> dict[str, str]:
    """Outcome and signature of every case of one round, by the case's id."""
    argv = [sys.executable, "-m", "bot", "smoke", "--source", binary, "--all", "--profile", profile, "--json", str(out)]
    argv += [word for method in methods for word in ("--method", method)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout)
    found = {}
    for run in json.loads(out.read_text())["runs"]:
        case, seen = run["case"], run["observation"]
        mark = seen["signature"]
        name = "/".join((case["target"], case["machine"], case["profile"], case["method"]))
        found[name] = f"{seen['outcome']} {Signature(**mark) if mark else ''}".strip()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flakes", description=__doc__)
    parser.add_argument("--binary", action="append", dest="binaries", help="may hold {arch}; repeatable")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--load", type=int, default=2)
    parser.add_argument("--profile", action="append", dest="profiles")
    parser.add_argument("--method", action="append", dest="methods")
    options = parser.parse_args(arguments)
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    with load(options.load), tempfile.TemporaryDirectory() as directory:
        for number in range(1, options.rounds + 1):
            began = time.monotonic()
            for binary, profile in product(options.binaries or [_INSTALLED], options.profiles or ["bare"]):
                found = sweep(binary, profile, options.methods or ["precopy"], Path(directory) / "runs.json")
                for name, result in found.items():
                    seen[name][result] += 1
            differ = sum(len(results) > 1 for results in seen.values())
            took = time.monotonic() - began
            print(f"round {number} of {options.rounds}: {len(seen)} cases, {took:.0f} s, {differ} differ", flush=True)
    for name, results in sorted(seen.items()):
        if len(results) > 1:
            print(f"{name}: " + "; ".join(f"{count} x {result}" for result, count in results.most_common()))
    totals = Counter(result for results in seen.values() for result in results.elements())
    for result, count in totals.most_common():
        print(f"{count:8} {result}")
    return 1 if any(len(results) > 1 for results in seen.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
