"""Scheduler and workers as real processes, with certificates of their own; in network namespaces, if that is asked."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
WITHIN = 60.0  # seconds for anything that is waited for


def authority(where: Path) -> None:
    """ca.pem and ca.key in a directory: who may sign."""
    where.mkdir(parents=True, exist_ok=True)
    new = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=bot")
    _openssl(where, "req", *new, "-keyout", "ca.key", "-out", "ca.pem")


def certificate(where: Path, name: str, signer: Path) -> None:
    """NAME.pem and NAME.key, signed by the authority of another directory."""
    where.mkdir(parents=True, exist_ok=True)
    _openssl(where, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
             "-out", f"{name}.csr")  # fmt: skip
    _openssl(where, "x509", "-req", "-in", f"{name}.csr", "-CA", str(signer / "ca.pem"), "-CAkey",
             str(signer / "ca.key"), "-CAcreateserial", "-days", "30", "-out", f"{name}.pem")  # fmt: skip


def _openssl(where: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=where, check=True, capture_output=True)


def until(true: Callable[[], object], what: str | Callable[[], str], within: float = WITHIN) -> None:
    """Wait for it; fails with `what` if it does not come."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"after {within:.0f} s: {what if isinstance(what, str) else what()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Cluster:
    """Processes of `bot` in one directory. To be closed, which ends all of them."""

    path: Path
    address: str
    settings: dict[str, str] = field(default_factory=dict)  # of the executor's section
    inside: tuple[str, ...] = ()  # command that scheduler and coordinator are run by: another network
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        authority(self.path / "tls")
        certificate(self.path / "tls", "host", self.path / "tls")

    def configuration(self, base: str = "") -> Path:
        """config.yaml, with the executor's section behind what else it has."""
        tls = self.path / "tls"
        given = {"lost": "12s", "timeout": "60s", **self.settings}
        lines = "".join(f"  {key}: {value}\n" for key, value in given.items())
        keys = f"{{ca: {tls}/ca.pem, cert: {tls}/host.pem, key: {tls}/host.key}}"
        path = self.path / "config.yaml"
        path.write_text(f"{base}executor:\n  address: {self.address}\n  tls: {keys}\n{lines}")
        return path

    def start(self, name: str, *args: str, inside: tuple[str, ...] | None = None) -> subprocess.Popen[bytes]:
        """`bot -C NAME ARGS` in the background; what it says is in NAME.log."""
        with (self.path / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*(self.inside if inside is None else inside), sys.executable, "-m", "bot", "-C", name, *args],
                cwd=self.path, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self.processes[name] = process
        return process

    def scheduler(self) -> None:
        self.start("scheduler", "scheduler")
        self.said("scheduler", "listening at")

    def workers(self, *names: str, repo: Path, inside: dict[str, tuple[str, ...]] | None = None) -> None:
        """Start them, and wait until the scheduler has them."""
        for name in names:
            args = ("worker", "--repo", str(repo), "--name", name)
            self.start(name, *args, inside=(inside or {}).get(name, ()))
        for name in names:
            self.said(name, "connected to")
            self.said("scheduler", f"{name} has come")

    def said(self, name: str, text: str, within: float = WITHIN) -> None:
        """Wait until a process has said something."""
        until(lambda: text in self.log(name), lambda: f"{name} did not say {text!r}:\n{self.log(name)}", within)

    def log(self, name: str) -> str:
        path = self.path / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def kill(self, name: str, sig: int = signal.SIGKILL) -> None:
        """One process alone, not what it started; reaped."""
        process = self.processes.pop(name)
        os.kill(process.pid, sig)
        process.wait(timeout=WITHIN)

    def below(self, name: str) -> list[psutil.Process]:
        """Processes that work in a worker's directory."""
        return processes_in(self.path / name)

    def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=WITHIN)
        self.processes.clear()


def processes_in(path: Path) -> list[psutil.Process]:
    """Processes whose current directory is in a directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(path):
                found.append(process)
    return found


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


# -- network namespaces --------------------------------------------------------------------------------------------


class Networks:
    """A hub, and hosts that reach it and each other through its bridge, each in a network namespace of its own."""

    NET = "10.211.7"

    def __init__(self, *names: str) -> None:
        self._mark = f"bot{os.getpid()}"
        self._names = names
        self.hub = self._within("hub")
        self.address = f"{self.NET}.1"

    def _within(self, name: str) -> tuple[str, ...]:
        return "ip", "netns", "exec", f"{self._mark}-{name}"

    def of(self, name: str) -> tuple[str, ...]:
        """The command that runs another on a host."""
        return self._within(name)

    def __enter__(self) -> Networks:
        ip = self._ip
        try:
            for name in ("hub", *self._names):
                ip("netns", "add", f"{self._mark}-{name}")
                self._on(name, "link", "set", "lo", "up")
            self._on("hub", "link", "add", "bridge", "type", "bridge")
            self._on("hub", "addr", "add", f"{self.address}/24", "dev", "bridge")
            self._on("hub", "link", "set", "bridge", "up")
            for number, name in enumerate(self._names, 2):
                peer = f"to-{name}"
                self._on("hub", "link", "add", peer, "type", "veth", "peer", "name", "net", "netns",
                         f"{self._mark}-{name}")  # fmt: skip
                self._on("hub", "link", "set", peer, "master", "bridge", "up")
                self._on(name, "addr", "add", f"{self.NET}.{number}/24", "dev", "net")
                self._on(name, "link", "set", "net", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*self._names, "hub"):
            subprocess.run(["ip", "netns", "del", f"{self._mark}-{name}"], capture_output=True, check=False)

    def cut(self, name: str) -> None:
        """Pull the plug of a host: what it sends is lost from now on, and nobody is told."""
        self._on("hub", "link", "set", f"to-{name}", "nomaster")

    def mend(self, name: str) -> None:
        self._on("hub", "link", "set", f"to-{name}", "master", "bridge")

    def _on(self, name: str, *args: str) -> None:
        self._ip("-n", f"{self._mark}-{name}", *args)

    @staticmethod
    def _ip(*args: str) -> None:
        done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {' '.join(args)}: {done.stderr}"


def no_networks() -> str | None:
    """Why no network namespace can be made here; None if one can."""
    if os.geteuid() != 0:
        return "network namespaces are root's to make"
    if shutil.which("ip") is None:
        return "ip is not installed: apt-get install iproute2"
    done = subprocess.run(["ip", "netns", "add", f"bot{os.getpid()}-try"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", f"bot{os.getpid()}-try"], capture_output=True, check=False)
    return None if done.returncode == 0 else f"no network namespaces: {done.stderr.strip()}"
