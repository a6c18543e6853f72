"""A history that builds in a second, into real QEMU: the installed binary behind a compiled wrapper.

Each commit's wrapper puts arguments of its own after the caller's and executes Debian's QEMU. So a commit can be made
to refuse the stream of another, to abort at start, to hang or to be broken in any way that QEMU has, without an hour of
compiling; git, builder, smoke, search, store and report all run as they do on QEMU's own history. What a QEMU says of
itself (with -M none) is Debian's answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.build.project import FILES, Project

QEMU = Path("/usr/bin/qemu-system-x86_64")

_MAIN = """\
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "names.h"
extern const char *added[];
int main(int argc, char **argv)
{
    char *full[256];
    int n = 0, quiet = 0;
    full[n++] = "%s";
    for (int i = 1; i < argc; i++) {
        quiet |= !strcmp(argv[i], "-version") || !strcmp(argv[i], "--version");
        quiet |= !strcmp(argv[i - 1], "-M") && !strcmp(argv[i], "none");
        full[n++] = argv[i];
    }
    for (int i = 0, on = 1; !quiet && added[i]; i++) {
        if (!strcmp(added[i], "ONLY")) {
            i++;
            on = 0;
            for (int j = 1; j < argc; j++)
                on |= strstr(argv[j], added[i]) != NULL;
        } else if (!strcmp(added[i], "ONCE")) {
            on = open(added[++i], O_CREAT | O_EXCL, 0600) >= 0;
        } else if (on && !strcmp(added[i], "ABORT")) {
            abort();
        } else if (on && !strcmp(added[i], "HANG")) {
            for (;;)
                pause();
        } else if (on) {
            full[n++] = (char *)added[i];
        }
    }
    full[n] = NULL;
    execv(full[0], full);
    perror(full[0]);
    return 1;
}
"""

GOOD: tuple[str, ...] = ()
SMALLER = ("-m", "64M")
"""RAM of another size than the other side's: `Size mismatch: pc.ram`."""
ABORTS = ("ABORT",)


def once(mark: Path, *arguments: str) -> tuple[str, ...]:
    """Arguments that the first process alone has that finds no file `mark`."""
    return ("ONCE", str(mark), *arguments)


HANGS = ("HANG",)
NO_START = ("-device", "no-such-device")


def only(machine: str, added: Sequence[str]) -> tuple[str, ...]:
    """Arguments of a command line that names this machine type alone; others of the same commit may follow."""
    return ("ONLY", machine, *added)


def dev_c(added: Sequence[str], remark: str = "") -> str:
    """The file that holds a commit's arguments."""
    words = "".join(f'"{word}", ' for word in added)
    apart = "/* far enough from the rest that a revert of one applies over the other */\n" * 8
    return f"/* {remark} */\n{apart}const char *added[] = {{ {words}0 }};\n"


def main_c(qemu: Path) -> str:
    """The file that says which QEMU is behind the wrapper."""
    return _MAIN.replace("%s", str(qemu))


BROKEN = "int does not compile\n"


def history(path: Path, *commits: Sequence[str] | str, first: Sequence[str] = GOOD) -> tuple[Project, list[str]]:
    """A repository with a first commit, release 7.2.0, and one for each of `commits`.

    A commit is arguments, or the text of a file that breaks the build.
    """
    files: dict[str, str | bytes | None] = {k: v for k, v in FILES.items() if not k.startswith("pc-bios/")}
    files |= {"main.c": main_c(QEMU), "dev.c": dev_c(first, "first"), "VERSION": "7.2.0\n"}
    project = Project(path, files)
    shas = [project.first]
    for number, commit in enumerate(commits, 1):
        text = commit if isinstance(commit, str) else dev_c(commit, f"commit {number}")
        shas.append(project.commit({"dev.c": text}, f"hw/core: change number {number}"))
    return project, shas


CONFIG = """\
upstream: {{url: {url}}}
watch:
  branches: [{{name: master}}]
  stable: 0
  releases: 0
  pushes: 1
  nightly: null
targets: [x86_64-softmmu]
baselines: [{{name: debian, path: {qemu}}}]
each_tip:
  profiles: [bare]
  directions: [same, forward]
  methods: {{ping-pong: [], exec: []}}
smoke:
  deadline: 8s
  reproducer_wait: 3s  # what fails here does so in a tenth of it; tests/smoke/test_reproducer.py keeps the real value
  exclude: ["[!p]*", 'pc-i440fx-[1-6]*', 'pc-q35-*']
build:
  recipes:
    - name: fast
      configure: ["--target-list={{target}}"]
      build: [ninja, "qemu-system-{{arch}}"]
  free_space: 0
  timeout: 60s
report:
  sender: Bot <bot@example.org>
  lists: [list@example.org]
  out: {out}
"""


def config(project: Project, place: Path) -> Path:
    """A configuration for the history, written into place; its reports go to place/out."""
    path = place / "config.yaml"
    path.write_text(CONFIG.format(url=project.path, qemu=QEMU, out=place / "out"))
    return path
