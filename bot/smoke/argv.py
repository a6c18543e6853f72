"""The command line of a side. The smoke runs it and the reproducer prints it, so both are made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise

from bot.model import TCG, Binary, Case, Device, MachineOptions, Profile, SmokeSettings

DIRECTORY = "{dir}"  # in a profile's arguments: the run's scratch directory
_ACCEL_OPTIONS = ("-accel", "-enable-kvm", "--accel", "--enable-kvm")
_MACHINE_OPTIONS = ("-M", "-machine", "--machine")


@dataclass(frozen=True, slots=True)
class Common:
    """What both sides of a case are started with, settled for two binaries.

    `devices` are those of the profile that both can plug and migrate, `cpu` the -cpu that both get. `memory` False
    leaves -m out, for boards that accept only their own size; `audio` adds -audio none, for those with a sound chip: it
    finds no driver under -nodefaults since 8.2.
    """

    case: Case
    profile: Profile
    settings: SmokeSettings
    devices: tuple[Device, ...] = ()
    cpu: str | None = None
    memory: bool = True
    audio: bool = False

    def arguments(self, *, print_accel: bool = True) -> list[str]:
        """Display, machine type, accelerator, CPU, memory, the profile's own, devices, -S or -no-shutdown.

        The accelerator goes into -M, the form that every QEMU takes (-accel came with 2.9), unless the profile chooses
        one; `print_accel=False` leaves tcg out, which is the default of qemu-system-*. A guest that runs may power off
        or panic, as s390x firmware does that finds nothing to boot: like libvirt, we want to see that and not an exit.
        """
        case, profile = self.case, self.profile
        machine = "".join([case.machine, *(f",{m.options}" for m in machine_options(case, self.settings) if m.options)])
        if not _chooses_accel(profile) and (case.accel != TCG or print_accel):
            machine += f",accel={case.accel}"
        patterns = self.settings.memory.items()
        size = next((value for pattern, value in patterns if fnmatchcase(case.machine, pattern)), None)
        own = {*profile.args, *profile.source_args, *profile.destination_args}
        return [
            "-display", "none", "-M", machine,
            *(("-cpu", self.cpu) if self.cpu and "-cpu" not in own else ()),
            *(("-m", size) if self.memory and size and not own & {"-m", "--m"} else ()),
            *(("-audio", "none") if self.audio else ()),
            *profile.args,
            *(argument for device in self.devices for argument in device.args),
            *(("-S",) if profile.run == 0 else ("-no-shutdown",)),
        ]  # fmt: skip


def machine_options(case: Case, settings: SmokeSettings) -> Iterator[MachineOptions]:
    """The entries of `smoke.machines` that are for the case, in the order in which they are configured."""
    for entry in settings.machines:
        if (
            any(fnmatchcase(case.machine, pattern) for pattern in entry.machines)
            and any(fnmatchcase(case.target, pattern) or fnmatchcase(case.arch, pattern) for pattern in entry.targets)
            and entry.accel in (None, case.accel.partition(",")[0])
        ):
            yield entry


def firmware(binary: Binary) -> list[str]:
    """-L for a binary that is not installed with its firmware."""
    return ["-L", str(binary.data_dir)] if binary.data_dir else []


def side(
    binary: Binary, common: Sequence[str], extra: Sequence[str], directory: str, incoming: Sequence[str] = ()
) -> list[str]:
    """The whole command line of one side; `{dir}` in it becomes `directory`."""
    arguments = (*common, *firmware(binary), *extra, *incoming)
    return [str(binary.path), *(_placed(argument, directory) for argument in arguments)]


def _placed(argument: str, directory: str) -> str:
    """An argument with `{dir}` filled in. Within `name=value,...` QEMU wants a comma of the path doubled."""
    before, found, _ = argument.partition(DIRECTORY)
    value = directory.replace(",", ",,") if found and "=" in before else directory
    return argument.replace(DIRECTORY, value)


def _chooses_accel(profile: Profile) -> bool:
    own = (*profile.args, *profile.source_args, *profile.destination_args)
    return any(a in _ACCEL_OPTIONS for a in own) or any(
        o in _MACHINE_OPTIONS and "accel=" in v for o, v in pairwise(own)
    )
