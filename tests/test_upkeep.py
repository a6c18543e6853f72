"""The watch over months: point releases follow each other, compilers are upgraded, machine types are deleted, and no
commit is blamed for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.core.drift import Kind
from bot.core.lifecycle import Cured, State, Stuck, Unnamed, Way
from bot.model import Regression, Run, Signature
from bot.store.store import Store
from tests.test_cli import Place, place
from tests.testing import fastqemu
from tests.testing.fastqemu import GOOD, SMALLER
from tests.testing.qemu import second

ONE = '["[!p]*", "pc-i440fx-[1-6]*", "pc-i440fx-7.[01]", "pc-q35-*"]'  # machine type is enough
pytestmark = pytest.mark.timeout(600)
RUN = ("--set", "bisect.min_runs=3", "--set", f"smoke.exclude={ONE}", "run", "--once")


def store(here: Place) -> Store:
    return Store(here.path / "work")


def cycle(here: Place, code: int = 0) -> str:
    done = here.run(*RUN, code=code, timeout=400)
    return done.stdout + done.stderr


def push(here: Place, added: tuple[str, ...], remark: str) -> str:
    return here.project.commit({"dev.c": fastqemu.dev_c(added, remark)}, f"hw/core: {remark}")


def forward(here: Place, commit: str) -> list[Run]:
    return [run for run in store(here).runs(commit=commit, logs=False) if run.case.baseline is not None]


# -- releases ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stable(tmp_path: Path) -> Place:
    """A place whose one baseline is the series 7.2, of which there is the first release."""
    here = place(tmp_path, GOOD)
    path = here.path / "config.yaml"
    text = path.read_text()
    start = text.index("baselines: ")
    end = text.index("\n", start)
    path.write_text(f"{text[:start]}baselines: [{{name: v7.2, ref: v7.2.x}}]{text[end:]}")
    here.project.git("branch", "stable-7.2", here.shas[0])
    return here


def release(here: Place, version: str, added: tuple[str, ...]) -> str:
    git = here.project.git
    git("checkout", "--quiet", "stable-7.2")
    files: dict[str, str | bytes | None] = {"VERSION": f"{version}\n", "dev.c": fastqemu.dev_c(added, version)}
    sha = here.project.commit(files, f"Update version for {version} release")
    git("checkout", "--quiet", "master")
    return sha


def used(here: Place) -> str:
    return store(here).releases.used()["v7.2"].ref


def test_a_point_release_takes_its_place_after_it_ran_against_the_one_before(stable: Place) -> None:
    here = stable
    cycle(here)
    assert used(here) == "v7.2.0"
    sha = release(here, "7.2.1", GOOD)
    tip = push(here, GOOD, "a tip")
    said = cycle(here)
    assert "baseline v7.2: v7.2.1 is new; v7.2.0 stays until both ran against each other" in said
    between = forward(here, sha)
    assert {run.case.direction for run in between} == {"forward", "backward"} and len(between) >= 2
    assert "v7.2.1 takes the place of v7.2.0: " in said and used(here) == "v7.2.1"
    assert "baseline v7.2: v7.2.1 since " in here.run("status", code=0).stdout
    assert "v7.2.1 since " in here.run("baselines", code=0).stdout
    setups = {run.setup for run in forward(here, tip)}
    culprit = push(here, SMALLER, "break it")
    push(here, SMALLER, "later")
    said = cycle(here, 10)
    assert f"first bad commit: {culprit[:12]}" in said, "the release before was what it was good with"
    again = forward(here, tip)
    assert setups < {run.setup for run in again}, "the last good was run with the new release before"
    release(here, "7.2.2", SMALLER)
    assert "v7.2.2 takes the place of v7.2.1" in cycle(here), "the tip passes with it"
    push(here, SMALLER, "with it")
    cycle(here)
    (entry,) = store(here).regressions()
    (unnamed,) = (happened.event for happened in entry.record.history)
    assert isinstance(unnamed, Unnamed) and "where it was found, passes too" in unnamed.why
    assert not store(here).drifts.known()


def test_a_release_that_breaks_waits_for_a_person_and_blames_nobody(stable: Place) -> None:
    here = stable
    cycle(here)
    release(here, "7.2.1", SMALLER)
    said = cycle(here)
    assert "v7.2.1 does not take the place of v7.2.0: 0 of " in said and "nothing explains it" in said
    assert "  unexplained: " in said
    assert "`bot baselines v7.2 --use v7.2.1 --why TEXT` takes it" in said
    shown = here.run("baselines", code=0).stdout
    assert "v7.2: v7.2.0 since" in shown and "v7.2.1 waits since" in shown and "--use v7.2.0" in shown
    first = push(here, GOOD, "first")
    assert "does not take" not in cycle(here), "told once"
    assert used(here) == "v7.2.0" and store(here).regressions() == [], "it is tested with the one before"
    wrong = here.run("baselines", "v7.2", "--use", "v7.3.1", "--why", "x", code=129)
    assert "not a point release of v7.2, such as v7.2.0" in wrong.stderr
    told = here.run("baselines", "v7.2", "--use", "v7.2.1", "--why", "so be it", code=0)
    assert "v7.2.1 from the next cycle on" in told.stdout
    push(here, GOOD, "second")
    said = cycle(here)
    assert "nothing new" in said and store(here).regressions() == []
    (known,) = store(here).drifts.known()
    assert (known.drift.kind, known.drift.good) == (Kind.BASELINE, first)
    assert "baseline: v7.2.0 then, v7.2.1 now; no commit is to blame" in said
    assert "no commit is to blame" in here.run("status", code=0).stdout
    assert "no commit is to blame" not in cycle(here), "told once, and not run again"
    release(here, "7.2.2", GOOD)
    said = cycle(here)
    assert "v7.2.2 takes the place of v7.2.1: " in said and "fails with the tip too" in said
    push(here, GOOD, "third")
    cycle(here)
    assert store(here).drifts.known() == [] and store(here).regressions() == []


# -- the toolchain -------------------------------------------------------------------------------------------------

_GCC = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "gcc (Test) {version}"; exit; fi
exec /usr/bin/gcc {extra} "$@"
"""
_DEV = """\
/* {remark} */
const char *added[] = {{
#ifdef NEWER
"-m", "64M",
#endif
{words} 0 }};
"""


