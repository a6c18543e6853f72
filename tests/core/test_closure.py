"""Which commits the builds of both ends prove to have no part in the binary."""

from __future__ import annotations

import pytest

from bot.core.closure import Closure, same_binary, unread
from bot.core.patch import Patch
from bot.core.reach import reaches
from bot.model import Change

TREE = {
    "block/qcow2.c", "hw/net/e1000.c", "include/hw/net/e1000.h", "docs/a.rst", "meson.build", "qapi/block.json",
    "linux-headers/linux/kvm.h", "scripts/decodetree.py", "tests/unit/test-x.c", "target/arm/cpu.c",
}  # fmt: skip
READ = {"block/qcow2.c", "include/hw/net/e1000.h"}
BAD = Closure(TREE - {"hw/net/e1000.c"} | {"hw/net/new.c"}, READ | {"hw/net/new.c"})


def found(paths: tuple[str, ...], good: Closure | None = None, bad: Closure | None = None) -> bool:
    ends = good or Closure(TREE, READ), bad or Closure(TREE, READ)
    return "c" in unread({"c": Patch(paths)}, ends, lambda path: not reaches(path, "x86_64-softmmu"))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(("hw/net/e1000.c",), True, id="no build read it"),
        pytest.param(("block/qcow2.c",), False, id="both did"),
        pytest.param(("hw/net/e1000.c", "block/qcow2.c"), False, id="one of two was read"),
        pytest.param(("hw/net/e1000.c", "docs/a.rst", "tests/unit/test-x.c"), True, id="with its manual and test"),
        pytest.param(("hw/net/e1000.c", "meson.build"), False, id="with what is not recorded"),
        pytest.param(("target/arm/cpu.c",), True, id="of another target"),
        pytest.param(("docs/a.rst",), False, id="a manual alone: nothing was recorded of it"),
        pytest.param(("qapi/block.json",), False, id="a schema"),
        pytest.param(("scripts/decodetree.py",), False, id="a generator"),
        pytest.param(("linux-headers/linux/kvm.h",), False, id="a header of the system"),
        pytest.param(("hw/net/gone.c",), False, id="came and went in between"),
        pytest.param((), False, id="a merge"),
    ],
)
def test_what_proves_that_a_commit_was_not_read(paths: tuple[str, ...], expected: bool) -> None:
    assert found(paths) is expected


def test_both_ends_must_have_it_and_not_have_read_it() -> None:
    assert not found(("hw/net/e1000.c",), bad=BAD)
    assert not found(("hw/net/new.c",), bad=BAD)
    assert not found(("hw/net/e1000.c",), bad=Closure(TREE, READ | {"hw/net/e1000.c"}))


OPENED = frozenset({"vl.c", "meson.build", "scripts/gen.py", "hw/dev.h"})
FILE = "100644"


@pytest.mark.parametrize(
    ("path", "before", "after", "same"),
    [
        ("hw/other.c", FILE, FILE, True),  # nothing opened it
        ("hw/other/meson.build", FILE, FILE, True),
        ("vl.c", FILE, FILE, False),
        ("scripts/gen.py", FILE, FILE, False),
        ("docs/devel/x.rst", "", FILE, True),
        ("docs/devel/x.rst", FILE, "", True),
        ("docs/meson.build", "", FILE, False),
        ("tests/qtest/x.c", "", FILE, True),
        ("tests/qtest/meson.build", "", FILE, False),
        ("tests/Makefile.include", FILE, "", False),
        (".gitlab-ci.d/x.yml", "", FILE, True),
        ("MAINTAINERS", "", FILE, True),
        ("hw/dev2.h", "", FILE, False),  # it may hide another
        ("hw/other.c", FILE, "", False),
        ("hw/other.c", FILE, "100755", False),
        ("docs/x.rst", FILE, "120000", False),
        ("roms/skiboot", "160000", "160000", False),
        ("docs/x.rst", "", "160000", False),
    ],
)
def test_which_changes_leave_the_binary_as_it_is(path: str, before: str, after: str, same: bool) -> None:
    assert same_binary([Change(path, before, after)], OPENED) is same
    assert same_binary([Change("MAINTAINERS", FILE, FILE), Change(path, before, after)], OPENED) is same


def test_two_commits_with_one_tree_make_one_binary() -> None:
    assert same_binary([], OPENED)


def test_what_was_read_is_never_passed_over_for_its_name() -> None:
    assert not same_binary([Change("docs/x.rst", FILE, "")], frozenset({"docs/x.rst"}))
