"""What runs say about their commit."""

from __future__ import annotations

import pytest

from bot.core.verdict import Count, count, judge, needed, passed
from bot.model import Observation, Outcome, Run, Signature, Verdict
from tests.testing.world import CASE, OTHER, SIGNATURE, run

SHA = "a" * 40
START = Signature("start", "cpu", "x-old")


def _run(outcome: Outcome, signature: Signature | None = None, loaded: tuple[str, ...] = ()) -> Run:
    return Run(SHA, CASE, Observation(outcome, signature, loaded=loaded))


ROWS = [
    (_run(Outcome.PASS), SIGNATURE, Verdict.GOOD),
    (_run(Outcome.FAIL_DST, SIGNATURE), SIGNATURE, Verdict.BAD),
    (_run(Outcome.FAIL_SRC, SIGNATURE), SIGNATURE, Verdict.BAD),
    (_run(Outcome.FAIL_DST, OTHER), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.FAIL_DST), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.NOT_BUILT), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.UNTESTABLE), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.UNTESTABLE, START), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.UNTESTABLE, START), START, Verdict.BAD),
    (_run(Outcome.FAIL_START, START), START, Verdict.BAD),
    (_run(Outcome.FAIL_START, START), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.NOT_BUILT, SIGNATURE), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.FAIL_DST, OTHER, ("ram", "cpu")), SIGNATURE, Verdict.GOOD),  # it came further than that
    (_run(Outcome.FAIL_DST, OTHER, ("cpu",)), SIGNATURE, Verdict.SKIP),
    (_run(Outcome.FAIL_DST, SIGNATURE, ("ram",)), SIGNATURE, Verdict.BAD),
    (_run(Outcome.FAIL_DST, OTHER, ("ram", "cpu")), Signature("crash"), Verdict.SKIP),
    (_run(Outcome.FAIL_DST, OTHER, ("ram", "cpu")), None, Verdict.BAD),
    (_run(Outcome.INFRA), SIGNATURE, None),
    (_run(Outcome.INFRA, SIGNATURE), SIGNATURE, None),
    (_run(Outcome.FAIL_DST), None, Verdict.BAD),
    (_run(Outcome.HANG, OTHER), None, Verdict.BAD),
    (_run(Outcome.UNTESTABLE), None, Verdict.SKIP),
    (_run(Outcome.PASS), None, Verdict.GOOD),
]


@pytest.mark.parametrize(("observed", "signature", "verdict"), ROWS)
def test_one_run(observed: Run, signature: Signature | None, verdict: Verdict | None) -> None:
    assert judge(observed, signature) is verdict


def _plugged(outcome: Outcome, signature: Signature | None = None, left_out: str = "", alone: str = "") -> Run:
    seen = Observation(outcome, signature, left_out=(left_out,) * bool(left_out), blamed=(alone,) * bool(alone))
    return Run(SHA, CASE, seen)


def test_a_pass_without_the_device_that_fails_is_neither_good_nor_bad() -> None:
    port = _plugged(Outcome.FAIL_DST, SIGNATURE, alone="pcie-root-port,id=p")
    failing = [port, _plugged(Outcome.FAIL_DST, OTHER, alone="e1000")]
    devices = needed(failing, SIGNATURE)
    assert devices == {"pcie-root-port"}, "what fails in another way is about others"
    assert needed(failing, None) == needed([], SIGNATURE) == frozenset()
    lacks = _plugged(Outcome.PASS, left_out="pcie-root-port (destination: Property '.disable-acs' not found)")
    other = _plugged(Outcome.PASS, left_out="e1000 (source: no such device)")
    assert judge(lacks, SIGNATURE, devices) is Verdict.SKIP and judge(other, SIGNATURE, devices) is Verdict.GOOD
    assert judge(lacks, SIGNATURE) is Verdict.GOOD
    assert count([lacks, other, port], SIGNATURE, devices) == Count(good=1, bad=1, skip=1)
    assert passed(other, devices) and not passed(lacks, devices) and passed(lacks) and not passed(port)


def test_the_same_failure_is_told_by_its_key_not_by_its_spelling() -> None:
    spelled = Signature("ramblock", "ram", "pc.ram", signal=None)
    assert judge(_run(Outcome.FAIL_DST, spelled), SIGNATURE) is Verdict.BAD


@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.PASS, Outcome.INFRA)])
def test_another_failure_is_neither_good_nor_bad(outcome: Outcome) -> None:
    assert judge(_run(outcome, OTHER), SIGNATURE) is Verdict.SKIP


@pytest.mark.parametrize(
    ("letters", "verdict", "counts"),
    [
        ("", None, Count()),
        ("I", None, Count(infra=1)),
        ("GGG", Verdict.GOOD, Count(good=3)),
        ("GB", Verdict.BAD, Count(good=1, bad=1)),
        ("BG", Verdict.BAD, Count(good=1, bad=1)),
        ("OG", Verdict.GOOD, Count(good=1, skip=1)),
        ("ONU", Verdict.SKIP, Count(skip=3)),
        ("IN", Verdict.SKIP, Count(skip=1, infra=1)),
        ("OB", Verdict.BAD, Count(bad=1, skip=1)),
    ],
)
def test_several_runs(letters: str, verdict: Verdict | None, counts: Count) -> None:
    found = count([run(SHA, letter) for letter in letters], SIGNATURE)
    assert (found.verdict, found) == (verdict, counts)
    assert found.n == counts.good + counts.bad
