"""Items of many requests gathered into one call of the model."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class FullError(Exception):
    """There is no room in the queue for more."""


class Batcher(Generic[Item, Result]):
    """A bounded queue, and a thread that works on what waits in it, up to `most` items at a time.

    While one batch is worked on the next one gathers; only the first waits, `seconds`, for company.
    To be used from one event loop.

    work   a result for each item, in order; if it fails for a batch, each item is tried alone, so that one
           request's fault is no other's
    room   items that may wait
    """

    def __init__(
        self, work: Callable[[list[Item]], Sequence[Result]], *, most: int, room: int, seconds: float = 0.002
    ) -> None:
        self._work, self._most, self._room, self._seconds = work, most, room, seconds
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._thread = ThreadPoolExecutor(1)
        self._running: asyncio.Task[None] | None = None

    async def one(self, item: Item) -> Result:
        """The result of one item; FullError if there is no room."""
        return (await self.all([item]))[0]

    async def all(self, items: Sequence[Item]) -> list[Result]:
        """The results of some items; FullError, and nothing done, if there is no room for all."""
        if len(self._waiting) + len(items) > self._room:
            raise FullError
        loop = asyncio.get_running_loop()
        coming = [loop.create_future() for _ in items]
        self._waiting.extend(zip(items, coming, strict=True))
        if self._running is None and items:
            self._running = loop.create_task(self._run())
        await asyncio.gather(*coming, return_exceptions=True)  # all: asyncio logs an exception nobody took
        return [future.result() for future in coming]

    def close(self) -> None:
        """End the thread once it has done what it is doing."""
        self._thread.shutdown(cancel_futures=True)

    async def _run(self) -> None:
        await asyncio.sleep(self._seconds)
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                waited_for = [pair for pair in taken if not pair[1].done()]  # some clients have gone
                if waited_for:
                    await self._serve(waited_for)
        finally:
            self._running = None

    async def _serve(self, pairs: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._work, [item for item, _ in pairs])
        except Exception as error:
            if len(pairs) > 1:
                for pair in pairs:
                    await self._serve([pair])
            elif not pairs[0][1].done():
                pairs[0][1].set_exception(error)
            return
        for (_, future), result in zip(pairs, results, strict=True):
            if not future.done():
                future.set_result(result)


class Store:
    """So much in all, and no queue: what does not fit raises FullError."""

    def __init__(self, room: int) -> None:
        self._free = room

    @contextmanager
    def taking(self) -> Generator[Callable[[int], None]]:
        """Take more and more by calling what is yielded; all is given back at the end."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._free:
                raise FullError
            self._free -= count
            taken += count

        try:
            yield take
        finally:
            self._free += taken


class Gate:
    """So many at a time, and no queue: a context that is entered at once, or raises FullError."""

    def __init__(self, room: int) -> None:
        self._free = room

    @property
    def is_full(self) -> bool:
        return not self._free

    def __enter__(self) -> None:
        if not self._free:
            raise FullError
        self._free -= 1

    def __exit__(self, *_error: object) -> None:
        self._free += 1