class Compiler:
    """A compiler that can be upgraded; commits of `commit` break where it is a bad one."""

    def __init__(self, here: Place) -> None:
        self.here, self.folder = here, here.path / "tools"
        self.folder.mkdir()
        path = here.path / "config.yaml"
        recipe = "    - name: fast\n"
        env = f"      env: {{PATH: '{self.folder}:/usr/bin:/bin'}}\n"
        box = f"sandbox: {{read: ['{self.folder}']}}\n"
        path.write_text(path.read_text().replace(recipe, recipe + env) + box)

    def upgrade(self, version: str, *, bad: bool = False) -> None:
        path = self.folder / "gcc"
        path.write_text(_GCC.format(version=version, extra="-DNEWER" if bad else ""))
        path.chmod(0o700)

    def commit(self, remark: str, words: str = "") -> str:
        return self.here.project.commit({"dev.c": _DEV.format(remark=remark, words=words)}, f"hw/core: {remark}")


def test_an_upgrade_while_a_search_waits_ends_it_without_a_culprit(tmp_path: Path) -> None:
    here = place(tmp_path)
    compiler = Compiler(here)
    compiler.upgrade("12.2.0")
    good = compiler.commit("good")
    cycle(here)
    bad = compiler.commit("another")
    passed = next(run for run in forward(here, good) if run.outcome == "PASS")
    waiting = Regression("", Signature("ram-size", "ram", "pc.ram"), (passed.case,), good, bad, "master")
    store(here).open_regression(waiting)  # as a cycle does that has no time left for its search
    compiler.upgrade("13.1.0", bad=True)
    said = cycle(here)
    (entry,) = store(here).regressions()
    assert (entry.finding, entry.state) == ("bad-at-good-end", State.RETRACTED)
    (known,) = store(here).drifts.known()
    assert known.drift.kind is Kind.TOOLCHAIN and known.drift.cases == (passed.case.id,)
    assert "retracted by bot: its good end" in said and store(here).outbox.items() == []
    assert "could not be searched" not in cycle(here) and len(store(here).drifts.known()) == 1


