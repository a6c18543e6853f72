"""Signatures: the right line is the root cause, and what is not stable in it is gone."""

from __future__ import annotations

import json
import random
import re
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.signature import device_name, explains, is_warning, normalise, root_cause, signature
from bot.model import Signature

LOADING = "qemu-system-x86_64: error while loading state for instance 0x0 of device '{}'"
FAILED = "qemu-system-x86_64: load of migration failed: Invalid argument"

FAMILIES = [
    # class, device, detail, text
    ("ramblock", "pc.ram", "pc.ram", 'qemu-system-x86_64: Unknown ramblock "pc.ram", cannot accept migration'),
    ("ramblock", "pc.ram", "pc.ram", 'qemu-system-x86_64: Unknown ramblock "/objects/pc.ram", cannot accept migration'),
    ("ramblock", "vga.vram", "vga.vram", "kvm: Can't find block 0000:00:02.0/vga.vram!"),
    ("ramblock", "mach-virt.ram", "mach-virt.ram", "qemu: block mach-virt.ram should not be migrated !"),
    ("ram-size", "e1000.rom", "e1000.rom", "qemu: Length mismatch: 0000:00:03.0/e1000.rom: 0x40000 in != 0x80000"),
    ("ram-page-size", "pc.ram", "pc.ram", "qemu: Mismatched RAM page size pc.ram (local) 4096 != 2097152"),
    ("ram-gpa", "pc.ram", "pc.ram", "qemu: Mismatched GPAs for block pc.ram 0x1000 0x2000"),
    ("machine-name", None, None, "qemu: Machine type received is 'pc-q35-7.1' and local is 'pc-q35-7.2'"),
    ("page-bits", None, None, "qemu: Received TARGET_PAGE_BITS is 12 but local is 14"),
    ("config-missing", None, None, "qemu-system-ppc64: Configuration section missing"),
    ("capability", None, "postcopy-ram", "qemu: Capability postcopy-ram is off, but received capability is on"),
    ("stream", None, "Not a migration stream", "qemu: Not a migration stream"),
    ("stream", None, "Unknown combination of migration flags", "qemu: Unknown combination of migration flags: 0x42"),
    ("unknown-section", "serial", None, "qemu: Unknown savevm section or instance 'serial' 0. Make sure that your"),
    ("unknown-section", "icp/server", None, "qemu: Unknown section or instance 'icp/server' 4"),
    ("unknown-section", "virtio-rng", None, "qemu: Unknown savevm section or instance '0000:00:01.0/virtio-rng' 0"),
    ("unknown-section", None, None, "qemu: Unknown savevm section 42"),
    ("section-version", "arm_gicv3_its", None, "qemu: savevm: unsupported version 1 for 'arm_gicv3_its' v0"),
    ("section-version", "spapr_iommu", None, "qemu: unsupported version 3 for 'spapr_iommu' v2"),
    ("section-version", "cpu/slb", None, "qemu: cpu/slb: incoming version_id 2 is too new for local version_id 1"),
    ("section-version", "i8254", None, "qemu: i8254: incoming version_id 1 is too old for local minimum version_id 2"),
    ("footer", "i2c_bus", None, "qemu-system-x86_64: Missing section footer for i2c_bus"),
    ("footer", "cpu", None, "qemu: Mismatched section id in footer for cpu - read 0x0 expected 0x8"),
    ("subsection", "mptsas", "mptsas/msi", "qemu: VM subsection 'mptsas/msi' in 'mptsas' does not exist"),
    ("unmigratable", "ahci", None, "State blocked by non-migratable device '0000:00:1f.2/ahci'"),
    ("pci-config", None, "i=0x10a", "qemu: get_pci_config_device: Bad config data: i=0x10a read: 40 device: 0"),
    ("virtio-features", None, "bits 32", "qemu: Features 0x130000000 unsupported. Allowed features: 0x30000000"),
    ("virtio-features", "virtio-net", "vnet_hdr=on", "qemu: virtio-net: saved image requires vnet_hdr=on"),
    ("virtio-ring", None, "index", "kvm: VQ 1 size 0x100 < last_avail_idx 0x9 - used_idx 0x3e30"),
    ("virtio-ring", None, "size", "qemu: VQ 0 vring.num 1024 exceeds allocated max 8"),
    ("virtio-ring", None, "index", "qemu: Guest says index 12 is available"),
    ("virtio-ring", None, "number of queues", "qemu: Invalid number of virtqueues: 0x41"),
    ("spapr-cap", None, "cap-ail-mode-3", "qemu: cap-ail-mode-3 higher level (1) in incoming stream than"),
    ("msr", None, "0x10a", "qemu-kvm: error: failed to set MSR 0x10a to 0x2000000000000"),
    ("field", "esp", "cmdbuf", "qemu: Failed to load esp:cmdbuf"),
    ("field", None, "max_queue_pairs", "qemu: Failed to load element of type uint16 equal for max_queue_pairs: -22"),
    ("field", "vmmouse", "nb_queue", "qemu: Input validation failed: vmmouse/nb_queue"),
    ("device", "fw_cfg", None, "qemu: warning: error while loading state for instance 0x0 of device 'fw_cfg'"),
    ("device", "cpu", None, "qemu: load of migration failed: Invalid argument: error while loading state for instance "
     "0x0 of device 'cpu': post load hook failed for: cpu, version_id: 22, minimum_version: 22, ret: -1"),
    ("io", None, "Unable to write to socket", "qemu: Unable to write to socket: Broken pipe"),
    ("load", None, "Input/output error", "qemu: load of migration failed: Input/output error"),
    ("text", None, "Can't get bar # of size #", "qemu-system-arm: Can't get bar 7 of size 0x1000"),
]  # fmt: skip


