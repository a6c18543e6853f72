"""`bot smoke`: two binaries, no clone, no database. And the exit code that several runs make together."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from bot.config import Config
from bot.core import matrix
from bot.core.verdict import FAILURES
from bot.errors import UserError
from bot.model import Binary, Case, Direction, Outcome, Profile, Run
from bot.pipeline.asking import known_machines
from bot.progress import Progress
from bot.report.data import dump_runs as runs_json
from bot.report.deliver import write
from bot.report.junit import junit
from bot.report.text import matrix as matrix_text
from bot.smoke.control import Controls
from bot.smoke.inspect import identify, inspect
from bot.smoke.smoke import smoke as smoke_case

GOOD, BAD, CANNOT_TEST, INFRASTRUCTURE = 0, 1, 125, 131


@dataclass(frozen=True, slots=True)
class Request:
    """`bot smoke` as typed."""

    source: Path
    destination: Path
    machines: tuple[str, ...]
    all_types: bool
    profile: Profile
    json: Path | None
    junit: Path | None


def exit_code(runs: Iterable[Run]) -> int:
    """1 if any is bad, else 131 if the machine failed one, else 125 if none could be tested, else 0."""
    outcomes = {run.outcome for run in runs}
    if outcomes & FAILURES:
        return BAD
    if Outcome.INFRA in outcomes:
        return INFRASTRUCTURE
    return GOOD if Outcome.PASS in outcomes else CANNOT_TEST


def smoke(config: Config, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Run the cases, print the matrix, write JSON and JUnit; the exit code is that of all runs together."""
    source, destination = _binary(request.source, "--source"), _binary(request.destination, "--destination")
    ours, theirs = inspect(source, stop=stop), inspect(destination, stop=stop)
    if ours.arch != theirs.arch:
        raise UserError(f"--source is QEMU for {ours.arch}, --destination for {theirs.arch}: they cannot migrate")
    same = source.sha256 == destination.sha256
    settings = config.smoke_settings
    if request.all_types == bool(request.machines):
        raise UserError("give --machine TYPE (repeatable), or --all for every machine type that both sides have")
    if request.all_types:
        directions = [Direction.SAME if same else Direction.FORWARD]
        target = f"{ours.arch}-softmmu"
        others = {} if same else {"source": {target: ours}}
        cases = matrix.cases({target: theirs}, others, [request.profile.name], directions, settings.exclude)
    else:
        machines = known_machines(request.machines, ours, str(request.source))
        direction = Direction.SAME if same else Direction.FORWARD
        name = None if same else "source"
        cases = tuple(Case(f"{ours.arch}-softmmu", m, request.profile.name, direction, name) for m in machines)
    runs = _run(cases, request.profile, source, destination, config, progress, stop)
    names = {"source": f"qemu-{ours.version.split()[0]}"}
    print(matrix_text(runs, names, new=f"qemu-{theirs.version.split()[0]}"), end="")
    write_runs(runs, request.json, request.junit)
    return exit_code(runs)


def write_runs(runs: list[Run], json: Path | None, xml: Path | None) -> None:
    """The machine-readable twins, where they were asked for."""
    if json is not None:
        write(json, runs_json(runs))
    if xml is not None:
        write(xml, junit(runs))


def _binary(path: Path, option: str) -> Binary:
    if not path.is_file():
        raise UserError(f"{option} {path}: no such file; give the path of a qemu-system-ARCH")
    if not os.access(path, os.X_OK):
        raise UserError(f"{option} {path}: not executable; chmod +x it, or give a qemu-system-ARCH")
    return identify(path.absolute())


def _run(
    cases: tuple[Case, ...], profile: Profile, source: Binary, destination: Binary, config: Config,
    progress: Progress, stop: threading.Event,
) -> list[Run]:  # fmt: skip
    settings, controls = config.smoke_settings, Controls()
    runs: dict[Case, Run] = {}
    with tempfile.TemporaryDirectory(prefix="bot-smoke-") as scratch:
        pool = ThreadPoolExecutor(config.executor.smokes or os.cpu_count() or 1)
        try:
            futures = {
                pool.submit(
                    smoke_case, case, profile, source, destination, settings,
                    controls=controls, scratch=Path(scratch), stop=stop,
                ): case
                for case in cases
            }  # fmt: skip
            for done, future in enumerate(as_completed(futures), 1):
                case = futures[future]
                runs[case] = Run("", case, future.result(), destination.sha256, source.sha256)
                progress.work("smoking", done, len(cases))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [runs[case] for case in cases]
