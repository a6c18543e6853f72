"""Reverts and picks on real repositories, as commits."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import UserError
from bot.host.picks import Conflict, Pick, Revert, compose
from tests.testing.history import History, draw, git

TEXT = "".join(f"line {i}\n" for i in range(30))


def changed(line: int, new: str, text: str = TEXT) -> str:
    return text.replace(f"line {line}\n", new)


@pytest.fixture
def edits(tmp_path: Path) -> History:
    two = changed(20, "twenty\n")
    files = {
        "0": {"f.c": TEXT},
        "1": {"f.c": two},
        "2": {"f.c": changed(3, "three\n", two)},
        "3": {"f.c": changed(20, "XX\n", changed(3, "three\n"))},
        "s": {"f.c": changed(12, "twelve\n"), "new.c": "n\n"},
    }
    return draw(tmp_path / "r", "0 1 2 3\n0 s t\n2 m=t", branch="m", files=files)


def test_a_revert_of_an_older_commit(edits: History) -> None:
    repository = edits.repository
    made = compose(repository, edits["2"], [Revert(edits["1"])])
    assert isinstance(made, str)
    assert repository.file(made, "f.c") == changed(3, "three\n")
    assert repository.file(made, "n/1") is None
    commit = repository.commit(made)
    assert commit.parents == (edits["2"],)
    assert (commit.author, commit.date[:10]) == ("bot", "2000-01-01")
    assert repository.resolve(f"refs/bot/{made}") == made
    assert compose(repository, edits["2"], [Revert(edits["1"])]) == made  # the same each time


def test_a_pick_from_another_branch_and_a_list_of_ops(edits: History) -> None:
    repository = edits.repository
    made = compose(repository, edits["2"], [Pick(edits["s"]), Revert(edits["2"])])
    assert isinstance(made, str)
    assert repository.file(made, "f.c") == changed(12, "twelve\n", changed(20, "twenty\n"))
    assert repository.file(made, "new.c") == "n\n"
    assert [c.subject for c in repository.commits(repository.first_parents(edits["2"], made))] == [
        f"Pick {edits['s']}",
        f"Revert {edits['2']}",
    ]


def test_a_conflict_names_the_files(edits: History) -> None:
    assert compose(edits.repository, edits["3"], [Revert(edits["1"])]) == Conflict(("f.c",))
    refs = git(edits.repository.path, "for-each-ref", "refs/bot")
    assert refs == ""


def test_a_merge_is_taken_relative_to_its_first_parent(edits: History) -> None:
    repository = edits.repository
    made = compose(repository, edits["m"], [Revert(edits["m"])])
    assert isinstance(made, str)
    assert repository.file(made, "new.c") is None
    assert repository.file(made, "f.c") == repository.file(edits["2"], "f.c")
    picked = compose(repository, edits["1"], [Pick(edits["m"])])
    assert isinstance(picked, str)
    assert repository.file(picked, "new.c") == "n\n"


def test_a_revert_follows_a_rename(tmp_path: Path) -> None:
    files = {"0": {"old.c": TEXT}, "1": {"old.c": changed(20, "twenty\n")}}
    history = draw(tmp_path / "r", "0 1", files=files)
    path = tmp_path / "r"
    git(path, "reset", "--quiet", "--hard")
    git(path, "mv", "old.c", "renamed.c")
    git(path, "commit", "--quiet", "-m", "rename")
    made = compose(history.repository, git(path, "rev-parse", "HEAD"), [Revert(history["1"])])
    assert isinstance(made, str)
    assert history.repository.file(made, "renamed.c") == TEXT
    assert history.repository.file(made, "old.c") is None


def test_a_root_cannot_be_reverted(edits: History) -> None:
    with pytest.raises(UserError, match=f"{edits['0'][:12]} has no parent: it can be neither reverted nor picked"):
        compose(edits.repository, edits["3"], [Revert(edits["0"])])


def test_nothing_to_apply_is_the_base_itself(edits: History) -> None:
    assert compose(edits.repository, edits["3"], []) == edits["3"]


def test_compose_leaves_the_users_work_tree_and_index_alone(edits: History) -> None:
    path = edits.repository.path
    git(path, "reset", "--quiet", "--hard")
    (path / "f.c").write_text("not committed\n")
    git(path, "add", "f.c")
    (path / "mine.c").write_text("untracked\n")
    before = (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD"), git(path, "diff", "--cached"))
    compose(edits.repository, edits["2"], [Revert(edits["1"]), Pick(edits["s"])])
    assert (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD"), git(path, "diff", "--cached")) == before
