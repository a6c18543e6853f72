"""The log, for two readers: git and ourselves. That both come to the same finding is held by the table of searches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bot.bisect.log import parse, render
from bot.bisect.runner import Search, search
from bot.core.dag import Dag
from bot.errors import UserError
from bot.model import Attribution, By, FirstBad, Log, Observation, Outcome, Question, Run, Suspects
from bot.progress import Silent
from tests.testing.history import History, draw, git
from tests.testing.world import CASE, World, run

DRAWING = """
0 1 2 3 4
2 a b c d
4 5=d 6 7 8
"""


@pytest.fixture
def history(tmp_path: Path) -> History:
    return draw(tmp_path / "r", DRAWING)


def searched(history: History, world: World, known: tuple[Run, ...] = ()) -> Search:
    good, bad = history["0"], history["8"]
    dag = Dag.of(history.repository.parents([good], bad))
    return search(Question(good, bad, CASE), dag, world.perform, lambda _: None, Silent(), known)


def commands(text: str) -> list[list[str]]:
    return [line.split()[2:] for line in text.splitlines() if line.startswith("git bisect ")]


def test_the_conclusion_goods_then_skips_then_bads_down_to_the_first_bad(history: History) -> None:
    found = searched(history, World(history, {"c": ""}, told={"6": "N", "4": "O"}))
    text = render(found, {})
    words = commands(text)
    assert words[0] == ["start"]
    said = [word for word, _ in words[1:]]
    assert said == sorted(said, key=["good", "skip", "bad"].index)
    named = [history.name(sha) for _, sha in words[1:]]
    assert len(set(named)) == len(named)
    bads = [history.name(sha) for word, sha in words[1:] if word == "bad"]
    assert (bads[0], bads[-1]) == ("8", "c")
    assert f"# first bad commit: [{history['c']}]" in text.splitlines()


def test_the_tip_tested_again_in_the_confirmation_does_not_end_it_wrong(history: History) -> None:
    """The diary ends with runs of the bad end; git keeps the last bad line, so the log must not be the diary."""
    found = searched(history, World(history, {"3": ""}))
    assert isinstance(found.finding, FirstBad)
    assert found.bisection.runs[-1].commit == history["8"]
    (history.repository.path / "log").write_text(render(found, {}))
    git(history.repository.path, "reset", "--quiet", "--hard")
    assert f"{history['3']} is the first bad commit" in git(history.repository.path, "bisect", "replay", "log")


def test_git_ends_on_the_skipped_ones_where_we_did(history: History) -> None:
    found = searched(history, World(history, {"b": ""}, told={"a": "N", "b": "N"}))
    assert isinstance(found.finding, Suspects)
    text = render(found, {})
    (history.repository.path / "log").write_text(text)
    where = history.repository.path
    git(where, "reset", "--quiet", "--hard")
    with pytest.raises(AssertionError, match="only 'skip'ped commits left to test") as said:
        git(where, "bisect", "replay", "log")
    for sha in found.finding.commits:
        assert sha in str(said.value)
        assert f"# possible first bad commit: [{sha}]" in text


def test_an_older_failure_that_was_cured_is_not_told_to_git(history: History) -> None:
    known = (run(history["1"], "B", at=1.0), run(history["4"], "G", at=1.0))
    found = searched(history, World(history, {"1": "2", "7": ""}), known)
    assert isinstance(found.finding, FirstBad)
    assert found.finding.commit == history["7"]
    assert history["1"] not in [sha for word, sha in commands(render(found, {}))[1:] if word == "bad"]


def test_all_runs_come_back_as_they_were_but_for_their_logs(history: History) -> None:
    observation = Observation(Outcome.PASS, seconds=0.25, argv=(("qemu",),), exits=(None, 0), logs=(Log("x", "y"),))
    known = (Run(history["2"], CASE, observation, "b" * 64, "c" * 64, at=1600000000.123456, setup="abc"),)
    found = searched(history, World(history, {"c": ""}), known)
    logged = parse(render(found, {}))
    expected = [replace(r, observation=replace(r.observation, argv=(), logs=())) for r in found.bisection.runs]
    assert list(logged.runs) == expected
    assert logged.question == Question(history["0"], history["8"], CASE)
    assert logged.parents == found.bisection.dag.parents
    assert logged.rules == found.bisection.rules


def test_hostile_subjects_and_messages_stay_comments(history: History) -> None:
    evil = "x\ngit bisect bad " + "0" * 40 + "\r\x1b[31m\u2028# bot: {}"
    commits = {c.sha: replace(c, subject=evil) for c in history.repository.commits(history.shas.values())}
    known = (Run(history["2"], CASE, Observation(Outcome.PASS, message=evil), at=1.0),)
    found = searched(history, World(history, {"c": ""}), known)
    text = render(found, commits)
    assert commands(text) == commands(render(found, {}))
    assert all(line.startswith(("#", "git bisect ")) for line in text.split("\n")[:-1])
    assert "\x1b" not in text
    assert parse(text).replay().finding == found.finding


def test_what_a_first_bad_commit_is_answerable_for_is_kept(history: History) -> None:
    found = searched(history, World(history, {"c": ""}))
    assert isinstance(found.finding, FirstBad)
    given = Attribution(By.EXPOSED, "v10.0.2 passes\nin the place of v10.0.13")
    text = render(replace(found, finding=replace(found.finding, attribution=given)), {})
    assert "# exposed-by: v10.0.2 passes in the place of v10.0.13" in text.splitlines()
    assert parse(text).attribution == given
    assert parse(render(found, {})).attribution == Attribution()
    assert "by:" not in render(found, {})


def test_the_diary_tells_each_step_with_its_reason(history: History) -> None:
    found = searched(history, World(history, {"c": ""}, told={"4": "N"}))
    commits = {c.sha: c for c in history.repository.commits(history.shas.values())}
    text = render(found, commits)
    assert f"#   1 {history['8'][:12]} bad (10 bad of 10), bad end: 8" in text
    assert f"#   2 {history['0'][:12]} good (0 bad of 10), good end: 0" in text
    assert f"# 12 commits, {found.counts.steps} asked, {found.counts.builds} built, {found.counts.runs} runs" in text


def test_a_log_that_was_cut_or_edited_says_where(history: History) -> None:
    text = render(searched(history, World(history, {"c": ""})), {})
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("# bot: "))
    with pytest.raises(UserError, match=r"r\.log: no line starts with '# bot: '"):
        parse("\n".join(lines[:first]), "r.log")
    broken = [*lines[: first + 1], lines[first + 1][:-5], *lines[first + 2 :]]
    with pytest.raises(UserError, match=rf"r.log:{first + 2}: .*was the log edited"):
        parse("\n".join(broken), "r.log")
    with pytest.raises(UserError, match="whole"):
        parse("\n".join(line for line in lines if not line.startswith("# commit: ")), "r.log")
    with pytest.raises(UserError, match="whole"):
        parse("\n".join(lines[:-1]), "r.log")
    with pytest.raises(UserError, match="'34' is no commit id of 40 hex digits"):
        parse(text + "# commit: 12 34\n", "r.log")
    header = json.loads(lines[first].removeprefix("# bot: "))
    other = "# bot: " + json.dumps(header | {"format": 2})
    with pytest.raises(UserError, match="the log has format 2, this bot reads 1"):
        parse("\n".join([*lines[:first], other, *lines[first + 1 :]]), "r.log")
