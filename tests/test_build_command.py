"""`bot build` as a person and a script meet it: real processes on real git histories that build in a second."""

from __future__ import annotations

import hashlib
import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.build.project import CONFIGURE, FILES, Project
from tests.test_cli import Place, interrupted, wait_gone

CONFIG = """\
upstream: {{url: {url}}}
targets: [x86_64]
build:
  recipes:
    - name: make
      has: [old-style]
      configure: ["--target-list={{target}}", --disable-bluez, --enable-fdt=system]
      build: [make, all]
    - name: ninja
      has: [configure]
      configure: ["--target-list={{target}}", --disable-bluez]
      build: [ninja, "qemu-system-{{arch}}"]
  eras: [{eras}]
  free_space: 0
  timeout: 60s
"""
BROKEN = "int dev(void) { return no_such_thing; }\n"
TWO = CONFIGURE.replace(
    "build qemu-system-x86_64: link main.o dev.o\n",
    "build qemu-system-x86_64: link main.o dev.o\nbuild qemu-system-ppc64: link main.o dev.o\n",
)
HANGS = TWO + "sleep 1000\n"


def dev_c(number: int) -> str:
    return f"int dev(void) {{ return {number}; }}\n"


def place(path: Path, *commits: dict[str, str | bytes | None], eras: str = "newest") -> Place:
    """A directory with a history whose first commit builds, its configuration and a work directory."""
    project = Project(path / "qemu", {**FILES, "configure": TWO, "VERSION": "2.12.0\n"})
    shas = [project.first, *(project.commit(files, f"change {n}") for n, files in enumerate(commits, 1))]
    (path / "config.yaml").write_text(CONFIG.format(url=project.path, eras=eras))
    return Place(path, project, shas)


def command(printed: str) -> list[str]:
    """The part of a printed line that starts QEMU."""
    return shlex.split(printed.partition("  ")[0])