@pytest.mark.parametrize(("klass", "device", "detail", "text"), FAMILIES, ids=[f"{f[0]}-{f[1]}" for f in FAMILIES])
def test_each_family_has_its_class(klass: str, device: str | None, detail: str | None, text: str) -> None:
    assert signature(text, 1) == Signature(klass, device, detail)


BUGS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "signatures.yaml").read_text())
TEXTS = [(bug, name, text) for bug in BUGS for name, text in bug["texts"].items()]
IDS = [f"{bug['bug']}: {name}" for bug, name, _ in TEXTS]


def expected(bug: dict[str, Any]) -> Signature:
    parts = bug["signature"]
    return Signature(parts["class"], parts.get("device"), parts.get("detail"), parts.get("signal"))


@pytest.mark.parametrize(("bug", "name", "text"), TEXTS, ids=IDS)
def test_all_texts_of_a_bug_have_one_signature(bug: dict[str, Any], name: str, text: str) -> None:
    assert signature(text, bug.get("returncode", 1)) == expected(bug)


def test_every_bug_has_a_key_of_its_own() -> None:
    named = {bug["bug"]: bug for bug in BUGS}
    assert len(named) == len(BUGS)
    keys: dict[str, str] = {}
    for bug in BUGS:
        alias = bug.get("same key as")
        if alias is None:
            assert keys.setdefault(expected(bug).key, bug["bug"]) == bug["bug"]
        else:
            assert expected(bug).key == expected(named[alias]).key


