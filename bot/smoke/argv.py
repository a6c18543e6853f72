"""The command line of a side. The smoke runs it and the reproducer prints it, so both are made here."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from bot.model import TCG, Binary, Case, Profile, SmokeSettings

DIRECTORY = "{dir}"  # in a profile's arguments: the run's scratch directory
_ACCEL_OPTIONS = ("-accel", "-enable-kvm", "--accel", "--enable-kvm")
_MACHINE_OPTIONS = ("-M", "-machine", "--machine")


def shared(
    case: Case, profile: Profile, settings: SmokeSettings, *, memory: bool = True, print_accel: bool = True
) -> list[str]:
    """The arguments that both sides have: display, machine type, accelerator, memory, the profile's own, -S.

    The accelerator goes into -M, the form that every QEMU takes (-accel came with 2.9), unless the profile chooses one;
    `print_accel=False` leaves tcg out, which is the default of qemu-system-*. `memory=False` leaves -m out, for boards
    that accept only their own size.
    """
    machine = case.machine
    accel = f",accel={case.accel}" if not _chooses_accel(profile) else ""
    if case.accel == TCG and not print_accel:
        accel = ""
    size = next((value for pattern, value in settings.memory.items() if fnmatchcase(machine, pattern)), None)
    own = {*profile.args, *profile.source_args, *profile.destination_args}
    return [
        "-display", "none", "-M", f"{machine}{accel}",
        *(("-m", size) if memory and size and not own & {"-m", "--m"} else ()),
        *profile.args,
        *(("-S",) if profile.run == 0 else ()),
    ]  # fmt: skip


def firmware(binary: Binary) -> list[str]:
    """-L for a binary that is not installed with its firmware."""
    return ["-L", str(binary.data_dir)] if binary.data_dir else []


def side(
    binary: Binary, common: Sequence[str], extra: Sequence[str], directory: str, incoming: Sequence[str] = ()
) -> list[str]:
    """The whole command line of one side; `{dir}` in it becomes `directory`."""
    arguments = (*common, *firmware(binary), *extra, *incoming)
    return [str(binary.path), *(argument.replace(DIRECTORY, directory) for argument in arguments)]


def _chooses_accel(profile: Profile) -> bool:
    own = (*profile.args, *profile.source_args, *profile.destination_args)
    return any(a in _ACCEL_OPTIONS for a in own) or any(
        o in _MACHINE_OPTIONS and "accel=" in v for o, v in pairwise(own)
    )
