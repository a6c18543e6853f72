"""What somebody posted is built apart from all else, fetches nothing, and leads nobody out of the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import UserError
from bot.host import picks
from bot.host.patches import compose, series
from bot.model import BuildKind, BuildStatus, Ccache, Recipe, Sha, Submodule
from tests.build.project import CONFIGURE, NINJA, TARGET, Project

RECIPE = Recipe("ninja", configure=NINJA.configure, submodules=("ui/keys", "subprojects/keys"))
NEEDS = CONFIGURE.replace(
    '. "$src/extra.sh"', 'cat "$src"/*/keys/keymap > /dev/null || { echo "ERROR: no keymap"; exit 1; }'
)


@pytest.fixture
def keys(tmp_path: Path) -> Project:
    """The repository that others pin."""
    return Project(tmp_path / "keys", {"keymap": "a\n"})


def posted(project: Project, tmp_path: Path, since: Sha) -> Sha:
    """What was committed since, taken back, and put on by mail."""
    data = project.git("format-patch", "--stdout", since) + "\n"
    project.git("reset", "--quiet", "--hard", since)
    return compose(project.repository, since, series(data.encode(), "s.mbox").patches, tmp_path)


def test_without_a_sandbox_it_is_refused(project: Project, work: Path, tmp_path: Path) -> None:
    """So is what stands on it, and not what a person took in."""
    project.commit({"dev.c": "int dev(void) { return 5; }\n"})
    middle = project.commit({"dev.c": "int dev(void) { return 6; }\n"})
    made = posted(project, tmp_path, project.first)
    (first,) = project.repository.commit(made).parents
    above = picks.compose(project.repository, made, [picks.Revert(made)])
    assert isinstance(above, str) and middle != made
    bare = project.builder(work, sandbox=None)
    for sha in (first, made, above):
        with pytest.raises(UserError, match=f"{sha[:12]} is of a series that somebody posted: .* put it on a branch"):
            bare.build(sha, TARGET)
    assert not any((work / "trees").iterdir())
    assert bare.build(project.first, TARGET).status is BuildStatus.BUILT
    project.git("branch", "taken", made)
    assert bare.build(made, TARGET).status is BuildStatus.BUILT


def test_what_a_posted_build_leaves_is_in_nobodys_way(project: Project, work: Path, tmp_path: Path) -> None:
    base = project.commit({"docs.txt": "x\n"})
    project.commit({"extra.sh": "echo > poisoned\n", "dev.c": "int dev(void) { return 66; }\n"})
    bad = posted(project, tmp_path, base)
    builder = project.builder(work)
    first = builder.build(bad, TARGET)
    assert first.status is BuildStatus.BUILT
    apart = work / f"trees/ninja-{TARGET}-posted"
    assert (apart / "build/poisoned").exists()
    assert builder.build(base, TARGET).kind is BuildKind.FULL  # in a tree that the other never had
    assert not (work / f"trees/ninja-{TARGET}/build/poisoned").exists()
    project.commit({"dev.c": "int dev(void) { return 67; }\n"})
    other = posted(project, tmp_path, base)
    assert project.builder(work).build(other, TARGET).kind is BuildKind.FULL
    assert not (apart / "build/poisoned").exists()


def test_no_commit_shares_what_a_posted_one_built(project: Project, work: Path, tmp_path: Path) -> None:
    project.commit({"dev.c": "int dev(void) { return 3; }\n"})
    made = posted(project, tmp_path, project.first)
    merged = project.commit({"dev.c": "int dev(void) { return 3; }\n", "docs.txt": "x\n"})
    builder = project.builder(work)
    assert builder.build(made, TARGET).status is BuildStatus.BUILT
    assert builder.build(merged, TARGET).kind is BuildKind.FULL
    project.commit({"docs.txt": "more\n"})
    later = posted(project, tmp_path, merged)
    again = project.builder(work).build(later, TARGET)
    assert (again.kind, again.same_as) == (BuildKind.SHARED, merged)  # the other way round is no harm


def test_the_compilers_cache_is_not_given_to_it(project: Project, work: Path, tmp_path: Path) -> None:
    place = work / "ccache"
    project.commit({"extra.sh": f"echo > {place}/planted; echo > built\n"})
    made = posted(project, tmp_path, project.first)
    builder = project.builder(work, ccache=Ccache())
    assert builder.build(made, TARGET).status is BuildStatus.BUILT
    assert (work / f"trees/ninja-{TARGET}-posted/build/built").exists()
    assert not (place / "planted").exists()
    trusted = project.commit({"extra.sh": f"echo > {place}/planted\n"})  # it could, were it not posted
    assert builder.build(trusted, TARGET).status is BuildStatus.BUILT
    assert (place / "planted").exists()


# -- pins of a series ----------------------------------------------------------------------------------------------


def refused(project: Project, work: Path, made: Sha, said: str) -> None:
    builder = project.builder(work, recipes=(RECIPE,))
    with pytest.raises(UserError, match=said):
        builder.build(made, TARGET)
    assert not list((work / "modules").glob("*.git"))


def test_a_wrap_with_another_url_fetches_nothing(project: Project, keys: Project, work: Path, tmp_path: Path) -> None:
    wrap = "[wrap-git]\nurl = {}\nrevision = {}\ndepth = 1\n"
    files = {"configure": NEEDS, "subprojects/keys.wrap": wrap.format("/no/such/place", keys.first)}
    base = project.commit(files)
    project.commit({"subprojects/keys.wrap": wrap.format(keys.path, keys.first)})
    made = posted(project, tmp_path, base)
    assert str(keys.path) in (project.repository.file(made, "subprojects/keys.wrap") or "")
    refused(
        project, work, made, f"subprojects/keys: {keys.first[:12]} of {keys.path} is pinned by a commit that is on no"
    )


@pytest.mark.parametrize("what", ["commit", "url", "both"])
def test_a_moved_gitlink_fetches_nothing(
    project: Project, keys: Project, work: Path, tmp_path: Path, what: str
) -> None:
    second = keys.commit({"keymap": "b\n"})
    other = tmp_path / "other"
    keys.git("clone", "--quiet", "--bare", ".", str(other))
    project.commit({"configure": NEEDS})
    base = project.submodule("ui/keys", keys.first, str(keys.path))
    url = keys.path if what == "commit" else other
    project.submodule("ui/keys", keys.first if what == "url" else second, str(url))
    made = posted(project, tmp_path, base)
    refused(project, work, made, f"ui/keys: .{{12}} of {url} is pinned by a commit that is on no branch")


def test_a_series_that_leaves_the_pins_has_what_its_base_pins(
    project: Project, keys: Project, work: Path, tmp_path: Path
) -> None:
    project.commit({"configure": NEEDS})
    base = project.submodule("ui/keys", keys.first, str(keys.path))
    project.commit({"dev.c": "int dev(void) { return 3; }\n"})
    made = posted(project, tmp_path, base)
    builder = project.builder(work, recipes=(RECIPE,))
    assert builder.build(made, TARGET).status is BuildStatus.BUILT


# -- links to where the bot itself writes --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["subprojects", "subprojects/.wraplock", "ui", "pc-bios/vgabios-x.bin", "build"])
def test_a_committed_link_leads_none_of_our_writes_out_of_the_tree(
    project: Project, keys: Project, work: Path, tmp_path: Path, path: str
) -> None:
    """meson's lock, the content of a submodule, firmware: the bot writes or reads there when it builds."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "secret").write_text("secret\n")
    target = out if "/" not in path else out / ("secret" if path.endswith(".bin") else "made")
    link = project.path / path
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    project.git("add", path)
    project.commit({"dev.c": "int dev(void) { return 4; }\n"})
    made = posted(project, tmp_path, project.first)
    assert project.git("ls-tree", made, path).startswith("120000")
    trees = {"": str(keys.path)}
    builder = project.builder(work, recipes=(RECIPE,), submodules={"keys": Submodule(trees=trees)})
    build = builder.build(made, TARGET)
    assert build.status is BuildStatus.BUILT and build.binary is not None
    assert [file.name for file in out.iterdir()] == ["secret"]
    assert not any("secret" in file.read_text(errors="replace") for file in (work / "unpacked").rglob("*.bin"))
