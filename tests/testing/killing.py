"""The real program, that dies by kill -9 at a place in its code: the place is wrapped in that process alone.

The production code knows nothing of it. A place that is renamed, or that a cycle does not come to any more, fails the
test: the process then ends in another way than by the signal.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from tests.testing.zygote import Process, start

_SCRIPT = """
import importlib, os, signal, sys, time
from bot.__main__ import main
from bot.pipeline.cycle import cycle
from bot.store.store import Store
where, when, which, left, shift = (sys.argv.pop(1) for _ in range(5))
ahead = lambda: time.time() + float(shift)
for known in (cycle, Store.__init__):
    assert time.time in known.__defaults__
    known.__defaults__ = tuple(ahead if value is time.time else value for value in known.__defaults__)
if where:
    module, _, path = where.partition(":")
    holder = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    was, chosen, left = getattr(holder, name), eval("lambda *args: " + which), [int(left)]
    def wrapped(*args, **given):
        meant = chosen(*args)
        left[0] -= meant
        if meant and not left[0] and when == "before":
            os.killpg(0, signal.SIGKILL)
        done = was(*args, **given)
        if meant and not left[0]:
            os.killpg(0, signal.SIGKILL)
        return done
    setattr(holder, name, wrapped)
main()
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process dies: at the `number`th call of `module:name`, when it returns, or `before` it begins.

    `which` is an expression over `args`, the positional arguments: only calls for which it holds are counted.
    """

    where: str
    number: int = 1
    before: bool = False
    which: str = "True"


def bot(folder: Path, *args: str, dies: Place | None = None, later: float = 0.0) -> Process:
    """`bot -C work ARGS` in a process group of its own; the clock of a cycle and its store is `later` seconds ahead."""
    place = dies or Place("")
    words = (place.where, "before" if place.before else "after", place.which, str(place.number), str(later))
    return start(_SCRIPT, *words, "-C", "work", *args, cwd=folder)


def ended(process: Process, code: int, timeout: float = 200) -> str:
    """What it printed on both ways, once it has ended as it must."""
    out, err = process.communicate(timeout)
    said = out + err
    assert process.returncode == code, f"exit {process.returncode}, not {code}\n{said}"
    assert "Traceback" not in said, said
    return said


KILLED = -signal.SIGKILL
