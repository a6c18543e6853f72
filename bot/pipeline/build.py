"""`bot build`: binaries of commits, or of one commit of every era; where they are and what they took."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from bot.build.recipe import dropped
from bot.config import NEWEST, Config
from bot.errors import InfraError, UserError
from bot.host.git import Repository
from bot.host.lock import coordinator
from bot.model import Build, BuildKind, BuildStatus, Sha
from bot.pipeline.asking import target_of
from bot.pipeline.bench import Bench, bench
from bot.pipeline.revisions import open_clone
from bot.pipeline.telling import BAD, GOOD, INFRASTRUCTURE
from bot.progress import Progress
from bot.report.safe import line

_INPUT = 129  # something is missing that the user has to provide


@dataclass(frozen=True, slots=True)
class Request:
    """`bot build` as typed. Without `targets` those of the configuration; with `eras` there are no revisions."""

    revisions: tuple[str, ...]
    targets: tuple[str, ...] = ()
    repo: Path | None = None
    eras: bool = False
    json: bool = False


class Answer(StrEnum):
    """What became of one row."""

    BUILT = "built"
    FAILED = "does not build"
    MISSING = "not in this clone"
    INPUT = "cannot be built here"  # a tool, a recipe or a submodule's source is missing
    TROUBLE = "no answer"  # the machine failed us


@dataclass(frozen=True, slots=True)
class Row:
    """One commit for one target, asked for by `name`. What is empty or None is not known, or not yet."""

    name: str
    commit: Sha = ""
    target: str = ""
    recipe: str = ""
    answer: Answer | None = None
    build: Build | None = None
    log: Path | None = None
    trouble: str = ""

    @property
    def error(self) -> str | None:
        """Why there is no binary, on one line."""
        return line(self.trouble or (self.build and self.build.error) or "") or None

    @property
    def size(self) -> int | None:
        """Bytes of the stripped binary."""
        return self.build.binary.path.stat().st_size if self.build and self.build.binary else None

    @property
    def dropped(self) -> tuple[str, ...] | None:
        """Options of the recipe that this commit's configure does not know; None: not known."""
        return dropped(self.build.log) if self.build else None

    def facts(self) -> dict[str, object]:
        """All of it as JSON has it."""
        build, binary = self.build, self.build.binary if self.build else None
        return {
            "name": self.name,
            "commit": self.commit or None,
            "target": self.target or None,
            "recipe": self.recipe or None,
            "answer": self.answer,
            "error": self.error,
            "kind": build and build.kind,
            "seconds": build and round(build.seconds, 1),
            "steps": build and build.steps,
            "toolchain": build and build.toolchain,
            "dropped": self.dropped,
            "binary": binary and str(binary.path),
            "firmware": binary and binary.data_dir and str(binary.data_dir),
            "sha256": binary and binary.sha256,
            "size": self.size,
            "log": self.log and str(self.log),
        }


def build(config: Config, work: Path, request: Request, progress: Progress, stop: threading.Event) -> int:
    """Build and print; 0 if all was built, 1 if a commit does not build or an era is not there.

    What the machine failed or the user has to mend is raised, or, for eras, told in its row: 131 or 129.
    """
    with coordinator(work):
        repository = open_clone(config, work, request.repo, progress, stop)
        desk = bench(config, work, repository, progress, stop, baselines=(), profiles=())
        targets = tuple(dict.fromkeys(target_of(config, target) for target in request.targets or config.targets))
        if request.eras:
            return _eras(desk, targets, request.json)
        return _revisions(desk, request.revisions, targets, request.json)


def _revisions(desk: Bench, revisions: Iterable[str], targets: Iterable[str], as_json: bool) -> int:
    """Revisions as typed; a wrong word is told before anything is built."""
    named = {name: desk.repository.resolve(name) for name in revisions}
    places = desk.repository.places(named.values())
    ordered = sorted(named.items(), key=lambda item: places[item[1]][1])  # from neighbours less has to be built
    asked = [_asked(desk, name, sha, target) for name, sha in ordered for target in targets]
    for row in asked:
        desk.rig.builder.kept(row.commit, row.target)
    rows = []
    for row in asked:
        rows.append(_built(desk, row))
        if not as_json:
            _say(rows[-1])
    return _end(rows, as_json)


def _asked(desk: Bench, name: str, commit: Sha, target: str) -> Row:
    return Row(name, commit, target, desk.rig.builder.recipe(commit))


def _built(desk: Bench, row: Row) -> Row:
    """A row that was asked, with what came of it."""
    builder = desk.rig.builder
    done = builder.build(row.commit, row.target, stop=desk.stop)
    desk.keep(done)
    answer = Answer.BUILT if done.status is BuildStatus.BUILT else Answer.FAILED
    return replace(row, answer=answer, build=done, log=builder.kept(row.commit, row.target) / "build.log")


