"""`bot list --inherited`: what fails at the tips and was never seen good: no search began, and nobody was told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bot.config import Config
from bot.core.flaky import combined
from bot.core.verdict import failed
from bot.host.git import Repository
from bot.model import Case, Outcome, Run, Sha
from bot.pipeline.known import in_history, known, unknown
from bot.report.background import Background
from bot.report.data import dump_runs
from bot.report.text import summary
from bot.store.store import Store


def inherited(config: Config, work: Path, as_json: bool) -> int:
    """Print for each watched branch what fails at its newest tip and was there before the bot looked: what is neither
    expected, nor a regression, nor a drift, nor ever passed under today's setup.
    """
    store, clone = Store(work), work / "upstream.git"
    repository = Repository(clone) if clone.exists() else None
    found = {
        branch: list(_of(store, config, repository, branch, commits[-1].sha))
        for branch, commits in store.seen().items()
    }
    if as_json:
        rows = {branch: json.loads(dump_runs(runs))["runs"] for branch, runs in found.items()}
        print(json.dumps({"schema": 1, "branches": rows}, indent=1))
        return 0
    for branch, runs in found.items():
        print(f"{branch} at {store.seen()[branch][-1].short}:")
        if runs:
            Console(highlight=False).print(summary(runs, Background(new=branch)), end="", soft_wrap=True)
        else:
            print("nothing that was there before")
    if not found:
        print("no branch was tested yet: `bot run --once` does")
    return 0


def _of(store: Store, config: Config, repository: Repository | None, branch: str, tip: Sha) -> Iterator[Run]:
    runs = [run for run in combined(store.runs(commit=tip, logs=False)) if run.outcome is not Outcome.UNTESTABLE]
    explained = known(config, in_history(repository, tip) if repository else unknown).explained(runs)
    drifted = {case for there in store.drifts.known(branch) for case in there.drift.cases}
    told = {(case, e.regression.signature.key) for e in store.regressions() for case in e.regression.cases}
    for run in runs:
        old = _known(run, told) or run.case.id in drifted
        news = failed(run) and not run.flaky and run.case not in explained and not old
        if news and not store.good_commits(run.case, run.setup):
            yield run


def _known(run: Run, told: set[tuple[Case, str]]) -> bool:
    return run.signature is not None and (run.case, run.signature.key) in told
