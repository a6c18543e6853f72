"""Compilers by a real ccache, in the sandbox that builds run in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.errors import UserError
from bot.model import BuildKind, Ccache
from tests.build.project import TARGET, Project
from tests.build.test_builder import STYLES, says, styled
from tests.build.test_sharing import OTHERS


def hits(work: Path) -> int:
    """Compilations that were answered from the local part."""
    env = {"PATH": os.environ["PATH"], "CCACHE_DIR": str(work / "ccache"), "CCACHE_CONFIGPATH": "/dev/null"}
    text = subprocess.run(["ccache", "--print-stats"], env=env, capture_output=True, text=True, check=True).stdout
    stats = dict(line.split("\t") for line in text.splitlines())
    return int(stats["direct_cache_hit"]) + int(stats["preprocessed_cache_hit"])


@STYLES
def test_what_was_compiled_is_not_compiled_again(project: Project, work: Path, style: str) -> None:
    """In a clean directory, for instance; and all comes out the same as without."""
    styled(project, style)
    first = project.commit(OTHERS)
    plain = project.builder(work.parent / "plain").build(first, TARGET)
    build = project.builder(work, ccache=Ccache()).build(first, TARGET)
    assert hits(work) == 0
    (work / "trees" / f"{style}-{TARGET}").rename(work / "trees/gone")
    (work / "artifacts").rename(work / "other")
    (work / "unpacked").rename(work / "others")
    again = project.builder(work, ccache=Ccache()).build(first, TARGET)
    assert (build.kind, again.kind, hits(work)) == (BuildKind.FULL, BuildKind.FULL, 2)
    digests = {b.binary.sha256 for b in (plain, build, again) if b.binary is not None}
    assert len(digests) == 1
    assert says(again) == "QEMU emulator version 7.2"


def test_what_is_answered_from_it_was_read_all_the_same(project: Project, work: Path) -> None:
    """No compiler runs, and still every source and header is known to have had a say."""
    first = project.commit({**OTHERS, "hw/dev.h": "", "dev.c": '#include "hw/dev.h"\nint dev(void) { return 2; }\n'})
    project.builder(work, ccache=Ccache()).build(first, TARGET)
    for name in ("trees", "artifacts", "unpacked"):
        (work / name).rename(work / f"old-{name}")
    builder = project.builder(work, ccache=Ccache())
    builder.build(first, TARGET)
    assert hits(work) == 2
    assert builder.build(project.commit({"other.c": "int y;\n"}), TARGET).kind is BuildKind.SHARED
    for name in ("dev.c", "hw/dev.h", "main.c"):
        text = (project.path / name).read_text()
        assert builder.build(project.commit({name: f"{text}/* */\n"}), TARGET).kind is BuildKind.INCREMENTAL


def test_hosts_share_what_they_compiled(project: Project, tmp_path: Path) -> None:
    first = project.commit(OTHERS)
    (tmp_path / "nfs").mkdir()
    ccache = Ccache(remote=f"file:{tmp_path}/nfs")
    project.builder(tmp_path / "one", ccache=ccache).build(first, TARGET)
    assert list((tmp_path / "nfs").rglob("*"))
    project.builder(tmp_path / "two", ccache=ccache).build(first, TARGET)
    env = {"PATH": os.environ["PATH"], "CCACHE_DIR": str(tmp_path / "two/ccache"), "CCACHE_CONFIGPATH": "/dev/null"}
    text = subprocess.run(["ccache", "--print-stats"], env=env, capture_output=True, text=True, check=True).stdout
    assert "cache_miss\t0\n" in text and "direct_cache_hit\t2\n" in text


def test_a_network_that_a_sandbox_has_not_is_told(project: Project, work: Path) -> None:
    with pytest.raises(UserError, match=r"build\.ccache\.remote: redis://x: there is no network in the sandbox"):
        project.builder(work, ccache=Ccache(remote="redis://x"))
    assert project.builder(work, ccache=Ccache(remote="redis://x"), sandbox=None).recipe(project.first) == "ninja"


def test_it_has_to_be_installed(project: Project, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.build.tools.PATH", str(work))
    with pytest.raises(UserError, match="apt-get install ccache, or set it to never"):
        project.builder(work, ccache=Ccache()).build(project.first, TARGET)
