"""What a command says of the runs it made: the summary, the files that were asked for, the exit code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.core.verdict import FAILURES
from bot.data import data_dir
from bot.model import Case, Outcome, Run
from bot.report.background import Background
from bot.report.data import dump_runs
from bot.report.deliver import write
from bot.report.heat import page
from bot.report.junit import junit
from bot.report.text import summary

GOOD, BAD, CANNOT_TEST, INTERRUPTED, INFRASTRUCTURE = 0, 1, 125, 130, 131


@dataclass(frozen=True, slots=True)
class Files:
    """Where the machine-readable twins and the page go; None: nowhere."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None


def exit_code(runs: Iterable[Run], expected: Collection[Case] = ()) -> int:
    """1 if any is bad, else 131 if the machine failed one, else 125 if none could be tested, else 0.

    A failure that is expected is as good as a pass; one that came and went is no answer.
    """
    outcomes = {
        Outcome.PASS if run.case in expected else Outcome.UNTESTABLE if run.flaky else run.outcome for run in runs
    }
    if outcomes & FAILURES:
        return BAD
    if Outcome.INFRA in outcomes:
        return INFRASTRUCTURE
    return GOOD if Outcome.PASS in outcomes else CANNOT_TEST


def say(runs: Sequence[Run], background: Background) -> None:
    """Print the summary, with colours on a terminal (unless NO_COLOR is set)."""
    Console(highlight=False).print(summary(runs, background), end="", soft_wrap=True)


def tell(runs: Sequence[Run], background: Background, files: Files, not_run: Sequence[str] = ()) -> int:
    """Print the summary and write the files; the exit code that all runs make together. The page says what was not run
    as well."""
    say(runs, background)
    if files.json is not None:
        write(files.json, dump_runs(runs, background.expected, background.posted))
    if files.junit is not None:
        suite = "bot" if background.posted is None else f"bot: {background.posted}"
        write(files.junit, junit(runs, background.expected, suite))
    if files.html is not None:
        how: dict[str, Any] = {"templates": data_dir() / "templates", "now": datetime.now(UTC), "not_run": not_run}
        write(files.html, page(runs, background, **how))
    return exit_code(runs, background.expected)
