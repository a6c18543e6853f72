"""A real Chromium, without a window, driven over a pipe by the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/: JSON objects that end with a NUL, requests on the browser's file 3
and answers and events on its file 4. No port is opened, and nothing is needed besides the browser.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Space": 32}
_WAIT = 60.0  # seconds for one answer; a loaded machine is slow


class Browser:
    """The process. `hosts` are names that lead to this machine."""

    def __init__(self, profile: Path, hosts: str = "") -> None:
        ours, theirs = os.pipe(), os.pipe()
        argv = [str(CHROMIUM), *_FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        argv += [f"--host-resolver-rules=MAP {hosts} 127.0.0.1"] if hosts else []
        shell = ["bash", "-c", f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}', "bash", *argv]
        self._log = (profile.parent / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            shell, pass_fds=(ours[0], theirs[1]), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from = ours[1], theirs[0]
        self._buffer, self._last = b"", 0
        self.events: deque[dict[str, Any]] = deque()
        self.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: TracebackType | type | BaseException | None) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._log.close()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises `RuntimeError` if the browser refuses."""
        self._last += 1
        asked = {"id": self._last, "method": method, "params": params, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                answer: dict[str, Any] = message["result"]
                return answer
            if "method" in message:
                self.events.append(message)

    def wait(self, method: str, session: str) -> dict[str, Any]:
        """The next event of a kind; what came before it stays."""
        for event in self.events:
            if event["method"] == method and event.get("sessionId") == session:
                self.events.remove(event)
                return event
        while True:
            message = self._read()
            if message.get("method") == method and message.get("sessionId") == session:
                return message
            self.events.append(message)

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + _WAIT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                raise OSError("Chromium went away" if ready else f"Chromium said nothing for {_WAIT:.0f} s")
            self._buffer += data
        first, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message

    @contextmanager
    def page(self, *, width: int = 1200, dark: bool = False, script: bool = True, media: str = "") -> Iterator[Page]:
        """A tab of its own."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        try:
            for domain in ("Page", "Runtime", "Log", "DOM"):
                page.call(f"{domain}.enable")
            page.call("Emulation.setFocusEmulationEnabled", enabled=True)
            page.call("Emulation.setScriptExecutionDisabled", value=not script)
            page.show(width, dark=dark, media=media)
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def show(self, width: int, *, dark: bool = False, media: str = "") -> None:
        """As on a screen (or `print`) so wide, with the user's wish for dark pages."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        wish = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[wish])

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        self.call("Page.navigate", url="about:blank")
        self._browser.wait("Page.loadEventFired", self._session)
        self.call("Page.navigate", url=url)
        self._browser.wait("Page.loadEventFired", self._session)

    def do(self, expression: str) -> Any:
        """The value of a JavaScript expression, after any promise. Raises `RuntimeError` for what it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true, on whatever page is there then."""
        end = time.monotonic() + _WAIT
        while not self.do(condition):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """A key, by its name."""
        text = {"Enter": "\r", "Space": " "}.get(key, "")
        event = {"key": text.strip() or key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """The mouse, on the middle of the first element that fits."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.do(f"{found}.scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.do(f"(b => [b.x, b.y, b.width, b.height])({found}.getBoundingClientRect())")
        x, y = x + width / 2, y + height / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def complaints(self) -> list[str]:
        """What the console has: errors, warnings, exceptions, refusals of the Content-Security-Policy."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            said = event["params"]
            match event["method"]:
                case "Log.entryAdded" if said["entry"]["level"] in ("error", "warning"):
                    found.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
                case "Runtime.exceptionThrown":
                    found.append(json.dumps(said["exceptionDetails"]))
                case "Runtime.consoleAPICalled":
                    found.append(json.dumps(said["args"]))
        return found