def test_what_a_compiler_breaks_is_no_regression_of_a_commit(tmp_path: Path) -> None:
    here = place(tmp_path)
    compiler = Compiler(here)
    compiler.upgrade("12.2.0")
    good = compiler.commit("good")
    cycle(here)
    assert {run.toolchain[:10] for run in forward(here, good)} == {"gcc 12.2.0"}
    compiler.upgrade("13.1.0", bad=True)
    compiler.commit("another")
    said = cycle(here)
    assert f"failing cases to run again on {good[:12]}" in said
    assert "nothing new" in said and store(here).regressions() == [] and store(here).outbox.items() == []
    (known,) = store(here).drifts.known()
    assert known.drift.kind is Kind.TOOLCHAIN and known.drift.good == good
    assert "toolchain: gcc 12.2.0, " in known.drift.said and " then, gcc 13.1.0, " in known.drift.said
    assert "no commit is to blame" in here.run("status", code=0).stdout
    compiler.commit("a third")
    runs = len(forward(here, good))
    assert "run again" not in cycle(here), "once is enough"
    assert len(forward(here, good)) == runs and store(here).regressions() == []
    compiler.upgrade("13.2.0")
    compiler.commit("a fourth")
    culprit = compiler.commit("break it", '"-m", "64M",')
    said = cycle(here, 10)
    assert f"first bad commit: {culprit[:12]}" in said, "the last good is good with this compiler, too"


def test_a_compiler_and_a_release_that_came_together_are_told_apart_by_a_run(stable: Place) -> None:
    here = stable
    compiler = Compiler(here)
    compiler.upgrade("12.2.0")
    good = compiler.commit("good")
    cycle(here)
    release(here, "7.2.1", GOOD)
    assert "v7.2.1 takes the place of v7.2.0" in cycle(here)
    compiler.upgrade("13.1.0", bad=True)
    compiler.commit("another")
    asked = "the toolchain and baseline v7.2 changed together"
    said = cycle(here)
    assert f"{asked}: 1 failing cases to run with v7.2.0 on {good[:12]}" in said
    (known,) = store(here).drifts.known()
    assert (known.drift.kind, known.drift.good) == (Kind.TOOLCHAIN, good)
    assert "toolchain: gcc 12.2.0, " in known.drift.changed and "baseline" not in known.drift.changed
    compiler.commit("a third")
    assert asked not in cycle(here), "once is enough"
    assert [there.drift.changed for there in store(here).drifts.known()] == [known.drift.changed]
    compiler.upgrade("13.2.0")
    release(here, "7.2.2", SMALLER)
    compiler.commit("a fourth")
    assert "v7.2.2 does not take the place of v7.2.1" in cycle(here)
    assert store(here).drifts.known() == []
    here.run("baselines", "v7.2", "--use", "v7.2.2", "--why", "to see", code=0)
    compiler.upgrade("14.1.0")
    for remark in ("a fifth", "a sixth"):
        compiler.commit(remark)
        assert asked not in cycle(here), "the tip was run with either release before a person took the later one"
        (known,) = store(here).drifts.known()
        assert known.drift.kind is Kind.BASELINE and known.drift.changed == "baseline: v7.2.1 then, v7.2.2 now"
    assert store(here).regressions() == []


