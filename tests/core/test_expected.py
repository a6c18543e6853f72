"""Known failures: which entry explains which run, when it ends, when it is no longer needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.expected import expired, find, passed, versions
from bot.core.matrix import previous_release
from bot.model import Case, Direction, Expected, Observation, Outcome, Run, Signature

TODAY = "2026-11-24"
FIX = "203beb6f04aa"
ARM = Case("aarch64-softmmu", "virt-10.0", "bare", Direction.FORWARD, "v10.0.0")
CPREG = Signature("cpreg", detail="0x6030000000138012")


def entry(name: str = "known", **words: Any) -> Expected:
    return Expected(name, "because", "somebody", **({"expires": "2027-12"} | words))


def run(
    case: Case = ARM, signature: Signature | None = CPREG, outcome: Outcome = Outcome.FAIL_DST,
    releases: tuple[str, ...] = ("10.0.2", "11.1.3"),
) -> Run:  # fmt: skip
    return Run("c" * 40, case, Observation(outcome, signature, releases=releases))


def good(case: Case = ARM, releases: tuple[str, ...] = ("10.0.2", "11.1.3")) -> Run:
    return run(case, None, Outcome.PASS, releases)


def explains(known: Expected, failing: Run, has: bool | None = None) -> bool:
    return find([known], failing, today=TODAY, contains=lambda sha: has) == known


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        ({}, True),
        ({"targets": ("aarch64",)}, True),
        ({"targets": ("aarch64-softmmu",)}, True),
        ({"targets": ("arm", "aarch64")}, True),
        ({"targets": ("arm",)}, False),
        ({"targets": ("arm*",)}, False),
        ({"targets": ("a*",)}, True),
        ({"machines": ("virt-*",)}, True),
        ({"machines": ("virt",)}, False),
        ({"machines": ("pseries-*", "virt-10.0")}, True),
        ({"profiles": ("bare",)}, True),
        ({"profiles": ("virtio", "mem-*")}, False),
        ({"methods": ("precopy", "exec")}, True),
        ({"methods": ("exec",)}, False),
        ({"directions": (Direction.FORWARD, Direction.BACKWARD)}, True),
        ({"directions": (Direction.BACKWARD,)}, False),
        ({"accels": ("tcg",)}, True),
        ({"accels": ("kvm",)}, False),
        ({"classes": ("cpreg", "cpu")}, True),
        ({"classes": ("cpu",)}, False),
        ({"devices": ("cpu",)}, False),
        ({"source": "10.0", "destination": ">=11.1"}, True),
        ({"source": "10.0", "destination": "<11.1"}, False),
        ({"source": ">=11.1"}, False),
    ],
)
def test_what_an_entry_is_for(words: dict[str, Any], fits: bool) -> None:
    assert explains(entry(**words), run()) is fits


def test_a_failure_without_a_device_or_signature_fits_only_the_star() -> None:
    slb = run(signature=Signature("section-version", "cpu/slb"))
    for patterns, with_device, without in (("*",), True, True), (("cpu/slb",), True, False), (("?*",), True, False):
        assert explains(entry(devices=patterns), slb) is with_device
        assert explains(entry(devices=patterns), run()) is without
    silent = run(signature=None, outcome=Outcome.SILENT)
    assert explains(entry(), silent)
    assert not explains(entry(classes=("?*",)), silent)


def test_accelerators_are_told_by_name_without_properties() -> None:
    kvm = run(replace(ARM, accel="kvm,kernel-irqchip=split"))
    assert explains(entry(accels=("kvm",)), kvm)
    assert not explains(entry(accels=("tcg",)), kvm)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_a_failure_is_explained(outcome: Outcome) -> None:
    silent = {Outcome.PASS, Outcome.INFRA, Outcome.NOT_BUILT, Outcome.UNTESTABLE}
    assert explains(entry(), run(outcome=outcome)) is (outcome not in silent)


def test_a_start_that_fails_is_a_failure_whatever_the_smoke_could_say() -> None:
    started = run(signature=Signature("start", detail="exit 1"), outcome=Outcome.UNTESTABLE)
    assert explains(entry(classes=("start",)), started)


def test_the_first_entry_that_fits_is_the_one() -> None:
    known = [entry("one", classes=("cpu",)), entry("two"), entry("three")]
    found = find(known, run(), today=TODAY, contains=lambda sha: None)
    assert found is known[1]


# -- releases ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "release", "fits"),
    [
        ("", "", True),
        (">=9.2", "9.2.0", True),
        (">=9.2", "9.1.3", False),
        (">=9.2", "9.1.50", True),  # a tree on its way to 9.2
        (">=9.2", "9.1.90 (v9.2.0-rc0)", True),
        ("<9.2", "9.1.50", False),
        ("<=9.1", "9.1.3", True),
        ("<=9.1", "9.2.0", False),
        ("<=9.1,>=8.0", "8.0.0", True),
        ("<=9.1,>=8.0", "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", False),
        (" <= 9.1 , >= 8.0 ", "8.2.1", True),
        (">9.1", "9.1.3", False),
        (">9.1", "9.2.0", True),
        ("<11", "10.2.4", True),
        ("<11", "11.0.0", False),
        ("<11", "10.2.50", False),
        ("11", "11.1.3", True),
        ("10.0.13", "10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", True),
        ("10.0.13", "10.0.2", False),
        ("10.0", "10.0.13", True),
        ("10.0", "10.0.50", False),
        ("10.1", "10.0.50", True),
        (">=10.0.3,<10.1", "10.0.13", True),
        (">=10.0.3,<10.1", "10.0.2", False),
        ("3.0", "2.12.50", True),
        (">=10.0", "9.2.0", False),  # as numbers, not as text
        (">=9.2", "", False),
        ("9.2", "unknown", False),
    ],
)
def test_conditions_on_a_release(condition: str, release: str, fits: bool) -> None:
    for releases, words in (((release, "11.1.0"), "source"), (("11.1.0", release), "destination")):
        assert explains(entry(**{words: condition}), run(releases=releases)) is fits


@pytest.mark.parametrize(
    ("source", "destination", "fits"),
    [
        ("11.0.4", "11.1.3", False),
        ("10.2.1", "11.1.3", True),
        ("11.1.3", "11.1.50", False),  # 11.1 is the release before 11.2
        ("11.0.0", "11.1.50", True),
        ("10.2.0", "11.0.0", False),
        ("10.1.0", "11.0.0", True),
        ("2.11.0", "3.0.0", True),
    ],
)
def test_previous_is_the_release_before_the_other_sides(source: str, destination: str, fits: bool) -> None:
    assert explains(entry(source="<previous"), run(releases=(source, destination))) is fits
    assert explains(entry(destination="<previous"), run(releases=(destination, source))) is fits


def test_a_release_that_was_not_observed_meets_no_condition() -> None:
    assert not explains(entry(source=">=1.0"), run(releases=()))
    assert not explains(entry(destination="<previous"), run(releases=()))
    assert explains(entry(), run(releases=()))


def test_releases_in_their_order() -> None:
    assert [previous_release(of) for of in ((11, 1), (11, 0), (3, 0), (2, 12))] == [(11, 0), (10, 2), (2, 12), (2, 11)]


@pytest.mark.parametrize("wrong", ["9", "9.2", " 9.2.1 ", "<previous", ">= 9.2,< 10", ""])
def test_conditions_that_may_be_written(wrong: str) -> None:
    assert len(versions(wrong)) == (wrong.count(",") + 1 if wrong else 0)


@pytest.mark.parametrize(
    ("wrong", "part"), [("v9.2", "v9.2"), ("9.2.0.1", "9.2.0.1"), (">=9.2,", ""), ("!9", "!9"), ("=>9.2", "=>9.2")]
)
def test_conditions_that_mean_nothing(wrong: str, part: str) -> None:
    with pytest.raises(ValueError, match="must be conditions on a release") as caught:
        versions(wrong)
    assert str(caught.value).startswith(f'holds "{part}", must be')


# -- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires", "holds"),
    [
        ("2026-11-24", True),
        ("2026-11-23", False),
        ("2026-11", True),
        ("2026-10", False),
        ("2026", True),
        ("2025", False),
    ],
)
def test_an_entry_holds_to_the_end_of_its_date(expires: str, holds: bool) -> None:
    known = entry(expires=expires)
    assert explains(known, run()) is holds
    assert expired([known], TODAY) == (() if holds else (known,))


@pytest.mark.parametrize(("has", "holds"), [(True, False), (False, True), (None, True)])
def test_an_entry_ends_with_the_commit_that_mends_it(has: bool | None, holds: bool) -> None:
    known = entry(expires=None, until=FIX)
    assert explains(known, run(), has) is holds
    assert find([known], run(), today=TODAY, contains=lambda sha: sha != FIX) == known
    assert expired([known], TODAY) == ()


def test_of_an_installed_binary_the_release_decides() -> None:
    known = entry(expires=None, until=FIX, destination="<9.2")
    assert explains(known, run(releases=("7.2.22", "7.2.22")), has=None)
    assert not explains(known, run(releases=("9.2.0", "9.2.0")), has=None)


# -- no longer needed ----------------------------------------------------------------------------------------------


def still(known: Expected, *runs: Run, has: bool | None = None) -> bool:
    return passed([known], runs, today=TODAY, contains=lambda sha: has) == ()


def test_an_entry_is_needed_while_anything_that_it_is_for_does_not_pass() -> None:
    known = entry(machines=("virt-*",), classes=("cpreg",), source="10.0")
    other = replace(ARM, machine="virt-9.2")
    assert not still(known, good())
    assert not still(known, good(), good(other), run(replace(ARM, machine="sbsa-ref")))
    assert still(known, good(), run(other))
    assert still(known, good(), run(other, Signature("cpu")))  # in another way: who knows what is behind
    assert still(known, good(), run(other, None, Outcome.UNTESTABLE))
    assert still(known, good(), run(other, None, Outcome.INFRA))


def test_nothing_is_said_of_an_entry_that_nothing_was_run_for() -> None:
    assert still(entry())
    assert still(entry(machines=("pseries-*",)), good())
    assert still(entry(source=">=11"), good())


def test_an_entry_that_has_ended_is_not_told_as_passing() -> None:
    assert still(entry(expires="2026-10"), good())
    assert still(entry(expires=None, until=FIX), good(), has=True)
    assert not still(entry(expires=None, until=FIX), good(), has=False)
