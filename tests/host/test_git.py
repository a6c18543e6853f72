"""What a real repository is asked: names, history, what commits hold, and how they differ."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import InfraError, UserError
from bot.host.picks import Revert, compose
from bot.host.remote import clone
from bot.model import Change
from tests.host.conftest import DRAWING
from tests.testing.history import ENVIRONMENT, History, draw, git


def versions(*pairs: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"VERSION": version + "\n"} for name, version in pairs}


# -- names ---------------------------------------------------------------------------------------------------------


def test_what_people_call_a_commit(upstream: History) -> None:
    repository = upstream.repository
    six = upstream["6"]
    git(repository.path, "tag", "--force", "v1", six)
    git(repository.path, "tag", "--force", "-a", "-m", "x", "annotated", six)
    git(repository.path, "update-ref", "refs/remotes/origin/staging", upstream["a"])
    for name in (six, six[:10], "master", "HEAD", "v1", "annotated", "refs/heads/master", "master~0"):
        assert repository.resolve(name) == six
    assert repository.resolve("master~1^2") == upstream["b"]
    assert repository.resolve("staging") == upstream["a"]


HOSTILE = [
    *("", "-", "--all", "--help", "-h", "--output=x", "--upload-pack=touch x", "--not"),
    *("x\ny", "x\0y", "..", "a..b", "^master", "master..", "@{", "@{999999}", "HEAD:n/1", "master^{tree}", ":", ":/"),
    *("refs/../../x", "$(touch x)", "`touch x`", "; touch x", "\x1b[31m", "\u00e9" * 300, "\ud800"),
    *("0" * 40, "f" * 39, "v999.0.0"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_mean_nothing_and_do_nothing(upstream: History, name: str, tmp_path: Path) -> None:
    before = set(upstream.repository.path.rglob("*"))
    with pytest.raises(UserError, match="no such revision in"):
        upstream.repository.resolve(name)
    assert set(upstream.repository.path.rglob("*")) == before


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60, deadline=None
)
@given(
    st.one_of(
        st.text(max_size=30), st.from_regex(r"-{1,2}[a-zA-Z][a-zA-Z=/.-]{0,20}"), st.from_regex(r"[@^~:{}.]{1,6}")
    )
)
def test_any_text_is_a_commit_or_a_user_error(upstream: History, name: str) -> None:
    try:
        sha = upstream.repository.resolve(name)
    except UserError:
        return
    assert sha in upstream.shas.values()


def test_releases_without_tags(tmp_path: Path) -> None:
    pairs = (("1", "2.11.50"), ("2", "2.11.90"), ("3", "2.12.0"), ("4", "2.12.50"), ("5", "4.2.0"), ("s", "2.12.1"))
    history = draw(tmp_path / "r", "0 1 2 3 4 5 6\n3 s", branch="6", files=versions(*pairs))
    repository = history.repository
    for name, commit in (("v2.12.0", "3"), ("2.12.0", "3"), ("2.12", "3"), ("v4.2.0", "5"), ("2.12.1", "s")):
        assert repository.resolve(name) == history[commit]
    with pytest.raises(UserError, match=r"'v9\.9\.9': no such revision in .*set VERSION"):
        repository.resolve("v9.9.9")
    assert repository.releases(history["6"]) == {"v2.12.0": history["3"], "v4.2.0": history["5"]}
    assert repository.releases(history["s"]) == {"v2.12.0": history["3"], "v2.12.1": history["s"]}


def test_a_release_candidate_without_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "r"
    history = draw(path, "0 1", files=versions(("1", "4.2.91")))
    git(path, "reset", "--quiet", "--hard")
    (path / "VERSION").write_text("4.2.92\n")
    git(path, "commit", "--quiet", "-a", "-m", "Update version for v5.0.0-rc2 release")
    head = git(path, "rev-parse", "HEAD")
    assert history.repository.resolve("v5.0.0-rc2") == head
    assert history.repository.candidate(head) == "v5.0.0-rc2"
    git(path, "commit", "--quiet", "--allow-empty", "-m", "mend it")
    assert history.repository.candidate(git(path, "rev-parse", "HEAD")) == "v5.0.0-rc2", "until the next one"
    assert history.repository.candidate(history["0"]) is None, "no VERSION"
    assert history.repository.candidate(history["1"]) is None, "a subject that does not say of what"
    with pytest.raises(UserError):
        history.repository.resolve("v5.0.0-rc3")


def test_a_tag_wins_over_VERSION(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "0 1 2", files=versions(("1", "1.0.0")))
    git(tmp_path / "r", "tag", "v1.0.0", history["2"])
    assert history.repository.resolve("v1.0.0") == history["2"]
    assert history.repository.resolve("1.0.0") == history["1"]


# -- history -------------------------------------------------------------------------------------------------------


def test_parents_come_oldest_first_and_with_those_outside(upstream: History) -> None:
    name = upstream.name
    found = upstream.repository.parents([upstream["3"]], upstream["6"])
    drawn = {name(sha): [name(p) for p in its] for sha, its in found.items()}
    assert drawn == {"a": ["2"], "b": ["a"], "4": ["3"], "5": ["4", "b"], "6": ["5"]}
    order = list(drawn)
    assert all(p not in order or order.index(p) < order.index(c) for c, its in drawn.items() for p in its)
    assert upstream.repository.parents([upstream["6"]], upstream["6"]) == {}
    assert len(upstream.repository.parents([], upstream["6"])) == 9
    assert upstream.repository.parents([upstream["3"], upstream["b"]], upstream["5"]).keys() == {
        upstream["4"],
        upstream["5"],
    }


def test_ancestry(upstream: History) -> None:
    repository, name = upstream.repository, upstream.name
    line = repository.first_parents(upstream["2"], upstream["6"])
    assert [name(sha) for sha in line] == ["3", "4", "5", "6"]
    assert repository.is_ancestor(upstream["a"], upstream["6"])
    assert repository.is_ancestor(upstream["a"], upstream["a"])
    assert not repository.is_ancestor(upstream["6"], upstream["a"])
    every = set(upstream.shas.values())
    for older in every:
        assert repository.holding(older, every) == {sha for sha in every if repository.is_ancestor(older, sha)}
    assert repository.holding(upstream["a"], [upstream["2"]]) == repository.holding(upstream["a"], []) == set()
    assert repository.merge_base(upstream["4"], upstream["b"]) == upstream["2"]


def test_histories_with_nothing_in_common(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "0 1\nx y\n1 2=y", branch="2")
    assert history.repository.merge_base(history["1"], history["y"]) is None
    assert not history.repository.is_ancestor(history["1"], history["y"])
    assert history.repository.parents([history["1"]], history["2"])[history["x"]] == ()


def test_commits_are_told_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "r"
    history = draw(path, "0")
    odd = "\x01 s\u00fcbject \u2028 with <b>, \x1b[1m and \x07"
    body = "line one\x01\x02\n\n  indented\nFixes: 12345678\n"
    who = {**ENVIRONMENT, "GIT_AUTHOR_NAME": "A\x01\u00dc", "GIT_AUTHOR_DATE": "2020-02-26T06:12:44+01:00"}
    tree = git(path, "rev-parse", "HEAD^{tree}")
    made = subprocess.run(
        ["git", "commit-tree", tree, "-p", history["0"]],
        cwd=path, env=who, input=f"{odd}\n\n{body}".encode(), capture_output=True, check=True,
    ).stdout.decode().strip()  # fmt: skip
    commit = history.repository.commit(made)
    assert commit.subject == odd
    assert (commit.author, commit.email) == ("A\x01\u00dc", "author@example.org")
    assert commit.date == "2020-02-26T06:12:44+01:00"
    assert commit.body == f"{odd}\n\n{body}"
    assert commit.parents == (history["0"],)
    assert commit.short == made[:12]
    both = history.repository.commits([made, history["0"], made])
    assert [c.sha for c in both] == [made, history["0"], made]
    assert both[1].parents == ()


def test_bytes_that_are_no_utf8_never_become_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "r"
    history = draw(path, "0")
    git(path, "reset", "--quiet", "--hard")
    (path / "latin").write_bytes(b"\xff\n")
    git(path, "add", "latin")
    argv = ["git", "-c", "i18n.commitEncoding=UTF-8", "commit", "--quiet", "-F", "-"]
    subprocess.run(argv, cwd=path, env=ENVIRONMENT, input=b"bad \xff byte\n", capture_output=True, check=True)
    commit = history.repository.commit(git(path, "rev-parse", "HEAD"))
    assert commit.subject.encode().startswith(b"bad ")
    assert history.repository.file(commit.sha, "latin") == "\ufffd\n"


def test_many_commits_in_one_call_keep_their_order(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1203)]
    history = draw(tmp_path / "r", " ".join(names))
    wanted = [history[name] for name in reversed(names)]
    found = history.repository.commits(wanted)
    assert [c.sha for c in found] == wanted
    assert [c.subject for c in found] == list(reversed(names))


def test_a_patch_has_its_place_in_the_code(tmp_path: Path) -> None:
    body = "".join(f"    step({n});\n" for n in range(9))
    code = f"int load(void)\n{{\n{body}}}\n"
    files = {"1": {"a.c": code}, "2": {"a.c": code.replace("step(8)", 'error("no")')}, "m": {"b.c": "x\n"}}
    history = draw(tmp_path / "r", "0 1 2\n1 s\n2 m=s", branch="m", files=files)
    patch = history.repository.patch(history["2"])
    assert "@@ int load(void)\n" in patch
    assert '+    error("no");' in patch.splitlines() and "-    step(8);" in patch.splitlines()
    merged = history.repository.patch(history["m"])  # against its first parent: all that it brought
    assert "+++ b/b.c" in merged and "+++ b/n/s" in merged and "a.c" not in merged


def test_paths_files_and_entries(tmp_path: Path) -> None:
    files = {"1": {"hw/core/machine.c": "x\n", "a b\tc": "y\n"}, "m": {"merged": "z\n"}}
    history = draw(tmp_path / "r", "0 1 2\n0 s\n2 m=s", branch="m", files=files)
    repository = history.repository
    assert set(repository.paths(history["1"])) == {"n/1", "hw/core/machine.c", "a b\tc"}
    assert set(repository.paths(history["0"])) == {"n/0"}  # a root
    assert set(repository.paths(history["m"])) == {"merged", "n/m", "n/s"}  # what the merge brought
    assert repository.file(history["1"], "hw/core/machine.c") == "x\n"
    assert repository.file(history["0"], "hw/core/machine.c") is None
    assert repository.file(history["1"], "hw/core") is None
    kind, oid = repository.entry(history["1"], "hw/core/") or ("", "")
    assert (kind, len(oid)) == ("tree", 40)
    assert (repository.entry(history["1"], "a b\tc") or ("",))[0] == "blob"
    assert repository.entry(history["1"], "hw/*") is None
    assert repository.entry(history["1"], "missing") is None


def test_people_are_who_mailmap_says_today(tmp_path: Path) -> None:
    path = tmp_path / "r"
    history = draw(path, "0 1")
    repository, before = history.repository, history.repository.commit(history["0"])
    address = before.email
    assert repository.mapped([(before.author, address), ("", "x@example.org")]) == (
        (before.author, address), ("", "x@example.org"),
    )  # fmt: skip
    (path / ".mailmap").write_text(f"New Name <new@example.org> <{address}>\nXaver <x@example.org>\n")
    git(path, "add", ".mailmap")
    git(path, "commit", "-q", "-m", "she moved")
    now = repository.commit(history["0"])
    assert (now.author, now.email) == ("New Name", "new@example.org")
    asked = [(before.author, address.upper()), ("", "x@example.org"), ("-Ä", "b@example.org")]
    assert repository.mapped(asked) == (("New Name", "new@example.org"), ("Xaver", "x@example.org"), asked[2])
    assert repository.mapped([]) == ()
    bare = clone(str(path), tmp_path / "bare")
    assert bare.commit(history["0"]).author == "New Name", "also where nothing is checked out"


def test_what_files_are_called_today(tmp_path: Path) -> None:
    text = "".join(f"line {i}\n" for i in range(40))
    history = draw(tmp_path / "r", "0 1", files={"0": {"hw/a.c": text, "hw/b.c": "int b;\n"}})
    repository, path = history.repository, tmp_path / "r"
    git(path, "reset", "-q", "--hard")
    (path / "hw/x").mkdir()
    git(path, "mv", "hw/a.c", "hw/x/a.c")
    (path / "hw/x/a.c").write_text(text + "more\n")
    git(path, "rm", "-q", "hw/b.c")
    git(path, "commit", "-q", "-a", "-m", "move one, drop one")
    new = repository.resolve("HEAD")
    assert repository.present(history["0"], ["hw/a.c", "hw/b.c", "n/0"], new) == ("hw/x/a.c", "n/0")
    assert repository.present(history["0"], ["n/0"], new) == ("n/0",)


def test_a_word_is_found_whole_and_in_a_commits_tree(tmp_path: Path) -> None:
    files = {"1": {"hw/a.c": "int default_ram_id;\n"}, "2": {"hw/a.c": "int my_default_ram_id;\n"}}
    history = draw(tmp_path / "r", "0 1 2", files=files)
    found = [history.repository.has_word(history[name], "default_ram_id") for name in ("0", "1", "2")]
    assert found == [False, True, False]
    with pytest.raises(InfraError, match="git grep"):
        history.repository.has_word("e" * 40, "default_ram_id")


def test_submodules_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "r"
    modules = '[submodule "keys"]\n\tpath = ui/keys\n\turl = https://example.org/keys.git\n'
    history = draw(path, "0 1", files={"1": {".gitmodules": modules}})
    git(path, "reset", "--quiet", "--hard")
    git(path, "update-index", "--add", "--cacheinfo", f"160000,{history['0']},ui/keys")
    git(path, "commit", "--quiet", "-m", "submodule")
    tip = git(path, "rev-parse", "HEAD")
    assert history.repository.entry(tip, "ui/keys") == ("commit", history["0"])
    assert history.repository.submodule_url(tip, "ui/keys") == "https://example.org/keys.git"
    assert history.repository.submodule_url(tip, "ui/other") is None
    assert history.repository.submodule_url(history["0"], "ui/keys") is None


def test_commits_that_mention_another(tmp_path: Path) -> None:
    path = tmp_path / "r"
    history = draw(path, "0 1")
    git(path, "reset", "--quiet", "--hard")
    git(path, "commit", "--quiet", "--allow-empty", "-m", f'x\n\nFixes: {history["1"][:10]} ("1")')
    assert history.repository.mentioning(history["1"]) == [git(path, "rev-parse", "HEAD")]
    assert history.repository.mentioning(history["0"]) == []
    said = git(path, "rev-parse", "HEAD")
    sha = history["1"]
    assert history.repository.saying([sha[:8], "nobody says that"], history["0"]) == [said]
    assert history.repository.saying([sha[:8]], said) == [], "it is in that history"
    assert history.repository.saying(["nobody says that"], history["0"]) == []


# -- how commits differ, and what they stand on --------------------------------------------------------------------


def test_how_commits_differ(tmp_path: Path) -> None:
    files = {"1": {"a b.c": "1\n", "n/x": "x"}, "2": {"a b.c": "2\n"}, "3": {'"x\\ny.h"': ""}}
    history = draw(tmp_path / "r", "1 2 3", files=files)
    found = history.repository.changes(history["3"], [history["3"], history["2"], history["1"], "1" * 40])
    assert list(found) == [history["3"], history["2"], history["1"]]  # the last is not there
    mode = "100644"
    assert found[history["3"]] == ()
    assert set(found[history["2"]]) == {Change("n/3", "", mode), Change("x\ny.h", "", mode)}
    assert set(found[history["1"]]) == {*found[history["2"]], Change("n/2", "", mode), Change("a b.c", mode, mode)}
    back = history.repository.changes(history["1"], [history["3"]])[history["3"]]
    assert Change("x\ny.h", mode, "") in back


def test_commits_of_one_tree_do_not_differ(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "1 2")
    same = git(tmp_path / "r", "commit-tree", f"{history['2']}^{{tree}}", "-m", "same").strip()
    other = compose(history.repository, history["2"], [Revert(history["2"])])
    assert isinstance(other, str)
    found = history.repository.changes(history["2"], [same, other, history["1"]])
    assert found[same] == () and found[other] == found[history["1"]]


def test_what_a_commit_stands_on(tmp_path: Path) -> None:
    """Itself, if a branch, a tag or HEAD has it; what the bot composed is on none."""
    history = draw(tmp_path / "r", DRAWING, branch="5")
    repository = history.repository
    assert repository.bases(history["3"]) == [history["3"]]
    composed = compose(repository, history["5"], [Revert(history["4"])])
    assert isinstance(composed, str)
    assert repository.bases(composed) == [history["5"]]
    assert repository.bases(history["6"]) == [history["5"]]
    git(tmp_path / "r", "tag", "v1", history["6"])
    assert repository.bases(history["6"]) == [history["6"]]
    git(tmp_path / "r", "checkout", "--quiet", "--detach", composed)
    assert repository.bases(composed) == [composed]
