"""Commits that change nothing of what a build has read have its binary; all others are built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.errors import InfraError
from bot.host import process
from bot.host.process import Completed
from bot.model import BuildKind, BuildStatus
from tests.build.project import TARGET, Project
from tests.build.test_builder import STYLES, says, styled

OTHERS: Mapping[str, str | bytes] = {"other.c": "int x;\n", "docs/a.rst": "words\n", "tests/t.c": "", "hw/unread.h": ""}


@STYLES
def test_what_no_build_reads_needs_no_build(project: Project, work: Path, style: str) -> None:
    styled(project, style)
    first = project.commit(OTHERS)
    builder = project.builder(work)
    built = builder.build(first, TARGET)
    unread = project.commit({"other.c": "no C\n", "hw/unread.h": "#error\n", "docs/new.rst": "", "tests/t.c": None})
    shared = builder.build(unread, TARGET)
    assert (shared.kind, shared.same_as, shared.status) == (BuildKind.SHARED, first, BuildStatus.BUILT)
    assert (shared.commit, shared.steps, shared.seconds) == (unread, 0, 0.0)
    assert shared.binary is not None and built.binary is not None
    assert shared.binary.sha256 == built.binary.sha256
    assert says(shared) == says(built)
    again = project.builder(work).build(unread, TARGET)  # after a restart
    assert (again.kind, again.same_as, again.binary) == (BuildKind.CACHED, first, shared.binary)
    third = project.commit({"docs/a.rst": "other words\n"})
    assert builder.build(third, TARGET).same_as == first  # what was built, not what shares it


@pytest.mark.parametrize(
    "changes",
    [
        {"dev.c": "int dev(void) { return 3; }\n"},
        {"gen.sh": 'sed "s/^/#define NAME_/" "$1" > "$2" #\n'},  # no compiler records a generator
        {"names.txt": "MAJOR 7 *1*\n"},
        {"extra.sh": ": #\n"},  # what configure reads
        {"pc-bios/bios-256k.bin": b"\xaa"},  # what QEMU reads
        {"pc-bios/keymaps/en-us": "other keys\n"},
        {"hw/new.h": ""},  # it may hide another
        {"other.c": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_all_else_is_built(project: Project, work: Path, changes: Mapping[str, str | bytes | None]) -> None:
    first = project.commit(OTHERS)
    builder = project.builder(work)
    builder.build(first, TARGET)
    assert builder.build(project.commit(changes), TARGET).kind in (BuildKind.FULL, BuildKind.INCREMENTAL)


def test_a_mode_a_link_and_a_submodule_are_built(project: Project, work: Path) -> None:
    first = project.commit(OTHERS)
    builder = project.builder(work)
    builder.build(first, TARGET)
    (project.path / "other.c").chmod(0o755)
    project.git("commit", "--quiet", "--all", "-m", "mode")
    assert builder.build(project.git("rev-parse", "HEAD"), TARGET).kind is BuildKind.INCREMENTAL
    (project.path / "other.c").unlink()
    (project.path / "other.c").symlink_to("dev.c")
    project.git("commit", "--quiet", "--all", "-m", "link")
    assert builder.build(project.git("rev-parse", "HEAD"), TARGET).kind is BuildKind.INCREMENTAL
    project.submodule("roms/x", first, "https://example.org/x.git")
    assert builder.build(project.git("rev-parse", "HEAD"), TARGET).kind is BuildKind.INCREMENTAL


def test_what_an_earlier_commit_read_in_the_directory_counts(project: Project, work: Path) -> None:
    """A file that was read before, and not again, may be in what is reused."""
    builder = project.builder(work)
    builder.build(project.commit(OTHERS), TARGET)
    builder.build(project.commit({"dev.c": "int dev(void) { return 4; }\n"}), TARGET)  # generates nothing
    changed = project.commit({"gen.sh": 'sed "s/^/#define NAME_/" "$1" > "$2" #\n'})
    assert builder.build(changed, TARGET).kind is BuildKind.INCREMENTAL


def test_what_was_stopped_in_between_counts(project: Project, work: Path) -> None:
    """Files that an ended build had read are in the directory that the next one goes on with."""
    stopping = {"on": False}

    def run(argv: list[str], **keywords: object) -> Completed:
        done = process.run(argv, **keywords)  # type: ignore[arg-type] # handed through
        if stopping["on"] and argv[0].endswith("ninja"):
            raise InfraError("the machine failed")
        return done

    builder = project.builder(work, run=run)
    builder.build(project.commit(OTHERS), TARGET)
    stopping["on"] = True
    with pytest.raises(InfraError):
        builder.build(project.commit({"dev.c": '#include "hw/unread.h"\nint dev(void) { return 4; }\n'}), TARGET)
    stopping["on"] = False
    builder.build(project.commit({"dev.c": "int dev(void) { return 5; }\n"}), TARGET)
    # the directory was started anew, and with it what is known of it
    assert builder.build(project.commit({"hw/unread.h": "#define X\n"}), TARGET).kind is BuildKind.SHARED


def test_none_is_shared_where_it_is_not_known_what_was_read(
    project: Project, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = project.commit(OTHERS)
    builder = project.builder(work)
    with monkeypatch.context() as patch:
        patch.setattr("bot.host.reads.INotify", lambda: (_ for _ in ()).throw(OSError(24, "too many open files")))
        builder.build(first, TARGET)
    assert builder.build(project.commit({"other.c": "int y;\n"}), TARGET).kind is BuildKind.INCREMENTAL
    assert builder.build(project.commit({"other.c": "int z;\n"}), TARGET).kind is BuildKind.INCREMENTAL


def test_a_commit_that_does_not_build_is_no_answer_for_another(project: Project, work: Path) -> None:
    builder = project.builder(work)
    broken = project.commit({**OTHERS, "dev.c": "no C\n"})
    assert builder.build(broken, TARGET).status is BuildStatus.FAILED
    assert builder.build(project.commit({"other.c": "int y;\n"}), TARGET).same_as is None


def test_it_can_be_switched_off(project: Project, work: Path) -> None:
    builder = project.builder(work, share=False)
    builder.build(project.commit(OTHERS), TARGET)
    assert builder.build(project.commit({"other.c": "int y;\n"}), TARGET).kind is BuildKind.INCREMENTAL


def test_a_build_of_its_own_replaces_the_shared_one(project: Project, work: Path) -> None:
    """A confirmation does not rest on what was not built."""
    builder = project.builder(work)
    builder.build(project.commit(OTHERS), TARGET)
    commit = project.commit({"other.c": "int y;\n"})
    shared = builder.build(commit, TARGET)
    own = builder.build(commit, TARGET, own=True)
    assert (shared.kind, own.kind, own.same_as) == (BuildKind.SHARED, BuildKind.INCREMENTAL, None)
    assert own.binary == shared.binary
    again = project.builder(work).build(commit, TARGET, own=True)
    assert (again.kind, again.same_as) == (BuildKind.CACHED, None)


def test_a_wrong_claim_is_found_before_anybody_is_named(
    project: Project, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it ever to be claimed wrongly, the build that a confirmation makes shows it."""
    builder = project.builder(work)
    builder.build(project.commit(OTHERS), TARGET)
    commit = project.commit({"dev.c": "int dev(void) { return 9; }\n"})
    with monkeypatch.context() as patch:
        patch.setattr("bot.build.sharing.same_binary", lambda changes, read: True)
        assert builder.build(commit, TARGET).kind is BuildKind.SHARED
    with pytest.raises(InfraError, match=r"another binary .* build\.share"):
        builder.build(commit, TARGET, own=True)
    assert says(builder.build(commit, TARGET)) == "QEMU emulator version 7.9"


def test_hosts_that_share_their_artifacts_share_them_between_commits(project: Project, tmp_path: Path) -> None:
    first = project.commit(OTHERS)
    cache = tmp_path / "nfs"
    project.builder(tmp_path / "one", cache=cache).build(first, TARGET)
    other = project.builder(tmp_path / "two", cache=cache)
    assert other.build(first, TARGET).kind is BuildKind.CACHED
    assert other.build(project.commit({"other.c": "int y;\n"}), TARGET).same_as == first
    assert not list((tmp_path / "two/trees").iterdir())  # nothing was built there


def test_a_commit_of_another_clone_is_passed_over(project: Project, work: Path, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path / "elsewhere")
    cache = tmp_path / "nfs"
    theirs = elsewhere.commit({**OTHERS, "docs/a.rst": "a commit that the other clone has not\n"})
    elsewhere.builder(tmp_path / "one", cache=cache).build(theirs, TARGET)
    assert project.builder(work, cache=cache).build(project.commit(OTHERS), TARGET).same_as is None
