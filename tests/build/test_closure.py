"""What a real ninja and a real make record of a build."""

from __future__ import annotations

from pathlib import Path

from bot.build.closure import recorded
from bot.host import process
from bot.model import BuildStatus
from tests.build.project import TARGET, Project
from tests.build.test_builder import STYLES, styled

DEV = '#include "hw/dev.h"\nint dev(void) { return TWO; }\n'
HEADERS = {"hw/dev.h": '#include "two.h"\n', "hw/two.h": "#define TWO 2\n", "hw/other.h": "", "other.c": ""}


@STYLES
def test_sources_and_headers_are_recorded_and_stay_with_the_artifact(project: Project, work: Path, style: str) -> None:
    styled(project, style)
    first = project.commit({"dev.c": DEV, **HEADERS})
    second = project.commit({"main.c": '#include "hw/other.h"\n' + (project.path / "main.c").read_text()})
    builder = project.builder(work)
    assert builder.closure(first, TARGET) is None
    assert builder.build(first, TARGET).status is BuildStatus.BUILT
    read = frozenset({"main.c", "dev.c", "hw/dev.h", "hw/two.h"})
    assert builder.closure(first, TARGET) == read
    assert builder.build(second, TARGET).status is BuildStatus.BUILT
    assert builder.closure(second, TARGET) == read | {"hw/other.h"}
    assert project.builder(work).closure(first, TARGET) == read  # as after a restart


def test_a_commit_that_does_not_build_has_none(project: Project, work: Path) -> None:
    broken = project.commit({"dev.c": "no C\n"})
    builder = project.builder(work)
    assert builder.build(broken, TARGET).status is BuildStatus.FAILED
    assert builder.closure(broken, TARGET) is None


def test_a_directory_without_records_has_none(tmp_path: Path) -> None:
    assert recorded(tmp_path, lambda path: path, process.run, {}) is None
    (tmp_path / ".ninja_deps").write_bytes(b"no record")
    assert recorded(tmp_path, lambda path: path, process.run, {"PATH": "/usr/bin"}) is None


def test_words_of_a_depfile(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.o.d").write_text("sub/a.o: ../src/a.c \\\n  ../src/with\\ blank.h ../src/b.h\n\n../src/b.h:\n")
    read = recorded(
        tmp_path, lambda path: path.removeprefix("../src/") if path.startswith("..") else None, process.run, {}
    )
    assert read == frozenset({"a.c", "with blank.h", "b.h"})
