"""Several tests at a time: threads make the facts, and one thread, whose the search and the store are, takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from bot.model import Build, Run, Sha, Test

Perform = Callable[[Test, threading.Event], Iterator[Build | Run]]
"""Performs a test; ends it with `Stopped`, and its processes, once the event is set."""


class Crew:
    """Performs tests in at most `size` threads; to be used in a `with`, at whose end no thread is left.

    A test is taken on only when its last fact was taken and the next one is asked for. So what was taken can be
    recorded before anything follows from it, and a crash loses of each test what one step of it had found out.
    A test that is cancelled goes no further than its next fact.
    """

    def __init__(self, perform: Perform, size: int) -> None:
        self._perform = perform
        self._pool = ThreadPoolExecutor(size, "test")
        self._tests: dict[Sha, tuple[Test, Iterator[Build | Run]]] = {}  # that go on, in the order they began
        self._stops: dict[Sha, threading.Event] = {}
        self._steps: dict[Future[Build | Run | None], Sha] = {}
        self._taken: Sha | None = None  # the commit whose fact was taken last

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Wait for the steps that go on, which are told to end; the tests go no further."""
        for stop in self._stops.values():
            stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for _, facts in self._tests.values():
            _close(facts)

    @property
    def busy(self) -> tuple[Sha, ...]:
        """The commits under test, in the order they were begun."""
        return tuple(self._tests)

    def begin(self, test: Test) -> None:
        """Have a test performed; there must be a free thread."""
        stop = self._stops[test.commit] = threading.Event()
        self._tests[test.commit] = test, self._perform(test, stop)
        self._step(test.commit)

    def cancel(self, commit: Sha) -> None:
        """Have the test of a commit end early; it is `busy` until it has."""
        self._stops[commit].set()

    def take(self) -> tuple[Test, Build | Run | BaseException | None]:
        """The next fact of any test: waits for it. None: that test has ended; an exception ended it."""
        taken, self._taken = self._taken, None
        if taken is not None and self._stops[taken].is_set():
            return self._end(taken), None
        if taken is not None:
            self._step(taken)
        wait(self._steps, return_when=FIRST_COMPLETED)
        ended = next(step for step in self._steps if step.done())
        commit = self._steps.pop(ended)
        fact = ended.exception() or ended.result()
        if fact is None or isinstance(fact, BaseException):
            return self._end(commit), fact
        self._taken = commit
        return self._tests[commit][0], fact

    def _end(self, commit: Sha) -> Test:
        test, facts = self._tests.pop(commit)
        del self._stops[commit]
        _close(facts)
        return test

    def _step(self, commit: Sha) -> None:
        self._steps[self._pool.submit(next, self._tests[commit][1], None)] = commit


def _close(facts: Iterator[Build | Run]) -> None:
    if isinstance(facts, Generator):
        facts.close()
