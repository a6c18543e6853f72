"""From words to cases and sweeps, and what readers are told was not run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.config import load
from bot.core import matrix
from bot.model import METHODS, Case, Direction, Expected, Observation, Outcome, Profile, Run, Signature, Sweep
from bot.pipeline.asking import cases_of, not_run
from bot.pipeline.known import Known, in_history, unknown
from bot.pipeline.local import without_kvm
from bot.pipeline.telling import exit_code
from bot.progress import Progress
from bot.smoke import methods
from tests.testing.history import draw

CASE = Case("x86_64-softmmu", "pc-q35-9.2", "bare", Direction.FORWARD, "old")


def test_methods_that_may_be_typed_are_those_there_are() -> None:
    assert tuple(methods.METHODS) == METHODS


def test_one_case_for_each_machine_type_and_method() -> None:
    found = cases_of(
        "x86_64-softmmu", ["a", "b"], Profile("p"), Direction.SAME, None, methods=["exec", "precopy"], accel="kvm"
    )
    assert [(c.machine, c.method, c.accel, c.baseline) for c in found] == [
        ("a", "exec", "kvm", None), ("a", "precopy", "kvm", None),
        ("b", "exec", "kvm", None), ("b", "precopy", "kvm", None),
    ]  # fmt: skip


def test_what_was_not_run_is_told_in_phrases() -> None:
    config = load(overrides=["targets=[x86_64, ppc64, s390x]"], environ={})
    everything = [
        Case(target, "m", profile, direction, None, method, accel)
        for target in config.targets
        for profile in config.profiles
        for direction in Direction
        for method in METHODS
        for accel in ("tcg", "kvm,kernel-irqchip=split")
    ]
    assert not_run(config, everything) == ()
    assert not_run(config, []) == ()
    some = [case for case in everything if case.target == "ppc64-softmmu" and case.accel == "tcg"]
    some = [c for c in some if c.profile not in ("usb", "smp") and c.method not in ("savevm", "exec", "multifd")]
    assert not_run(config, [c for c in some if c.direction is not Direction.BACKWARD]) == (
        "KVM",
        "profiles smp and usb",
        "direction backward",
        "methods exec, savevm and multifd",
        "targets x86_64-softmmu and s390x-softmmu",
    )


SWEEP = Sweep(("bare",), tuple(Direction), {"precopy": ("*",), "exec": ("b*",)}, ("tcg", "kvm-if-usable"))


def test_what_is_typed_narrows_a_sweep() -> None:
    assert matrix.narrowed(SWEEP, (), (), None) == SWEEP
    assert matrix.narrowed(SWEEP, [Direction.BACKWARD], ["exec", "savevm"], "kvm") == Sweep(
        ("bare",), (Direction.BACKWARD,), {"exec": ("b*",)}, ("kvm",)
    )


class Said(Progress):
    """What was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        raise AssertionError(what)

    def aside(self) -> Said:
        return self


def test_kvm_that_cannot_be_used_is_told_and_missed_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.host.kvm.why_not", {"x86_64": None, "ppc64": "the host is x86_64"}.get)
    told = Said()
    assert without_kvm(SWEEP, ["x86_64", "ppc64"], told) == ({"ppc64"}, False)
    assert without_kvm(replace(SWEEP, accels=("kvm",)), ["x86_64"], told) == (set(), False)
    assert without_kvm(replace(SWEEP, accels=("kvm,a=b",)), ["x86_64", "ppc64"], told) == ({"ppc64"}, True)
    assert without_kvm(replace(SWEEP, accels=("tcg",)), ["ppc64"], told) == (set(), False)
    assert told.lines == ["not run: KVM of ppc64 (the host is x86_64)"] * 2


# -- what is known -------------------------------------------------------------------------------------------------

KNOWN = Expected("known", "because", "me", expires="2027", classes=("ramblock",))


def run(outcome: Outcome, klass: str | None = None, machine: str = "pc-q35-9.2") -> Run:
    signature = Signature(klass) if klass else None
    return Run("c" * 40, replace(CASE, machine=machine), Observation(outcome, signature))


def test_known_failures_by_case() -> None:
    about = Known((KNOWN,), (), "2026-11-24", unknown)
    runs = [run(Outcome.FAIL_DST, "ramblock", "a"), run(Outcome.FAIL_DST, "cpu", "b"), run(Outcome.PASS, None, "c")]
    assert about.explained(runs) == {runs[0].case: KNOWN}
    assert about.passed(runs) == ()
    assert about.passed(runs[2:]) == (KNOWN,)
    assert replace(about, today="2028-01-01").explained(runs) == {}
    assert replace(about, today="2028-01-01").expired() == (KNOWN,)


def test_exclusions_hold_until_they_end(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "a b c")
    repository = history.repository
    config = load(
        overrides=[
            "smoke.exclude=[none, {machines: [x, y], why: w, expires: 2027-01}, {machines: z, why: w, until: "
            + history["b"]
            + "}, {machines: v, why: w, until: 0123456789abcdef}]"
        ],
        environ={},
    )
    for commit, today, left_out in (
        ("a", "2027-01-31", "none x y z v"),
        ("b", "2027-01-31", "none x y v"),
        ("c", "2027-02-01", "none v"),
    ):
        about = Known((), config.exclusions, today, in_history(repository, history[commit]))
        assert about.exclude == tuple(left_out.split())
    assert Known((), config.exclusions, "2026-01-01", unknown).exclude == ("none", "x", "y", "z", "v")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ("pass", 0),
        ("pass known", 0),
        ("pass untestable known", 0),
        ("known", 0),
        ("known untestable", 0),
        ("untestable", 125),
        ("", 125),
        ("pass fail known", 1),
        ("pass infra known", 131),
        ("fail infra", 1),
    ],
)
def test_an_expected_failure_is_not_bad(outcomes: str, code: int) -> None:
    kinds = {
        "pass": Outcome.PASS, "known": Outcome.CRASH_DST, "fail": Outcome.HANG,
        "untestable": Outcome.UNTESTABLE, "infra": Outcome.INFRA,
    }  # fmt: skip
    runs = {name: run(kinds[name], None, name) for name in outcomes.split()}
    assert exit_code(runs.values(), {r.case for name, r in runs.items() if name == "known"}) == code
