"""The door to git, on real repositories: names, history, trees, composition, and what must never get through."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import InfraError, Stopped, UserError
from bot.host.git import Conflict, Pick, Repository, Revert, clone, environment, is_local
from bot.model import Change
from tests.test_cli import wait_gone
from tests.testing.cluster import processes_in, until
from tests.testing.history import ENVIRONMENT, History, draw, git

DRAWING = """
0 1 2 3 4
2 a b
4 5=b 6
"""


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> History:
    return draw(tmp_path_factory.mktemp("git") / "upstream", DRAWING)


def versions(*pairs: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {name: {"VERSION": version + "\n"} for name, version in pairs}


# -- opening -------------------------------------------------------------------------------------------------------


def test_a_path_that_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such directory; give a git repository"):
        Repository(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"not a git repository that can be read: fatal: not a git repository"):
        Repository(tmp_path)


def test_a_subdirectory_a_bare_clone_and_a_linked_worktree_are_the_same_repository(
    upstream: History, tmp_path: Path
) -> None:
    where = upstream.repository.path
    git(where, "reset", "--quiet", "--hard")
    git(where, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    git(where, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), upstream["3"])
    for path in (where, where / "n", tmp_path / "bare", tmp_path / "linked"):
        repository = Repository(path)
        assert repository.resolve("master") == upstream["6"]
        assert repository.entry(upstream["3"], "n/1") is not None
        assert repository.file(upstream["3"], "n/1") == "1\n"
    assert Repository(tmp_path / "linked").resolve("HEAD") == upstream["3"]


def test_a_repository_that_is_gone_is_not_replaced_by_the_one_above(upstream: History, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "outer")
    history = draw(tmp_path / "outer" / "inner", "1 2")
    (tmp_path / "outer" / "inner" / ".git").rename(tmp_path / "moved")
    with pytest.raises(InfraError):
        history.repository.parents([], history["2"])


def test_without_git_the_error_says_what_to_install(tmp_path: Path, upstream: History) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from bot.host.git import Repository\n"
        "from bot.errors import InfraError\n"
        "try: Repository(Path(sys.argv[1]))\n"
        "except InfraError as error: print(error)\n"
    )
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    where = str(upstream.repository.path)
    done = subprocess.run([sys.executable, "-c", script, where], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("git is not installed: apt-get install git", "")


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_git_that_was_ended_says_neither_yes_nor_no(
    upstream: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sig: signal.Signals
) -> None:
    """Ctrl-C reaches it too, and the kernel ends it when memory is short: "no such file" would be believed."""
    repository, (one, other) = upstream.repository, (upstream["1"], upstream["6"])
    (tmp_path / "git").write_text(f"#!/bin/sh\nkill -{sig.value} $$\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    kind = InfraError if sig is signal.SIGKILL else Stopped
    asked: tuple[Callable[[], object], ...] = (
        lambda: repository.is_ancestor(one, other),
        lambda: repository.merge_base(one, other),
        lambda: repository.resolve(one),
        repository.head,
        lambda: repository.file(one, "n/1"),
        lambda: repository.has_word(one, "x"),
        lambda: repository.paths(one),
        lambda: repository.blob(one, 9),
        lambda: repository.submodule_url(one, "x"),
    )
    for ask in asked:
        with pytest.raises(kind):
            ask()


CHECKS_OUT = """
import sys; from pathlib import Path
from bot.host.git import Repository
Repository(Path(sys.argv[1])).checkout(sys.argv[2], Path(sys.argv[3]) / "tree", Path(sys.argv[3]) / "index")
"""


def test_no_git_goes_on_writing_after_a_kill(upstream: History, tmp_path: Path) -> None:
    """The next start wipes the tree and checks out another commit, and would find there what is of the first."""
    real = shutil.which("git")
    (tmp_path / "git").write_text(f'#!/bin/sh\ncase "$*" in *--reset*) exec sleep 600 ;; esac; exec {real} "$@"\n')
    (tmp_path / "git").chmod(0o755)
    asked = [sys.executable, "-c", CHECKS_OUT, str(upstream.repository.path), upstream["4"], str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    child = subprocess.Popen(asked, env=env)

    def writes() -> bool:
        return any(process.name() == "sleep" for process in processes_in(tmp_path / "tree"))

    until(writes, "it does not check out")
    child.kill()
    child.wait()
    until(lambda: not writes(), "git goes on")


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


# -- clone and fetch -----------------------------------------------------------------------------------------------


def test_clone_then_fetch_follows_pushes_forced_ones_too(tmp_path: Path) -> None:
    history = draw(tmp_path / "upstream", "0 1 2 3\n1 x", branch="3")
    where, url = tmp_path / "upstream", str(tmp_path / "upstream")
    git(where, "branch", "topic", history["x"])
    git(where, "tag", "v1", history["1"])
    said: list[str] = []
    copy = clone(url, tmp_path / "copy.git", say=said.append)
    assert said == [f"cloning {url}"]
    assert copy.branches() == {"master": history["3"], "topic": history["x"]}
    reverted = copy.compose(history["3"], [Revert(history["2"])])
    assert isinstance(reverted, str)
    git(where, "update-ref", "refs/heads/master", history["x"])  # forced: neither contains the other
    git(where, "branch", "--quiet", "-D", "topic")
    git(where, "branch", "topic/deeper", history["2"])
    git(where, "tag", "--force", "v1", history["2"])
    again = clone(url, tmp_path / "copy.git")
    assert again.branches() == {"master": history["x"], "topic/deeper": history["2"]}
    assert again.resolve("v1") == history["2"]
    assert again.commit(history["3"]).subject == "3"  # what was forced away is still there to be read
    assert again.commit(reverted).parents == (history["3"],)


def test_a_fetch_goes_on_after_one_that_was_killed(tmp_path: Path) -> None:
    """It had a ref locked, for as long as the file is there: no later one could move that ref."""
    history = draw(tmp_path / "r", "0 1")
    url, path = str(history.repository.path), tmp_path / "copy.git"
    clone(url, path)
    refs = path / "refs" / "tags"
    for turn in range(20):
        made = "".join(f"create refs/tags/t{turn}-{number} {history['0']}\n" for number in range(400))
        subprocess.run(["git", "update-ref", "--stdin"], cwd=url, input=made.encode(), check=True)
        argv = ["git", "fetch", "--quiet", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
        fetching = subprocess.Popen(argv, cwd=path)
        while not (refs / f"t{turn}-1").exists():
            assert fetching.poll() is None
        fetching.kill()
        fetching.wait()
        if list(refs.glob("*.lock")):
            break
    else:
        pytest.fail("no git was killed while it had a lock")
    git(history.repository.path, "update-ref", "refs/heads/master", history["0"])
    assert clone(url, path).branches()["master"] == history["0"]
    assert len(git(path, "tag").split()) == 400 * (turn + 1)


def test_a_half_made_clone_is_redone(tmp_path: Path, upstream: History) -> None:
    (tmp_path / "copy.git.part" / "objects").mkdir(parents=True)
    copy = clone(str(upstream.repository.path), tmp_path / "copy.git")
    assert copy.resolve("master") == upstream["6"]
    assert not (tmp_path / "copy.git.part").exists()


def test_a_relative_path_and_a_file_url_can_be_cloned_and_fetched(
    tmp_path: Path, upstream: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(upstream.repository.path.parent)
    for url in ("./upstream", "upstream", f"file://{upstream.repository.path}"):
        path = tmp_path / url.replace("/", "_") / "copy.git"
        clone(url, path)
        assert clone(url, path).resolve("master") == upstream["6"]


def test_unreachable_upstream_before_and_after_the_first_clone(
    tmp_path: Path, upstream: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = str(tmp_path / "gone.git")
    with pytest.raises(UserError, match=r"upstream\.url: cannot clone .*gone\.git: .*does not exist"):
        clone(gone, tmp_path / "copy.git")
    assert not (tmp_path / "copy.git").exists()
    clone(str(upstream.repository.path), tmp_path / "copy.git")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        clone(gone, tmp_path / "copy.git", stop=stop)  # asked to stop between two attempts
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    with pytest.raises(InfraError, match=r"upstream\.url: cannot fetch .*gone\.git"):
        clone(gone, tmp_path / "copy.git")


def test_a_password_in_the_url_is_not_shown(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(UserError) as error:
        clone("https://me:s3cret@127.0.0.1:1/x.git", tmp_path / "copy.git", say=said.append)
    assert "s3cret" not in str(error.value) + "".join(said)
    assert said == ["cloning https://127.0.0.1:1/x.git"]


@pytest.mark.parametrize("url", ["ext::sh -c touch% {mark}", "fd::17", "git://127.0.0.1:1/x", "http://127.0.0.1:1/x"])
def test_other_transports_are_refused(tmp_path: Path, upstream: History, url: str) -> None:
    mark = tmp_path / "mark"
    url = url.replace("{mark}", str(mark))
    with pytest.raises(UserError, match=r"not allowed|unable to find remote helper"):
        clone(url, tmp_path / "copy.git")
    copy = clone(str(upstream.repository.path), tmp_path / "other.git")
    with pytest.raises(InfraError, match=r"not allowed|unable to find remote helper"):
        copy.fetch(url)
    assert not mark.exists()


def test_a_url_that_looks_like_an_option_is_a_path(tmp_path: Path, upstream: History) -> None:
    mark = tmp_path / "mark"
    for url in (f"--upload-pack=touch {mark}", f"-u touch {mark}"):
        with pytest.raises(UserError):
            clone(url, tmp_path / "copy.git")
        with pytest.raises(InfraError):
            clone(str(upstream.repository.path), tmp_path / "other.git").fetch(url)
    assert not mark.exists()


def test_what_is_local() -> None:
    assert [is_local(u) for u in ("/a", "./a", "../a", "a", "file:///a")] == [True] * 5
    assert [is_local(u) for u in ("https://h/a", "host:a", "git@h:a", "ext::sh", "ssh://h/a")] == [False] * 5
    assert environment()["GIT_ALLOW_PROTOCOL"] == "https:ssh"
    assert environment(local=True)["GIT_ALLOW_PROTOCOL"] == "https:ssh:file"


# -- trees ---------------------------------------------------------------------------------------------------------


def test_checkout_keeps_times_of_what_does_not_change(tmp_path: Path) -> None:
    files = {"0": {"same.c": "s\n", "turns.c": "0\n", "goes.c": "g\n"}, "1": {"turns.c": "1\n"}}
    history = draw(tmp_path / "r", "0 1", files=files)
    tree, index = tmp_path / "tree", tmp_path / "index"
    history.repository.checkout(history["0"], tree, index)
    assert not (tree / ".git").exists()
    old = {path: path.stat().st_mtime_ns for path in tree.rglob("*.c")}
    (tree / "made.o").write_text("by the build")
    time.sleep(0.02)
    history.repository.checkout(history["1"], tree, index)
    assert (tree / "turns.c").read_text() == "1\n"
    assert (tree / "same.c").stat().st_mtime_ns == old[tree / "same.c"]
    assert (tree / "turns.c").stat().st_mtime_ns > old[tree / "turns.c"]
    assert (tree / "made.o").exists()
    history.repository.checkout(history["0"], tree, index)
    assert (tree / "turns.c").read_text() == "0\n"
    assert not (tree / "n" / "1").exists()
    assert (tree / "same.c").stat().st_mtime_ns == old[tree / "same.c"]


def test_checkout_mends_what_a_build_changed_once(tmp_path: Path) -> None:
    history = draw(tmp_path / "r", "0 1", files={"0": {"a.c": "a\n", "b.c": "b\n"}})
    tree, index = tmp_path / "tree", tmp_path / "index"
    history.repository.checkout(history["0"], tree, index)
    (tree / "a.c").write_text("overwritten\n")
    (tree / "b.c").unlink()
    history.repository.checkout(history["0"], tree, index)
    assert ((tree / "a.c").read_text(), (tree / "b.c").read_text()) == ("a\n", "b\n")
    mended = (tree / "a.c").stat().st_mtime_ns
    time.sleep(0.02)
    history.repository.checkout(history["1"], tree, index)
    assert (tree / "a.c").stat().st_mtime_ns == mended


def test_checkout_after_a_kill_and_by_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = draw(tmp_path / "r", "0 1")
    monkeypatch.chdir(tmp_path)
    history.repository.checkout(history["0"], Path("tree"), Path("index"))
    Path("index.lock").write_text("left by a git that was killed")
    history.repository.checkout(history["1"], Path("tree"), Path("index"))
    assert Path("tree/n/1").exists()
    assert not Path("tree/tree").exists()


def test_checkout_of_a_bare_clone_and_of_what_is_not_there(tmp_path: Path, upstream: History) -> None:
    copy = clone(str(upstream.repository.path), tmp_path / "copy.git")
    copy.checkout(upstream["5"], tmp_path / "tree", tmp_path / "index")
    assert (tmp_path / "tree" / "n" / "b").exists()
    with pytest.raises(InfraError, match="read-tree exited"):
        copy.checkout("0" * 40, tmp_path / "tree", tmp_path / "index")


def test_checkout_does_not_write_beyond_a_committed_symlink(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "r"
    history = draw(path, "0 1", files={"1": {"d/f": "x\n"}})
    git(path, "reset", "--quiet", "--hard", history["0"])
    (path / "d").symlink_to(outside)
    git(path, "add", "d")
    git(path, "commit", "--quiet", "-m", "symlink")
    tree, index = tmp_path / "tree", tmp_path / "index"
    history.repository.checkout(git(path, "rev-parse", "HEAD"), tree, index)
    history.repository.checkout(history["1"], tree, index)
    assert list(outside.iterdir()) == []
    assert (tree / "d" / "f").read_text() == "x\n"


def test_hooks_and_filters_of_others_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = draw(tmp_path / "r", "0 1 2", files={"0": {"f": "x\n"}})
    repository, mark = history.repository, tmp_path / "mark"
    for name in ("post-checkout", "post-index-change", "reference-transaction", "post-commit", "pre-auto-gc"):
        for hooks in (repository.dir / "hooks", tmp_path / "global"):
            hooks.mkdir(exist_ok=True)
            hook = hooks / name
            hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
            hook.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {tmp_path / 'global'}\n\tfsmonitor = touch {mark}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    repository.checkout(history["1"], tmp_path / "tree", tmp_path / "index")
    repository.worktree(history["1"], tmp_path / "worktree")
    repository.worktree(history["2"], tmp_path / "worktree")
    repository.compose(history["2"], [Revert(history["1"])])
    clone(str(repository.path), tmp_path / "copy.git")
    clone(str(repository.path), tmp_path / "copy.git")
    assert not mark.exists()


def test_the_callers_git_variables_are_not_ours(tmp_path: Path, upstream: History) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from bot.host.git import Repository\n"
        "print(Repository(Path(sys.argv[1])).resolve('master'))\n"
    )
    env = {
        **os.environ,
        "GIT_DIR": str(tmp_path / "no"),
        "GIT_INDEX_FILE": "/no",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    where = str(upstream.repository.path)
    done = subprocess.run([sys.executable, "-c", script, where], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == upstream["6"], done.stderr


def test_a_worktree_is_made_moved_and_made_again(tmp_path: Path, upstream: History) -> None:
    copy = clone(str(upstream.repository.path), tmp_path / "copy.git")
    path = tmp_path / "deep" / "worktree"
    for name in ("3", "6", "a"):
        copy.worktree(upstream[name], path)
        assert git(path, "rev-parse", "HEAD") == upstream[name]
        assert {p.name for p in (path / "n").iterdir()} == upstream.holds(upstream[name])
        (path / "n" / "0").write_text("changed by the user's command\n")
    git(path, "clean", "--quiet", "-fdx")
    for child in path.iterdir():
        if child.is_file():
            child.unlink()
    subprocess.run(["rm", "-rf", str(path)], check=True)
    copy.worktree(upstream["4"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["4"]


def test_a_worktree_goes_on_after_a_git_that_was_killed(tmp_path: Path, upstream: History) -> None:
    """A killed checkout leaves its locks, a killed `worktree add` one that is still locked, and no index."""
    copy, path = clone(str(upstream.repository.path), tmp_path / "copy.git"), tmp_path / "worktree"
    copy.worktree(upstream["3"], path)
    own = Path(git(path, "rev-parse", "--path-format=absolute", "--git-dir"))
    (own / "index.lock").write_bytes(b"half")
    (own / "HEAD.lock").touch()
    copy.worktree(upstream["6"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["6"]
    (own / "locked").write_text("initializing")
    (own / "index").unlink()
    copy.worktree(upstream["3"], path)
    assert {p.name for p in (path / "n").iterdir()} == upstream.holds(upstream["3"])
    subprocess.run(["rm", "-rf", str(path)], check=True)
    copy.worktree(upstream["4"], path)
    assert git(path, "rev-parse", "HEAD") == upstream["4"]


MOVES = """
import sys; from pathlib import Path
from bot.host.git import Repository
Repository(Path(sys.argv[1])).worktree(sys.argv[2], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_checkout_wrote_is_no_file_of_another_commit(tmp_path: Path, sig: signal.Signals) -> None:
    """git writes the files and then the index: a file of the one is tracked by nobody if it never came to the other."""
    many = {f"n/many/{number}": "x\n" for number in range(8000)}
    history = draw(tmp_path / "r", "0 b", files={"b": {"n/b": "x\n", **many}})
    copy, path = clone(str(history.repository.path), tmp_path / "copy.git"), tmp_path / "worktree"
    for _ in range(20):
        copy.worktree(history["0"], path)
        assert not (path / "n" / "b").exists()
        asked = [sys.executable, "-c", MOVES, str(copy.path), history["b"], str(path)]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        moving = subprocess.Popen(asked, start_new_session=True, env=env)
        while not (path / "n" / "b").exists():
            assert moving.poll() is None
        os.killpg(moving.pid, sig)
        moving.wait()
        wait_gone(path)
        if git(path, "status", "--porcelain", "--untracked-files=all", "n/b").startswith("??"):
            break
    else:
        pytest.fail("no git was killed while it wrote")
    copy.worktree(history["0"], path)
    assert not (path / "n" / "b").exists()
    assert git(path, "status", "--porcelain") == ""


# -- composing -----------------------------------------------------------------------------------------------------

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
    made = repository.compose(edits["2"], [Revert(edits["1"])])
    assert isinstance(made, str)
    assert repository.file(made, "f.c") == changed(3, "three\n")
    assert repository.file(made, "n/1") is None
    commit = repository.commit(made)
    assert commit.parents == (edits["2"],)
    assert (commit.author, commit.date[:10]) == ("bot", "2000-01-01")
    assert repository.resolve(f"refs/bot/{made}") == made
    assert repository.compose(edits["2"], [Revert(edits["1"])]) == made  # the same each time


def test_a_pick_from_another_branch_and_a_list_of_ops(edits: History) -> None:
    repository = edits.repository
    made = repository.compose(edits["2"], [Pick(edits["s"]), Revert(edits["2"])])
    assert isinstance(made, str)
    assert repository.file(made, "f.c") == changed(12, "twelve\n", changed(20, "twenty\n"))
    assert repository.file(made, "new.c") == "n\n"
    assert [c.subject for c in repository.commits(repository.first_parents(edits["2"], made))] == [
        f"Pick {edits['s']}",
        f"Revert {edits['2']}",
    ]


def test_a_conflict_names_the_files(edits: History) -> None:
    assert edits.repository.compose(edits["3"], [Revert(edits["1"])]) == Conflict(("f.c",))
    refs = git(edits.repository.path, "for-each-ref", "refs/bot")
    assert refs == ""


def test_a_merge_is_taken_relative_to_its_first_parent(edits: History) -> None:
    repository = edits.repository
    made = repository.compose(edits["m"], [Revert(edits["m"])])
    assert isinstance(made, str)
    assert repository.file(made, "new.c") is None
    assert repository.file(made, "f.c") == repository.file(edits["2"], "f.c")
    picked = repository.compose(edits["1"], [Pick(edits["m"])])
    assert isinstance(picked, str)
    assert repository.file(picked, "new.c") == "n\n"


def test_a_revert_follows_a_rename(tmp_path: Path) -> None:
    files = {"0": {"old.c": TEXT}, "1": {"old.c": changed(20, "twenty\n")}}
    history = draw(tmp_path / "r", "0 1", files=files)
    path = tmp_path / "r"
    git(path, "reset", "--quiet", "--hard")
    git(path, "mv", "old.c", "renamed.c")
    git(path, "commit", "--quiet", "-m", "rename")
    made = history.repository.compose(git(path, "rev-parse", "HEAD"), [Revert(history["1"])])
    assert isinstance(made, str)
    assert history.repository.file(made, "renamed.c") == TEXT
    assert history.repository.file(made, "old.c") is None


def test_a_root_cannot_be_reverted(edits: History) -> None:
    with pytest.raises(UserError, match=f"{edits['0'][:12]} has no parent: it can be neither reverted nor picked"):
        edits.repository.compose(edits["3"], [Revert(edits["0"])])


def test_nothing_to_apply_is_the_base_itself(edits: History) -> None:
    assert edits.repository.compose(edits["3"], []) == edits["3"]


def test_compose_leaves_the_users_work_tree_and_index_alone(edits: History) -> None:
    path = edits.repository.path
    git(path, "reset", "--quiet", "--hard")
    (path / "f.c").write_text("not committed\n")
    git(path, "add", "f.c")
    (path / "mine.c").write_text("untracked\n")
    before = (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD"), git(path, "diff", "--cached"))
    edits.repository.compose(edits["2"], [Revert(edits["1"]), Pick(edits["s"])])
    assert (git(path, "status", "--porcelain"), git(path, "rev-parse", "HEAD"), git(path, "diff", "--cached")) == before


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
    other = history.repository.compose(history["2"], [Revert(history["2"])])
    assert isinstance(other, str)
    found = history.repository.changes(history["2"], [same, other, history["1"]])
    assert found[same] == () and found[other] == found[history["1"]]


def test_what_a_commit_stands_on(tmp_path: Path) -> None:
    """Itself, if a branch, a tag or HEAD has it; what the bot composed is on none."""
    history = draw(tmp_path / "r", DRAWING, branch="5")
    repository = history.repository
    assert repository.bases(history["3"]) == [history["3"]]
    composed = repository.compose(history["5"], [Revert(history["4"])])
    assert isinstance(composed, str)
    assert repository.bases(composed) == [history["5"]]
    assert repository.bases(history["6"]) == [history["5"]]
    git(tmp_path / "r", "tag", "v1", history["6"])
    assert repository.bases(history["6"]) == [history["6"]]
    git(tmp_path / "r", "checkout", "--quiet", "--detach", composed)
    assert repository.bases(composed) == [composed]
