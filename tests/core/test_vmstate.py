"""Dumps of device state, compared: what breaks in which direction, and what is only renamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.core.hints import Effect
from bot.core.vmstate import DumpError, compare, parse


def field(name: str, size: int = 4, version: int = 0, tested: bool = False, **more: Any) -> dict[str, Any]:
    return {"field": name, "version_id": version, "field_exists": tested, "size": size, **more}


def vmsd(name: str, *fields: dict[str, Any], version: int = 1, minimum: int = 1, subs: Any = ()) -> dict[str, Any]:
    return {
        "name": name, "version_id": version, "minimum_version_id": minimum, "Fields": list(fields),
        **({"Subsections": list(subs)} if subs else {}),
    }  # fmt: skip


def text(types: dict[str, dict[str, Any]]) -> str:
    entries = {
        name: {"Name": name, "version_id": 1, "minimum_version_id": 1, "Description": vmsd}
        for name, vmsd in types.items()
    }
    return json.dumps({"vmschkmachine": {"Name": "pc-q35-7.2"}, **entries})


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str, Effect | None]]:
    """Of one device type, `dev`, with these descriptions."""
    hints = compare(parse(text({"dev": old})), parse(text({"dev": new})))
    return [(h.kind, h.section, h.detail, h.effect) for h in hints]


def effects(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Effect | None]]:
    return [(kind, effect) for kind, _, _, effect in differences(old, new)]


A, B = field("a"), field("b", 8)


def test_equal_dumps_differ_in_nothing() -> None:
    assert differences(vmsd("dev", A, B), vmsd("dev", A, B)) == []


def test_a_field_more_or_less_breaks_both_directions() -> None:
    assert differences(vmsd("dev", A), vmsd("dev", A, B)) == [("field", "dev", "with b (8 bytes) now", Effect.BOTH)]
    assert differences(vmsd("dev", A, B), vmsd("dev", A)) == [("field", "dev", "without b (8 bytes) now", Effect.BOTH)]
    assert differences(vmsd("dev", A), vmsd("dev", field("a", 8))) == [
        ("field", "dev", "a (4 bytes) -> a (8 bytes)", Effect.BOTH)
    ]


def test_a_raised_version_breaks_backward_only() -> None:
    """The new field is not in old streams, and the new side knows it."""
    new = vmsd("dev", A, field("b", 8, version=2), version=2)
    assert differences(vmsd("dev", A), new) == [("section-version", "dev", "version 1 -> 2", Effect.BACKWARD)]
    assert differences(new, vmsd("dev", A)) == [("section-version", "dev", "version 2 -> 1", Effect.FORWARD)]


def test_a_raised_version_whose_field_is_read_from_old_streams_too() -> None:
    assert effects(vmsd("dev", A), vmsd("dev", A, B, version=2)) == [
        ("field", Effect.FORWARD), ("section-version", Effect.BACKWARD),
    ]  # fmt: skip


def test_a_raised_minimum_refuses_old_streams() -> None:
    assert differences(vmsd("dev", A), vmsd("dev", B, version=3, minimum=3)) == [
        ("section-version", "dev", "version 1 -> 3; 1 is refused from 3 on", Effect.BOTH)
    ]
    old = vmsd("dev", A, version=3, minimum=3)
    assert effects(old, vmsd("dev", A, version=2)) == [("section-version", Effect.BOTH)]
    assert effects(vmsd("dev", A, version=1), vmsd("dev", A, version=1, minimum=0)) == []


def test_a_tested_field_is_no_known_harm() -> None:
    """Compat properties work so: sent to new machine types only."""
    assert differences(vmsd("dev", A), vmsd("dev", A, field("b", 8, tested=True))) == [
        ("field", "dev", "with b (8 bytes) now; sent only if a test says so", None)
    ]
    assert differences(vmsd("dev", A), vmsd("dev", field("a", tested=True))) == [
        ("field-test", "dev", "a is sent only if a test says so now", None)
    ]


def test_names_structs_and_unused_bytes_are_the_same_bytes() -> None:
    assert differences(vmsd("dev", A, B), vmsd("dev", A, field("r", 8))) == [
        ("field-name", "dev", "b (8 bytes) -> r (8 bytes), the same bytes", None)
    ]
    inner = field("s", 64, Description=vmsd("inner", A, B))
    assert differences(vmsd("dev", A, B), vmsd("dev", inner)) == [
        ("field-name", "dev", "a (4 bytes), b (8 bytes) -> s (a struct), the same bytes", None)
    ]
    assert effects(vmsd("dev", A, A, A), vmsd("dev", field("unused", 12))) == [("field-name", None)]
    array = vmsd("dev", field("flags", 1))
    assert effects(array, vmsd("dev", field("unused", 5))) == [("field", None)]  # five flags, which 7.2 does not say
    assert effects(vmsd("dev", field("flags", 1, num=5)), vmsd("dev", field("unused", 5, num=0))) == [
        ("field-name", None)
    ]


def test_the_number_of_elements() -> None:
    old, new = vmsd("dev", field("a", 4, num=8)), vmsd("dev", field("a", 4, num=16))
    assert differences(old, new) == [("field", "dev", "a: 8 -> 16 elements", Effect.BOTH)]
    assert differences(vmsd("dev", field("a", 4)), new) == []  # the old dump does not say


def test_a_struct_is_read_by_the_readers_own_version() -> None:
    """No version is sent with it: as of esp in am53c974, 7.2 to 10.0."""
    old = vmsd("pci", field("esp", 99, Description=vmsd("esp", A, version=6)))
    new = vmsd("pci", field("esp", 98, Description=vmsd("esp", A, field("drq", 1, version=7), version=7)))
    assert differences(old, new) == [("field", "esp", "with drq (1 bytes) now [dev]", Effect.BOTH)]


def test_subsections() -> None:
    sub, raised = vmsd("dev/sub", A), vmsd("dev/sub", A, version=2)
    assert differences(vmsd("dev", A, subs=[sub]), vmsd("dev", A)) == [
        ("subsection", "dev", "subsection dev/sub is gone: refused where it is sent", Effect.FORWARD)
    ]
    assert effects(vmsd("dev", A), vmsd("dev", A, subs=[sub])) == [("subsection", Effect.BACKWARD)]
    assert differences(vmsd("dev", A, subs=[sub]), vmsd("dev", A, subs=[raised])) == [
        ("section-version", "dev/sub", "version 1 -> 2 [dev]", Effect.BACKWARD)
    ]
    inside = field("s", 64, Description=vmsd("inner", A, subs=[sub]))
    assert effects(vmsd("dev", A, subs=[sub]), vmsd("dev", inside)) == [("field-name", None), ("subsection", None)]
    twice = vmsd("dev", A, subs=[sub, vmsd("dev/sub", B)])
    assert differences(vmsd("dev", A, subs=[sub]), twice) == [
        ("subsection", "dev", "several subsections are named dev/sub: each is read as the first", Effect.BOTH)
    ]


def test_a_device_that_had_no_state() -> None:
    assert effects(vmsd("dev", version=0), vmsd("dev", A)) == [("device-state", None)]
    assert effects(vmsd("dev", A), vmsd("dev")) == [("device-state", Effect.FORWARD)]


def test_device_types_on_one_side() -> None:
    old = parse(text({"a": vmsd("a", A), "b": vmsd("b", A), "b2": vmsd("b", A), "same": vmsd("same", A)}))
    new = parse(text({"renamed": vmsd("a", A), "fresh": vmsd("fresh", A), "same": vmsd("same", A)}))
    hints = compare(old, new)
    assert [(h.kind, h.section, h.detail, h.effect) for h in hints] == [
        ("device-type", "", "device types with a description of late: fresh, renamed", None),
        ("device-type", "b", "no device type has this description any more [b, b2]", Effect.FORWARD),
    ]


def test_what_many_types_share_is_told_once() -> None:
    def dump(*fields: dict[str, Any]) -> str:
        shared = field("parent", 99, Description=vmsd("PCIDevice", *fields))
        return text({f"nic{i}": vmsd(f"nic{i}", shared) for i in range(6)})

    (hint,) = compare(parse(dump(A)), parse(dump(A, B)))
    assert hint.section == "PCIDevice" and hint.detail == (
        "with b (8 bytes) now [nic0, nic1, nic2, nic3 and 2 more device types]"
    )


def test_the_names_that_a_qemu_can_read() -> None:
    inner = field("s", 64, Description=vmsd("inner", A, subs=[vmsd("inner/sub", A)]))
    dump = parse(text({"dev": vmsd("vm", inner, subs=[vmsd("vm/sub", A)])}))
    assert dump.machine == "pc-q35-7.2" and dump.names == {"vm", "vm/sub", "inner", "inner/sub"}


@pytest.mark.parametrize(
    ("dump", "says"),
    [
        ("", "not JSON"),
        ("[]", "not an output of -dump-vmstate"),
        ("{}", "vmschkmachine"),
        ('{"vmschkmachine": {"Name": 3}}', "not the name of a machine type"),
        (text({"a": {"name": "a"}}), "version_id"),
        (text({"a": vmsd("a", {"field": "x"})}), "version_id"),
        (text({"a": vmsd("a", field("x", "y"))}), "'y' is not a number"),  # type: ignore[arg-type]
        (text({"a": {**vmsd("a"), "name": 7}}), "7 is not a name"),
        ('{"vmschkmachine": {"Name": "m"}, "a": {"Description": ' + "[" * 9999, "not"),
    ],
)  # fmt: skip
def test_what_is_no_dump(dump: str, says: str) -> None:
    with pytest.raises(DumpError, match=says):
        parse(dump)
