"""Pages from a real store and a real clone: what no value of a report has is read where it is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bot.config import load
from bot.host.git import Repository
from bot.model import Build, BuildKind, BuildStatus, Observation, Outcome, Run
from bot.pipeline.publish import write_site
from bot.store.store import Store
from tests.core.test_lifecycle import CURE
from tests.pipeline.test_tracking import Desk
from tests.testing import history, reports


def test_the_fixs_day_is_read_from_the_clone(tmp_path: Path) -> None:
    drawn = history.draw(tmp_path / "repo", "a b c")
    fix, desk = drawn["c"], Desk(tmp_path)
    desk.note(replace(CURE, commit=fix))
    for repository, known in ((Repository(tmp_path / "repo"), True), (None, False)):
        written = write_site(desk.store, desk.config, tmp_path / "out", repository)
        assert tmp_path / "out" / "r0001" / "timeline.svg" in written
        picture = (tmp_path / "out" / "r0001" / "timeline.svg").read_text()
        assert f"fixed by {fix[:12]}" in picture
        assert (f">fix {fix[:12]}<" in picture) is known


def test_a_fix_that_the_clone_lost_costs_its_day_alone(tmp_path: Path) -> None:
    history.draw(tmp_path / "repo", "a b")
    desk = Desk(tmp_path)
    desk.note(CURE)
    write_site(desk.store, desk.config, tmp_path / "out", Repository(tmp_path / "repo"))
    assert ">fix " not in (tmp_path / "out" / "r0001" / "timeline.svg").read_text()


def test_what_failed_on_the_last_commits_is_on_the_page_about_the_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    broken = Build(
        reports.GOOD.sha, "ppc64-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 4.0, error="spapr.c:1: no",
        log="all",
    )  # fmt: skip
    built = replace(broken, status=BuildStatus.BUILT, error=None)
    store.see("master", reports.GOOD)
    store.see("master", reports.BAD)
    for build in (built, broken, replace(broken, commit=reports.BAD.sha), replace(built, commit=reports.BAD.sha)):
        store.record(build)
    store.record(Run(reports.BAD.sha, reports.CASE, Observation(Outcome.INFRA, message="no disk")))
    store.end_cycle(store.begin_cycle(), "nothing new")
    write_site(store, load(None, ()), tmp_path / "out", None)
    found = json.loads((tmp_path / "out" / "health.json").read_text())
    assert [(build["commit"], build["error"]) for build in found["builds"]] == [(reports.GOOD.sha, "spapr.c:1: no")]
    assert [(trouble["message"], trouble["count"]) for trouble in found["troubles"]] == [("no disk", 1)]
    assert [cycle["result"] for cycle in found["cycles"]] == ["nothing new"]
