"""What paths say of the binary that a commit can reach."""

from __future__ import annotations

import pytest

from bot.core.reach import in_emulator, reaches

X86, PPC, ARM, USER = "x86_64-softmmu", "ppc64-softmmu", "aarch64-softmmu", "arm-linux-user"


@pytest.mark.parametrize(
    ("path", "target", "can"),
    [
        ("migration/ram.c", X86, True),
        ("migration/ram.c", USER, False),
        ("hw/virtio/virtio-net.c", PPC, True),
        ("hw/ppc/spapr.c", PPC, True),
        ("hw/ppc/spapr.c", X86, False),
        ("include/hw/ppc/spapr.h", X86, False),
        ("hw/intc/xics.c", PPC, True),
        ("hw/intc/xics.c", X86, False),
        ("hw/intc/ioapic.c", X86, True),
        ("hw/misc/aspeed_scu.c", ARM, True),
        ("hw/misc/aspeed_scu.c", "s390x", False),
        ("target/arm/helper.c", "arm", True),
        ("target/arm/helper.c", "aarch64-linux-user", True),
        ("target/arm/helper.c", X86, False),
        ("target/i386/cpu.c", "i386", True),
        ("linux-user/syscall.c", USER, True),
        ("linux-user/syscall.c", ARM, False),
        ("tcg/tcg.c", PPC, True),
        ("tcg/i386/tcg-target.c.inc", PPC, True),  # the host's, whatever the guest
        ("tcg/aarch64/tcg-target.c.inc", ARM, False),
        ("util/oslib-win32.c", X86, False),
        ("docs/devel/migration.rst", X86, False),
        ("tests/qtest/migration-test.c", X86, False),
        ("qemu-img.c", X86, False),
        ("hw/rtc/m48t59.c", PPC, True),  # of more than one family
        ("hw/of-no-known-name/thing.c", "no-such-target", True),
        ("Makefile.objs", X86, True),
    ],
)
def test_reach(path: str, target: str, can: bool) -> None:
    assert reaches(path, target) is can


def test_any_emulator() -> None:
    assert in_emulator("hw/ppc/spapr.c")
    assert in_emulator("linux-user/main.c")
    assert not in_emulator("docs/a.rst")
    assert not in_emulator("MAINTAINERS")
