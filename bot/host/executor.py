"""The door to dask.distributed: tests that are performed on other hosts. It is imported when it is needed, in a second.

Three processes meet here: a scheduler (`schedule`), workers, one on each host (`serve`), and a coordinator (`Remote`).
Whoever reaches a scheduler can have code run, so there is nothing but TLS, with certificates on both sides.

A task is one function call on a worker, which tells what it finds as it goes along: each piece travels as an event of
the scheduler's, in the order in which it was told, and before the news that the task has ended. dask says when a worker
is lost, and has its tasks done by others. It cannot end a task that runs, so each looks itself whether it is wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot import __version__
from bot.errors import Aborted, InfraError, Stopped, UserError
from bot.model import Link

_LOOK = 0.2  # seconds between looks at what may have changed
_COUNT = 2.0  # seconds between questions which workers there are
_AGAIN = 2.0  # seconds after which a worker looks for its scheduler again
_CONNECT = 10.0  # seconds for an answer of the scheduler
_END = 30.0  # seconds that what a worker has begun may take to end
_EVENTS = 100  # that a scheduler remembers of each topic; nobody reads them again
_ALIVE = 11  # seconds: dask takes no less for the silence after which a connection is lost

Work = Callable[[Any, threading.Event], Iterator[object]]
"""What a worker does with a payload: tells what it finds, ends with `Stopped` once the event is set."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: `payload` is data, `needs` resources that one worker has, `host` the worker to prefer."""

    name: str
    payload: object
    needs: Mapping[str, float]
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A worker as the scheduler knows it. `facts` is what it says of itself."""

    name: str
    address: str  # another one after each start
    resources: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


def _dask(link: Link) -> Any:
    """The module, set up before it is first imported: quiet, and with nothing but TLS."""
    import dask

    lost = max(link.lost, _ALIVE)
    dask.config.set({
        "logging": {"distributed": "critical", "tornado": "critical"},
        "distributed.comm.require-encryption": True,
        "distributed.comm.timeouts.tcp": f"{lost}s",
        "distributed.comm.timeouts.connect": f"{_CONNECT}s",
        "distributed.scheduler.worker-ttl": f"{lost}s",
        "distributed.scheduler.allowed-failures": link.retries,
        "distributed.admin.low-level-log-length": _EVENTS,
    })  # fmt: skip
    import distributed

    return distributed


def _security(link: Link) -> Any:
    for name, path in (("ca", link.ca), ("cert", link.cert), ("key", link.key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise UserError(f"executor.tls.{name}: {path}: {error.strerror}") from error
    roles = {f"tls_{role}_{part}": str(path) for role in ("client", "worker", "scheduler")
             for part, path in (("cert", link.cert), ("key", link.key))}  # fmt: skip
    return _dask(link).Security(require_encryption=True, tls_ca_file=str(link.ca), **roles)


def _without_http(node: type) -> Any:
    """A scheduler or worker without dask's pages, which are an open port without TLS, and with commands behind it."""
    return type(node.__name__, (node,), {"start_http_server": lambda *_args, **_more: None})


def _that_gives_up(client: type) -> Any:
    """A client that gives up its tasks once its scheduler is lost, and stays so.

    One that starts anew knows none of them, so there is nothing to come back for; and dask's attempt to connect ends
    at any error but `OSError` (a TLS handshake with a scheduler that is just dying has others), after which its client
    is "connecting" for ever and cannot be closed either.
    """

    async def give_up(self: Any) -> None:
        for state in self.futures.values():
            state.cancel()
        self.futures.clear()
        self.scheduler_comm = None

    return type(client.__name__, (client,), {"_reconnect": give_up})


# -- the coordinator -----------------------------------------------------------------------------------------------