PROGRAM = re.compile(r"(?<![\w/.'-])(?:qemu-system-\w+|qemu-kvm|qemu(?:-7\.2)?|kvm)(?=: )", re.MULTILINE)
ELSEWHERE: dict[str, Callable[[str], str]] = {
    "-msg timestamp": lambda text: re.sub(r"(?m)^(?=.)", "2026-01-02T03:04:05.678901Z ", text),
    "a mail's quotes": lambda text: re.sub(r"(?m)^(?=.)", "> ", text),
    "a terminal": lambda text: text.replace("\n", "\x1b[0m\r\n"),
    "another program name": lambda text: PROGRAM.sub("/opt/q-11/bin/qemu-system-mips64el", text),
    "pid": lambda text: PROGRAM.sub("qemu-kvm[4711]", text),
    "-msg guest-name": lambda text: PROGRAM.sub("guest-7 qemu-system-x86_64", text),
    "another slot": lambda text: re.sub(r"(?<=['\" ])0000:[0-9a-f:.]+/", "0000:7f:1e.3:1c.0/", text),
    "another build directory": lambda text: re.sub(
        r"(?<![\w.])(?:\.\./|/[\w/.+-]*/)(?=[\w/-]+\.[ch]:)", "/x/y-z/", text
    ),
    "other lines of the source": lambda text: re.sub(r"(?<=\.c:)\d+(?=:)", "7", text),
    "another instance": lambda text: re.sub(r"instance 0x\w+", "instance 0x7", text),
    "an end that follows": lambda text: f"{text}\nqemu-kvm: terminating on signal 15 from pid 1 (/usr/sbin/libvirtd)\n",
    "the source's side": lambda text: f"{text}\nqemu-system-x86_64: Unable to write to socket: Broken pipe\n",
}


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_log_from_elsewhere_has_the_same_signature(where: str) -> None:
    for bug, name, text in TEXTS:
        moved = ELSEWHERE[where](text)
        assert signature(moved, bug.get("returncode", 1)) == expected(bug), f"{bug['bug']}, {name}:\n{moved}"


def test_real_texts_have_the_class_and_device_that_a_person_gave_them() -> None:
    samples = (Path(__file__).parent / "signature-samples.jsonl").read_text().splitlines()
    assert len(samples) >= 12
    for sample in map(json.loads, samples):
        found = signature(sample["stderr"], sample["returncode"])
        assert found is not None
        assert (found.klass, found.device) == (sample["class"], sample["device"])


def test_different_bugs_have_different_keys() -> None:
    texts = [text for _, _, _, text in FAMILIES]
    texts += [
        LOADING.format("0000:00:01.0/e1000"),
        LOADING.format("0000:00:01.0/e1000e"),
        "qemu: Bad config data: i=0x34 read: 84\n" + LOADING.format("1.0/virtio-net"),
        "qemu: Bad config data: i=0x10 read: 84\n" + LOADING.format("1.0/virtio-net"),
        "qemu: something else altogether",
    ]
    keys: dict[str, set[str]] = {}
    for text in texts:
        found = signature(text, 1)
        assert found is not None
        keys.setdefault(found.key, set()).add(text)
    doubled = [group for group in keys.values() if len(group) > 1]
    same_on_purpose = ("pc.ram", "VQ", "Guest says", "Invalid number")
    assert all(all(any(word in text for word in same_on_purpose) for text in group) for group in doubled), doubled


def test_the_cause_wins_over_what_follows_from_it() -> None:
    text = (
        "qemu-system-x86_64: virtio-gpu-scanouts: incoming version_id 2 is too new for local version_id 1\n"
        "qemu-system-x86_64: Missing section footer for 0000:00:02.0/virtio-gpu\n"
        "qemu-system-x86_64: Error -22 while loading VM state"
    )
    assert signature(text, 1) == Signature("section-version", "virtio-gpu-scanouts")
    assert root_cause(text).endswith("is too new for local version_id 1")
    assert root_cause(f"{FAILED}\n{LOADING.format('ram')}") == LOADING.format("ram")


def test_unknown_words_before_a_device_are_its_detail() -> None:
    found = signature("qemu-system-x86_64: frobnicator out of 17 range\n" + LOADING.format("0000:00:04.0/frob"), 1)
    assert found == Signature("device", "frob", "frobnicator out of # range")