def test_a_compiler_and_an_installed_baseline_that_were_upgraded_together_are_told_as_both(tmp_path: Path) -> None:
    here = place(tmp_path)
    compiler = Compiler(here)
    installed, path = compiler.folder / "qemu-system-x86_64", here.path / "config.yaml"
    path.write_text(path.read_text().replace(f"path: {fastqemu.QEMU}", f"path: {installed}"))

    def upgrade(gcc: str, qemu: str, *, bad: bool) -> None:
        compiler.upgrade(gcc, bad=bad)
        installed.write_text(f'#!/bin/sh\n# {qemu}\nexec {fastqemu.QEMU} "$@"\n')
        installed.chmod(0o755)

    upgrade("12.2.0", "7.2.13", bad=False)
    good = compiler.commit("good")
    cycle(here)
    upgrade("13.1.0", "7.2.14", bad=True)
    compiler.commit("another")
    said = cycle(here)
    assert "nothing new" in said and "changed together" not in said, "the old ones are gone: no run can tell"
    (known,) = store(here).drifts.known()
    assert (known.drift.kind, known.drift.good) == (Kind.BOTH, good)
    assert "toolchain: gcc 12.2.0, " in known.drift.changed and "or the baseline's binary); " in known.drift.changed
    told = "both changed, and no run tells which of them it is; no commit is to blame"
    assert told in here.run("status", code=0).stdout


# -- what nobody runs any more -------------------------------------------------------------------------------------


def baselines(here: Place, text: str) -> None:
    """Have the configuration name other baselines."""
    path = here.path / "config.yaml"
    path.write_text(re.sub("(?m)^baselines: .*$", f"baselines: [{text}]", path.read_text()))


INSTALLED = f"{{name: debian, path: {fastqemu.QEMU}}}"


def test_a_regression_is_followed_with_a_release_that_is_a_baseline_no_more(stable: Place) -> None:
    here = stable
    cycle(here)
    culprit = push(here, SMALLER, "break it")
    cycle(here, 10)
    baselines(here, INSTALLED)
    tip = push(here, SMALLER, "later")
    assert "r0001: 1 cases to run with v7.2.0, a baseline no more" in cycle(here)
    (entry,) = store(here).regressions()
    assert (entry.state, entry.record.history) == (State.OPEN, ()), "it fails still"
    assert {run.case.baseline for run in forward(here, tip) if run.case in entry.regression.cases} == {"v7.2"}
    before = len(forward(here, tip))
    cycle(here)
    assert len(forward(here, tip)) == before, "once a tip"
    fix = here.project.commit({"dev.c": fastqemu.dev_c(GOOD)}, f"hw/core: mend it\n\nFixes: {culprit[:12]}\n")
    cycle(here)
    (entry,) = store(here).regressions()
    assert entry.state is State.FIXED and entry.record.cure is not None
    assert (entry.record.cure.commit, entry.record.cure.way) == (fix, Way.NAMED)


def test_a_regression_against_what_cannot_be_had_any_more_is_named_and_goes_on_once_it_is_back(stable: Place) -> None:
    here = stable
    baselines(here, INSTALLED)
    cycle(here)
    push(here, SMALLER, "break it")
    cycle(here, 10)
    baselines(here, "{name: v7.2, ref: v7.2.x}")
    push(here, SMALLER, "later")
    why = "not run any more: baseline debian is none of `baselines` any more, and cannot be had"
    assert "r0001: open: at " in cycle(here), "that is no trouble of the machine's"
    assert f"({why})" in here.run("list", code=0).stdout
    assert f"r0001: {why}; it is followed again once that is back; `bot accept r0001`" in here.run("status").stdout
    assert why.partition(": ")[2] in here.run("show", "r0001", code=0).stdout
    push(here, GOOD, "mend it")
    cycle(here)
    (entry,) = store(here).regressions()
    assert [type(happened.event) for happened in entry.record.history] == [Stuck], "once; and it is open"
    baselines(here, INSTALLED)
    cycle(here)
    (entry,) = store(here).regressions()
    assert [type(happened.event) for happened in entry.record.history] == [Stuck, Stuck, Cured]
    assert entry.record.stuck is None and entry.state is State.FIXED
    assert "r0001" not in here.run("status", code=0).stdout


