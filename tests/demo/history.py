#!/usr/bin/env python3
"""Make the demo's upstream: real QEMU source, laid out as a git history with a bug planted in it.

The input is Debian's source package of QEMU 7.2, unpacked with no patch applied. It carries upstream's point releases
as patches. The first commit is Debian's tree as it would be two point releases ago; the later commits are the diffs of
those two releases cut into pieces that build, so most of what the bot meets is real. Four things are ours:

* a side branch and its merge, because history is not a line;
* documentation commits, if a future package has too few pieces;
* one commit that does not compile, where plain bisection asks first, and its repair right after it;
* one commit that brings back the bug this project was born from: default RAM of a machine started with ``-mem-path``
  is named by its canonical path again, so a migration from any released QEMU ends with ``Unknown ramblock "pc.ram"``.

VERSION never changes: every object file depends on it. The same package, firmware and script give the same commit ids.
Commits are made with git's plumbing on an index, and what they hold is not checked out anywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

AUTHOR = "Demo Author"
EMAIL = "demo@example.org"
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
STEP = timedelta(hours=7)
LEAST_COMMITS = 44
FORK_AFTER, MERGE_AFTER = 3, 10  # main commits before the side branch leaves, and before it comes back
CULPRIT_AFTER_BREAK = 8

# Debian's source has no firmware images (they are built from roms/). The machine types of x86_64 open these; they come
# from Debian's own packages, so that both sides of a migration see ROMs of the same size.
FIRMWARE: Mapping[str, tuple[str, ...]] = {
    "/usr/share/seabios": ("bios.bin", "bios-256k.bin", "bios-microvm.bin", "vgabios*.bin"),
    "/usr/share/qemu": (
        "kvmvapic.bin",
        "linuxboot.bin",
        "linuxboot_dma.bin",
        "multiboot.bin",
        "multiboot_dma.bin",
        "pvh.bin",
        "qboot.rom",
        "sgabios.bin",
    ),
    "/usr/lib/ipxe/qemu": ("efi-*.rom", "pxe-*.rom"),
}
FIRMWARE_PACKAGES = "seabios qemu-system-data ipxe-qemu"


@dataclass(frozen=True, slots=True)
class Rule:
    """How files of a point release are cut into commits."""

    pattern: str  # of paths; the first rule that matches decides
    name: str = ""  # files of one name become one commit; without a name each file is one
    hunks: bool = False  # each hunk becomes a commit: only where each builds without the next
    reaches: bool = True  # can change qemu-system-x86_64


REST = Rule("", name="code")
RULES = (
    Rule(r"VERSION$", name="never"),
    Rule(r"hw/usb/(hcd-ohci\.c|trace-events)$", name="hcd-ohci"),
    Rule(r"include/io/(net-listener|channel-websock)\.h$|io/trace-events$", name="headers and trace events"),
    Rule(r"(target/i386/tcg/sysemu/smm_helper|util/async)\.c$", hunks=True),
    Rule(r"(accel/tcg/tb-maint|hw/usb/(dev-network|hcd-uhci)|hw/intc/apic|hw/net/e1000e_core)\.c$"),
    Rule(r"(crypto/tlscredsx509|io/(channel-tls|channel-websock|net-listener)|net/net)\.c$"),
    Rule(r"target/i386/(cpu|helper|tcg/sysemu/(excp|seg)_helper)\.c$"),
    Rule(r"tests/tcg/", name="tests", reaches=False),
    Rule(r"(docs|python)/|block/curl\.c$", hunks=True, reaches=False),
    Rule(r"(tests|contrib|linux-user|bsd-user|pc-bios|ui/icons)/|\.git|MAINTAINERS$|README", reaches=False),
    Rule(r"hw/(display/xlnx|misc/npcm7xx|arm/|ppc/|s390x/|riscv/)|target/(?!i386/)", reaches=False),
    REST,
)

MACHINE_C = "hw/core/machine.c"
MACHINE_ANCHOR = """\
    /* Ensure backend's memory region name is equal to mc->default_ram_id */
    if (!object_property_set_bool(obj, "x-use-canonical-path-for-ramblock-id",
                             false, errp)) {
        goto out;
    }