class Remote:
    """Has tasks done by the workers of one scheduler; for any number of threads. To be closed."""

    def __init__(self, link: Link, say: Callable[[str], None]) -> None:
        self._link = link
        self._say = say
        self._lock = threading.Lock()
        self._client: Any = None
        self._topic = f"bot-{uuid.uuid4().hex}"
        self._told: dict[str, queue.SimpleQueue[tuple[str, str, object]]] = {}

    def close(self) -> None:
        """Give all up that is not done; the workers end it."""
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close(timeout=5)
            self._client = None

    def perform(self, task: Task, stop: threading.Event) -> Iterator[Any]:
        """What the task tells, as it comes; from its beginning once more where a worker was lost, or its host failed.

        Raises what the task raises, an `InfraError` only if no other worker can try or enough have (`Link.retries`),
        `Stopped` once `stop` is set, and `InfraError` if nobody could do it within `Link.timeout`, if too many workers
        were lost with it, or the scheduler is.
        """
        client = self._connected()
        token = uuid.uuid4().hex
        told = self._told[token] = queue.SimpleQueue()
        sent = _Sent(self, client, task, token)
        try:
            while True:
                try:
                    kind, by, value = told.get(timeout=_LOOK)
                except queue.Empty:
                    if stop.is_set():
                        raise Stopped(f"stopped while {task.name} was done elsewhere") from None
                    sent.look(told)
                    continue
                if kind == "began":
                    sent.began(by, self._say)
                elif kind == "fact":
                    yield value
                elif kind == "error" and isinstance(value, BaseException):
                    if not sent.elsewhere(value, self._say):
                        raise value
                else:
                    return
        finally:
            sent.drop()
            del self._told[token]

    def hosts(self) -> tuple[Host, ...]:
        """The workers there are, by name. Raises `InfraError` if there is no scheduler."""
        return _hosts(self._connected())

    def _connected(self) -> Any:
        with self._lock:
            if self._client is not None and not _alive(self._client):
                self.close()
            if self._client is None:
                link = self._link
                distributed, security = _dask(link), _security(link)
                try:
                    self._client = _that_gives_up(distributed.Client)(
                        link.address, security=security, set_as_default=False, timeout=_CONNECT, direct_to_workers=False
                    )
                except (OSError, TimeoutError, ValueError) as error:
                    raise InfraError(f"executor.address: no scheduler answers at {link.address}: {error}") from error
            return self._client

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        message = event[1]
        told = self._told.get(message["token"])
        if told is not None:
            told.put((message["kind"], message["by"], pickle.loads(message["value"])))  # noqa: S301 - by TLS, of ours


class _Sent:
    """A task that was handed to the scheduler."""

    def __init__(self, remote: Remote, client: Any, task: Task, token: str) -> None:
        self._link, self._client, self._task, self._token = remote._link, client, task, token
        self._topic = remote._topic
        self._runs_on = ""
        self._asked = time.monotonic()  # last time that somebody could do it
        self._counted = 0.0
        self._moved = 0  # times that the workers were lost that it was for
        self._failed = set[str]()  # hosts on which it met trouble of theirs
        client.subscribe_topic(self._topic, remote._hear)  # each time: a scheduler that was started anew knows of none
        self._future = self._submit()

    def _submit(self) -> Any:
        found = _hosts(self._client) if self._task.host or self._failed else ()
        fit = [host for host in found if host.name not in self._failed]
        wanted = [host for host in fit if host.name == self._task.host] or (fit if self._failed else [])
        self._pins = {host.address for host in wanted}  # empty: anybody
        where: dict[str, Any] = {"workers": [*self._pins], "allow_other_workers": False} if self._pins else {}
        payload = pickle.dumps(self._task.payload)
        return self._client.submit(
            _perform, payload, self._topic, self._token, __version__,
            key=f"{self._task.name}-{uuid.uuid4().hex}", resources=dict(self._task.needs), pure=False, **where,
        )  # fmt: skip

    def began(self, by: str, say: Callable[[str], None]) -> None:
        if self._runs_on:
            say(f"{self._runs_on} was lost; {self._task.name} once more on {by}")
        self._runs_on = by

    def look(self, told: queue.SimpleQueue[tuple[str, str, object]]) -> None:
        """Nothing came for a while: whether there is still something to wait for."""
        status = self._future.status if _alive(self._client) else "lost"
        if status == "pending":
            if time.monotonic() - self._counted > _COUNT:
                self._counted = time.monotonic()
                self._count()
        elif told.empty():  # else what it told before it ended comes first
            raise self._trouble(status)

    def _count(self) -> None:
        """Whether there is a worker for it. What has begun is somebody's; when that one is lost, dask asks others."""
        found = _hosts(self._client)
        needs, able = self._task.needs, self._able(found)
        if self._pins and self._pins.isdisjoint(host.address for host in found):
            self.drop()
            self._moved += 1
            if self._moved > self._link.retries:
                raise self._killed()
            self._future = self._submit()
        if able:
            self._asked = time.monotonic()
        elif time.monotonic() - self._asked > self._link.timeout:
            there = "; ".join(f"{host.name} has {_words(host.resources)}" for host in found) or "there is no worker"
            raise InfraError(
                f"no worker of {self._link.address} can do {self._task.name}, which needs {_words(needs)}, since "
                f"{self._link.timeout:.0f} s (executor.timeout): {there}"
            )

    def _able(self, found: Iterable[Host]) -> list[Host]:
        needs = self._task.needs
        return [host for host in found if all(host.resources.get(name, 0) >= n for name, n in needs.items())]

    def elsewhere(self, error: BaseException, say: Callable[[str], None]) -> bool:
        """Whether it is given to another worker, for it was the host's fault that it failed."""
        self._failed.add(self._runs_on)
        if not isinstance(error, InfraError) or isinstance(error, Aborted) or len(self._failed) > self._link.retries:
            return False
        if all(host.name in self._failed for host in self._able(_hosts(self._client))):
            return False
        say(f"{error}; {self._task.name} once more, elsewhere")
        self.drop()
        self._runs_on = ""
        self._future = self._submit()
        return True

    def _trouble(self, status: str) -> InfraError:
        name = self._task.name
        if status in ("cancelled", "lost"):
            return InfraError(f"the scheduler {self._link.address} was lost while {name} was done")
        error = self._future.exception(timeout=_CONNECT) if status == "error" else None
        if type(error).__name__ == "KilledWorker":
            return self._killed()
        return InfraError(f"{name} ended on {self._runs_on or 'a worker'} without a word: {error or status}")

    def _killed(self) -> InfraError:
        count = self._link.retries + 1
        return InfraError(f"{count} workers were lost while they did {self._task.name}; look at their hosts")

    def drop(self) -> None:
        """Nobody waits for it any more: if it runs, the worker ends it."""
        with contextlib.suppress(Exception):
            self._future.cancel()


