"""Differences of two binaries as tables: what is found, which names it has in a diff, what the weights become."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.ends import BELIEVED, Nearness, differences, names, near, sharpen
from bot.core.patch import Patch, words
from bot.model import Area, Difference, Named, Signature, Traits

RAM_BLOCK = Signature("ramblock", "ram", "ppc_spapr.ram")


def traits(**areas: Named) -> Traits:
    return Traits({Area(area.replace("_", "-")): named for area, named in areas.items()})


@pytest.mark.parametrize(
    ("good", "bad", "found", "named"),
    [
        pytest.param(
            traits(ram={"ppc_spapr.ram": {"used": "1"}}),
            traits(ram={"/objects/ppc_spapr.ram": {"used": "1"}}),
            ["ram: /objects/ppc_spapr.ram: none -> there", "ram: ppc_spapr.ram: there -> none"],
            {"ppc_spapr.ram"},
            id="a RAM block with another path",
        ),
        pytest.param(
            traits(ram={"0000:00:02.0/vga.vram": {"used": "1", "total": "2"}}),
            traits(ram={"0000:00:02.0/vga.vram": {"used": "4", "total": "2"}}),
            ["ram: 0000:00:02.0/vga.vram used: 1 -> 4"],
            {"vga.vram"},
            id="a size is not in the source, the block is",
        ),
        pytest.param(
            traits(machine={"pseries-7.2": {"default-cpu-type": "power9_v2.0-powerpc64-cpu", "cpu-max": "9"}}),
            traits(machine={"pseries-7.2": {"default-cpu-type": "power9_v2.2-powerpc64-cpu", "acpi": "False"}}),
            ["machine: pseries-7.2 default-cpu-type: power9_v2.0-powerpc64-cpu -> power9_v2.2-powerpc64-cpu"],
            {
                "default-cpu-type", "power9_v2.0-powerpc64-cpu", "power9_v2.0", "power9_v2.2-powerpc64-cpu",
                "power9_v2.2",
            },
            id="a value that is a model; what one QMP does not know is no difference",
        ),
        pytest.param(
            traits(properties={"e1000": {"addr": "02.0", "mitigation": "true"}}),
            traits(properties={"e1000": {"addr": "02.0", "mitigation": "false", "x-new": "7 (0x7)"}}),
            ["properties: e1000 mitigation: true -> false", "properties: e1000 x-new: none -> 7 (0x7)"],
            {"mitigation", "x-new"},
            id="properties; true, false and numbers are no names",
        ),
        pytest.param(
            traits(sent={"cpu/slb": {"version": "1"}, "timer": {"ticks": "int64 8*1"}, "icp/server": {}}),
            traits(sent={"cpu/slb": {"version": "2"}, "timer": {"ticks": "int32 4*1"}}),
            ["sent: cpu/slb version: 1 -> 2", "sent: icp/server: there -> none",
             "sent: timer ticks: int64 8*1 -> int32 4*1"],
            {"cpu/slb", "icp/server", "ticks"},
            id="sections: a version is the section's, a field has its own name",
        ),
        pytest.param(
            traits(pci={"pcie-root-port": {"PCI_STATUS": "10"}}),
            traits(pci={"pcie-root-port": {"PCI_STATUS": "10", "ACS": "at 0x148", "ACS+0x4": "1f"}}),
            ["pci: pcie-root-port ACS: none -> at 0x148", "pci: pcie-root-port ACS+0x4: none -> 1f"],
            {"ACS", "pcie-root-port"},
            id="PCI registers with the device",
        ),
        pytest.param(traits(ram={"a.ram": {}}), traits(sent={"cpu": {}}), [], set(), id="areas that only one has"),
        pytest.param(Traits(), Traits(), [], set(), id="nothing known"),
    ],
)  # fmt: skip
def test_what_differs_and_its_names(good: Traits, bad: Traits, found: list[str], named: set[str]) -> None:
    differing = differences(good, bad)
    assert [str(difference) for difference in differing] == found
    assert set(names(differing, None)) == named
    assert set(names(differences(bad, good), None)) == named


@pytest.mark.parametrize(
    ("difference", "signature", "nearness"),
    [
        (("ram", "/objects/ppc_spapr.ram", ""), RAM_BLOCK, Nearness.SAME),
        (("ram", "pc.bios", ""), RAM_BLOCK, Nearness.SENT),
        (("properties", "virtio-rng-pci", "x-new"), Signature("pci-config", "virtio-rng", "0x34"), Nearness.NAMED),
        (("pci", "virtio-rng", "PCI_CAPABILITY_LIST"), Signature("pci-config", "virtio-rng"), Nearness.SAME),
        (("sent", "virtio_rng", "version"), Signature("section-version", "virtio-rng"), Nearness.SAME),
        (("objects", "power9_v2.2-powerpc64-cpu", ""), Signature("device", "cpu"), Nearness.NAMED),
        (("known", "e1000", "phy"), Signature("device", "cpu"), Nearness.KNOWN),
        (("properties", "e1000", "phy"), None, Nearness.THERE),
        (("machine", "pc-q35-9.2", "default-cpu-type"), None, Nearness.NAMED),
    ],
)
def test_how_near(difference: tuple[str, str, str], signature: Signature | None, nearness: Nearness) -> None:
    assert near(Difference(*difference, before=None, after=""), signature) is nearness


def test_the_nearest_names_come_first_and_a_flood_is_cut() -> None:
    flood = [Difference("known", "d", f"field{i}", None, "4") for i in range(5000)]
    found = [*flood, Difference("sent-ram", "ppc_spapr.ram", "", "", None)]
    named = names(found, RAM_BLOCK)
    assert next(iter(named)) == "ppc_spapr.ram" and len(named) == 3000


# -- weights --------------------------------------------------------------------------------------------------------


def patches(**changed: str) -> dict[str, Patch]:
    return {sha: Patch(("hw/x.c",), (1,), (0,), changed=words(text.encode())) for sha, text in changed.items()}


EVEN = {f"c{i}": 0.1 for i in range(10)}
DULL = {f"c{i}": "int i;" for i in range(10)}


def test_one_commit_with_the_name_takes_the_share_that_is_believed() -> None:
    sharp = sharpen(EVEN, patches(**DULL | {"c3": 'ram_init("ppc_spapr.ram");'}), {"ppc_spapr.ram": Nearness.SAME})
    assert sharp.weights["c3"] == pytest.approx(BELIEVED + (1 - BELIEVED) / 10)
    assert sum(sharp.weights.values()) == pytest.approx(1)
    assert sharp.names == {"c3": ("ppc_spapr.ram",)}


def test_among_those_with_the_name_the_prior_decides() -> None:
    prior = EVEN | {"c1": 0.01, "c2": 0.19}
    sharp = sharpen(prior, patches(**DULL | {"c1": "x-new", "c2": "x_new"}), {"x-new": Nearness.THERE})
    assert sharp.weights["c2"] / sharp.weights["c1"] == pytest.approx(19)


def test_a_name_of_several_words_needs_all_of_them() -> None:
    changed = patches(**DULL | {"c1": "icp_realize", "c2": "server_main", "c3": "vmstate_icp_server"})
    assert set(sharpen(EVEN, changed, {"icp/server": Nearness.SAME}).names) == {"c3"}


def test_a_flood_of_far_names_weighs_less_than_one_near_name() -> None:
    far = {f"x-{i}00": Nearness.KNOWN for i in range(9)}
    changed = patches(**{f"c{i}": f"x-{i}00" for i in range(9)} | {"c9": "pc.ram"})
    sharp = sharpen(EVEN, changed, far | {"pc.ram": Nearness.SAME})
    assert sharp.weights["c9"] > 0.7
    assert min(sharp.weights.values()) >= (1 - BELIEVED) / 10


def test_names_that_no_commit_has_change_nothing() -> None:
    sharp = sharpen(EVEN, patches(**DULL), {"pc.ram": Nearness.SAME})
    assert (sharp.weights, sharp.names) == (EVEN, {})
    assert sharpen(EVEN, patches(**DULL), {}).weights == EVEN


def test_a_manual_or_a_test_that_has_the_name_is_no_suspect() -> None:
    changed = patches(**DULL | {"c1": "pc.ram"})
    for i, path in enumerate(("docs/system/x.rst", "tests/qtest/x.c", "qemu-doc.texi", "MAINTAINERS")):
        changed[f"c{i + 5}"] = Patch((path,), (1,), (0,), changed=words(b"pc.ram"))
    # of fdeccf932d05's kind
    changed["c2"] = Patch(("Makefile", "docs/system/x.texi"), (1, 0), (0, 0), changed=words(b"pc.ram"))
    changed["c3"] = Patch(("meson.build", "tests/qtest/x.c"), (1, 0), (0, 0), changed=words(b"pc.ram"))
    changed["c4"] = Patch(("meson.build",), (1,), (0,), changed=words(b"pc.ram"))
    sharp = sharpen(EVEN, changed, {"pc.ram": Nearness.SAME})
    assert set(sharp.names) == {"c1", "c4"}
    assert sharp.weights["c5"] == sharp.weights["c0"] == pytest.approx((1 - BELIEVED) / 10)


def test_commits_that_cannot_be_it_do_not_gain_weight_by_a_name() -> None:
    sharp = sharpen(EVEN | {"c1": 0.0}, patches(**DULL | {"c1": "pc.ram"}), {"pc.ram": Nearness.SAME})
    assert sharp.weights == EVEN | {"c1": 0.0}


def test_a_commit_whose_diff_could_not_be_read_keeps_its_weight() -> None:
    changed = patches(c0="pc.ram", c1="int i;")
    sharp = sharpen(EVEN, changed, {"pc.ram": Nearness.SAME})
    assert {sha: sharp.weights[sha] for sha in EVEN if sha not in changed} == {f"c{i}": 0.1 for i in range(2, 10)}
    assert sum(sharp.weights.values()) == pytest.approx(1)


TEXT = st.text("ab/.-_[0]", max_size=6)
NAMED = st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3)


@given(
    good=st.dictionaries(st.sampled_from(list(Area)), NAMED), bad=st.dictionaries(st.sampled_from(list(Area)), NAMED)
)
def test_any_two_values_can_be_compared_and_shipped(good: Mapping[str, Named], bad: Mapping[str, Named]) -> None:
    found = differences(Traits(good), Traits(bad))
    assert differences(Traits(good), Traits(good)) == ()
    assert {d.area for d in found} <= set(good) & set(bad)
    names(found, RAM_BLOCK)
    shipped = json.loads(json.dumps(dataclasses.asdict(Traits(good))))
    assert Traits(**shipped) == Traits(good)