def test_death_by_signal() -> None:
    assertion = "qemu: ../softmmu/memory.c:2705: memory_region_set_alias_offset: Assertion `mr->alias' failed."
    expected = Signature("assert", None, "memory_region_set_alias_offset: mr->alias", "SIGABRT")
    assert signature(assertion, -6) == expected
    assert signature(assertion, 134) == expected  # as a shell tells it
    glib = "**\nERROR:../hw/x.c:12:x_load: assertion failed: (a == b)\nBail out! ERROR:../hw/x.c:12:x_load: assertion"
    assert signature(glib, -6) == Signature("assert", None, "x_load: (a == b)", "SIGABRT")
    assert signature("", -11) == Signature("crash", signal="SIGSEGV")
    assert signature("qemu: load of migration failed: Broken pipe", -11) == Signature("crash", signal="SIGSEGV")
    aborted = (
        "Unexpected error in object_property_find_err() at ../qom/object.c:1299:\n"
        "qemu-system-x86_64: can't apply global virtio-gpu.x-scanout-vmstate-version=1: Property not found"
    )
    found = signature(aborted, -6)
    assert found is not None and found.signal == "SIGABRT" and "can't apply global virtio-gpu" in str(found.detail)


def test_without_text() -> None:
    assert signature("", 0) is None
    assert signature("", None) is None
    assert signature("", 3) == Signature("exit", detail="exit 3")
    assert signature("", None, "migrate: source active, destination active") == Signature(
        "hang", detail="migrate: source active, destination active"
    )
    assert signature("qemu: Unknown savevm section 5", None, "migrate: ...") == Signature("unknown-section")


@pytest.mark.parametrize(
    "line",
    [
        "qemu-system-x86_64: warning: nic e1000.0 has no peer",
        "Warning: netdev hub0port0 has no peer",
        "2026-01-01T00:00:00.0Z qemu-system-ppc64: warning: TCG doesn't support requested feature, cap-cfpc=workaround",
        "qemu-system-x86_64: -M pc-1.0: warning: Machine type 'pc-1.0' is deprecated",
        "(process:12): GLib-WARNING **: 12:00:00.000: oh",
        "qemu-system-x86_64: Machine type 'pc-1.0' is deprecated: use a newer machine type instead",
        "cap-htm lower level (0) in incoming stream than on destination (1)",
    ],
)
def test_warnings_are_no_failures(line: str) -> None:
    assert is_warning(line)
    assert signature(line, 0) is None
    assert root_cause(line) == ""


def test_an_error_is_no_warning() -> None:
    assert not is_warning(FAILED)
    assert not is_warning("qemu: no warning was given, it just failed")


def test_only_a_reason_explains() -> None:
    assert not explains(FAILED)
    assert not explains("qemu: Unable to write to socket: Broken pipe")
    assert explains(LOADING.format("ram"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("0000:00:01.0/virtio-rng", "virtio-rng"),
        ("0000:00:02.0:00.0/virtio-net", "virtio-net"),
        ("pci@800000020000000:01.0/virtio-blk", "virtio-blk"),
        ("fe.0.0001/virtio-blk", "virtio-blk"),
        ("0000:00:04.0/1.2/usb-ptr", "usb-ptr"),
        ("0000:00:05.0/0:1:0/scsi-disk", "scsi-disk"),
        ("vty@71000000/spapr_vty", "spapr_vty"),
        ("/objects/pc.ram", "pc.ram"),
        ("cpu/slb", "cpu/slb"),
        ("icp/server", "icp/server"),
        ("e1000/tso_state", "e1000/tso_state"),
        ("0000:02.0/qxl.vram", "qxl.vram"),
        ("000.../vhost-user-fs", "vhost-user-fs"),
        ("v-scsi@71000002/0:2:0/scsi-disk", "scsi-disk"),
        ("virtio-mmio@00000000feb00e00/virtio-net", "virtio-net"),
        ("/rom@etc/acpi/tables", "/rom@etc/acpi/tables"),
        ("dbus-vmstate/dbus-vmstate", "dbus-vmstate/dbus-vmstate"),
        ("ram", "ram"),
    ],
)
def test_device_names(path: str, name: str) -> None:
    assert device_name(path) == name


