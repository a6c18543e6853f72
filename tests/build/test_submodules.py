"""Content of submodules: from a directory, from a mirror, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.build import submodules
from bot.errors import UserError
from bot.host.checkout import checkout
from bot.model import BuildKind, BuildStatus, Recipe, Sha, Submodule
from tests.build.project import CONFIGURE, NINJA, TARGET, Project

RECIPE = Recipe("ninja", configure=NINJA.configure, submodules=("ui/keys", "subprojects/keys"))
NEEDS = CONFIGURE.replace(
    '. "$src/extra.sh"', 'cat "$src"/*/keys/keymap > /dev/null || { echo "ERROR: no keymap"; exit 1; }'
)
CONTENT = "int dev(void) {{ return {}; }}\n"


@pytest.fixture
def keys(tmp_path: Path) -> Project:
    """The repository that others pin."""
    return Project(tmp_path / "keys", {"keymap": "a\n"})


def pinning(project: Project, path: str, commit: Sha, url: str | None = None) -> Sha:
    project.commit({"configure": NEEDS})
    return project.submodule(path, commit, url)


def placed(work: Path, path: str) -> str:
    return (work / f"trees/ninja-{TARGET}/src" / path / "keymap").read_text()


def test_from_directories_by_prefix_and_replaced(project: Project, keys: Project, work: Path, tmp_path: Path) -> None:
    second = keys.commit({"keymap": "b\n"})
    for name, text in (("one", "a\n"), ("two", "b\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keymap").write_text(text)
    (tmp_path / "two/extra").write_text("of two\n")
    trees = {keys.first[:7]: str(tmp_path / "one"), second[:7]: str(tmp_path / "two")}
    builder = project.builder(work, recipes=(RECIPE,), submodules={"keys": Submodule(trees=trees)})
    first = builder.build(pinning(project, "ui/keys", keys.first), TARGET)
    assert first.status is BuildStatus.BUILT and placed(work, "ui/keys") == "a\n"
    moved = builder.build(project.submodule("ui/keys", second, None), TARGET)
    assert moved.kind is BuildKind.INCREMENTAL and placed(work, "ui/keys") == "b\n"
    project.git("rm", "--quiet", "--cached", "ui/keys")
    plain = project.commit({"ui/keys/keymap": "plain\n"})
    assert builder.build(plain, TARGET).status is BuildStatus.BUILT
    assert placed(work, "ui/keys") == "plain\n"
    assert not (work / f"trees/ninja-{TARGET}/src/ui/keys/extra").exists()


def test_from_a_mirror_of_the_url_that_the_commit_names(project: Project, keys: Project, work: Path) -> None:
    commit = pinning(project, "ui/keys", keys.first, str(keys.path))
    builder = project.builder(work, recipes=(RECIPE,))
    assert builder.build(commit, TARGET).status is BuildStatus.BUILT
    assert placed(work, "ui/keys") == "a\n"
    assert (work / "modules/keys.git/HEAD").exists()
    later = project.submodule("ui/keys", keys.commit({"keymap": "later\n"}), str(keys.path))
    assert builder.build(later, TARGET).status is BuildStatus.BUILT  # fetched when it is pinned
    assert placed(work, "ui/keys") == "later\n"


def test_the_mirror_is_enough_without_network(project: Project, keys: Project, work: Path) -> None:
    commit = pinning(project, "ui/keys", keys.first, str(keys.path))
    builder = project.builder(work, recipes=(RECIPE,))
    builder.build(commit, TARGET)
    keys.path.rename(keys.path.with_name("away"))
    assert builder.build(project.commit({"dev.c": CONTENT.format(9)}), TARGET).status is BuildStatus.BUILT


def test_a_wrap_is_a_pin_too(project: Project, keys: Project, work: Path) -> None:
    """QEMU from 8.1 on: subprojects/NAME.wrap in place of a gitlink."""
    wrap = f"[wrap-git]\nurl = {keys.path}\nrevision = {keys.first}\ndepth = 1\n"
    commit = project.commit({"configure": NEEDS, "subprojects/keys.wrap": wrap})
    assert project.builder(work, recipes=(RECIPE,)).build(commit, TARGET).status is BuildStatus.BUILT
    assert placed(work, "subprojects/keys") == "a\n"


def test_files_that_the_tree_lays_over_a_wrap(project: Project, keys: Project, work: Path) -> None:
    """`patch_directory`: without it QEMU 8.2 says "Subproject exists but has no meson.build file"."""
    wrap = f"[wrap-git]\nurl = {keys.path}\nrevision = {keys.first}\npatch_directory = over\n"
    over = "subprojects/packagefiles/over"
    files = {"configure": NEEDS, "subprojects/keys.wrap": wrap, f"{over}/meson.build": "one\n"}
    first = project.commit({**files, f"{over}/deep/keymap": "deep\n"})
    second = project.commit({f"{over}/meson.build": "two\n"})
    builder = project.builder(work, recipes=(RECIPE,))
    place = work / f"trees/ninja-{TARGET}/src/subprojects/keys"
    for commit, text in ((first, "one\n"), (second, "two\n")):
        assert builder.build(commit, TARGET).status is BuildStatus.BUILT
        found = {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()}
        assert found == {"keymap": "a\n", "meson.build": text, "deep/keymap": "deep\n"}


def test_a_wrap_whose_revision_is_no_commit(project: Project, keys: Project, work: Path) -> None:
    wrap = f"[wrap-git]\nurl = {keys.path}\nrevision = --upload-pack=x\n"
    commit = project.commit({"subprojects/keys.wrap": wrap})
    with pytest.raises(UserError, match="no commit id"):
        project.builder(work, recipes=(RECIPE,)).build(commit, TARGET)


def test_plain_files_need_nothing(project: Project, work: Path) -> None:
    commit = project.commit({"configure": NEEDS, "ui/keys/keymap": "as files\n"})
    assert submodules.pins(project.repository, commit, RECIPE) == ()
    assert project.builder(work, recipes=(RECIPE,)).build(commit, TARGET).status is BuildStatus.BUILT


@pytest.mark.parametrize(
    ("url", "trees", "text"),
    [
        (None, {}, r"no source of submodule content; set build\.submodules\.keys\.url"),
        ("/no/such/place", {}, r"ui/keys: cannot clone /no/such/place.*build\.submodules\.keys\.trees\."),
        (None, {"": "/no/such/tree"}, r"build\.submodules\.keys\.trees: /no/such/tree: no such directory"),
    ],
)  # fmt: skip
def test_no_source(
    project: Project, keys: Project, work: Path, url: str | None, trees: dict[str, str], text: str
) -> None:
    commit = pinning(project, "ui/keys", keys.first, url)
    builder = project.builder(work, recipes=(RECIPE,), submodules={"keys": Submodule(trees=trees)})
    with pytest.raises(UserError, match=f"(?s){text}"):
        builder.build(commit, TARGET)
    # Nobody is called unbuildable, and once there is a source it is built.
    mended = project.builder(work, recipes=(RECIPE,), submodules={"keys": Submodule(url=str(keys.path))})
    assert mended.build(commit, TARGET).status is BuildStatus.BUILT


def test_a_commit_that_upstream_does_not_have(project: Project, keys: Project, work: Path) -> None:
    commit = pinning(project, "ui/keys", "1" * 40, str(keys.path))
    with pytest.raises(UserError, match="has no commit 111111111111 on a branch or tag"):
        project.builder(work, recipes=(RECIPE,)).build(commit, TARGET)


def test_a_symbolic_link_does_not_lead_out_of_the_tree(
    project: Project, keys: Project, work: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (project.path / "subprojects").symlink_to(outside)
    project.git("add", "subprojects")
    commit = project.commit({"README": "link\n"})
    pin = submodules.Pin("subprojects/keys", keys.first, str(keys.path))
    tree = work / "tree"
    checkout(project.repository, commit, tree, work / "index")
    placer = submodules.Placer(tree, work / "note", work / "modules", {})
    with pytest.raises(UserError, match="leaves the tree"):
        placer.place((pin,), lambda pin: True)
    assert list(outside.iterdir()) == []


# -- whom it is fetched for ----------------------------------------------------------------------------------------


def off_branch(project: Project) -> Sha:
    """Take the last commit off its branch, as if it had only been posted; its id."""
    commit = project.git("rev-parse", "HEAD")
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    return commit


def wrapping(keys: Project, commit: Sha) -> dict[str, str]:
    return {"subprojects/keys.wrap": f"[wrap-git]\nurl = {keys.path}\nrevision = {commit}\n"}


@pytest.mark.parametrize("kind", ["wrap", "gitlink"])
def test_nothing_is_fetched_for_what_only_a_commit_off_the_branches_pins(
    project: Project, keys: Project, work: Path, kind: str
) -> None:
    project.commit({"configure": NEEDS})
    if kind == "wrap":
        project.commit(wrapping(keys, keys.first))
    else:
        project.submodule("ui/keys", keys.first, str(keys.path))
    commit = off_branch(project)
    builder = project.builder(work, recipes=(RECIPE,))
    with pytest.raises(UserError, match=r"pinned by a commit that is on no branch.*build\.submodules\.keys\.url"):
        builder.build(commit, TARGET)
    assert not (work / "modules/keys.git").exists()
    mine = project.builder(work, recipes=(RECIPE,), submodules={"keys": Submodule(url=str(keys.path))})
    assert mine.build(commit, TARGET).status is BuildStatus.BUILT


def test_what_a_branch_pins_is_fetched_for_all_that_stands_on_it(project: Project, keys: Project, work: Path) -> None:
    """A revert or a posted patch that leaves the pin alone."""
    project.commit({"configure": NEEDS, **wrapping(keys, keys.first)})
    project.commit({"dev.c": CONTENT.format(4)})
    commit = off_branch(project)
    assert project.builder(work, recipes=(RECIPE,)).build(commit, TARGET).status is BuildStatus.BUILT


def test_another_url_for_the_same_commit_is_not_asked(project: Project, keys: Project, work: Path) -> None:
    project.commit({"configure": NEEDS, **wrapping(keys, keys.first)})
    project.commit({"subprojects/keys.wrap": f"[wrap-git]\nurl = {keys.path}-evil\nrevision = {keys.first}\n"})
    with pytest.raises(UserError, match="-evil is pinned by a commit that is on no branch"):
        project.builder(work, recipes=(RECIPE,)).build(off_branch(project), TARGET)
