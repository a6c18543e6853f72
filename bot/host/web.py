"""Serves a directory of files over HTTP to whoever may connect: it only reads, and knows no users.

Behind it is the server of the standard library. What is not a plain file below the directory is not there: no listings,
no names that begin with a dot, no links that lead out.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO

from bot.errors import UserError

_TEXT = "text/plain; charset=utf-8"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml",
    ".xml": "application/atom+xml", ".eml": _TEXT, ".log": _TEXT, "": _TEXT,
}  # fmt: skip
_IDLE = 30.0  # seconds that a connection may say nothing


def serve(
    root: Path, host: str, port: int, *, names: Iterable[str], say: Callable[[str], object], stop: threading.Event
) -> None:
    """Serve the files below `root` until stopped; port 0: one that is free. `say` is told the URL.

    `names` are the hosts that it is asked by, besides addresses and localhost: a page elsewhere whose name was made to
    lead here reads nothing (DNS rebinding). Raises `UserError` if it cannot listen there.
    """
    handler = partial(
        _Files, root=root.resolve(), names=frozenset(name.lower() for name in (*names, host, "localhost"))
    )
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        raise UserError(
            f"{host}:{port}: cannot listen there: {error.strerror or error}; give another address"
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="web", daemon=True)
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        say(f"http://{shown}:{server.server_address[1]}/index.html")
        stop.wait()
        server.shutdown()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, at: tuple[str, int], handler: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
        super().__init__(at, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no news."""


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    server_version, sys_version = "bot", ""

    def __init__(self, *args: Any, root: Path, names: frozenset[str]) -> None:
        self.root, self.names = root, names
        super().__init__(*args, directory=str(root))

    def send_head(self) -> BinaryIO | BytesIO | None:
        """The file that was asked for, whole, with its headers sent; None: an error was."""
        if not self._ours(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.partition("?")[0].endswith("/"):
            path /= "index.html"
        data = self._read(path)
        if data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return BytesIO(data)

    def _read(self, path: Path) -> bytes | None:
        """A plain file below the root; else None."""
        try:
            real = path.resolve(strict=True)
            inside = real.relative_to(self.root)
            return None if any(part.startswith(".") for part in inside.parts) else real.read_bytes()
        except (OSError, ValueError):
            return None

    def _ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self.names
        return True

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_args: object) -> None:
        """Who reads what is not written down."""
