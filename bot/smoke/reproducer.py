"""The reproducer of a report: two shell commands that anybody with both builds can paste, and its check.

No tool of ours, no guest, no disk: the source saves its stream to a file by exec:, the destination loads it. What is
sent was run exactly as printed: on the bad build, where it must fail, and on the parent, where it must load.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bot.errors import InfraError
from bot.model import Binary, Case, Direction, Reproduction, Sandbox
from bot.smoke.argv import DIRECTORY, Common
from bot.smoke.child import child
from bot.smoke.confine import homes
from bot.smoke.until import until_stopped

WIDTH = 74  # columns; a mail indents by two and ends at 76
LIMIT = 120.0  # seconds for a whole run of it, besides `SmokeSettings.reproducer_wait`
_STATE = "vm.state"  # in the current directory: two runs at once do not meet
_PLAIN = re.compile(r"[\w@%+=:,./-]+")


@dataclass(frozen=True, slots=True)
class Sides:
    """How both sides are printed: the directory of a build (`old`, `new`), or None for an installed binary's path."""

    source: str | None
    destination: str | None


def sides(case: Case, source: Binary, destination: Binary, *, new: str = "new", old: str = "old") -> Sides:
    """The commit under test is always the build in `new`; a baseline is the build in `old`, or installed.

    A binary counts as installed if it brings no firmware directory of its own.
    """
    from_commit = (case.direction is not Direction.FORWARD, case.direction is not Direction.BACKWARD)
    names = [
        new if mine else (old if binary.data_dir is not None else None)
        for mine, binary in zip(from_commit, (source, destination), strict=True)
    ]
    return Sides(names[0], names[1])


def reproducer(
    common: Common,
    source: Binary,
    destination: Binary,
    *,
    source_name: str,
    destination_name: str,
    new: str = "new",
    old: str = "old",
) -> str:
    """The two commands, with `source_name` and `destination_name` in comments. Lines end before column 75.

    An argument that is longer than that stays on a line of its own, whole. `{dir}` in a profile becomes the current
    directory. The exit printed at the end is 124 if the destination has loaded the stream, for then it waits for ever
    and timeout(1) ends it; else it failed.
    """
    case, profile = common.case, common.profile
    places = sides(case, source, destination, new=new, old=old)
    words = [a.replace(DIRECTORY, ".") for a in common.arguments(print_accel=False)]
    plain = all(_PLAIN.fullmatch(argument) for argument in words)
    options = _assignment(words) if plain else _array(words)
    use = "$O" if plain else '"${O[@]}"'
    save = [*_program(places.source, source, case), use, *_extra(profile.source_args), "-monitor", "stdio"]
    load = [
        "timeout", f"{common.settings.reproducer_wait:g}", *_program(places.destination, destination, case), use,
        *_extra(profile.destination_args), "-incoming", f'"exec:cat {_STATE}"', "</dev/null; echo $?",
    ]  # fmt: skip
    pause = f"(sleep {profile.run:g}; " if profile.run else ""
    monitor = f"""{pause}printf 'migrate "exec:cat >{_STATE}"\\nquit\\n'{")" if pause else ""} |"""
    return "\n".join(
        (
            options,
            monitor,
            _comment(_wrap(save, first="  ", rest="    "), source_name),
            _comment(_wrap(load, first="", rest="  "), f"{destination_name}: 124 = loads, else fails"),
        )
    )


def _program(place: str | None, binary: Binary, case: Case) -> list[str]:
    if place is None:
        return [shlex.quote(str(binary.path))]
    firmware = ["-L", f"{place}/pc-bios"] if binary.data_dir is not None else []
    return [f"{place}/qemu-system-{case.arch}", *firmware]


def _extra(arguments: Sequence[str]) -> list[str]:
    return [shlex.quote(argument.replace(DIRECTORY, ".")) for argument in arguments]


def _assignment(arguments: Sequence[str]) -> str:
    """O="..." that the shell splits at blanks; a backslash before a newline is nothing inside double quotes."""
    return _wrap(_pairs(arguments), first='O="', rest="   ") + '"'