def _alive(client: Any) -> bool:
    """Whether a client has its scheduler; one that has lost it has given up its tasks."""
    return bool(client.status == "running")


def _hosts(client: Any) -> tuple[Host, ...]:
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
    except (OSError, TimeoutError, RuntimeError) as error:
        raise InfraError(f"executor.address: the scheduler does not answer: {error}") from error
    found = (
        Host(str(at["name"]), address, at["resources"], at.get("metrics", {}).get("bot") or {})
        for address, at in workers.items()
    )
    return tuple(sorted(found, key=lambda host: host.name))


def _words(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {count:g}" for name, count in sorted(resources.items())) or "nothing"


# -- a worker ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Serving:
    """What this process does as a worker."""

    name: str
    work: Work
    stop: threading.Event  # set when the worker is told to end
    lock: threading.Lock = field(default_factory=threading.Lock)
    running: int = 0


_serving: _Serving | None = None


def _perform(payload: bytes, topic: str, token: str, version: str) -> None:
    """A task, in a thread of a worker: tells all it finds, and at last how it ended."""
    import distributed

    worker, serving = distributed.get_worker(), _serving
    if serving is None:
        raise InfraError("this is no worker of bot; start one by `bot worker`")
    key, stop, over = worker.get_current_task(), threading.Event(), threading.Event()
    by = serving.name

    def tell(kind: str, value: object = None) -> None:
        message = {"token": token, "kind": kind, "by": by, "value": pickle.dumps(value)}
        worker.log_event(topic, message)

    watch = threading.Thread(target=_watch, args=(worker, key, stop, over), daemon=True)
    with serving.lock:
        serving.running += 1
    try:
        watch.start()
        tell("began")
        if version != __version__:
            raise InfraError(f"{by} runs bot {__version__}, the coordinator {version}: install the same")
        for fact in serving.work(pickle.loads(payload), stop):  # noqa: S301 - by TLS, of ours
            tell("fact", fact)
    except Stopped as error:
        if serving.stop.is_set():  # the worker's end is none of the search: another worker is given the task
            while worker.status.name in ("running", "paused"):
                time.sleep(_LOOK)
            raise distributed.Reschedule from error
        tell("error", error)
    except BaseException as error:
        tell("error", error)
    else:
        tell("done")
    finally:
        over.set()
        watch.join()
        with serving.lock:
            serving.running -= 1


def _watch(worker: Any, key: str, stop: threading.Event, over: threading.Event) -> None:
    """Set `stop` when nobody wants the task any more, or the scheduler is lost: then another worker is given it."""
    while not over.wait(_LOOK):
        task = worker.state.tasks.get(key)
        wanted = task is not None and task.state in ("executing", "long-running")
        if not wanted or worker.status.name not in ("running", "paused"):
            stop.set()
            return


def serve(
    link: Link,
    work: Work,
    *,
    name: str,
    slots: int,
    resources: Mapping[str, float],
    facts: Mapping[str, Any],
    scratch: Path,
    say: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Be a worker until stopped: do `slots` tasks at a time. A scheduler that is lost is looked for again.

    Raises `UserError` if a file of TLS cannot be read.
    """
    global _serving
    _serving = _Serving(name, work, stop)
    distributed, security = _dask(link), _security(link)
    made = _without_http(distributed.Worker)
    given = {
        "security": security, "nthreads": slots, "name": name, "resources": dict(resources), "memory_limit": 0,
        "dashboard": False, "host": _loopback(), "local_directory": str(scratch),
        "metrics": {"bot": lambda _worker: dict(facts)},
    }  # fmt: skip
    asyncio.run(_serve(link, lambda: made(link.address, **given), security, say, stop))


def _loopback() -> str:
    """Where a worker listens: not on the network, for nobody has to connect to it.

    dask tells workers apart by their addresses, so each takes one of 16 million.
    """
    one, two, three = uuid.uuid4().bytes[:3]
    return f"127.{one}.{two}.{1 + three % 254}"


async def _serve(
    link: Link, make: Callable[[], Any], security: Any, say: Callable[[str], None], stop: threading.Event
) -> None:
    told = ""
    while not stop.is_set():
        why = await _why_not(link, security)
        worker = None if why else make()
        if worker is not None:
            try:
                await asyncio.wait_for(worker, _CONNECT)
            except Exception as error:  # of many types: a name that is taken, a connection that broke
                cause = error.__cause__ or error
                why = f"{link.address} does not take this worker: {cause}"
        if worker is not None and not why:
            told = ""
            say(f"connected to {link.address}, waiting for tests")
            while not stop.is_set() and worker.status.name in ("running", "paused"):
                await asyncio.sleep(_LOOK)
            if not stop.is_set():
                why = f"{link.address} was lost; what was going on is ended"
        if worker is not None:
            with contextlib.suppress(Exception):
                await worker.close(timeout=_END, nanny=False)
            await _ended()
        if why and why != told:
            told = why
            say(f"{why}; it is looked for again")
        until = time.monotonic() + _AGAIN
        while not stop.is_set() and time.monotonic() < until:
            await asyncio.sleep(_LOOK)


async def _why_not(link: Link, security: Any) -> str:
    """Why the scheduler cannot be reached, in words: dask's worker would try for ever without one."""
    from distributed.comm import core

    connect: Any = core.connect
    try:
        comm = await connect(link.address, timeout=_CONNECT, **security.get_connection_args("worker"))
    except (OSError, TimeoutError) as error:
        return f"no scheduler answers at {link.address}: {error.__cause__ or error}"
    comm.abort()
    return ""


async def _ended() -> None:
    """Wait for the tasks that were told to end."""
    until = time.monotonic() + _END
    while _serving is not None and _serving.running and time.monotonic() < until:
        await asyncio.sleep(_LOOK)


# -- the scheduler -------------------------------------------------------------------------------------------------


def schedule(link: Link, say: Callable[[str], None], stop: threading.Event) -> None:
    """Be the scheduler until stopped. Raises `InfraError` if the address cannot be listened at."""
    distributed, security = _dask(link), _security(link)
    asyncio.run(_schedule(_without_http(distributed.Scheduler), link, security, say, stop))


async def _schedule(made: Any, link: Link, security: Any, say: Callable[[str], None], stop: threading.Event) -> None:
    place = urlsplit(link.address)
    scheduler = made(host=place.hostname, port=place.port, protocol="tls", security=security, dashboard=False)
    try:
        await scheduler
    except Exception as error:
        raise InfraError(f"cannot listen at {link.address}: {error.__cause__ or error}") from error
    say(f"listening at {link.address}")
    names: set[str] = set()
    while not stop.is_set() and scheduler.status.name == "running":
        now = {str(worker.name) for worker in scheduler.workers.values()}
        for name in sorted(now ^ names):
            say(f"{name} {'has come' if name in now else 'has gone'}")
        names = now
        await asyncio.sleep(_LOOK)
    await scheduler.close()
