"""The page about the bot's work: its last cycles, builds that failed, cases that are flaky, and what gave no answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.model import Build, Run
from bot.report import render, table, words
from bot.report.buildlog import page_of
from bot.report.data import SCHEMA
from bot.report.safe import clean, line
from bot.report.story import when
from bot.report.table import Word

if TYPE_CHECKING:
    from bot.report.site import Tip
    from bot.store.store import Cycle

_LOG = 20_000  # characters of the end of a build's log
_CASES = 3  # of one trouble that are named


@dataclass(frozen=True, slots=True)
class Work:
    """The last cycles, newest first, and builds of commits that branches had last, which failed: (branch, build).

    `baselines` are lines about the releases in use and those that wait, `drifts` about failures that no commit is to
    blame for.
    """

    cycles: Sequence[Cycle] = ()
    failed: Sequence[tuple[str, Build]] = ()
    baselines: Sequence[str] = ()
    drifts: Sequence[str] = ()


def page(
    work: Work,
    tips: Sequence[Tip],
    *,
    templates: Path,
    now: datetime,
    twin: str,
    logs: Collection[str] = (),
    not_run: Sequence[str] = (),
) -> tuple[str, str]:
    """HTML, and the JSON beside it, whose file is called `twin`. `logs` are pages of builds that there are."""
    cycles = [
        {
            "began": when(cycle.began),
            "took": words.duration(cycle.ended - cycle.began) if cycle.ended else "not ended",
            "result": line(cycle.result or ""),
        }
        for cycle in work.cycles
    ]  # fmt: skip
    builds = [
        {
            "branch": line(branch), "commit": build.commit, "target": line(build.target), "host": line(build.host),
            "toolchain": line(build.toolchain), "error": clean(build.error or "no error was found in its log"),
        }
        for branch, build in work.failed
    ]  # fmt: skip
    flaky = [
        {"branch": line(tip.branch), "case": line(run.case.id), "what": table.what(run)}
        for tip in tips
        for run in _latest(tip.runs)
        if table.word(run, None) is Word.FLAKY
    ]
    troubles = [found for tip in tips for found in _troubles(tip)]
    baselines, drifts = ([line(text, 600) for text in texts] for texts in (work.baselines, work.drifts))
    context: dict[str, Any] = {
        "cycles": cycles,
        "builds": [
            (its, _end(clean(build.log)), path if path in logs else "")
            for its, (_, build) in zip(builds, work.failed, strict=True)
            for path in (page_of(build.commit, build.target),)
        ],
        "flaky": flaky,
        "troubles": troubles,
        "baselines": baselines,
        "drifts": drifts,
        "made": now.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "files": [twin],
        "not_run": [line(text) for text in not_run],
    }
    html = render.environment(templates).get_template("health.html.j2").render(context)
    data = {
        "schema": SCHEMA, "cycles": cycles, "builds": builds, "flaky": flaky, "troubles": troubles,
        "baselines": baselines, "drifts": drifts,
    }  # fmt: skip
    return html, json.dumps(data, indent=1, sort_keys=True) + "\n"


def _latest(runs: Sequence[Run]) -> list[Run]:
    latest = {run.case: run for run in runs}
    return sorted(latest.values(), key=lambda run: run.case.id)


def _troubles(tip: Tip) -> list[dict[str, Any]]:
    """Runs that gave no answer, those with the same words together, the most frequent first."""
    found: dict[str, list[str]] = {}
    for run in tip.troubles:
        found.setdefault(line(run.observation.message, 300), []).append(line(run.case.id))
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "branch": line(tip.branch), "message": message, "count": len(cases),
            "cases": list(dict.fromkeys(cases))[:_CASES],
        }
        for message, cases in ordered
    ]  # fmt: skip


def _end(log: str) -> str:
    return log if len(log) <= _LOG else f"[... {len(log) - _LOG} characters left out ...]\n{log[-_LOG:]}"
