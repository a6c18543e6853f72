"""The page about the bot's work: what failed to build, what is flaky, what gave no answer, and how cycles went."""

from __future__ import annotations

import json
from dataclasses import replace

from bot.model import Build, BuildKind, BuildStatus, Case, Direction, Observation, Outcome, Run
from bot.report import health, site
from bot.report.background import Background
from bot.report.site import Tip
from bot.store.store import Cycle
from tests.report.test_mail import NOW, TEMPLATES
from tests.report.test_site import words
from tests.testing import reports


def ill(said: str = "cannot find ninja") -> tuple[str, str]:
    """The page of a bot with every trouble, in whose texts `said` stands."""
    flaky = reports.run(reports.BAD)
    flaky = replace(flaky, beside=(Outcome.PASS, Outcome.PASS))
    lost = [
        Run(
            reports.BAD.sha,
            Case("x86_64-softmmu", f"m{i}", "bare", Direction.SAME, None),
            Observation(Outcome.INFRA, message=said),
        )
        for i in range(5)
    ]
    build = Build(
        reports.BAD.sha, "ppc64-softmmu", "v4.2", BuildStatus.FAILED, BuildKind.FULL, 41.0,
        toolchain="gcc 12.2.0, Debian 12", error=f"../hw/ppc/spapr.c:1: error: {said}",
        log=f"first line {said}\n" + "x" * 30_000 + "\nlast line", host="h1",
    )  # fmt: skip
    tip = Tip("master", reports.BAD, (flaky,), Background(), tuple(lost))
    cycles = (Cycle(1582697564.0, None, None), Cycle(1582690000.0, 1582690090.0, f"2 new regressions {said}"))
    work = health.Work(cycles, [("master", build)], [f"baseline v7.2: {said}"], [f"master: 2 cases {said}"])
    return health.page(work, [tip], templates=TEMPLATES, now=NOW, twin="health.json")


def test_all_that_is_wrong_is_told_with_the_first_error_on_top() -> None:
    html, twin = ill()
    said = words(html)
    assert said.index("spapr.c:1: error: cannot find ninja") < said.index("End of the log") < said.index("last line")
    assert "first line" not in said and "characters left out" in said
    assert "gcc 12.2.0, Debian 12, on h1" in said
    assert "in 1 of 3 runs" in said
    assert "master 5 cannot find ninja" in said and said.count("cannot find ninja") == 5
    assert "2020-02-26 06:12 not ended" in said
    assert "2 new regressions" in said
    assert said.index("master: 2 cases") < said.index("baseline v7.2: cannot") < said.index("Last cycles")
    data = json.loads(twin)
    assert (data["baselines"], data["drifts"]) == (
        ["baseline v7.2: cannot find ninja"],
        ["master: 2 cases cannot find ninja"],
    )
    assert (len(data["builds"]), len(data["flaky"]), data["troubles"][0]["count"]) == (1, 1, 5)
    assert len(data["troubles"][0]["cases"]) == 3


def test_where_nothing_is_wrong_that_is_said() -> None:
    html, twin = health.page(site.NOTHING, [], templates=TEMPLATES, now=NOW, twin="health.json")
    said = words(html)
    for text in (
        "were built",
        "None on the last commits.",
        "Every run on the last commits did.",
        "no cycle yet",
        "None is in use.",
    ):
        assert text in said, text
    assert json.loads(twin)["cycles"] == []
