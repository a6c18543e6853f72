"""Machine types: their order, their ranges, and which cases they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import load
from bot.core.matrix import (
    cases,
    deprecated,
    family,
    find,
    gone_early,
    machine_ranges,
    release,
    version_key,
    versioned,
)
from bot.model import Case, Direction, Inventory, MachineType, Profile, Sweep

PSERIES = [
    *(f"pseries-2.{minor}" for minor in range(1, 13)),
    "pseries-2.12-sxxm",
    *("pseries-3.0", "pseries-3.1", "pseries-4.0", "pseries-4.1", "pseries-4.2"),
]


COMING = {
    "x86_64-softmmu": "pc-q35-12.1", "ppc64-softmmu": "pseries-12.1", "aarch64-softmmu": "virt-12.1",
    "s390x-softmmu": "s390-ccw-virtio-12.1",
}  # fmt: skip
PROFILES = {"bare": Profile("bare"), "mem-path": Profile("mem-path"), "pc-only": Profile("pc-only", machines=("pc-*",))}


def inventory(*names: str, version: str = "7.2.22", alias: dict[str, str] | None = None) -> Inventory:
    machines = (MachineType(n, alias=(alias or {}).get(n), versioned=versioned(n)) for n in names)
    return Inventory("x86_64", version, tuple(machines))


@pytest.mark.parametrize(
    ("name", "is_versioned", "of"),
    [
        ("pc-q35-9.2", True, "pc-q35"),
        ("pc-q35-4.0.1", True, "pc-q35"),
        ("pc-0.10", True, "pc"),
        ("pseries-2.12-sxxm", True, "pseries"),
        ("s390-ccw-virtio-8.1", True, "s390-ccw-virtio"),
        ("virt-9.2", True, "virt"),
        ("pc-q35-rhel9.4.0", True, "pc-q35-rhel"),
        ("isapc", False, "isapc"),
        ("raspi3b", False, "raspi3b"),
        ("mps2-an385", False, "mps2-an385"),
        ("powernv10", False, "powernv10"),
        ("none", False, "none"),
    ],
)
def test_names(name: str, is_versioned: bool, of: str) -> None:
    assert versioned(name) is is_versioned
    assert family(name) == of


def test_2_9_comes_before_2_12() -> None:
    names = ["pc-q35-2.12", "pc-q35-10.0", "pc-q35-2.9", "pc-q35-4.0.1", "pc-q35-4.0", "pc-q35-4.1"]
    expected = ["2.9", "2.12", "4.0", "4.0.1", "4.1", "10.0"]
    assert [name.removeprefix("pc-q35-") for name in sorted(names, key=version_key)] == expected


def test_ranges_as_the_mail_has_them() -> None:
    old = ["pseries-2.12", *(f"pseries-2.{minor}" for minor in range(1, 8))]
    assert machine_ranges(old, PSERIES) == ("pseries-2.1 ... 2.7, 2.12 (8 types)",)
    upto = [name for name in PSERIES if not name.startswith("pseries-4")]
    assert machine_ranges(upto, PSERIES) == ("pseries-2.1 ... 3.1, 2.12-sxxm (15 types)",)
    assert machine_ranges(PSERIES[-3:], PSERIES) == ("pseries-4.0 ... 4.2 (3 types)",)
    assert machine_ranges(["pseries-2.12-sxxm"], PSERIES) == ("pseries-2.12-sxxm",)
    assert machine_ranges(["pseries-3.0", "pseries-3.1"], PSERIES) == ("pseries-3.0, 3.1 (2 types)",)


def test_a_type_that_a_later_qemu_brings_is_a_case_without_a_word_in_the_configuration() -> None:
    """By the shipped sweeps, profiles and exclusions: of the tip at once, against a release as soon as that has it."""
    config = load(environ={})
    part = config.sweep("each_tip")
    excluded = [pattern for entry in config.exclusions if entry.expires is None for pattern in entry.machines]
    before = {target: name.replace("12.1", "11.1") for target, name in COMING.items()}
    old = {target: inventory(name, version="11.1.0") for target, name in before.items()}
    tip = {target: inventory(before[target], name, version="12.0.50") for target, name in COMING.items()}
    new = set(COMING.values())
    found = [
        case for case in cases(tip, {"v11.1": old}, part, config.profiles, exclude=excluded) if case.machine in new
    ]
    assert {(case.target, case.machine) for case in found} == set(COMING.items())
    assert {case.direction for case in found} == {Direction.SAME}, "v11.1 has not got it"
    assert {case.profile for case in found} == set(part.profiles)
    later = cases(tip, {"v11.1": old, "v12.1": tip}, part, config.profiles, exclude=excluded)
    assert {case.machine for case in later if case.baseline == "v12.1"} >= new


def test_families_and_unversioned_types_apart() -> None:
    names = ["pc-q35-7.2", "isapc", "pc-i440fx-7.1", "pc-i440fx-7.2", "pc-i440fx-7.0", "microvm"]
    expected = ("isapc", "microvm", "pc-i440fx-7.0 ... 7.2 (3 types)", "pc-q35-7.2")
    assert machine_ranges(names, names) == expected
    assert machine_ranges([], names) == ()


@given(st.sets(st.sampled_from(PSERIES)))
def test_a_range_covers_exactly_its_types(names: set[str]) -> None:
    """Read the text back as a person would: what it covers is what was given."""
    covered: set[str] = set()
    plain = [name for name in sorted(PSERIES, key=version_key) if "sxxm" not in name]
    for text in machine_ranges(names, PSERIES):
        text, _, count = text.partition(" (")
        for part in text.removeprefix("pseries-").split(", "):
            first, _, last = part.partition(" ... ")
            if last:
                covered |= set(plain[plain.index(f"pseries-{first}") : plain.index(f"pseries-{last}") + 1])
            else:
                covered.add(f"pseries-{first}")
        assert count == (f"{len(names)} types)" if len(names) > 1 else "")
    assert covered == names


def test_cases_of_a_commit() -> None:
    commit = inventory("pc-q35-7.1", "pc-q35-7.2", "isapc", "none", "xenfv-4.2", version="7.2.50")
    old = inventory(
        "pc-q35-7.0", "pc-q35-7.1", "isapc", "none", "xenfv-4.2", version="7.1.0", alias={"pc-q35-7.1": "q35"}
    )
    found = cases(
        {"x86_64-softmmu": commit},
        {"qemu-7.1": {"x86_64-softmmu": old}, "ppc-only": {"ppc64-softmmu": old}},
        Sweep(("bare", "mem-path"), tuple(Direction)),
        PROFILES,
        exclude=("none", "xenfv*"),
    )
    same = {(c.machine, c.profile) for c in found if c.direction is Direction.SAME}
    assert same == {(m, p) for m in ("isapc", "pc-q35-7.1", "pc-q35-7.2") for p in ("bare", "mem-path")}
    assert all((c.baseline is None) == (c.direction is Direction.SAME) for c in found)
    across = {(c.machine, c.direction) for c in found if c.baseline is not None}
    # pc-q35-7.0 went too early, so it is asked for; isapc promises nothing; aliases are never named
    assert across == {(m, d) for m in ("pc-q35-7.0", "pc-q35-7.1") for d in (Direction.FORWARD, Direction.BACKWARD)}
    assert {c.baseline for c in found} == {None, "qemu-7.1"}
    assert len(found) == len(set(found))
    only = cases({"x86_64-softmmu": commit}, {}, Sweep(("bare",), (Direction.SAME,)), PROFILES, only=("pc-q35-*1",))
    assert only == (Case("x86_64-softmmu", "pc-q35-7.1", "bare"),)


COMMIT = {
    "x86_64-softmmu": Inventory(
        "x86_64", "7.2.0", (MachineType("pc-q35-7.1", versioned=True, deprecated=True), MachineType("isapc"))
    ),
    "s390x-softmmu": Inventory("s390x", "7.2.0", (MachineType("s390-ccw-virtio-7.1", versioned=True),)),
}


def asked(sweep: Sweep, usable: tuple[str, ...] = ()) -> set[str]:
    found = cases(COMMIT, {"old": COMMIT}, sweep, PROFILES, usable=usable.__contains__)
    assert len(set(found)) == len(found)
    return {case.id.replace("-softmmu", "") for case in found}


def test_a_profile_is_for_its_machine_types() -> None:
    assert asked(Sweep(("bare", "pc-only"), (Direction.SAME,))) == {
        "x86_64/isapc/bare/same/-",
        "x86_64/pc-q35-7.1/bare/same/-",
        "x86_64/pc-q35-7.1/pc-only/same/-",
        "s390x/s390-ccw-virtio-7.1/bare/same/-",
    }


def test_methods_with_the_profiles_they_are_for() -> None:
    methods = {"precopy": ("*",), "exec": ("b*", "none"), "ping-pong": ("bare",)}
    found = asked(Sweep(("bare", "mem-path"), (Direction.SAME, Direction.BACKWARD), methods))
    q35 = {text.removeprefix("x86_64/pc-q35-7.1/") for text in found if "q35" in text}
    assert q35 == {
        "bare/same/-", "bare/same/-/exec", "bare/same/-/ping-pong", "mem-path/same/-",
        "bare/backward/old", "bare/backward/old/exec", "mem-path/backward/old",
    }  # fmt: skip
    assert not any("isapc" in text and "old" in text for text in found)


@pytest.mark.parametrize(
    ("accels", "usable", "ways"),
    [
        (("tcg",), ("x86_64",), {"x86_64": [""], "s390x": [""]}),
        (("tcg", "kvm-if-usable"), ("x86_64",), {"x86_64": ["", "precopy/kvm"], "s390x": [""]}),
        (("kvm",), (), {}),
        (("kvm", "kvm-if-usable"), ("s390x",), {"s390x": ["precopy/kvm"]}),
        (("kvm-if-usable,a=b", "kvm"), ("s390x",), {"s390x": ["precopy/kvm", "precopy/kvm,a=b"]}),
        (("tcg,thread=single",), (), {"x86_64": ["precopy/tcg,thread=single"], "s390x": ["precopy/tcg,thread=single"]}),
    ],
)
def test_an_accelerator_is_an_axis_and_never_another(
    accels: tuple[str, ...], usable: tuple[str, ...], ways: dict[str, list[str]]
) -> None:
    found: dict[str, list[str]] = {}
    for text in sorted(asked(Sweep(("bare",), (Direction.SAME,), accels=accels), usable)):
        if "isapc" not in text:
            arch, _, _, _, _, *way = text.split("/")
            found.setdefault(arch, []).append("/".join(way))
    assert found == ways


def test_deprecated_types_as_binaries_say_it() -> None:
    assert deprecated(COMMIT) == {("x86_64-softmmu", "pc-q35-7.1")}


def test_find_by_alias() -> None:
    types = inventory("pc-q35-7.2", alias={"pc-q35-7.2": "q35"})
    found = find(types, "q35")
    assert found is not None and found.name == "pc-q35-7.2"
    assert find(types, "pc") is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("7.2.22 (Debian 1:7.2)", (7, 2)),
        ("4.2.50 (v4.2.0-123-gab74e54)", (5, 0)),
        ("2.11.91", (2, 12)),
        ("2.12.50", (3, 0)),
        ("9.1.0", (9, 1)),
    ],
)
def test_releases(version: str, expected: tuple[int, int]) -> None:
    assert release(version) == expected


@pytest.mark.parametrize(
    ("missing", "version", "early"),
    [
        ("pc-q35-7.0", "7.2.50", True),
        ("pc-q35-5.0", "7.2.50", False),  # the tree belongs to 8.0, where types up to 5.0 are deprecated
        ("pc-q35-5.1", "7.2.50", True),
        ("pc-q35-4.2", "8.2.0", False),  # deprecated by then
        ("pc-q35-5.2", "11.1.50", False),  # 11.2 deletes up to 5.2
        ("pc-q35-6.0", "11.1.50", True),
        ("pc-q35-11.2", "11.1.0", False),  # not born yet
        ("virt-9.0", "9.1.0", False),  # no board of that family at all
        ("isapc", "9.1.0", False),
    ],
)
def test_types_that_went_too_early(missing: str, version: str, early: bool) -> None:
    types = inventory("pc-q35-10.0" if version.startswith("11") else "pc-q35-7.1", version=version)
    assert gone_early(missing, types) is early


def test_a_type_that_is_there_is_not_gone() -> None:
    assert not gone_early("pc-q35-7.2", inventory("pc-q35-7.2"))
