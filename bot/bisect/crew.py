"""Several tests at a time: threads make the facts, and one thread, whose the search and the store are, takes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from bot.model import Build, Run, Sha, Test

Perform = Callable[[Test], Iterator[Build | Run]]


class Crew:
    """Performs tests in at most `size` threads; to be used in a `with`, at whose end no thread is left.

    A test is taken on only when its last fact was taken and the next one is asked for. So what was taken can be
    recorded before anything follows from it, and a crash loses of each test what one step of it had found out.
    """

    def __init__(self, perform: Perform, size: int) -> None:
        self._perform = perform
        self._pool = ThreadPoolExecutor(size, "test")
        self._tests: dict[Sha, tuple[Test, Iterator[Build | Run]]] = {}  # that go on, in the order they began
        self._steps: dict[Future[Build | Run | None], Sha] = {}
        self._taken: Sha | None = None  # the commit whose fact was taken last

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Wait for the steps that go on; the tests go no further."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for _, facts in self._tests.values():
            if isinstance(facts, Generator):
                facts.close()

    @property
    def busy(self) -> tuple[Sha, ...]:
        """The commits under test, in the order they were begun."""
        return tuple(self._tests)

    def begin(self, test: Test) -> None:
        """Have a test performed; there must be a free thread."""
        self._tests[test.commit] = test, self._perform(test)
        self._step(test.commit)

    def take(self) -> tuple[Test, Build | Run | BaseException | None]:
        """The next fact of any test: waits for it. None: that test has ended; an exception ended it."""
        if self._taken is not None:
            self._step(self._taken)
            self._taken = None
        wait(self._steps, return_when=FIRST_COMPLETED)
        ended = next(step for step in self._steps if step.done())
        commit = self._steps.pop(ended)
        test, _ = self._tests[commit]
        fact = ended.exception() or ended.result()
        if fact is None or isinstance(fact, BaseException):
            del self._tests[commit]
        else:
            self._taken = commit
        return test, fact

    def _step(self, commit: Sha) -> None:
        self._steps[self._pool.submit(next, self._tests[commit][1], None)] = commit