def _array(arguments: Sequence[str]) -> str:
    """The same for arguments with blanks or quotes in them: a bash array."""
    return _wrap(_pairs([shlex.quote(a) for a in arguments]), first="O=(", rest="   ", continued="") + ")"


def _pairs(arguments: Sequence[str]) -> list[str]:
    """Options with their values, so that a line does not end between them."""
    pairs: list[str] = []
    for argument in arguments:
        if pairs and not argument.startswith("-") and pairs[-1].startswith("-") and " " not in pairs[-1]:
            pairs[-1] += f" {argument}"
        else:
            pairs.append(argument)
    return pairs


def _wrap(words: Sequence[str], first: str, rest: str, continued: str = " \\") -> str:
    lines, line = [], first
    for word in words:
        if line.strip() and len(line) + 1 + len(word) + len(continued) + 1 > WIDTH and line not in (first, rest):
            lines.append(line + continued)
            line = rest
        line += word if line in (first, rest) else f" {word}"
    return "\n".join([*lines, line])


def _comment(command: str, text: str) -> str:
    """The command with a comment behind its last line, or below it where that is too long."""
    last = command.rpartition("\n")[2]
    remark = f"# {text}"
    if len(last) + 2 + len(remark) <= WIDTH:
        return f"{command}  {remark}"
    return f"{command}\n{remark}"


def run_as_printed(
    text: str,
    *,
    bad: Mapping[str, Binary],
    good: Mapping[str, Binary],
    arch: str,
    scratch: Path,
    stop: threading.Event | None = None,
    sandbox: Sandbox | None = None,
    limit: float = LIMIT,
) -> Reproduction:
    """Run text with bash, on the bad build and on its parent at the same time, each in a fresh directory.

    `bad` and `good` say which binary stands for each directory in the text ({"old": baseline, "new": build}); installed
    binaries are not in them. Exits are None if the text printed none, which includes one that took longer than `limit`
    seconds.

    Of a sandbox, what both may see besides is given: installed binaries and files that the text names.

    Raises `UserError` without bash, `Stopped` if `stop` was set, `InfraError` without a scratch directory.
    """
    with ThreadPoolExecutor(2) as pool:  # most of it is waiting
        told = [pool.submit(_run, text, build, arch, scratch, stop, sandbox, limit) for build in (bad, good)]
    (bad_exit, output), (good_exit, _) = (one.result() for one in told)
    return Reproduction(text, bad_exit, good_exit, output)


def _run(
    text: str,
    binaries: Mapping[str, Binary],
    arch: str,
    scratch: Path,
    stop: threading.Event | None,
    sandbox: Sandbox | None,
    limit: float,
) -> tuple[int | None, str]:
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="reproduce-", dir=scratch.absolute()) as directory:
            place = Path(directory)
            for name, binary in binaries.items():
                (place / name).mkdir()
                (place / name / f"qemu-system-{arch}").symlink_to(binary.path)
                if binary.data_dir is not None:
                    (place / name / "pc-bios").symlink_to(binary.data_dir)
            if sandbox is not None:
                seen = tuple(home for binary in binaries.values() for home in homes(binary))
                sandbox = sandbox.with_paths(read=seen, write=(place,))
            stdout, stderr = asyncio.run(until_stopped(_shell(text, place, sandbox, limit), stop))
    except OSError as error:
        raise InfraError(f"{scratch}: no scratch directory can be used here: {error}") from error
    printed = stdout.split()
    code = int(printed[-1]) if printed and printed[-1].isdecimal() else None
    return code, "\n".join(line.rstrip() for line in stderr.splitlines() if line.strip())


async def _shell(text: str, directory: Path, sandbox: Sandbox | None, limit: float) -> tuple[str, str]:
    """What bash printed (the monitor's chatter, then the exit) and what went to stderr (what QEMU said)."""
    with contextlib.suppress(TimeoutError):
        async with (
            child(["bash", "-c", text], cwd=directory, keep_stdout=True, sandbox=sandbox) as shell,
            asyncio.timeout(limit),
        ):
            await shell.exited.wait()
    return shell.text("stdout"), shell.text("stderr")
