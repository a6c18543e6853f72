"""Who looks after a file: each kind of pattern that MAINTAINERS has, and how the script reads it."""

from __future__ import annotations

import pytest

from bot.core.maintainers import MIGRATION, maintainers

TEXT = """\
List of QEMU maintainers
========================

Descriptions of section entries:

\tM: Mail patches to: FullName <address@domain>

All patches CC here
L: list@example.org
F: *
F: */

Board
M: Ann <ann@example.org>
R: Reader <reader@example.org>
L: board@example.org
S: Maintained
F: hw/ppc/board*
F: include/hw/ppc/board.h
F: docs/system/ppc
F: tests/qtest/board-*.[hc]
Bus
M: "Bob B." <bob@example.org>
M: Ann <ann@example.org>
S: Supported
F: hw/pci/
X: hw/pci/legacy/
F: hw/*/bridge.?
N: (^|/)busmaster

Migration
-----------
M: Mia <mia@example.org>
M: not an address
F: migration/
F: hw/core/vmstate-if.c
N: [(broken

Nobody's
S: Orphan
F: hw/old.c
"""

ANN, BOB, MIA = ("Ann", "ann@example.org"), ("Bob B.", "bob@example.org"), ("Mia", "mia@example.org")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("hw/ppc/board_irq.c", [ANN]),
        ("hw/ppc/board/irq.c", []),  # a star is for files of as many directories
        ("include/hw/ppc/board.h", [ANN]),
        ("include/hw/ppc/board.h.inc", [ANN]),  # the end of a pattern is open
        ("docs/system/ppc/board.rst", [ANN]),  # a directory, also without its slash
        ("docs/system/ppc64.rst", [ANN]),
        ("tests/qtest/board-test.c", [ANN]),
        ("tests/qtest/board-test.py", []),
        ("hw/pci/pci.c", [BOB, ANN]),
        ("hw/pci/host/x.c", [BOB, ANN]),
        ("hw/pci/legacy/x.c", []),  # taken out again
        ("hw/ppc/bridge.c", [BOB, ANN]),
        ("hw/bridge.c", []),
        ("hw/x/busmaster.c", [BOB, ANN]),
        (MIGRATION, [MIA]),
        ("hw/old.c", []),
        ("README", []),  # what is everybody's is nobody's
    ],
)
def test_whose_a_file_is(path: str, expected: list[tuple[str, str]]) -> None:
    assert list(maintainers(TEXT, [path])) == expected


def test_who_has_most_of_the_files_is_first() -> None:
    assert maintainers(TEXT, ["migration/ram.c", "hw/pci/pci.c", "hw/ppc/board.c"]) == (ANN, BOB, MIA)
    assert maintainers(TEXT, ["migration/ram.c", "migration/x.c", "hw/pci/pci.c"]) == (MIA, BOB, ANN)
    assert maintainers(TEXT, []) == maintainers("", ["a.c"]) == ()
