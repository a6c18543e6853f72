"""Reading what builds say. The lines are real ones, of gcc 12, ninja, make, meson and QEMU's configure."""

from __future__ import annotations

import pytest

from bot.build.diagnosis import Fault, Reader, fault, place


def read(text: str) -> Reader:
    reader = Reader()
    for line in text.splitlines():
        reader.feed(line)
    return reader


def test_steps_of_ninja_and_make() -> None:
    ninja = read("[1/3] Compiling C object a.o\n[0/1] Regenerating build files.\nnoise\n[3/3] Linking target q\n")
    assert (ninja.steps, ninja.at, ninja.total) == (3, 3, 3)
    make = read("  CC      hw/core/machine.o\nmake[1]: Entering directory '/b'\n  GEN     trace.h\n  LINK    x\n")
    assert (make.steps, make.total) == (3, 0)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "FAILED: libcommon.fa.p/net_hub.c.o\n../src/net/hub.c: In function \u2018net_hub_port_new\u2019:\n"
            "../src/net/hub.c:40:17: error: \u2018NetHub\u2019 has no member named \u2018port_count\u2019\n"
            "ninja: build stopped: subcommand failed.\n",
            "net/hub.c:40:17: error: 'NetHub' has no member named 'port_count'",
        ),
        (
            "/w/trees/make-x/src/hw/core/machine.c:12:1: fatal error: gone.h: No such file or directory\n"
            "make[1]: *** [/w/src/rules.mak:69: hw/core/machine.o] Error 1\n",
            "hw/core/machine.c:12:1: fatal error: gone.h: No such file or directory",
        ),
        (
            "[3/3] Linking\n/usr/bin/ld: a.o: in function `f':\n../src/a.c:3: undefined reference to `g'\n"
            "collect2: error: ld returned 1 exit status\n",
            "a.c:3: undefined reference to `g'",
        ),
        ("x\nmeson.build:1:0: ERROR: Key GIT_SUBMODULES is not in the dictionary.\n", None),
        ("make: *** No rule to make target 'gone.h', needed by 'a.o'.  Stop.\n", None),
        ("KeyError: 'x'\n", None),
    ],
)
def test_the_error_that_says_it_best(text: str, error: str | None) -> None:
    expected = error or next(line for line in text.splitlines() if line != "x")
    assert read(text).first_error == expected


def test_nothing_failed() -> None:
    assert read("[1/1] Linking target qemu-system-ppc64\n").first_error is None


COMPILE = "../src/net/hub.c:40:17: error: no member\n"


@pytest.mark.parametrize(
    ("text", "blamed"),
    [
        (COMPILE + "ninja: build stopped: subcommand failed.\n", {"../src/net/hub.c"}),
        (COMPILE + "/s/b.h:1:2: error: x\nmake: *** [a.o] Error 1\n", {"../src/net/hub.c", "/s/b.h"}),
        (COMPILE + "collect2: error: ld returned 1 exit status\n", None),
        (COMPILE + "meson.build:1:0: ERROR: x\n", None),
        (COMPILE + "make: *** No rule to make target 'x'.  Stop.\n", None),
        ("../src/a.c:1:10: fatal error: made.h: No such file or directory\n", None),
        ("ninja: error: loading 'build.ninja'\n", None),
        ("", None),
    ],
)
def test_only_plain_compile_errors_blame_files(text: str, blamed: set[str] | None) -> None:
    assert read(text).blamed == blamed


@pytest.mark.parametrize(
    ("text", "code", "configuring", "kind"),
    [
        ("gcc: fatal error: Killed signal terminated program cc1\ncompilation terminated.\n", 1, False, Fault.MEMORY),
        ("", -9, False, Fault.MEMORY),
        ("cc1: out of memory allocating 65536 bytes after a total of 1 bytes\n", 1, False, Fault.MEMORY),
        ("/usr/bin/ld: final link failed: No space left on device\n", 1, False, Fault.DISK),
        ("OSError: [Errno 28] No space left on device: 'x'\n", 1, False, Fault.DISK),
        ("The bug is not reproducible, so it is likely a hardware or OS problem.\n", 1, False, Fault.HARDWARE),
        ("/bin/sh: 1: flex: not found\nmake: *** [x] Error 127\n", 2, False, Fault.TOOL),
        ("ERROR: glib-2.56 gthread-2.0 is required to compile QEMU\n", 1, True, Fault.TOOL),
        ('../src/meson.build:9:0: ERROR: Dependency "pixman-1" not found, tried pkgconfig\n', 1, True, Fault.TOOL),
        ("ERROR: DTC (libfdt) version >= 1.4.2 not present.\n", 1, True, Fault.TOOL),
        ("ERROR: Cannot use 'python3', Python >= 3.8 is required.\n", 1, True, Fault.TOOL),
        ('../src/meson.build:9:0: ERROR: Unknown variable "x".\n', 1, True, None),
        ("Program flex found: NO\n../src/meson.build:9:0: ERROR: Unknown variable\n", 1, True, None),
        ('../src/a.c:4:2: error: x\n    4 |   error_report("x: Cannot allocate memory");\n', 1, False, None),
        ("ERROR: glib-2.56 is required\n", 1, False, None),
        ("../src/a.c:4:2: error: 'Killed' undeclared\n", 1, False, None),
    ],
)
def test_whose_fault(text: str, code: int, configuring: bool, kind: Fault | None) -> None:
    assert fault(text, code, configuring=configuring) is kind


def test_errors_far_into_a_long_output_are_known() -> None:
    reader = read("noise\n" * 10000 + COMPILE + "more\n" * 10000)
    assert reader.first_error == "net/hub.c:40:17: error: no member"


def test_the_first_error_is_found_in_its_log_again() -> None:
    log = (
        "[1/2] CC\r\n../src/a.c:1:1: warning: x\n../../src/a.c:2:1: error: no \u2018y\u2019  \nninja: build stopped.\n"
    )
    error = read(log).first_error
    assert error == "a.c:2:1: error: no 'y'"
    assert place(log, error) == 2
    assert place("[... 5 bytes dropped ...]\n", error) is None
    assert place(log, "") is None
