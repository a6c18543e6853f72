"""The messages of failed migrations, as data: what QEMU 2.0 to 11.1 print, by family.

Read in QEMU's history: migration/{savevm,vmstate,vmstate-types,ram,migration,multifd,postcopy-ram}.c (arch_init.c,
savevm.c and vmstate.c before 2.4), system/physmem.c, hw/virtio/virtio.c, hw/pci/pci.c, hw/ppc/spapr_caps.c,
target/{arm,i386}/kvm. Patterns are searched in a line without its prefixes (`core.lines.strip`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum


class Rank(IntEnum):
    """How much a line explains. The best in a text is its root cause, the first of equals."""

    IO = 1  # that the other side went away
    GENERIC = 2  # that it failed
    SECTION = 3  # in which part of the stream reading ended
    DEVICE = 4  # whose state was refused
    TEXT = 5  # words that no family knows
    FIELD = 6  # which field of it
    CAUSE = 7  # why


@dataclass(frozen=True, slots=True)
class Family:
    """Messages of one kind; `needle` is a text that each of them holds.

    Groups of the pattern: `device` and `detail` go into the signature, `block` is a RAM block, `section` the section of
    the stream that was being read, `vmsd` a description that names the device if nothing else does. `detail` is what
    the signature says if the pattern has no such group.
    """

    klass: str
    rank: Rank
    needle: str
    pattern: re.Pattern[str]
    detail: str | None = None


WORDS = "the words"
"""As a detail: the whole line, normalised."""

_DEVICE = r"'?(?P<device>[^\s',\")]+)'?"
_QUOTED = r"'(?P<device>[^']+)'"
_SIZE = r"(?:0x)?[0-9a-f]+\b"  # a number without 0x until 2.1 (a3f1f040d2)

_Rows = tuple[tuple[str, ...], ...]  # class, needle, pattern, and a detail if the pattern has none
_CAUSES: _Rows = (
    # death
    ("assert", "Assertion ", r"(?:^|[\s:])Assertion [`'\u2018\"](?P<expression>.+)['\u2019`\"] failed"),
    ("assert", "Assertion failed: ", r"Assertion failed: (?P<expression>.+) \(\S+: (?P<function>\w+): \d+\)"),
    ("assert", "Assertion failed: ", r"Assertion failed: (?P<expression>\(.+\)), function (?P<function>\w+), file"),
    ("assert", "assertion failed", r"\.\w+:\d+:(?P<function>\w+): assertion failed:? ?(?P<expression>.*)"),
    ("assert", "not be reached", r"\.\w+:\d+:(?P<function>\w+): (?P<expression>code should not be reached)"),
    ("panic", "panicked at ", r"panicked at '(?P<detail>.*)', \S+:\d+:\d+$"),
    ("panic", "panicked at ", r"panicked at \S+:\d+:\d+: ?(?P<detail>.*)"),
    ("sanitizer", "Sanitizer", r"ERROR: \w+Sanitizer: (?:attempting )?(?P<detail>(?!detected memory leaks)[\w-]+)"),
    ("heap", "(): ",
     r"(?:^|[\s:])(?P<detail>(?:malloc|free|realloc|calloc|munmap_chunk)(?:_consolidate)?\(\): [a-z][a-z _./+]+)"),
    ("heap", "corrupt",
     r"(?:^|[\s:])(?P<detail>double free or corruption|corrupted (?:size vs|double-linked list|unsorted))"),
    ("heap", "stack smashing", r"(?P<detail>stack smashing detected)"),
    ("kvm", "KVM internal error", r"KVM internal error\. Suberror: (?P<detail>\d+)"),
    ("kvm", "KVM: entry failed", r"KVM: entry failed, hardware error (?P<detail>0x[0-9a-f]+)"),
    ("kvm", "kvm run failed", r"kvm run failed (?P<detail>[A-Z][a-z]+(?: [a-z]+)*)"),
    # the stream as a whole
    ("machine-name", "Machine type received", r"Machine type received\b"),
    ("page-bits", "TARGET_PAGE_BITS", r"Received TARGET_PAGE_BITS\b"),
    ("uuid", "UUID received", r"UUID received is \S+ and local"),
    ("config-missing", "Configuration section missing", r"Configuration section missing"),
    ("capability", "Capability ", r"Capability (?P<detail>\S+) is \w+, but"),
    ("capability", "unknown capability", r"Received unknown capability (?P<detail>\S+)"),
    ("stream", "Not a migration stream", r"(?P<detail>Not a migration stream)"),
    ("stream", "SaveVM v2 format", r"(?P<detail>SaveVM v2 format is obsolete)"),
    ("stream", "Unsupported migration stream", r"(?P<detail>Unsupported migration stream version)"),
    ("stream", "Expected vmdescription", r"(?P<detail>Expected vmdescription section)"),
    ("stream", "combination of migration flags", r"(?P<detail>Unknown combination of migration flags)"),
    ("stream", "bad migration stream", r"(?P<detail>Ack, bad migration stream)"),
    ("stream", "Illegal RAM offset", r"(?P<detail>Illegal RAM offset)"),
    ("stream", "Unexpected RAM flags", r"(?P<detail>Unexpected RAM flags)"),
    ("stream", "XBZRLE page", r"(?P<detail>Failed to (?:load|decompress) XBZRLE page)"),
    ("stream", "section type", r"Unknown (?:savevm )?section ?type", "Unknown section type"),
    ("stream", "Unknown command", r"(?P<detail>Unknown command)\b"),
    ("stream", "MIG_CMD ", r"MIG_CMD 0x\w+ unknown", "Unknown command"),
    ("stream", "ID string for section", r"(?P<detail>Unable to read ID string for section)"),
    ("multifd", "multifd: received",
     r"multifd: received (?P<detail>packet (?:magic|version|with)|uuid|channel id|id|empty|SYNC)"),
    ("multifd", "flags received", r"multifd \d+: (?P<detail>flags received)"),
    ("multifd", "channel magic", r"(?P<detail>unknown channel magic)"),
    ("postcopy", "Postcopy needs", r"(?P<detail>Postcopy needs matching [\w ]+? page sizes)"),
    ("postcopy", "RAM postcopy is", r"(?P<detail>RAM postcopy is \w+) but have"),
    ("postcopy", "CMD_POSTCOPY",
     r"(?P<detail>CMD_POSTCOPY_\w+(?: in wrong postcopy state| invalid \w+| Failed to read)?)"),
    ("snapshot", "napshot", r"napshot '[^']*' does not exist in one or more devices", "does not exist"),
    ("snapshot", "requested snapshot", r"does not have the requested snapshot", "does not exist"),
    ("snapshot", "napshot", r"Snapshot '[^']*' does not have VM state|disk-only snapshot", "has no VM state"),
    ("snapshot", "VM state file", r"Could not open VM state file", "cannot be opened"),
    # an assertion follows that is the same for all of them
    ("field", "Output state", r"Output state validation failed: (?P<vmsd>[^\s/]+)/(?P<detail>[^\s:]+)"),
    # sections
    ("unknown-section", "section or instance", rf"Unknown (?:savevm )?section or instance {_QUOTED}"),
    ("unknown-section", "section ", r"Unknown (?:savevm )?section \d+"),
    ("section-version", "unsupported version", rf"unsupported version \d+ for {_QUOTED}"),
    ("section-version", "incoming version_id",
     r"(?:^|\s)(?P<device>[^\s:]+): incoming version_id \d+ is too (?:new|old)"),
    ("section-version", " too ", r"^(?P<device>[^\s:]+) too (?:new|old)$"),
    ("footer", "section footer for", rf"Missing section footer for {_DEVICE}"),
    ("footer", "in footer for", rf"Mismatched section id in footer for {_DEVICE}"),
    ("footer", "ection footer", r"Section footer error, section_id|Read section footer failed"),
    ("subsection", "VM subsection", r"VM subsection '(?P<detail>[^']+)' in '(?P<device>[^']+)' does not exist"),
    # RAM
    ("ramblock", "Unknown ramblock", r"Unknown ramblock \"(?P<block>[^\"]+)\""),
    ("ramblock", "should not be migrated", r"[Bb]lock (?P<block>\S+) should not be migrated"),
    ("ramblock", "Can't find block", r"Can't find block (?P<block>[^\s!]+)"),
    ("ramblock", "unknown ram block", r"unknown ram block (?P<block>\S+)"),
    ("ram-size", "mismatch:", rf"(?:Length|Size) mismatch:(?: (?P<block>\S.*?)?:)? {_SIZE} (?:in )?!="),
    ("ram-size", "Size too large: ", rf"Size too large: (?P<block>\S.*?): {_SIZE} > "),
    ("ram-page-size", "RAM page size", r"Mismatched RAM page size (?P<block>[^\s(]+)"),
    ("ram-gpa", "Mismatched GPAs", r"Mismatched GPAs for block (?P<block>\S+)"),
    # devices
    ("unmigratable", "non-migratable", rf"non-migratable device\s+{_QUOTED}"),
    ("unmigratable", "igrat",
     r"State blocked (?:by|due)|[Mm]igration (?:is )?(?:currently )?(?:disabled|blocked|not supported)"
     r"|(?:does not|doesn't) support (?:live )?migration|not (?:yet )?migratable|prevents migration", WORDS),
    ("pci-config", "Bad config data", r"Bad config data: (?P<detail>i=0x[0-9a-fA-F]+)"),
    ("pci-config", "onfig", r"Bad config data|get_pci_config_device"),
    ("virtio-features", "Allowed features",
     r"Features 0x(?P<features>[0-9a-fA-F]+) unsupported\. Allowed features: 0x(?P<allowed>[0-9a-fA-F]+)"),
    ("virtio-features", "Features 0x", r"Features 0x\w+ unsupported"),
    ("virtio-features", "saved image requires", r"(?P<device>virtio-net): saved image requires (?P<detail>[\w=+]+)"),
    ("virtio-ring", "vring.num", r"\bVQ \d+ vring\.num \d+ exceeds", "size"),
    ("virtio-ring", "Invalid number of", r"Invalid number of (?:virtqueues|PCI queues)\b", "number of queues"),
    ("virtio-ring", "VQ ", r"\bVQ \d+ (?:size|address)\b", "index"),
    ("virtio-ring", "Guest ", r"Guest says index \d+ is available|Guest moved (?:used|avail) index", "index"),
    ("spapr-cap", " higher level", r"(?P<detail>cap-[\w-]+) higher level"),
    ("cpreg", "in the incoming stream but unknown", r"system register \S+ in the incoming stream but unknown"),
    ("cpreg", "Could not set register", r"Could not set register \S+"),
    ("cpreg", "cpreg", r"\bcpregs?\b"),
    ("msr", " MSR 0x", r"(?:failed to set|unable to set|putting) MSR (?P<detail>0x[0-9a-fA-F]+)"),
    ("cpu", "registers after", r"(?:Putting|Failed to put) registers after \w+(?:: (?P<detail>Failed to [a-zA-Z ]+))?"),
    ("cpu", "TSC frequency", r"Mismatch between user-specified TSC frequency and", "TSC frequency"),
    ("cpu", "requested", r"Some features requested in the CPU model|TCG doesn't support requested feature"),
    ("cpu", "required features", r"[Hh]ost CPU does not provide required features(?:: (?P<detail>[\w ,.-]+))?"),
)  # fmt: skip
_FIELDS: _Rows = (
    ("field", "Input validation", r"Input validation failed: (?P<vmsd>[^\s/]+)/(?P<detail>[^\s:]+)"),
    ("field", "Failed to load element", r"Failed to load element of type .+? for (?P<detail>[\w.\[\]-]+)"),
    ("field", "Failed to load ", r"Failed to load (?P<vmsd>[^\s:]+):(?P<detail>[^\s:]+)"),
    ("field", "Save of field", r"Save of field (?P<vmsd>\S+)/(?P<detail>[^\s/]+) failed"),
)  # fmt: skip
_DEVICES: _Rows = (
    # 10.2-rc lost the blank before "device" for a while; sections stand in the order of QEMU_VM_SECTION_START, _FULL
    ("device", "while loading state for",
     r"error while loading state for instance \S+ of\s?device '(?P<section>[^']+)'"),
    ("device", "load hook failed", r"(?:pre|post) load hook failed for: '?(?P<vmsd>[^\s,']+)"),
    ("device", "pre-save f", r"pre-save (?:failed: |for )(?P<vmsd>[^\s\"']+)"),
    ("device", "Failed to load ", r"Failed to load (?P<vmsd>\S+) state"),
    ("device", "Load state of device", r"Load state of device (?P<section>\S+) failed"),
    ("device", "SaveStateEntry with id", r"failed to save SaveStateEntry with id\(name\): \d+\((?P<section>[^)]+)\)"),
)  # fmt: skip
_SECTIONS: _Rows = (
    ("device", "section id ", r"error while loading (?:state )?section id \d+\((?P<section>[^)]+)\)"),
)  # fmt: skip
_GENERIC: _Rows = (
    ("load", "load of migration failed", r"load of migration failed(?:: (?P<errno>-?\d+|[^:\"]+))?"),
    ("load", "while loading VM state", r"Error (?P<errno>-?\d+) while loading VM state"),
    ("load", "oad",
     r"loadvm failed|Load VM state failed|[Ee]rror (?:-\d+ )?while loading (?:vmstate|VM state|state section id)"
     r"|Could not (?:load snapshot|restore device state)|Failed to load (?:device state|vmstate)\b"),
    ("abort", "Unexpected error in", r"Unexpected error in (?P<detail>\w+)\(\)"),
)  # fmt: skip
_IO: _Rows = (
    ("io", "from socket", r"(?P<detail>Unable to read from socket)"),
    ("io", "to socket", r"(?P<detail>Unable to write to socket)"),
    ("io", "socket_writev_buffer", r"socket_writev_buffer: Got err", "Unable to write to socket"),
    ("io", "Channel error", r"(?P<detail>Channel error)"),
    ("io", "Failed to read", r"(?P<detail>Failed to read) (?:section ID|instance/version ID)"),
    ("io", "IO failure for postcopy", r"(?P<detail>Detected IO failure for postcopy)"),
    ("io", "Sibling indicated error", r"(?P<detail>Sibling indicated error)"),
    ("io", "RDMA is in an error", r"(?P<detail>RDMA is in an error state)"),
    ("io", "rdma migration: ", r"(?P<detail>rdma migration: \w+ polling control error)"),
    ("io", "Broken pipe", r"(?P<detail>Broken pipe)"),
    ("io", "Connection reset", r"(?P<detail>Connection reset by peer)"),
    ("io", "domain ", r"domain (?:'[^']*' )?is not running", "domain is not running"),
    ("io", "closed the monitor", r"unexpectedly closed the monitor", "monitor closed"),
)  # fmt: skip

FAMILIES = tuple(
    Family(row[0], rank, row[1], re.compile(row[2]), *row[3:])
    for rank, rows in (
        (Rank.CAUSE, _CAUSES),
        (Rank.FIELD, _FIELDS),
        (Rank.DEVICE, _DEVICES),
        (Rank.SECTION, _SECTIONS),
        (Rank.GENERIC, _GENERIC),
        (Rank.IO, _IO),
    )
    for row in rows
)
"""Best rank first: the first that fits a line is its family."""

CHAIN = re.compile(
    r"load of migration failed: [^:]+: "
    r"|error while loading state for instance \S+ of\s?device '[^']*': "
    r"|(?:pre|post) load hook failed for: '?[^\s,']+'?, version_id: -?\d+, minimum[ _]version: -?\d+: "
    r"|Loading VM subsection '[^']*' in '[^']*' failed: -?\d+: "
    r"|Load state of device \S+ failed: "
    r"|Failed to load section ID: stream error: -?\d+: "
    r"|loadvm failed during postcopy: -?\d+: "
    r"|pre-save for \S+ failed: "
    r"|Postcopy RAM incoming init failed: "
)
"""What since 10.2 stands before the cause, in one line and the outermost first (older releases: lines of their own)."""

WARNING = re.compile(
    r"(?:^|[\s:(-])warning(?: \*\*)?:|^info:|^cap-\S+ lower level|^Machine type '[^']+' is deprecated", re.IGNORECASE
)
"""A warning or information; two of them have no mark in older releases."""

NOISE = re.compile(
    r"(?:"
    # hints and the second half of another message
    r"Make sure that your current VM setup|Please use \S+ instead|Automatically detecting the format is dangerous"
    r"|Specify the '\w+' format explicitly|[0-9a-f]+ != [0-9a-f]+$|Invalid value -?\d+ expecting positive value"
    r"|-?\d+$|\[\.\.\. \d+ bytes dropped|(?:saved VM setup, )?including any hotplugged devices"
    # how a process ended: its signal counts, not the shell's words for it
    r"|Bail out!|\*\*$|Aborted\b|Segmentation fault|Trace/breakpoint trap|Bus error|Illegal instruction\b|Killed\b"
    r"|terminating on signal|\S+: line \d+: +\d+ |\[\d+\][ +-]+\d*"
    # progress
    r"|Receiving block device images|Completed \d+ ?%|\d+ ?%|QEMU \d+\.\d+\.\d+ monitor|VNC server running"
    r"|QEMU waiting for connection|Formatting '|(?:dest_init|source_resolve_host) RDMA|Migration: \["
    # libvirt's log of a guest: its own lines, environment and command line
    r"|(?:starting up|shutting down|initiating migration)\b|libvirt version:|Domain (?:id=\d+ is tainted|pid=\d+)"
    r"|[A-Z][A-Z0-9_]*=\S* ?\\?$|(?:[A-Z][A-Z0-9_]*=\S* )+/|-[\w-]+ .*\\$|/\S+ \\$|[\w/.-]*qemu-\S+ -"
    # other libraries
    r"|ALSA lib|alsa: |oss: |audio: |pulseaudio: |main_channel_|inputs_|red(?:s)?_|display_channel|libEGL|Gtk-Message"
    # gdb, register dumps, memory maps
    r"|#\d+ |\[(?:New )?Thread |Thread \d|Program (?:terminated|received)|Core was generated|Using host libthread"
    r"|[ER][A-Z0-9]{2} ?=[0-9a-f]{8}|[A-Z]{2,3} ?=\s?[0-9a-f]{4}|==\d+==(?!ERROR)"
    # what was typed, and QMP that says nothing of an error
    r"|\$ |virsh #|starting QEMU: exec "
    r"|\{\"(?:QMP|return|timestamp|execute)\""
    r")|.*char device redirected to /dev/"
)
"""Lines that never explain anything."""
