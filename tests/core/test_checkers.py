"""Texts of QEMU's own scripts become hints; what they did not write is refused with its place."""

from __future__ import annotations

import pytest

from bot.core.checkers import FindingsError, read_checker, read_machine_types
from bot.core.hints import Effect, Hint

CHECKER = """\
Section "serial-mm" does not exist in dest
Section "hpet", Description "hpet": expected field "num_timers", got "num_timers_save"; skipping rest
Section "dc390", Description "esp": expected field "x", while dest has no further fields
Section "dc390" Description "esp": Entry "Subsections" missing
Section "e1000", Description "PCIDevice", Field "config": missing description
Section "vga": Description "vga" missing, got "svga" instead; skipping
Section "nvme" Section "nvme" Description "nvme": minimum version error: 0 < 1
Section "pciespscsi" version error: 2 > 1
Section "cpu", Description "cpu": Subsection "cpu/slb" not found
Section "e1000" Description "e1000" Field "mac" size mismatch: 4 , 8

Warning: checking incompatible machine types: "pc-q35-7.2", "pc-q35-8.0"
Section "last"
"""


def test_what_the_static_checker_prints() -> None:
    found = read_checker(CHECKER)
    assert [(h.kind, h.section) for h in found] == [
        ("section", "serial-mm"), ("field", "hpet"), ("field", "dc390"), ("field", "dc390"), ("field", "e1000"),
        ("field", "vga"), ("minimum-version", "nvme"), ("section-version", "pciespscsi"), ("subsection", "cpu"),
        ("field", "e1000"), ("configuration", ""),
    ]  # fmt: skip
    assert all(h.effect is Effect.FORWARD for h in found[:-1]) and found[-1].effect is None
    assert found[1].detail == 'expected field "num_timers", got "num_timers_save"; skipping rest'
    assert found[2].detail == 'esp: expected field "x", while dest has no further fields'
    assert found[4].detail == "PCIDevice: config: missing description"
    assert found[9].detail == "mac: size mismatch: 4 , 8"
    assert found[6].detail == "minimum version error: 0 < 1"
    assert {h.effect for h in read_checker(CHECKER, Effect.BACKWARD)} == {Effect.BACKWARD, None}
    assert read_checker("") == ()


@pytest.mark.parametrize(
    "line", ["Traceback (most recent call last):", 'Section "a" is fine', 'Section "a": Description "b": all is well']
)
def test_a_line_that_the_checker_does_not_write(line: str) -> None:
    with pytest.raises(FindingsError, match="line 2: not written by vmstate-static-checker"):
        read_checker(f'Section "serial" does not exist in dest\n{line}\n')


JSON = """{"Driver":{"0":"virtio-mem","3":"e1000","5":"nic","6":"pci"},
"Property":{"0":"early","3":"mit","5":"a","6":"b"},
"build\\/old\\npc-q35-6.2":{"0":"on","3":"off","5":"Unavailable driver","6":"0x10"},
"build\\/old\\npc-q35-7.0":{"0":"on","3":"on","5":"1","6":"1"},
"build\\/new\\npc-q35-6.2":{"0":true,"3":true,"5":"1","6":"16"},
"build\\/new\\npc-q35-7.0":{"0":"Unknown property","3":"on","5":"1","6":"2"}}"""

CSV = """\
,Driver,Property,"build/old
pc-q35-6.2","build/new
pc-q35-6.2"
0,virtio-mem,early,True,False
3,e1000,mit,on,True
5,nic,a,No default value,1
"""


def test_the_table_of_machine_types() -> None:
    assert read_machine_types(JSON) == (
        Hint("property", "pc-q35-6.2", "e1000", "property mit: off -> True", Effect.BOTH),
        Hint("property", "pc-q35-7.0", "virtio-mem", "property early: on -> Unknown property", None),
        Hint("property", "pc-q35-7.0", "pci", "property b: 1 -> 2", Effect.BOTH),
    )
    assert read_machine_types(CSV) == (
        Hint("property", "pc-q35-6.2", "virtio-mem", "property early: True -> False", Effect.BOTH),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no columns Driver and Property"),
        ("| Driver | Property |\n", "--format json or csv"),
        ("{", "not a table"),
        ("{}", "not a table"),
        ('{"Driver": {"0": "a"}, "Property": {"1": "b"}}', "not a table"),
        ('{"Driver": 3}', "not a table"),
        (',Driver,Property\n0,a\n', "row 2: 2 values, the table has 3 columns"),
        (',Driver,"Property\n', "not a table"),
    ],
)  # fmt: skip
def test_what_is_no_table(text: str, says: str) -> None:
    with pytest.raises(FindingsError, match=says):
        read_machine_types(text)