"""
HUB_C = "net/hub.c"
HUB_ANCHOR = "    int id = hub->num_ports++;\n"
HUB_BROKEN = "    int id = hub->port_count++;\n"


class DemoError(Exception):
    """Something the user must mend: said in one line, without a traceback."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One commit to be: a subject and what it does to the index."""

    subject: str
    body: str
    apply: Callable[[Repository], None]
    paths: tuple[str, ...]
    reaches: bool  # whether it can change qemu-system-x86_64
    part: tuple[int, int] = (1, 1)


class Repository:
    """A bare repository and one index, reached through git's plumbing in an environment without the user's settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.devnull,
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(path),
            "GIT_INDEX_FILE": str(path / "demo.index"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": AUTHOR,
            "GIT_AUTHOR_EMAIL": EMAIL,
            "GIT_COMMITTER_NAME": AUTHOR,
            "GIT_COMMITTER_EMAIL": EMAIL,
        }
        self.git("init", "--quiet", "--bare", "--template=", "--initial-branch=master")
        settings = {
            "core.hooksPath": os.devnull,
            "core.autocrlf": "false",
            "core.fileMode": "true",
            "core.symlinks": "true",
            "core.compression": "1",
            "gc.auto": "0",
        }
        for name, value in settings.items():
            self.git("config", name, value)
        (path / "info").mkdir(exist_ok=True)
        # Nothing in the tree may have its bytes changed on the way in, whatever its own .gitattributes say.
        (path / "info/attributes").write_text("* -text !eol !filter !ident !working-tree-encoding\n")

    def git(
        self,
        *arguments: str,
        data: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> str:
        """Run git and return what it prints; what went wrong becomes a DemoError."""
        result = subprocess.run(
            ["git", *arguments],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            cwd=folder or self.path,
            env=self.environment | dict(environment or {}),
        )
        if result.returncode:
            error = result.stderr.decode(errors="replace").strip()
            raise DemoError(f"git {' '.join(arguments[:3])} ...: {error}")
        return result.stdout.decode(errors="surrogateescape")

    def add_folder(self, folder: Path) -> None:
        """Put a folder into the index, without what upstream has as submodules with sources of firmware."""
        names = (".", ":(exclude,glob)roms/*/**")
        self.git("add", "--all", "--force", "--", *names, environment={"GIT_WORK_TREE": str(folder)}, folder=folder)

    def apply_patch(self, patch: bytes) -> None:
        """Apply a patch to the index."""
        self.git("apply", "--cached", "--whitespace=nowarn", "-", data=patch)

    def put(self, path: str, content: bytes) -> None:
        """Put one file into the index."""
        blob = self.git("hash-object", "-w", "--stdin", data=content).strip()
        self.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace the one place where `old` stands; refuse if it is not there exactly once."""
        content = self.git("cat-file", "blob", f":{path}")
        if content.count(old) != 1:
            raise DemoError(f"{path}: the text to be edited stands there {content.count(old)} times, not once:\n{old}")
        self.put(path, content.replace(old, new).encode(errors="surrogateescape"))

    def tree(self) -> str:
        """Write the index as a tree and return its id."""
        return self.git("write-tree").strip()

    def commit(self, subject: str, body: str, *parents: str) -> str:
        """Make a commit of the index and return its id. Dates count up from a fixed one."""
        date = (START + self.count * STEP).isoformat()
        message_id = f"Message-Id: <demo-{self.count:02d}@example.org>"
        message = f"{subject}\n\n{body.strip()}\n\nSigned-off-by: {AUTHOR} <{EMAIL}>\n{message_id}\n"
        self.count += 1
        options = [word for parent in parents for word in ("-p", parent)]
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        return self.git("commit-tree", self.tree(), *options, data=message.encode(), environment=dates).strip()


def read_series(source: Path) -> tuple[list[Path], list[Path]]:
    """Read Debian's list of patches: those of the first commit in order, and the last two point releases."""
    folder = source / "debian/patches"
    series = folder / "series"
    if not series.is_file():
        raise DemoError(f"{source}: no debian/patches/series; is this Debian's source package of QEMU 7.2?")
    lines = (line.split("#")[0].strip() for line in series.read_text().splitlines())
    names = [line for line in lines if line]
    releases = [name for name in names if re.fullmatch(r"v\d+(\.\d+)+\.diff", name)]
    if len(releases) < 3:
        raise DemoError(f"{series}: {len(releases)} point releases, at least 3 are needed")
    return [folder / name for name in names if name not in releases[-2:]], [folder / name for name in releases[-2:]]


