"""A GitLab, as far as the bot speaks with one: issues and notes of API v4, over HTTP, with the faults of real ones.

What its answers look like is taken from its documentation (doc/api/issues.md, doc/api/notes.md). Texts are searched for
quick actions as its extractor does (lib/gitlab/quick_actions/extractor.rb): those that it would carry out are kept.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BOT, OTHER = 7, 8  # ids of users
_ACTIONS = re.compile(
    r"(?:^```.+?\n```$)|(?:^<[^>]+?>\n.+?\n</[^>]+?>$)|(?:^>>>.+?\n>>>$)"
    r"|(?:^/(?P<cmd>close|reopen|assign|label|cc|confidential)(?: [^\n]*)?(?:\s*\n|$))",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)


def quick_actions(text: str) -> list[str]:
    """Commands that GitLab would carry out."""
    return [found["cmd"] for found in _ACTIONS.finditer(text) if found["cmd"]]


@dataclass
class Fault:
    """What comes of the next request of a method, instead of its answer: `status`, or `what`.

    `dropped`: it is carried out, and then the connection breaks; `refused`: it breaks before; `hang`, `garbage`,
    `endless`, `drip`.
    """

    method: str
    status: int = 0
    what: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass
class Server:
    """Its issues, each as the API gives it, with their notes; and what it was asked."""

    token: str
    project: str = "group/project"
    issues: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, description: str, author: int = OTHER, title: str = "x", labels: str = "") -> dict[str, Any]:
        number = len(self.issues) + 1
        made = {
            "id": 1000 + number, "iid": number, "project_id": 1, "title": title, "description": description,
            "state": "opened", "labels": [label for label in labels.split(",") if label], "confidential": False,
            "author": {"id": author}, "web_url": f"{self.url}/{self.project}/-/issues/{number}",
        }  # fmt: skip
        self.issues.append(made)
        self.notes[number] = []
        return made

    def comment(self, number: int, body: str, author: int = OTHER) -> dict[str, Any]:
        made = {"id": len(self.notes[number]) + 1, "body": body, "author": {"id": author}, "system": False}
        self.notes[number].append(made)
        return made

    def answer(self, method: str, path: str, query: Mapping[str, str], given: Mapping[str, Any]) -> tuple[int, Any]:
        """Status and body for a request of the token's own user, who is the bot."""
        found = re.fullmatch(r"/api/v4/projects/([^/]+)/issues(?:/(\d+))?(/notes)?", path)
        if found is None or unquote(found[1]) != self.project:
            return 404, {"message": "404 Project Not Found"}
        if not found[2]:
            return self._create(given) if method == "POST" else (200, self._page(self._search(query), query))
        issue = next((one for one in self.issues if one["iid"] == int(found[2])), None)
        if issue is None:
            return 404, {"message": "404 Issue Not Found"}
        if not found[3]:
            return self._edit(issue, given)
        if method == "POST":
            self.actions += quick_actions(str(given["body"]))
            return 201, self.comment(issue["iid"], given["body"], BOT)
        newest = list(reversed(self.notes[issue["iid"]])) if query.get("sort") == "desc" else self.notes[issue["iid"]]
        return 200, self._page(newest, query)

    def _create(self, given: Mapping[str, Any]) -> tuple[int, Any]:
        if not given.get("title"):
            return 400, {"error": "title is missing"}
        if len(given["title"]) > 255:
            return 400, {"message": {"title": ["is too long (maximum is 255 characters)"]}}
        self.actions += quick_actions(given["description"])
        made = self.add(given["description"], BOT, given["title"], given.get("labels", ""))
        made["confidential"] = given.get("confidential", False)
        return 201, made

    def _search(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        assert (query["state"], query["in"], query["sort"]) == ("all", "description", "asc")
        mine = [one for one in self.issues if query["scope"] != "created_by_me" or one["author"]["id"] == BOT]
        return [one for one in mine if query["search"] in one["description"]]

    @staticmethod
    def _page(found: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
        size, page = int(query.get("per_page", 20)), int(query.get("page", 1))
        return found[size * (page - 1) : size * page]

    @staticmethod
    def _edit(issue: dict[str, Any], given: Mapping[str, Any]) -> tuple[int, Any]:
        wanted = {"close": "closed", "reopen": "opened"}
        issue["state"] = wanted.get(given.get("state_event", ""), issue["state"])
        added = [label for label in given.get("add_labels", "").split(",") if label]
        issue["labels"] += [label for label in added if label not in issue["labels"]]
        gone = given.get("remove_labels", "").split(",")
        issue["labels"] = [label for label in issue["labels"] if label not in gone]
        return 200, issue


@contextlib.contextmanager
def gitlab(token: str, certificate: Path | None = None) -> Iterator[Server]:
    """A server on a free port of 127.0.0.1; over TLS with a certificate (PEM with its key)."""
    state = Server(token)

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.asked.append((self.command, url.path))
            fault = next((one for one in state.faults if one.method in (self.command, "*")), None)
            if fault is not None:
                state.faults.remove(fault)
            if self.headers.get("Authorization") != f"Bearer {state.token}":
                self._send(401, {"message": "401 Unauthorized"})
            elif fault is None or fault.what == "dropped":
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, answer = state.answer(self.command, url.path, query, json.loads(body) if body else {})
                if fault is None:
                    self._send(status, answer)
                else:
                    self.close_connection = True
            elif fault.status:
                self._send(fault.status, fault.body, fault.headers)
            else:
                self._misbehave(fault.what)

        def _misbehave(self, what: str) -> None:
            self.close_connection = True
            if what == "hang":
                time.sleep(3)
            if what in ("hang", "refused"):
                return
            self.send_response(201)
            if what == "garbage":
                self.send_header("Content-Length", "13")
            self.end_headers()
            with contextlib.suppress(OSError):
                if what == "garbage":
                    self.wfile.write(b"<html></html>")
                for _ in range(400 if what != "garbage" else 0):
                    self.wfile.write(b'"' + b"x" * (1 << 16 if what == "endless" else 1))
                    self.wfile.flush()
                    time.sleep(0 if what == "endless" else 0.05)

        def _send(self, status: int, answer: Any, headers: Mapping[str, str] | None = None) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _any

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that does not believe a certificate is none of our tests' trouble."""

    server = Quiet(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    state.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