def test_normalised_lines_of_two_runs_are_equal() -> None:
    one = "qemu-system-x86_64: ../hw/net/e1000.c:123: bad ring 0x7ffe0010 at /tmp/run-1/disk.img, 17 left"
    two = "2026-11-23T01:02:03.4Z /opt/q/bin/qemu-kvm[4711]: hw/net/e1000.c:99: bad ring 0xbe at /v/x/disk.img, 3 left"
    assert normalise(one) == normalise(two) == "e1000.c: bad ring # at disk.img, # left"


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == normalise(once)
    found = signature(text, 1)
    assert found is not None
    assert found == signature(text, 1)
    assert root_cause(text) == "" or any(root_cause(text) == line.strip() for line in text.splitlines())


PIECES = st.sampled_from(
    [text for _, _, text in TEXTS] + ["a: b\n", "0x12 != 3\n", "warning: no\n", "(qemu) x\n", "\n"]
)
LOGS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=4).map("".join))


@given(LOGS)
@example("0")
@example("-device x: y\nz")
def test_times_before_lines_change_nothing(text: str) -> None:
    stamped = "\n".join(f"2026-01-02T03:04:05.678901Z {line}" if line.strip() else line for line in text.splitlines())
    for returncode in (1, -6, None):
        assert signature(stamped, returncode) == signature(text, returncode)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]), min_size=1), min_size=1, max_size=5)
)
@example(["words:", "more"])
def test_names_and_folders_before_words_change_nothing(words: list[str]) -> None:
    lines = [f"word {word} of no family" for word in words]
    plain = signature("\n".join(lines), 1)
    for program in (
        "qemu-system-x86_64",
        "/opt/q-11/bin/qemu-system-ppc64",
        "qemu-kvm",
        "kvm",
        "/usr/libexec/qemu-kvm[12]",
    ):
        assert signature("\n".join(f"{program}: {line}" for line in lines), 1) == plain


@given(st.integers(0, 2**48), st.integers(1, 10**6), st.sampled_from(["qemu-system-x86_64", "/opt/q/qemu-kvm", "kvm"]))
def test_addresses_numbers_and_names_do_not_matter(address: int, number: int, program: str) -> None:
    text = f"{program}: cannot map {address:#x} of slot {number}"
    assert signature(text, 1) == Signature("text", detail="cannot map # of slot #")


def test_a_detail_has_bounds() -> None:
    one, other = (f"qemu: {'long words ' * 400}{end}" for end in ("", "!"))
    found = signature(one, 1)
    assert found is not None and found.detail is not None and len(found.detail) <= 200
    assert found == signature(one, 1)
    assert signature(f"qemu: {'long words ' * 40}!", 1) != signature(f"qemu: {'long words ' * 40}?", 1)
    assert signature(other, 1) is not None


@pytest.mark.parametrize(
    "line",
    [
        "", "a/", "a-", "x" * 50 + " ", "kvm: ", "> ", "[a] ", "Assertion `", "Failed to load ", "cap-", "migrat", "w.",
        ".c:1:", "VQ ", "section footer for ......", f"unsupported version 1 for '{':' * 40}x/y' ", "1.", "/+",
        '"desc": "', "error while loading state for ", "load of migration failed: ", "\\n{",
    ],
)  # fmt: skip
def test_a_flood_is_read_in_no_time(line: str) -> None:
    """256 KiB of different lines; what they are made of invites patterns to go astray."""
    chance = random.Random(line)  # noqa: S311 - not for secrets
    lines, size = [], 0
    while size < 2**18:
        tail = "".join(chance.choices(string.ascii_letters + string.digits + " .:-/", k=20))
        lines.append(line * (4000 // len(line)) + tail if line else tail * chance.randrange(8))
        size += len(lines[-1]) + 1
    text = "\n".join(lines)
    began = time.process_time()
    assert signature(text, 1) is not None
    assert time.process_time() - began < 1


def test_a_host_without_sound_is_no_failure() -> None:
    """What the monitor answers to loadvm where there is no sound card (QEMU 11.1, versatilepb)."""
    text = (
        "alsa: Could not initialize DAC:Failed to open `default' Reason: No such file or directory\r\n"
        "audio: Could not create a backend for voice 'lm4549.out'\r\n"
    )
    assert signature(text, None) is None
    assert signature(text + "Error: Device 'ram' does not support snapshots\r\n", None) is not None
