"""What is remembered of pages: nothing is written twice, nothing stale stays, nothing of others is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bot.report.memory import Memory


def write(out: Path, pages: dict[str, tuple[str, dict[str, str]]], *, whole: bool = True) -> list[str]:
    """The pages that had to be made, of (digest, files) by page."""
    memory, made = Memory(out), []
    for page, (of, texts) in pages.items():
        if memory.kept(page, of) is None:
            made.append(page)
            memory.write(page, texts, of, {"about": page})
    memory.close(whole=whole)
    return made


ONE = {"a": ("1", {"a/index.html": "A", "a/x.json": "{}"}), "b": ("1", {"b.html": "B"})}


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} - {".made.json"}


def die_at(out: Path, page: str, texts: dict[str, str], *, at: str, after: bool = False) -> None:
    """Write a page in a process that is killed when it comes to one of its files, or has written that."""
    code = (
        "import json, os, signal, sys; from pathlib import Path; from bot.report import memory\n"
        "out, page, texts, at, after = json.loads(sys.argv[1])\n"
        "def kill(): os.kill(os.getpid(), signal.SIGKILL); signal.pause()\n"
        "def die(path, text):\n"
        "    if path.name != at: return real(path, text)\n"
        "    if after: real(path, text)\n"
        "    kill()\n"
        "real, memory.renew = memory.renew, die\n"
        "memory.Memory(Path(out)).write(page, texts, '2')\n"
    )
    asked = json.dumps([str(out), page, texts, at, after])
    killed = subprocess.run([sys.executable, "-c", code, asked], check=False)
    assert killed.returncode == -signal.SIGKILL


def test_what_is_made_of_the_same_is_left_alone(tmp_path: Path) -> None:
    assert write(tmp_path, ONE) == ["a", "b"]
    assert write(tmp_path, ONE) == []
    assert write(tmp_path, {**ONE, "b": ("2", {"b.html": "B2"})}) == ["b"]
    assert (tmp_path / "b.html").read_text() == "B2"
    memory = Memory(tmp_path)
    assert memory.kept("a", "1") == {"about": "a"} and memory.kept("a", "2") is None
    assert [path.name for path in memory.files("a")] == ["index.html", "x.json"]


@pytest.mark.parametrize("how", ["changed", "gone", "forgotten", "nonsense", "another version", "half"])
def test_what_is_not_as_it_was_left_is_made_again(tmp_path: Path, how: str) -> None:
    write(tmp_path, ONE)
    page, notes = tmp_path / "a" / "index.html", tmp_path / ".made.json"
    if how == "changed":
        page.write_text("Z")
    elif how == "gone":
        page.unlink()
    elif how == "forgotten":
        notes.unlink()
    elif how == "nonsense":
        notes.write_bytes(b"\xff{")
    elif how == "half":
        notes.write_text(
            json.dumps({"version": 1, "whose": "", "pages": {"a": {"digest": "1"}, "b": json.loads("{}")}})
        )
    else:
        notes.write_text(json.dumps({"version": 99, "pages": {}}))
    assert "a" in write(tmp_path, ONE)
    assert page.read_text() == "A"


def test_what_is_of_no_page_any_more_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "a" / "mine").write_text("mine")
    write(tmp_path, {"b": ("1", {"c/d/b.html": "B"})} | {"a": ("2", {"a/index.html": "A"})})
    assert files(tmp_path) == {"a/index.html", "a/mine", "b.html", "mine.html"}  # b is kept as it was
    write(tmp_path, {"b": ("2", {"c/d/b.html": "B"})})
    assert files(tmp_path) == {"a/mine", "c/d/b.html", "mine.html"}
    write(tmp_path, {})
    assert files(tmp_path) == {"a/mine", "mine.html"} and not (tmp_path / "c").exists()


def test_what_came_to_no_end_removes_nothing_and_is_gone_on_with(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    write(tmp_path, {"n": ("1", {"new/n.html": "N"})}, whole=False)
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html", "new/n.html"}
    assert write(tmp_path, ONE) == []
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html"}


def test_what_another_wrote_is_not_removed(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    memory = Memory(tmp_path, "another")
    assert memory.kept("a", "1") is None
    memory.write("c", {"c.html": "C"})
    memory.close(whole=True)
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html", "c.html"}


def test_notes_that_somebody_forged_remove_nothing_outside(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, ONE)
    (tmp_path / "victim").write_text("v")
    notes = json.loads((out / ".made.json").read_text())
    notes["pages"]["a"]["files"]["../victim"] = None
    (out / ".made.json").write_text(json.dumps(notes))
    (out / ".begun.jsonl").write_text('["", "../victim"]\n["", 3]\n[1]\n["", "../old.html"]\n["", "a/n')
    old = tmp_path / ".old.html.1.part"
    old.write_text("o")
    os.utime(old, (1.0, 1.0))
    write(out, {})
    assert (tmp_path / "victim").read_text() == "v" and old.exists()
    assert files(out) == set()


def test_a_reader_sees_a_whole_page_at_any_time_and_what_was_left_half_goes(tmp_path: Path) -> None:
    pages = [f"<html>{letter * 300_000}</html>" for letter in "AB"]
    write(tmp_path, {"p": ("0", {"p.html": pages[0]})})
    old, young = tmp_path / ".p.html.1.part", tmp_path / ".p.html.2.part"
    for part in (old, young):
        part.write_text("<html>")
    os.utime(old, (1.0, 1.0))
    stop, seen = threading.Event(), set[str]()

    def look() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "p.html").read_text())

    with ThreadPoolExecutor(1) as reader:
        looking = reader.submit(look)
        for i in range(1, 30):
            write(tmp_path, {"p": (str(i), {"p.html": pages[i % 2]})})
        stop.set()
        looking.result(60)
    assert seen <= set(pages)
    assert young.exists() and not old.exists()


def test_killed_while_it_writes_the_next_time_makes_it_good(tmp_path: Path) -> None:
    """The kill comes between two files of one page: what is noted then is the time before."""
    write(tmp_path, ONE)
    die_at(tmp_path, "a", {"a/index.html": "A2", "a/x.json": "{2}"}, at="x.json")
    assert (tmp_path / "a" / "index.html").read_text() == "A2"
    assert write(tmp_path, ONE) == ["a"] and (tmp_path / "a" / "index.html").read_text() == "A"


@pytest.mark.parametrize("after", [False, True])
def test_a_new_page_that_nobody_noted_before_the_kill_goes_when_it_is_not_wanted(tmp_path: Path, after: bool) -> None:
    write(tmp_path, ONE)
    (tmp_path / "mine.html").write_text("mine")
    die_at(tmp_path, "n", {"new/n.html": "N", "new/n.json": "{}"}, at="n.json", after=after)
    assert files(tmp_path) >= {"new/n.html", "mine.html"}
    assert write(tmp_path, ONE) == []
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html", "mine.html"} and not (tmp_path / "new").exists()


def test_a_new_page_that_nobody_noted_before_the_kill_is_kept_when_it_is_wanted(tmp_path: Path) -> None:
    die_at(tmp_path, "n", {"new/n.html": "N", "new/n.json": "{}"}, at="n.json")
    die_at(tmp_path, "o", {"old/o.html": "O"}, at="o.html", after=True)
    assert write(tmp_path, ONE | {"n": ("2", {"new/n.html": "N"})}) == ["a", "b", "n"]
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html", "new/n.html"}


def test_killed_before_it_wrote_anything_there_is_nothing_to_remove(tmp_path: Path) -> None:
    die_at(tmp_path, "n", {"new/deep/n.html": "N"}, at="n.html")
    assert write(tmp_path, ONE) == ["a", "b"]
    assert files(tmp_path) == {"a/index.html", "a/x.json", "b.html"}


def test_what_a_kill_left_half_written_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    die_at(tmp_path, "n", {"new/n.html": "N"}, at="n.html")
    part = tmp_path / "new" / ".n.html.1.part"
    part.parent.mkdir()
    part.write_text("<html>")
    write(tmp_path, ONE)
    assert part.exists()
    os.utime(part, (1.0, 1.0))
    write(tmp_path, ONE)
    assert not part.parent.exists() and files(tmp_path) == {"a/index.html", "a/x.json", "b.html"}


def test_a_page_with_fewer_files_in_a_time_that_came_to_no_end_loses_none(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    write(tmp_path, {"a": ("2", {"a/index.html": "A2"})}, whole=False)
    write(tmp_path, {"a": ("2", {"a/index.html": "A2"})})
    assert files(tmp_path) == {"a/index.html"}


def test_what_another_began_is_not_removed(tmp_path: Path) -> None:
    die_at(tmp_path, "n", {"new/n.html": "N", "new/n.json": "{}"}, at="n.json")
    memory = Memory(tmp_path, "another")
    memory.write("c", {"c.html": "C"})
    memory.close(whole=True)
    assert files(tmp_path) == {"new/n.html", "c.html"}
