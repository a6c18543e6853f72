"""Clone and fetch, from real repositories: pushes, forced ones, what is refused, and what is never shown."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest

from bot.errors import InfraError, Stopped, UserError
from bot.host.gitdir import environment
from bot.host.picks import Revert, compose
from bot.host.remote import clone, fetch, is_local
from tests.testing.history import History, draw, git


def test_clone_then_fetch_follows_pushes_forced_ones_too(tmp_path: Path) -> None:
    history = draw(tmp_path / "upstream", "0 1 2 3\n1 x", branch="3")
    where, url = tmp_path / "upstream", str(tmp_path / "upstream")
    git(where, "branch", "topic", history["x"])
    git(where, "tag", "v1", history["1"])
    said: list[str] = []
    copy = clone(url, tmp_path / "copy.git", say=said.append)
    assert said == [f"cloning {url}"]
    assert copy.branches() == {"master": history["3"], "topic": history["x"]}
    reverted = compose(copy, history["3"], [Revert(history["2"])])
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
        fetch(copy, url)
    assert not mark.exists()


def test_a_url_that_looks_like_an_option_is_a_path(tmp_path: Path, upstream: History) -> None:
    mark = tmp_path / "mark"
    for url in (f"--upload-pack=touch {mark}", f"-u touch {mark}"):
        with pytest.raises(UserError):
            clone(url, tmp_path / "copy.git")
        with pytest.raises(InfraError):
            fetch(clone(str(upstream.repository.path), tmp_path / "other.git"), url)
    assert not mark.exists()


def test_what_is_local() -> None:
    assert [is_local(u) for u in ("/a", "./a", "../a", "a", "file:///a")] == [True] * 5
    assert [is_local(u) for u in ("https://h/a", "host:a", "git@h:a", "ext::sh", "ssh://h/a")] == [False] * 5
    assert environment()["GIT_ALLOW_PROTOCOL"] == "https:ssh"
    assert environment(local=True)["GIT_ALLOW_PROTOCOL"] == "https:ssh:file"
