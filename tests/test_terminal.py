"""What goes on, as a log and a terminal show it: one piece of work, and several at a time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from rich.console import Console

from bot.core.plain import clean
from bot.terminal import Lines, Live, Plain, duration


def lines(stream: io.StringIO) -> list[str]:
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", text) for text in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (8.4, "8 s"),
        (89, "89 s"),
        (180, "3 min"),
        (7500, "2 h 5 min"),
        (71 * 3600, "71 h 0 min"),
        (12.5 * 86400, "12 days"),
    ],
)
def test_a_time_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_log_tells_of_each_piece_now_and_then() -> None:
    stream, now = io.StringIO(), [0.0]
    log = Plain(stream, lambda: now[0])
    for done in range(101):
        now[0] += 0.5
        log.work("building a", done, 100)
        log.aside().work("building b", done, 200)
    log.say("a is good")
    assert lines(stream) == [
        "building a (0 of 100)",
        "building b (0 of 200)",
        "building a (40 of 100, about 30 s left)",
        "building b (40 of 200, about 80 s left)",
        "building a (80 of 100, about 10 s left)",
        "building b (80 of 200, about 60 s left)",
        "a is good",
    ]


def test_a_log_for_programs_has_an_object_a_line() -> None:
    stream, now = io.StringIO(), [0.0]
    log = Lines(stream, lambda: now[0])
    log.work("building 0123456789ab")
    now[0] = 30.0
    log.work("building 0123456789ab", 3, 10)
    log.aside().say("r0017: fixed: by d96c4d5f193e \x1b[31m\nr0018: retracted")
    log.say("operator: disk: 1.2 GiB free")
    told = [json.loads(text) for text in stream.getvalue().splitlines()]
    for one in told:
        assert datetime.fromisoformat(one.pop("time")).utcoffset() == timedelta(0)
    assert told == [
        {"kind": "work", "text": "building 0123456789ab", "done": 0, "total": 0, "seconds": 0.0},
        {"kind": "work", "text": "building 0123456789ab", "done": 3, "total": 10, "seconds": 30.0},
        {"kind": "said", "text": clean("r0017: fixed: by d96c4d5f193e \x1b[31m\nr0018: retracted"), "about": "r0017"},
        {"kind": "said", "text": "operator: disk: 1.2 GiB free", "about": "operator"},
    ]
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_has_one_line_that_threads_leave_to_who_sees_all() -> None:
    stream = io.StringIO()
    display = Live(Console(file=stream, force_terminal=True, width=80))
    try:
        display.work("testing 2 commits: a, b")
        thread = display.aside()
        thread.work("building a", 1, 9)
        thread.aside().work("building b", 2, 9)
        thread.say("a: once more in a clean directory")
        display.work("testing 1 commit: b")
    finally:
        display.close()
    shown = stream.getvalue()
    assert "testing 2 commits: a, b" in shown and "a: once more in a clean directory" in shown
    assert "building" not in shown


PRINTS = """\
from bot.terminal import progress
display = progress()
display.work("building [a]", 1, 9)
print("/a/path/longer/than/a/line" * 9, flush=True)
display.close()
"""


@pytest.mark.parametrize("piped", [True, False])
def test_what_is_printed_beside_the_line_goes_whole_where_standard_output_goes(piped: bool) -> None:
    ours, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", PRINTS],
        stdout=subprocess.PIPE if piped else terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    out, _ = child.communicate(timeout=60)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: all was read
        while True:
            shown += os.read(ours, 1 << 16)
    printed = b"/a/path/longer/than/a/line" * 9
    assert b"building [a] (1 of 9)" in shown
    assert (out == printed + b"\n" and b"/a/path" not in shown) if piped else printed in shown