def apply_file(tree: Path, patch: Path) -> None:
    """Apply one patch file of the package to a tree, with the options that Debian's own tool uses.

    Not `git apply`: it refuses what the point releases say of binary files and submodules, which a build does without.
    """
    options = ["-t", "-F", "0", "-N", "-p1", "-u", "-V", "never", "-E", "-s", "--no-backup-if-mismatch"]
    command = ["patch", *options, "-i", str(patch)]
    result = subprocess.run(
        command, cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if result.returncode:
        raise DemoError(f"{patch.name} does not apply: {result.stdout.decode(errors='replace').strip()[-500:]}")


def firmware() -> dict[str, bytes]:
    """Read the firmware images, by their names in pc-bios."""
    images: dict[str, bytes] = {}
    for folder, patterns in FIRMWARE.items():
        for pattern in patterns:
            found = sorted(Path(folder).glob(pattern))
            if not found:
                raise DemoError(f"{folder}/{pattern}: not there; install the packages {FIRMWARE_PACKAGES}")
            images |= {path.name: path.read_bytes() for path in found}
    return images


def subsystem(path: str) -> str:
    """Name a file's part of QEMU as its commits do: one or two folders."""
    folders = Path(path).parent.parts
    deep = folders[:1] in {("hw",), ("target",), ("tests",)}
    return "/".join(folders[: 2 if deep else 1]) or Path(path).name


def file_piece(
    changes: Mapping[str, tuple[str, str]], paths: Sequence[str], name: str, release: str, reaches: bool
) -> Piece:
    """Make a piece that takes whole files from the newer tree."""

    def apply(repository: Repository) -> None:
        lines = [f"{changes[path][0]} {changes[path][1]}\t{path}\n" for path in paths]
        repository.git("update-index", "--index-info", data="".join(lines).encode())

    what = name or Path(paths[0]).name
    return Piece(
        f"{subsystem(paths[0])}: demo: update {what} to {release}",
        f"Part of upstream's {release}:\n" + "\n".join(f"  {path}" for path in paths),
        apply,
        tuple(paths),
        reaches,
    )


def hunk_pieces(repository: Repository, old: str, new: str, path: str, release: str, reaches: bool) -> list[Piece]:
    """Make one piece of every hunk of a file."""
    diff = repository.git(
        "diff", "--no-ext-diff", "--no-renames", "--diff-algorithm=myers", "-U3", old, new, "--", path
    )
    head, *hunks = re.split(r"(?m)^(?=@@ )", diff)
    total = len(hunks)

    def apply(hunk: str) -> Callable[[Repository], None]:
        return lambda repository: repository.apply_patch((head + hunk).encode(errors="surrogateescape"))

    return [
        Piece(
            f"{subsystem(path)}: demo: update {Path(path).name} to {release} ({number}/{total})",
            f"Part {number} of {total} of what upstream's {release} changes in\n{path}.",
            apply(hunk),
            (path,),
            reaches,
            (number, total),
        )
        for number, hunk in enumerate(hunks, 1)
    ]


def cut(repository: Repository, old: str, new: str, release: str) -> list[Piece]:
    """Cut what a point release changes into pieces, in the order in which they may be applied."""
    changes: dict[str, tuple[str, str]] = {}
    for line in repository.git("diff-tree", "-r", "--no-renames", old, new).splitlines():
        _, mode, _, blob, status, path = line[1:].split(None, 5)
        changes[path] = ("0", "0" * 40) if status == "D" else (mode, blob)
    rules = {path: next(rule for rule in RULES if re.match(rule.pattern, path)) for path in changes}
    if REST in rules.values():
        # Code that the rules do not know: all code is one commit then, which builds because the release does.
        rules = {path: REST if rule.reaches and rule.name != "never" else rule for path, rule in rules.items()}
    groups: dict[tuple[Rule, str], list[str]] = {}
    for path, rule in rules.items():
        if rule.name != "never":
            groups.setdefault((rule, rule.name or path), []).append(path)
    pieces: list[Piece] = []
    for (rule, _), paths in groups.items():
        made = hunk_pieces(repository, old, new, paths[0], release, rule.reaches) if rule.hunks else []
        made = made or [file_piece(changes, paths, rule.name, release, rule.reaches)]
        # What others may need comes first: headers.
        first = any(path.endswith((".h", "trace-events")) for path in paths)
        pieces = [*made, *pieces] if first else [*pieces, *made]
    return pieces


def interleave(left: Sequence[Piece], right: Sequence[Piece]) -> list[Piece]:
    """Mix two lists evenly, keeping the order of each: what reaches the binary is then spread over the history."""
    ranked = [((i + 0.5) / len(part), piece) for part in (left, right) for i, piece in enumerate(part)]
    return [piece for _, piece in sorted(ranked, key=lambda pair: pair[0])]


def take_side(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Choose the pieces of the side branch: a file cut in three or more, which no other piece touches; else notes."""
    for piece in pieces:
        side = [other for other in pieces if set(other.paths) & set(piece.paths)]
        if piece.reaches and len(side) >= 3 and piece.part[1] == len(side):
            return [other for other in pieces if other not in side], side
    return list(pieces), [padding(number) for number in (101, 102, 103)]


def planted() -> tuple[Piece, Piece, Piece]:
    """Make the three scripted commits: one that does not compile, its repair, and the one that brings the bug back."""
    broken = Piece(
        "net: demo: rename a counter of the hub",
        "Scripted: the struct is not changed with it, so this commit does not\ncompile. The next one mends it.",
        lambda repository: repository.edit(HUB_C, HUB_ANCHOR, HUB_BROKEN),
        (HUB_C,),
        True,
    )
    repair = replace(
        broken,
        subject="net: demo: take back the name of the counter",
        body="Scripted: compiles again.",
        apply=lambda repository: repository.edit(HUB_C, HUB_BROKEN, HUB_ANCHOR),
    )
    culprit = Piece(
        "hw/core: demo: name default RAM as its backend does",
        "Scripted: the backend that a machine makes for its default RAM keeps\n"
        "the canonical path as the name of its RAM block. This is the bug that\n"
        "the demo is to find.",
        lambda repository: repository.edit(MACHINE_C, MACHINE_ANCHOR, ""),
        (MACHINE_C,),
        True,
    )
    return broken, repair, culprit


def padding(number: int) -> Piece:
    """Make a commit of documentation only."""
    return Piece(
        f"docs: demo: note {number}",
        "Scripted: documentation only.",
        lambda repository: repository.put(f"docs/demo/note-{number}.rst", f"Demo note {number}\n".encode()),
        (f"docs/demo/note-{number}.rst",),
        False,
    )


def lay_out(pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Order all commits: what goes on master, and what on the side branch.

    The broken commit is put where plain bisection of root..tip asks first: at half of all commits, counted in order.
    That holds because the side branch is merged well before.
    """
    main, side = take_side(pieces)
    main = interleave([piece for piece in main if piece.reaches], [piece for piece in main if not piece.reaches])
    extra = len(side) + 1  # the side branch and its merge stand before the middle
    note = 0
    while len(main) + 3 + extra < LEAST_COMMITS or (len(main) + 3 + extra) % 2:
        note += 1
        main.insert(len(main) * note // (note + 1), padding(note))
    broken, repair, culprit = planted()
    middle = (len(main) + 3 + extra) // 2 - extra - 1
    main[middle:middle] = [broken, repair]
    main.insert(middle + CULPRIT_AFTER_BREAK, culprit)
    return main, side


def make(source: Path, images: Mapping[str, bytes], version: str, path: Path) -> dict[str, str]:
    """Make the repository at `path` and return the ids of its landmarks."""
    repository = Repository(path)
    first, releases = read_series(source)
    work = path / "work"
    shutil.copytree(source, work, symlinks=True, ignore=shutil.ignore_patterns("debian"))
    for patch in first:
        apply_file(work, patch)
    for name, content in images.items():
        (work / "pc-bios" / name).write_bytes(content)
    repository.add_folder(work)
    names = [patch.stem.removeprefix("v") for patch in releases]
    old_name = repository.git("cat-file", "blob", ":VERSION").strip()
    root_tree = repository.tree()
    root = repository.commit(
        f"demo: QEMU {old_name} as Debian has it",
        f"From Debian's source package of QEMU, version {version}, with its patches but\n"
        f"without those of {names[0]} and {names[1]}; without debian/ and the sources of\n"
        "firmware in roms/. Firmware images are those of Debian's packages.",
    )
    pieces: list[Piece] = []
    before = root_tree
    for patch, name in zip(releases, names, strict=True):
        apply_file(work, patch)
        repository.add_folder(work)
        after = repository.tree()
        pieces += cut(repository, before, after, name)
        before = after
    whole = before
    shutil.rmtree(work)
    main, side = lay_out(pieces)

    repository.git("read-tree", root_tree)
    ids: dict[str, str] = {}
    head, fork = root, ""

    def add(piece: Piece, parent: str) -> str:
        piece.apply(repository)
        ids[piece.subject] = made = repository.commit(piece.subject, piece.body, parent)
        return made

    merge = ""
    for number, piece in enumerate(main):
        if number == FORK_AFTER:
            fork = head
        if number == MERGE_AFTER:
            ours = repository.tree()
            repository.git("read-tree", fork)
            branch = fork
            for other in side:
                branch = add(other, branch)
            repository.git("read-tree", ours)
            for other in side:
                other.apply(repository)
            subject = "Merge branch 'demo-side' into master"
            merge = head = repository.commit(subject, f"demo: {len(side)} commits of a side branch.", head, branch)
        head = add(piece, head)

    # Whatever the order, all pieces together are the release, but for what was planted and VERSION.
    differ = set(repository.git("diff-tree", "-r", "--name-only", whole, repository.tree()).split())
    if strange := {name for name in differ if not name.startswith("docs/demo/")} - {"VERSION", MACHINE_C}:
        raise DemoError(f"the pieces do not add up: {', '.join(sorted(strange))}")

    repository.git("update-ref", "refs/heads/master", head)
    repository.git("repack", "-a", "-d", "-q", "--window=0")
    repository.git("prune", "--expire=now")
    (path / "demo.index").unlink()
    broken, repair, culprit = planted()
    return {
        "root": root,
        "tip": head,
        "merge": merge,
        "broken": ids[broken.subject],
        "repair": ids[repair.subject],
        "culprit": ids[culprit.subject],
        "subject": culprit.subject,
        "commits": str(repository.count - 1),
    }


def main() -> int:
    """Make the repository unless it is there already, made by this script from this input."""
    parser = argparse.ArgumentParser(
        description="Make the demo's upstream repository from Debian's source of QEMU 7.2."
    )
    parser.add_argument("source", type=Path, help="the unpacked source package, no patch applied (has debian/patches)")
    parser.add_argument("out", type=Path, help="folder to make upstream.git and planted in")
    options = parser.parse_args()
    os.umask(0o022)
    try:
        source, out = options.source.resolve(), options.out.resolve()
        images = firmware()
        changelog = (source / "debian/changelog").read_text(errors="replace")
        version = changelog[changelog.index("(") + 1 : changelog.index(")")]
        key = hashlib.sha256(Path(__file__).read_bytes() + version.encode())
        for name in sorted(images):
            key.update(name.encode() + hashlib.sha256(images[name]).digest())
        repository, note = out / "upstream.git", out / "planted"
        if repository.is_dir() and note.is_file() and json.loads(note.read_text()).get("key") == key.hexdigest():
            return 0
        note.unlink(missing_ok=True)
        part = out / "upstream.git.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(repository, ignore_errors=True)
        part.mkdir(parents=True)
        facts = make(source, images, version, part)
        part.rename(repository)
        temporary = out / "planted.part"
        temporary.write_text(json.dumps({"key": key.hexdigest(), "source": version, **facts}, indent=2) + "\n")
        temporary.rename(note)
    except (DemoError, OSError, ValueError) as error:
        print(f"history: {error}", file=sys.stderr)
        return 1
    print(f"history: {facts['commits']} commits after {facts['root'][:12]}, from Debian's QEMU {version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
