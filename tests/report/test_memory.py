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
    write(out, {})
    assert (tmp_path / "victim").read_text() == "v"


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
    code = (
        "import os, signal, sys; from pathlib import Path; from bot.report import memory\n"
        "def kill(): os.kill(os.getpid(), signal.SIGKILL); signal.pause()\n"
        "def die(path, text): return kill() if path.name == 'x.json' else real(path, text)\n"
        "real, memory.renew = memory.renew, die\n"
        "made = memory.Memory(Path(sys.argv[1])); made.write('a', {'a/index.html': 'A2', 'a/x.json': '{2}'}, '2')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "a" / "index.html").read_text() == "A2"
    assert write(tmp_path, ONE) == ["a"] and (tmp_path / "a" / "index.html").read_text() == "A"