def test_another_case_stands_for_one_that_is_left_out(tmp_path: Path) -> None:
    here = place(tmp_path, GOOD)
    both = ("--set", "bisect.min_runs=3", "--set", "smoke.exclude=['[!p]*', 'pc-i440fx-[1-6]*', 'pc-q35-*', '*7.0']")
    here.run(*both, "run", "--once", code=0, timeout=400)
    push(here, SMALLER, "break it")
    here.run(*both, "run", "--once", code=10, timeout=400)
    (entry,) = store(here).regressions()
    assert {case.machine for case in entry.regression.cases} == {"pc-i440fx-7.1", "pc-i440fx-7.2"}
    fix = push(here, GOOD, "mend it")
    one = ("--set", "smoke.exclude=['[!p]*', 'pc-i440fx-[1-6]*', 'pc-q35-*', '*7.0', '*7.2']")
    here.run("--set", "bisect.min_runs=3", *one, "run", "--once", code=0, timeout=400)
    (entry,) = store(here).regressions()
    (cured,) = (happened.event for happened in entry.record.history)
    assert isinstance(cured, Cured) and (cured.commit, cured.cases) == (fix, 1)
    assert {run.case.machine for run in forward(here, fix)} == {"pc-i440fx-7.1"}


# -- machine types that are deleted --------------------------------------------------------------------------------

GONE, STAYS = "pc-i440fx-2.3", "pc-i440fx-7.2"
OTHERS = (
    '["[!p]*", "pc-i440fx-1.*", "pc-i440fx-2.[!3]*", "pc-i440fx-[3-6]*", "pc-i440fx-7.[01]", "*-[89].*", "*-10.*", '
)
LOST = ("--set", "bisect.min_runs=3", "--set", f'smoke.exclude={OTHERS}"pc-q35-*"]', "run", "--once")


def test_a_machine_type_that_upstream_deleted_is_lost_and_no_failure(tmp_path: Path) -> None:
    """The later tip runs QEMU 10.0, which has not the oldest types of 7.2 any more."""
    newer = second().path.resolve()
    here = place(tmp_path, GOOD)
    with (here.path / "config.yaml").open("a") as config:
        config.write(f"sandbox: {{read: ['{newer.parents[1]}']}}\n")
    here.run(*LOST, code=0, timeout=400)
    had = here.project.git("rev-parse", "HEAD")
    assert {run.case.machine for run in forward(here, had)} == {GONE, STAYS}
    push(here, fastqemu.only(GONE, SMALLER), "break the oldest")
    here.run(*LOST, code=10, timeout=400)
    (entry,) = store(here).regressions()
    assert {case.machine for case in entry.regression.cases} == {GONE}
    mails = store(here).outbox.items()
    since = here.project.commit({"main.c": fastqemu.main_c(newer)}, "hw/i386: remove what is deprecated")
    done = here.run(*LOST, code=0, timeout=400)
    said = done.stdout + done.stderr
    lost = f"x86_64: {GONE}: gone since {since[:12]}"
    assert f"master: {lost}, " in said and "cycle done: nothing new;" in said
    runs = store(here).runs(commit=since, logs=False)
    assert {(run.case.machine, run.outcome) for run in runs} == {(STAYS, "PASS")}
    listed = here.run("list", "--lost", code=0).stdout
    assert f'{lost} ("hw/i386: remove what is deprecated"), ' in listed and listed.count("gone since") == 1
    (entry,) = store(here).regressions()
    (event,) = (happened.event for happened in entry.record.history)
    assert event == Stuck(since, f"{GONE} is deleted"), "nobody can see it fail: it is neither fixed nor news"
    assert entry.state is State.OPEN and store(here).outbox.items() == mails
    assert f"(not run any more: {GONE} is deleted)" in here.run("list", code=0).stdout
    assert f"r0001: not run any more: {GONE} is deleted; " in here.run("status", code=0).stdout
    assert (
        store(here).drifts.known() == [] and "nothing that was there before" in here.run("list", "--inherited").stdout
    )
    here.project.commit({"docs/x.rst": "x\n"}, "docs: x")
    again = here.run(*LOST, code=0, timeout=400)
    assert "gone since" not in again.stdout + again.stderr, "told once"
    assert len(store(here).regressions()[0].record.history) == 1
    here.project.commit({"main.c": fastqemu.main_c(fastqemu.QEMU)}, "Revert the removal")
    here.run(*LOST, code=0, timeout=400)
    (entry,) = store(here).regressions()
    assert entry.record.stuck is None and entry.state is State.OPEN and len(entry.record.history) == 2
    assert "no machine type that was tested is gone" in here.run("list", "--lost", code=0).stdout
