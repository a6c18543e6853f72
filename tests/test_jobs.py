"""`bot bisect --jobs K`: several commits at a time, as real processes; one fails, all are stopped, all are killed."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.pipeline.test_together import culprits
from tests.pipeline.test_together import history as committed
from tests.test_cli import place, wait_gone
from tests.test_killed import DRAWING, bot, ended, lines, recorded
from tests.testing.fastqemu import ABORTS, BROKEN, GOOD, SMALLER, only
from tests.testing.history import History, draw


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("jobs") / "upstream", DRAWING)


def asked(history: History, where: Path, jobs: int, first: str = "") -> list[str]:
    """What a person types: b broke it, c cannot be tested. Runs are noted, with the directory they are made in.

    `first` is shell code that comes before the test; `met NAME` in it waits for the first run of another commit.
    """
    here = shlex.quote(str(where))
    test = f"name=$(git log -1 --format=%s); echo $name >>{here}/ran; touch {here}/began-$name; pwd >>{here}/trees; "
    test += f'met() {{ for i in $(seq 1200); do test -e {here}/"$1" && return; sleep 0.05; done; exit 200; }}; '
    test += first + "if test -e n/c -a ! -e n/4; then exit 125; fi; test ! -e n/b"
    range_ = f"{history['0']}..{history['7']}"
    repository = str(history.repository.path)
    common = ["--set", "bisect.min_runs=3", "bisect", range_, "--repo", repository, "--jobs", str(jobs)]
    return [*common, "--", "sh", "-c", test]


def cut_short(err: str) -> int:
    """Tests that were ended because they lost their use: they ran, and are not recorded."""
    return err.count("is not tested to its end")


ENDS_MEET = "case $name in 0) met began-7 ;; 7) met began-0 ;; esac; "


@pytest.mark.parametrize("jobs", [2, 3])
def test_two_commands_meet_in_trees_of_their_own_and_the_answer_is_that_of_one(
    history: History, tmp_path: Path, jobs: int
) -> None:
    process = bot(tmp_path, *asked(history, tmp_path, jobs, ENDS_MEET))
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert f"first bad commit: {history['b'][:12]}" in out
    assert f"testing 2 commits: {history['7'][:12]}, {history['0'][:12]}" in err
    trees = set((tmp_path / "trees").read_text().split())
    assert {Path(tree).name for tree in trees} <= {"command", "command-2", "command-3"}
    assert 2 <= len(trees) <= jobs
    assert 0 <= len(lines(tmp_path)) - len(recorded(tmp_path / "work")) <= cut_short(err)


@pytest.mark.parametrize("facts", [1, 2, 3, 5, 8, 13])
def test_killed_in_the_middle_and_gone_on_with_no_recorded_run_is_repeated(
    history: History, tmp_path: Path, facts: int
) -> None:
    """What was begun and not recorded is run again, for nobody knows how it would have ended: of each worker one."""
    killed = bot(tmp_path, *asked(history, tmp_path, 2), facts=facts)
    _, err = killed.communicate(timeout=200)
    assert killed.returncode == -signal.SIGKILL
    wait_gone(tmp_path)
    before = recorded(tmp_path / "work")
    assert len(before) == facts
    assert 0 <= len(lines(tmp_path)) - facts <= 2 + cut_short(err)
    resumed = bot(tmp_path, "bisect", "--resume")
    out, more = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, more
    assert f"first bad commit: {history['b'][:12]}" in out
    after = recorded(tmp_path / "work")
    assert after[:facts] == before
    assert 0 <= len(lines(tmp_path)) - len(after) <= 2 + cut_short(err + more)
    assert (
        max(Counter(sha for sha, _, _ in after).values()) <= 3 + 1
    )  # as often as asked, and one begun beside the last


def test_when_one_command_fails_the_other_is_finished_and_recorded(history: History, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("")
    fails = f"if test $name = 7 && test -e {shlex.quote(str(broken))}; then met began-0; exit 200; fi; "
    waits = "if test $name = 0; then met told; fi; "
    args = asked(history, tmp_path, 2, fails + waits)
    process = bot(tmp_path, *args)
    waiting = f"waiting for what was begun beside it: {history['0'][:12]}"
    assert any(waiting in text for text in process.stderr)
    (tmp_path / "told").write_text("")
    ended(process, 131)
    assert [sha for sha, _, _ in recorded(tmp_path / "work")] == [history["0"]]
    broken.unlink()
    assert f"first bad commit: {history['b'][:12]}" in ended(bot(tmp_path, *args), 0)
    assert Counter(lines(tmp_path))["7"] == 1 + [sha for sha, _, _ in recorded(tmp_path / "work")].count(history["7"])


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_all_commands(history: History, tmp_path: Path, sig: signal.Signals) -> None:
    waits = f"test -e {shlex.quote(str(tmp_path))}/go || exec sleep 4712; "
    args = asked(history, tmp_path, 2, waits)
    process = bot(tmp_path, *args)
    deadline = time.monotonic() + 100
    while len(lines(tmp_path)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, sig)
    ended(process, 130)
    wait_gone(tmp_path)
    assert recorded(tmp_path / "work") == []
    (tmp_path / "go").write_text("")
    assert f"first bad commit: {history['b'][:12]}" in ended(bot(tmp_path, "bisect", "--resume"), 0)


@pytest.mark.parametrize("parallel", [1, 2])
def test_two_commits_at_a_time(tmp_path: Path, parallel: int) -> None:
    here = place(tmp_path, GOOD, GOOD, BROKEN, GOOD, SMALLER, SMALLER, SMALLER)
    machine = ("--machine", "pc-i440fx-7.2", "--source", "/usr/bin/qemu-system-x86_64")
    few = ("--set", "bisect.min_runs=3", "--set", f"build.parallel={parallel}")
    done = here.run(*few, "bisect", f"{here.shas[0]}..master", *machine, "--jobs", "2", code=0)
    assert f"first bad commit: {here.shas[5][:12]}" in done.stdout
    assert "testing 2 commits: " in done.stderr
    assert (tmp_path / "work/trees/fast-x86_64-softmmu-2/build").is_dir() is (parallel == 2)


@pytest.mark.timeout(400)
def test_the_watch_searches_with_several_jobs_and_tests_for_others_meanwhile(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    run = ("--set", "bisect.min_runs=3", "--set", "bisect.jobs=2", "run", "--once")
    here.run(*run, code=0)
    breaks = {2: only("i440fx-7.1", ABORTS), 5: only("i440fx-7.2", SMALLER)}
    shas = committed(here, breaks, 8)
    done = here.run(*run, code=10, timeout=300)
    assert "2 new regressions" in done.stderr and "testing 2 commits: " in done.stderr
    assert culprits(here, "work") == {"pc-i440fx-7.1": shas[2], "pc-i440fx-7.2": shas[5]}