def _say(row: Row) -> None:
    """A line to standard output for what was built; why something was not goes to standard error."""
    build = row.build
    what = f"{row.name} {row.commit[:12]} {row.target}"
    if build is None or build.binary is None:
        print(f"{row.error}\n  {what}: {row.answer}; log: {row.log}", file=sys.stderr, flush=True)
        return
    command = [str(build.binary.path), *(["-L", str(build.binary.data_dir)] if build.binary.data_dir else [])]
    took = f"{build.kind} {build.seconds:.0f} s {build.steps} steps"
    print(f"{shlex.join(command)}  {what}  sha256 {build.binary.sha256[:12]}  {took}", flush=True)


def _end(rows: Sequence[Row], as_json: bool) -> int:
    """Print the JSON, if that was asked for; the exit code of all rows together."""
    if as_json:
        print(json.dumps({"schema": 1, "builds": [row.facts() for row in rows]}, indent=1))
    answers = {row.answer for row in rows}
    if Answer.TROUBLE in answers:
        return INFRASTRUCTURE
    if Answer.INPUT in answers:
        return _INPUT
    return GOOD if answers == {Answer.BUILT} else BAD


# -- eras ----------------------------------------------------------------------------------------------------------


def _eras(desk: Bench, targets: Sequence[str], as_json: bool) -> int:
    """One commit of every era, each in a row of its own, whatever becomes of the others."""
    asked = _era_rows(desk, targets)
    table = _Table(asked)
    if not as_json:
        print(table.head(), flush=True)
    rows = []
    for row in asked:
        done = row if row.answer else _tried(desk, row)
        rows.append(done)
        if not as_json:
            print(table.line(done), flush=True)
            if done.answer is Answer.FAILED:
                print(f"  {done.name} {done.target}: log: {done.log}", file=sys.stderr, flush=True)
    return _end(rows, as_json)


def _era_rows(desk: Bench, targets: Sequence[str]) -> list[Row]:
    """What is asked: first what cannot be, then neighbours of one recipe and target, which share a build directory."""
    without, asked = [], []
    for name in desk.config.build.eras:
        desk.progress.work(f"looking for {name}")
        try:
            commit = _era(desk.repository, name)
        except UserError:
            without.append(Row(name, answer=Answer.MISSING))
            continue
        try:
            asked += [_asked(desk, name, commit, target) for target in targets]
        except UserError as error:
            without.append(Row(name, commit, answer=Answer.INPUT, trouble=str(error)))
    recipes = [row.recipe for row in asked]
    asked.sort(key=lambda row: (recipes.index(row.recipe), targets.index(row.target)))
    return without + asked


def _era(repository: Repository, name: str) -> Sha:
    """The commit of a release: its tag, else what set VERSION to it. Raises `UserError` if the clone has neither."""
    if name != NEWEST:
        return repository.resolve(f"v{name}")
    tip = repository.branches().get("master")
    if tip is None:
        raise UserError("no branch master")
    return tip


def _tried(desk: Bench, row: Row) -> Row:
    """As `_built`, with trouble told in the row."""
    try:
        return _built(desk, row)
    except (InfraError, OSError) as error:
        return replace(row, answer=Answer.TROUBLE, trouble=str(error))
    except UserError as error:
        return replace(row, answer=Answer.INPUT, trouble=str(error))


class _Table:
    """Lines of the same columns, each made when its row is done."""

    _HEAD = ("release", "commit", "recipe", "target", "kind", "dropped", "steps", "seconds", "size", "result")
    _RIGHT = range(5, 9)

    def __init__(self, asked: Sequence[Row]) -> None:
        known = [self._HEAD, *(self._cells(row) for row in asked)]
        self._widths = [max(map(len, column)) for column in zip(*known, strict=True)]
        self._widths[4] = max(map(len, BuildKind))
        self._widths[8] = len("100.0 MiB")

    def head(self) -> str:
        return self._laid(self._HEAD)

    def line(self, row: Row) -> str:
        return self._laid(self._cells(row))

    def _laid(self, cells: Sequence[str]) -> str:
        pairs = zip(cells[:-1], self._widths, strict=False)
        laid = [text.rjust(width) if i in self._RIGHT else text.ljust(width) for i, (text, width) in enumerate(pairs)]
        return "  ".join([*laid, cells[-1]])

    @staticmethod
    def _cells(row: Row) -> tuple[str, ...]:
        build = row.build
        return (
            row.name,
            row.commit[:12] or "-",
            row.recipe or "-",
            row.target or "-",
            build.kind if build else "-",
            "-" if row.dropped is None else str(len(row.dropped)),
            str(build.steps) if build else "-",
            f"{build.seconds:.0f}" if build else "-",
            "-" if row.size is None else f"{row.size / 2**20:.1f} MiB",
            ": ".join(filter(None, (row.answer, row.error))),
        )
