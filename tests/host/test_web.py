"""The server of the pages, over real sockets: what it gives, and what it keeps to itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from queue import Queue

import pytest

from bot.errors import UserError
from bot.host import web


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    root = tmp_path / "root"
    (root / "r0001").mkdir(parents=True)
    (root / ".git").mkdir()
    (tmp_path / "secret").write_text("secret")
    (root / "index.html").write_text("<p>index")
    (root / "r0001" / "mail.eml").write_text("From: a\r\n\r\nä")
    (root / "r0001" / "core").write_bytes(b"\x7fELF")
    (root / ".git" / "config").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "inside").symlink_to(root / ".git" / "config")
    said: Queue[str] = Queue()
    stop = threading.Event()
    kept = {"names": ["bot.example"], "say": said.put, "stop": stop}
    serving = threading.Thread(target=web.serve, args=(root, "127.0.0.1", 0), kwargs=kept)
    serving.start()
    url = said.get(timeout=30)
    assert url.startswith("http://127.0.0.1:") and url.endswith("/index.html")
    yield int(url.split(":")[2].split("/")[0])
    stop.set()
    serving.join(30)
    assert not serving.is_alive()


def ask(port: int, path: str, method: str = "GET", host: str = "localhost") -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_it_serves_files_as_what_they_are(port: int) -> None:
    for path in ("/", "/index.html", "/index.html?x=1", "/r0001/../index.html"):
        answer, body = ask(port, path)
        assert (answer.status, body) == (200, b"<p>index"), path
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer, body = ask(port, "/r0001/mail.eml")
    assert body == "From: a\r\n\r\nä".encode()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    answer, body = ask(port, "/index.html", "HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", "8")


@pytest.mark.parametrize(
    "path",
    [
        "/none",
        "/r0001/",
        "/r0001",
        "/../secret",
        "/%2e%2e/secret",
        "/link",
        "/inside",
        "/.git/config",
        "/r0001%00",
        "//etc/passwd",
    ],
)
def test_what_is_no_file_below_it_is_not_there(port: int, path: str) -> None:
    answer, body = ask(port, path)
    assert answer.status == 404
    assert b"secret" not in body and b"root:" not in body


def test_it_only_reads(port: int) -> None:
    for method in ("POST", "PUT", "DELETE"):
        assert ask(port, "/index.html", method)[0].status == 501


def test_it_answers_to_its_own_names_alone(port: int) -> None:
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "[::1]:80", "BOT.example", "192.0.2.1:8080"):
        assert ask(port, "/", host=host)[0].status == 200, host
    for host in ("evil.example", "evil.example:80", "", "localhost.evil.example"):
        assert ask(port, "/", host=host)[0].status == 421, host


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port}: cannot listen there: Address already in use"):
            web.serve(tmp_path, "127.0.0.1", port, names=[], say=print, stop=threading.Event())
