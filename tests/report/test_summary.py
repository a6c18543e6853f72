"""A whole commit in words and as a heat map: what changed, what fails, what was known, folded for one look."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from rich.console import Console

from bot.model import Case, Direction, Expected, Observation, Outcome, Run, Signature
from bot.report import heat
from bot.report.background import Background
from bot.report.text import summary
from tests.report.test_mail import HOSTILE, TEMPLATES, golden
from tests.report.test_site import ALLOWED, Reader, words

X86, ARM = "x86_64-softmmu", "aarch64-softmmu"
Q35 = tuple(f"pc-q35-{v}" for v in ("2.9", "2.10", "2.11", "2.12", "3.0"))
RAM = Signature("ramblock", "pc.ram")
CPU = Signature("device", "cpu")
ARM_CPU = Expected("arm-forward", "registers change", "arm maintainers", expires="2027")
GONE = Expected("isapc-vga", "it aborts", "graphics maintainers", expires="2027")
LATE = Expected("old-one", "nobody knows", "nobody", expires="2025")


def run(
    machine: str, outcome: Outcome = Outcome.PASS, signature: Signature | None = None, *, target: str = X86,
    profile: str = "bare", direction: Direction = Direction.FORWARD, baseline: str | None = "v7.2.0",
    method: str = "precopy", accel: str = "tcg", message: str = "", left_out: tuple[str, ...] = (),
    blamed: tuple[str, ...] = (),
) -> Run:  # fmt: skip
    other = None if direction is Direction.SAME else baseline
    case = Case(target, machine, profile, direction, other, method, accel)
    seen = Observation(outcome, signature, message, 0.25, left_out=left_out, blamed=blamed)
    return Run("c" * 40, case, seen)


def a_commit() -> tuple[list[Run], Background]:
    """One of everything that there is to say."""
    fails = Outcome.FAIL_DST
    text = 'Unknown ramblock "pc.ram", cannot accept migration'
    runs = [
        run(machine, fails, RAM, profile="mem-path", baseline=baseline, message=text)
        for baseline in ("v7.2.0", "v8.2.0")
        for machine in Q35[:3]
    ]
    runs += [run(machine, profile="mem-path") for machine in Q35[3:]]
    runs += [
        run(machine, profile=profile, direction=Direction.SAME) for machine in Q35 for profile in ("bare", "virtio")
    ]
    virtio = Signature("virtio-ring", "virtio-rng")
    runs += [
        run(
            machine, fails, virtio, profile=profile, message="VQ 0 vring.num 1024 exceeds allocated max 8",
            left_out=("nvme: qemu-7.2.22 cannot migrate it",), blamed=("virtio-rng-pci", "virtio-net-pci"),
        )
        for machine in Q35[-2:]
        for profile in ("virtio", "firmware")
    ]  # fmt: skip
    runs += [run("isapc", direction=Direction.SAME, profile="default")]
    runs += [run("pc-q35-3.0", direction=Direction.SAME, method="ping-pong", accel="kvm")]
    runs += [run("pc-q35-3.0", fails, Signature("text", detail="x"), direction=Direction.SAME, method="exec")]
    runs += [run("microvm", Outcome.INFRA, message="disk full", direction=Direction.SAME)]
    runs += [
        run(f"board-{n}", Outcome.UNTESTABLE, direction=Direction.SAME, message=f"needs {n} MiB of memory")
        for n in range(12)
    ]
    runs += [run("old-board", Outcome.UNTESTABLE, direction=Direction.SAME, message="does not start: it is gone")]
    arm = [run(f"virt-{v}", fails, CPU, target=ARM, message="cpu") for v in ("7.0", "7.1", "7.2")]
    runs += [*arm, run("virt-8.0", target=ARM)]
    before = {r.case: replace(r, observation=Observation(Outcome.PASS)) for r in runs if r.case.profile == "mem-path"}
    before |= {r.case: r for r in runs if r.case.profile == "virtio"}
    before |= {r.case: replace(r, observation=Observation(fails, RAM)) for r in runs if r.case.machine == "virt-8.0"}
    before |= {r.case: replace(r, observation=Observation(fails, RAM)) for r in runs if r.case.method == "exec"}
    before |= {r.case: replace(r, observation=Observation(Outcome.PASS)) for r in runs if r.case.machine == "old-board"}
    return runs, Background(
        new="master",
        names={"v7.2.0": "v7.2.0", "v8.2.0": "v8.2.0"},
        expected={r.case: ARM_CPU for r in arm},
        passed=(GONE,),
        expired=(LATE,),
        before=before,
        old="an earlier master",
        deprecated=frozenset({(X86, "pc-q35-2.9"), (X86, "pc-q35-2.10"), (ARM, "pc-q35-3.0"), (X86, "not-run")}),
    )


def shown(runs: list[Run], about: Background | None = None, **options: bool) -> str:
    """What a console prints."""
    file = io.StringIO()
    console = Console(file=file, highlight=False, width=40, **options)  # type: ignore[arg-type]
    console.print(summary(runs, about), end="", soft_wrap=True)
    return file.getvalue()


def test_a_commit_in_words() -> None:
    runs, about = a_commit()
    golden("summary.txt", summary(runs, about).plain)
    assert shown(runs, about) == summary(runs, about).plain


def test_colours_are_for_terminals_and_may_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    runs, about = a_commit()
    golden("summary.ansi", shown(runs, about, force_terminal=True))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown(runs, about, force_terminal=True)
    assert "31m" not in shown(runs, about, force_terminal=True)


def test_without_a_past_and_without_entries_what_fails_comes_first() -> None:
    runs = [run(machine) for machine in Q35[3:]]
    runs += [run(machine, Outcome.FAIL_DST, RAM, message="Unknown ramblock") for machine in Q35[:3]]
    runs += [run("isapc", Outcome.UNTESTABLE, message="no such machine type")]
    assert summary(runs, Background(names={"v7.2.0": "qemu-7.2 (/opt/qemu)"})).plain.splitlines() == [
        "FAIL_DST ramblock pc.ram",
        "  qemu-7.2 -> new with bare: pc-q35-2.9 ... 2.11 (3 types)",
        "    Unknown ramblock",
        "cannot be tested: 1 case: no such machine type",
        "6 cases: 2 PASS, 3 FAIL_DST, 1 UNTESTABLE (1.5 s of smokes)",
    ]


def test_a_summary_of_nothing() -> None:
    assert summary([]).plain == "nothing was run\n"


def test_a_failure_that_was_there_before_is_not_told_as_new() -> None:
    failing = run("isapc", Outcome.FAIL_DST, RAM)
    about = Background(before={failing.case: failing})
    assert summary([failing], about).plain.startswith("FAIL_DST ramblock pc.ram\n")


def test_a_first_failure_after_nothing_could_be_tested_is_no_change() -> None:
    failing = run("isapc", Outcome.FAIL_DST, RAM)
    was = replace(failing, observation=Observation(Outcome.UNTESTABLE))
    assert "unlike" not in summary([failing], Background(before={failing.case: was})).plain


def test_an_expected_failure_that_passes_is_a_change() -> None:
    passing = run("isapc")
    was = replace(passing, observation=Observation(Outcome.FAIL_DST, RAM))
    assert summary([passing], Background(before={passing.case: was})).plain.startswith(
        "passes now, unlike on before:\n"
    )


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_escape_sequence_gets_through(machine: str, message: str, name: str) -> None:
    failing = run(machine or "m", Outcome.FAIL_DST, Signature("text", name, message), message=message)
    known = run(name or "n", Outcome.FAIL_DST, RAM, profile=machine or "p", left_out=(message,), blamed=(name,))
    about = Background(name, {"v7.2.0": message}, {known.case: replace(ARM_CPU, why=message, owner=name)}, (ARM_CPU,))
    assert not set(summary([failing, known], about).plain) & {"\x1b", "\x9b", "\x07", "\r"}


# -- the heat map --------------------------------------------------------------------------------------------------


def drawn(grid: heat.Grid) -> list[str]:
    """A grid as text."""
    rows = [(row.name + (" (deprecated)" if row.deprecated else ""), row.cells) for row in grid.rows]
    wide = max(len(name) for name, _ in rows)
    head = f"{grid.target:<{wide}} | " + " | ".join(f"{title:<12}" for title in grid.columns)
    lines = [f"{name:<{wide}} | " + " | ".join(f"{cell.text or '-':<12}" for cell in cells) for name, cells in rows]
    return [text.rstrip() for text in (head, *lines)]


def test_a_commit_as_a_heat_map() -> None:
    runs, about = a_commit()
    golden("heat.txt", "\n".join("\n".join(drawn(grid)) for grid in heat.grids(runs, about)) + "\n")


def test_a_cell_is_its_worst_run_and_tells_the_rest() -> None:
    runs = [
        run("isapc"),
        run("isapc", profile="default"),
        run("isapc", Outcome.FAIL_DST, RAM, profile="mem-path"),
        run("isapc", Outcome.FAIL_DST, CPU, profile="usb", method="exec"),
        run("isapc", Outcome.UNTESTABLE, profile="smp"),
    ]
    about = Background(expected={runs[3].case: ARM_CPU})
    (grid,) = heat.grids(runs, about)
    ((cell,),) = (row.cells for row in grid.rows)
    assert (cell.style, cell.text) == ("fail", "FAIL 1/5")
    assert cell.title.splitlines() == [
        "2 of 5 pass",
        "mem-path: FAIL_DST ramblock pc.ram",
        "usb by exec: FAIL_DST device cpu (expected, arm-forward)",
        "smp: UNTESTABLE",
    ]
    for count, text in ((5, "FAIL 1/5"), (2, "ok"), (1, "ok")):
        assert heat.grids(runs[:count], about)[0].rows[0].cells[0].text == text
    assert heat.grids(runs[3:4], about)[0].rows[0].cells[0].text == "known"
    assert heat.grids(runs[4:], about)[0].rows[0].cells[0].style == "none"


def test_the_page_of_a_commit() -> None:
    runs, about = a_commit()
    page = heat.page(runs, about, templates=TEMPLATES, now=datetime(2026, 11, 24, tzinfo=UTC), back="index.html")
    found = Reader(page)
    assert set(found.tags) <= ALLOWED
    assert found.links == ["data:,", "index.html"]
    said = words(page)
    for text in ("Machine types by baselines: master", "from v7.2.0", "pc-q35-2.9 deprecated", "FAIL 2/3", "known"):
        assert text in said, text
    assert "fails now, unlike on an earlier master" in said
    assert "Made 2026-11-24 00:00 UTC" in said


@settings(max_examples=40, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_nothing_hostile_becomes_markup(machine: str, message: str, name: str) -> None:
    failing = run(machine or "m", Outcome.FAIL_DST, Signature("text", name, message), profile=name, message=message)
    about = Background(name, {"v7.2.0": message}, {failing.case: replace(ARM_CPU, why=message)}, deprecated=frozenset())
    page = heat.page([failing], about, templates=TEMPLATES, now=datetime(2026, 11, 24, tzinfo=UTC))
    found = Reader(page)
    assert set(found.tags) <= ALLOWED
    assert not found.handlers
    assert found.links == ["data:,"]
    assert "\x1b" not in page


def test_ways_that_fail_alike_share_a_line() -> None:
    ways = [
        (profile, method, accel)
        for accel in ("tcg", "kvm")
        for profile in ("bare", "default", "usb")
        for method in ("ping-pong", "precopy", "exec")
        if (profile != "usb" or method == "precopy") and (accel == "tcg" or method == "precopy")
    ]
    runs = [
        run(machine, Outcome.FAIL_DST, RAM, profile=profile, method=method, accel=accel, direction=Direction.SAME)
        for machine in Q35[:3]
        for profile, method, accel in ways
    ]
    assert summary(runs).plain.splitlines()[1:-1] == [
        "  new -> new with bare, default by precopy, exec, ping-pong; bare, default, usb on kvm; usb:"
        " pc-q35-2.9 ... 2.11 (3 types)"
    ]