def version(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def rows(stdout: str) -> list[list[str]]:
    """Cells of a table's rows, its head left out; the last one is the result, which may hold blanks."""
    return [line.split(maxsplit=9) for line in stdout.replace(" MiB", "MiB").splitlines()[1:]]


# -- revisions -----------------------------------------------------------------------------------------------------


def test_a_binary_is_where_the_line_says_and_the_second_time_it_is_cached(tmp_path: Path) -> None:
    here = place(tmp_path, {"dev.c": dev_c(7)})
    done = here.run("build", "master", code=0)
    (line,) = done.stdout.splitlines()
    binary, option, firmware = command(line)
    assert option == "-L" and (Path(firmware) / "bios-256k.bin").read_bytes() == FILES["pc-bios/bios-256k.bin"]
    assert version([binary]) == "QEMU emulator version 7.7"
    digest = hashlib.sha256(Path(binary).read_bytes()).hexdigest()
    assert f"  master {here.shas[1][:12]} x86_64-softmmu  sha256 {digest[:12]}  full " in line
    assert line.endswith(" 4 steps")
    assert f"building {here.shas[1][:12]}" in done.stderr
    again = here.run("build", "master", code=0)
    assert command(again.stdout) == command(line)
    assert again.stdout.endswith("  cached 0 s 0 steps\n")
    assert "building" not in again.stderr
    status = here.run("status", code=0).stdout
    assert "builds, full: 1" in status


def test_several_revisions_for_several_targets(tmp_path: Path) -> None:
    here = place(tmp_path, {"dev.c": dev_c(7)})
    done = here.run("build", "v2.12.0", "master", "--target", "x86_64", "--target", "ppc64-softmmu", code=0)
    lines = done.stdout.splitlines()
    first, last = here.shas[0][:12], here.shas[1][:12]
    assert [line.split("  ")[1] for line in lines] == [
        f"v2.12.0 {first} x86_64-softmmu", f"v2.12.0 {first} ppc64-softmmu",
        f"master {last} x86_64-softmmu", f"master {last} ppc64-softmmu",
    ]  # fmt: skip
    assert [line.split("  ")[3].split()[0] for line in lines] == ["full", "full", "incremental", "incremental"]
    assert [version(command(line)[:1])[-1] for line in lines] == ["2", "2", "7", "7"]
    assert [Path(command(line)[0]).name for line in lines] == ["qemu-system-x86_64", "qemu-system-ppc64"] * 2


def test_a_commit_that_does_not_build_does_not_stop_the_others(tmp_path: Path) -> None:
    here = place(tmp_path, {"dev.c": BROKEN}, {"dev.c": dev_c(3)})
    done = here.run("build", "master~1", "master", code=1)
    (line,) = done.stdout.splitlines()
    assert f"master {here.shas[2][:12]}" in line
    said = done.stderr.splitlines()
    at = next(i for i, text in enumerate(said) if text.startswith("dev.c:1:24: error: 'no_such_thing' undeclared"))
    what, _, log = said[at + 1].partition("; log: ")
    assert what == f"  master~1 {here.shas[1][:12]} x86_64-softmmu: does not build"
    assert "no_such_thing" in Path(log).read_text()
    again = here.run("build", "master~1", code=1)
    assert not again.stdout
    assert "building" not in again.stderr and f"log: {log}" in again.stderr


def test_facts_as_json(tmp_path: Path) -> None:
    here = place(tmp_path, {"dev.c": BROKEN})
    done = here.run("build", "v2.12.0", "master", "--json", code=1)
    answer = json.loads(done.stdout)
    assert answer["schema"] == 1
    built, failed = answer["builds"]
    assert version([built["binary"]]) == "QEMU emulator version 7.2"
    assert (built["name"], built["commit"], built["target"]) == ("v2.12.0", here.shas[0], "x86_64-softmmu")
    assert (built["answer"], built["kind"], built["steps"], built["recipe"]) == ("built", "full", 4, "ninja")
    assert built["sha256"] == hashlib.sha256(Path(built["binary"]).read_bytes()).hexdigest()
    assert built["size"] == Path(built["binary"]).stat().st_size
    assert built["dropped"] == ["--disable-bluez"]
    assert Path(built["firmware"], "bios-256k.bin").exists() and built["error"] is None
    assert (failed["answer"], failed["binary"], failed["dropped"]) == ("does not build", None, None)
    assert "no_such_thing" in failed["error"] and "no_such_thing" in Path(failed["log"]).read_text()
    cached = json.loads(here.run("build", "v2.12.0", "--json", code=0).stdout)["builds"][0]
    assert cached == {**built, "kind": "cached", "seconds": 0.0, "steps": 0}


WRONG = {
    "nothing": ([], "REV is missing"),
    "revisions and eras": (["--check-eras", "master"], "leave REV out"),
    "unknown revision beside a good one": (["master", "v99.9"], "'v99.9': no such revision"),
    "unknown revision that looks like an option": (["master", "--", "--output=x"], "no such revision"),
    "target that is none": (["master", "--target", "x86_64", "--target", "x86/64"], "give a system emulator of QEMU"),
    "no recipe fits": (["--set", "build.recipes=[{name: a, has: [nothing]}]", "build", "master"], "no recipe fits"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One commit, of which nothing is ever built."""
    return place(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_words_are_told_before_anything_is_built(plain: Place, name: str) -> None:
    args, says = WRONG[name]
    done = plain.run(*(args if "build" in args else ["build", *args]), code=129)
    assert says in done.stderr
    assert not done.stdout and "building" not in done.stderr


def test_what_the_machine_does_is_no_answer(tmp_path: Path) -> None:
    here = place(tmp_path, {"configure": HANGS})
    done = here.run("--set", "build.timeout=3s", "build", "v2.12.0", "master", code=131)
    assert len(done.stdout.splitlines()) == 1
    assert "not done after 3 s" in done.stderr
    assert "full" in here.run("build", "v2.12.0", "--target", "ppc64", code=0).stdout


def test_a_build_is_stopped(tmp_path: Path) -> None:
    here = place(tmp_path, {"configure": HANGS})
    assert interrupted(here, "configuring", signal.SIGINT, "build", "master") == 130
    wait_gone(tmp_path)


def test_what_was_printed_stays_until_later_builds_need_its_room(tmp_path: Path) -> None:
    """All paths of one command are there together, whatever the limit; the command itself brings back what went."""
    here = place(tmp_path, {"dev.c": dev_c(7)}, {"dev.c": dev_c(8)})
    small = ("--set", "build.cache_size=1", "--set", "build.unpacked_size=1", "build")
    lines = here.run(*small, "master~2", "master~1", code=0).stdout.splitlines()
    assert [version(command(line)[:1])[-1] for line in lines] == ["2", "7"]
    here.run(*small, "master", code=0)
    assert not any(Path(command(line)[0]).exists() for line in lines)
    again = here.run(*small, "master~2", code=0).stdout
    assert command(again) == command(lines[0]) and version(command(again)[:1])[-1] == "2"


# -- eras ----------------------------------------------------------------------------------------------------------


def test_a_commit_of_each_era(tmp_path: Path) -> None:
    """By VERSION where there is no tag; neighbours of one recipe and target come together."""
    here = place(
        tmp_path,
        {"VERSION": "2.12.50\n", "dev.c": dev_c(3)},
        {"VERSION": "3.1.0\n", "old-style": "", "dev.c": dev_c(4)},
        {"VERSION": "4.2.0\n", "old-style": None, "dev.c": dev_c(5)},
        {"VERSION": "4.2.50\n", "old-style": "", "dev.c": dev_c(6)},
        eras="2.12.0, 3.1.0, 4.2.0, newest",
    )
    done = here.run("build", "--check-eras", code=0)
    assert done.stdout.split("\n")[0].split() == [
        "release", "commit", "recipe", "target", "kind", "dropped", "steps", "seconds", "size", "result",
    ]  # fmt: skip
    found = rows(done.stdout)
    names = {"2.12.0": 0, "4.2.0": 3, "3.1.0": 2, "newest": 4}
    assert [row[:2] for row in found] == [[name, here.shas[at][:12]] for name, at in names.items()]
    assert [row[2] for row in found] == ["ninja", "ninja", "make", "make"]
    assert [row[4] for row in found] == ["full", "incremental", "full", "incremental"]
    assert [row[5] for row in found] == ["1", "-", "2", "-"]  # configure runs in a used directory only if it has to
    assert [row[6] for row in found] == ["4", "2", "4", "2"]
    assert {row[9] for row in found} == {"built"}
    again = rows(here.run("build", "--check-eras", code=0).stdout)
    assert {row[4] for row in again} == {"cached"}
    facts = json.loads(here.run("build", "--check-eras", "--json", code=0).stdout)["builds"]
    assert [version([fact["binary"]])[-1] for fact in facts] == ["2", "5", "4", "6"]


def test_a_tag_says_what_a_release_is(tmp_path: Path) -> None:
    here = place(tmp_path, {"dev.c": dev_c(3)}, {"dev.c": dev_c(4)}, eras="2.12.0, newest")
    here.project.git("tag", "-a", "-m", "v2.12.0", "v2.12.0", here.shas[1])
    done = here.run("build", "--check-eras", "--target", "x86_64", "--target", "ppc64", code=0)
    assert [row[:2] + row[3:4] for row in rows(done.stdout)] == [
        ["2.12.0", here.shas[1][:12], "x86_64-softmmu"],
        ["newest", here.shas[2][:12], "x86_64-softmmu"],
        ["2.12.0", here.shas[1][:12], "ppc64-softmmu"],
        ["newest", here.shas[2][:12], "ppc64-softmmu"],
    ]


def test_an_era_that_is_not_there_and_one_that_does_not_build_are_rows(tmp_path: Path) -> None:
    here = place(
        tmp_path,
        {"VERSION": "3.1.0\n", "dev.c": BROKEN},
        {"VERSION": "4.2.0\n", "dev.c": dev_c(5)},
        eras="2.12.0, 3.1.0, 4.2.0, 9.9.9",
    )
    done = here.run("build", "--check-eras", code=1)
    found = {row[0]: row for row in rows(done.stdout)}
    assert list(found) == ["9.9.9", "2.12.0", "3.1.0", "4.2.0"]
    assert found["9.9.9"][1:] == ["-"] * 8 + ["not in this clone"]
    assert found["3.1.0"][9].startswith("does not build: dev.c:1:24: error: 'no_such_thing' undeclared")
    assert found["2.12.0"][9] == found["4.2.0"][9] == "built"
    log = Path(done.stderr.partition("3.1.0 x86_64-softmmu: log: ")[2].splitlines()[0])
    assert "no_such_thing" in log.read_text()
    assert here.run("--set", "build.eras=[9.9.9, 4.2.0]", "build", "--check-eras", code=1).stdout
    assert here.run("--set", "build.eras=[4.2.0]", "build", "--check-eras", code=0).stdout


def test_trouble_in_one_row_is_told_there_and_the_others_go_on(tmp_path: Path) -> None:
    here = place(
        tmp_path,
        {"VERSION": "3.1.0\n", "configure": HANGS},
        {"VERSION": "4.2.0\n", "configure": TWO},
        {"VERSION": "5.0.0\n", "dev.c": BROKEN},
        eras="2.12.0, 3.1.0, 4.2.0, 5.0.0",
    )
    slow = ("--set", "build.timeout=3s", "build", "--check-eras")
    done = here.run(*slow, code=131)
    results = {row[0]: row[9] for row in rows(done.stdout)}
    assert results["3.1.0"].startswith("no answer: configuring ") and "not done after 3 s" in results["3.1.0"]
    assert results["2.12.0"] == results["4.2.0"] == "built" and results["5.0.0"].startswith("does not build: ")
    facts = json.loads(here.run(*slow, "--json", code=131).stdout)["builds"]
    assert [fact["answer"] for fact in facts] == ["built", "no answer", "built", "does not build"]
    wait_gone(tmp_path)


def test_an_era_without_a_recipe_is_a_row_too(tmp_path: Path) -> None:
    here = place(tmp_path, {"VERSION": "3.1.0\n", "old-style": ""}, eras="2.12.0, 3.1.0")
    only_make = "build.recipes=[{name: make, has: [old-style], configure: ['--target-list={target}'], build: [make]}]"
    done = here.run("--set", only_make, "build", "--check-eras", code=129)
    assert {row[0]: row[9].split(":")[0] for row in rows(done.stdout)} == {
        "2.12.0": "cannot be built here",
        "3.1.0": "built",
    }
