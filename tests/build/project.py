"""A real repository of a project in the shape of QEMU (./configure, ninja or make, pc-bios) that builds in a second."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.build.builder import Builder
from bot.host import process
from bot.host.git import Repository
from bot.model import BuildSettings, Limits, Recipe, Sandbox, Sha
from bot.progress import Progress

TARGET = "x86_64-softmmu"
BOX = Sandbox(Limits(reserve=0))

# Refuses what it does not know as QEMU's does; writes build.ninja and a Makefile; counts its runs in configured.log.
CONFIGURE = """\
#!/bin/sh
src=$(cd "$(dirname "$0")" && pwd)
for opt do
  case "$opt" in
  --target-list=*|--disable-werror|--enable-fdt) ;;
  *) echo "ERROR: unknown option $opt"; echo "Try '$0 --help' for more information"; exit 1 ;;
  esac
done
echo "$@" >> configured.log
. "$src/extra.sh"
cat > build.ninja <<EOF
rule cc
  command = gcc -I. -MD -MF \\$out.d -c -o \\$out \\$in
  depfile = \\$out.d
  deps = gcc
rule gen
  command = sh $src/gen.sh $src/names.txt \\$out
rule link
  command = gcc -o \\$out \\$in
build names.h: gen $src/names.txt | $src/gen.sh
build main.o: cc $src/main.c || names.h
build dev.o: cc $src/dev.c || names.h
build qemu-system-x86_64: link main.o dev.o
EOF
cat > Makefile <<EOF
all: qemu-system-x86_64
names.h: $src/names.txt $src/gen.sh
\t@echo "  GEN     names.h"
\t@sh $src/gen.sh $src/names.txt \\$@
%.o: $src/%.c names.h
\t@echo "  CC      \\$@"
\t@gcc -I. -MD -c -o \\$@ \\$<
qemu-system-x86_64: main.o dev.o
\t@echo "  LINK    \\$@"
\t@gcc -o \\$@ \\$^
-include main.d dev.d
EOF
"""

GENERATOR = 'sed "s/^/#define NAME_/" "$1" > "$2"\n'

MAIN = """\
#include <stdio.h>
#include "names.h"
int dev(void);
int main(void) { printf("QEMU emulator version %d.%d\\n", NAME_MAJOR 1, dev()); return 0; }
"""

FILES: Mapping[str, str | bytes | None] = {
    "configure": CONFIGURE,
    "extra.sh": ":\n",
    "gen.sh": GENERATOR,
    "names.txt": "MAJOR 7 *\n",
    "main.c": MAIN,
    "dev.c": "int dev(void) { return 2; }\n",
    "pc-bios/bios-256k.bin": b"\x55\xaa" * 8192,
    "pc-bios/edk2-x86_64-code.fd.bz2": b"compressed",
    "pc-bios/README": "what these are\n",
    "pc-bios/keymaps/en-us": "keys\n",
}

NINJA = Recipe(
    "ninja",
    has=("configure",),
    lacks=("old-style",),
    configure=("--target-list={target}", "--disable-werror", "--enable-fdt=system", "--disable-bluez"),
)
MAKE = Recipe("make", has=("old-style",), configure=NINJA.configure, build=("make", "all"))


@dataclass
class Watcher:
    """A `Progress` that remembers."""

    said: list[str] = field(default_factory=list)
    worked: list[tuple[str, int, int]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def work(self, what: str, done: int = 0, total: int = 0) -> None:
        self.worked.append((what, done, total))

    def aside(self) -> Watcher:
        return self


class Project:
    """A git repository; each commit is the last one's files with changes on top."""

    def __init__(self, path: Path, files: Mapping[str, str | bytes | None] = FILES) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=master")
        self.first = self.commit(files)

    def git(self, *args: str) -> str:
        who = {
            f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "T"), ("EMAIL", "t@example.org"))
        }
        env = {"PATH": os.environ["PATH"], "HOME": str(self.path), "GIT_CONFIG_NOSYSTEM": "1", **who}
        done = subprocess.run(["git", *args], cwd=self.path, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes | None], subject: str = "") -> Sha:
        """Write files (None: remove) and commit; the id."""
        for name, content in files.items():
            path = self.path / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            path.chmod(0o755 if name == "configure" else 0o644)
        self.git("add", "--all", "--", *files)
        self.git("commit", "--quiet", "--allow-empty", "-m", subject or " ".join(files))
        return self.git("rev-parse", "HEAD")

    def submodule(self, path: str, commit: Sha, url: str | None) -> Sha:
        """Pin another repository's commit at path, with a .gitmodules if there is a url; the id."""
        if url is not None:
            (self.path / ".gitmodules").write_text(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
            self.git("add", ".gitmodules")
        self.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        self.git("commit", "--quiet", "-m", f"pin {path}")
        return self.git("rev-parse", "HEAD")

    @property
    def repository(self) -> Repository:
        return Repository(self.path)

    def builder(self, work: Path, progress: Progress | None = None, **settings: object) -> Builder:
        values: dict[str, object] = {
            "recipes": (MAKE, NINJA),
            "free_space": 0,
            "jobs": 1,
            "timeout": 60.0,
            "sandbox": BOX,
            **settings,
        }
        run = values.pop("run", process.run)
        return Builder(
            self.repository,
            BuildSettings(**values),  # type: ignore[arg-type] # fields by name
            work,
            progress or Watcher(),
            run=run,  # type: ignore[arg-type] # whatever the test injects
        )
