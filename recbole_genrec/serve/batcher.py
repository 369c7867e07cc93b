"""Requests that arrive together share a call of the model."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

Histories = Sequence[Sequence[str]]
Answer = Callable[[Histories], Sequence[Any]]  # one answer for each history


class Busy(Exception):
    """So many histories are waiting that another request is refused."""


class Waiting(NamedTuple):
    """A request that the model has not begun to answer."""

    answer: Answer
    histories: Histories
    future: asyncio.Future
    since: float


class Batcher:
    """Gathers requests for the model, which one thread runs.

    What arrives while the model works waits for the next call. A request that finds it idle waits
    for others, for `wait` seconds at most. The longest waiting request is always in the next call,
    together with those whose `answer` is equal.

    To be used as `async with`; leaving it ends the thread.

    Args:
        batch: number of histories that a call takes; a request with more has one for itself.
        wait: seconds that a request waits for others.
        queue: number of histories that may wait; a request that finds none waiting is taken.
    """

    def __init__(self, batch: int, wait: float, queue: int) -> None:
        self.batch, self.wait, self.queue = batch, wait, queue
        self.waiting: deque[Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "model")
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Batcher:
        self._work = asyncio.create_task(self._answer_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._work.cancel()
        with suppress(asyncio.CancelledError):
            await self._work
        self._thread.shutdown()

    @property
    def waiting_histories(self) -> int:
        """Number of histories that the model has not begun to answer, and somebody waits for."""
        return sum(len(each.histories) for each in self.waiting if not each.future.done())

    async def ask(self, answer: Answer, histories: Histories) -> Sequence[Any]:
        """What `answer(histories)` returns, perhaps worked out together with other histories.

        Where it is canceled before the model has begun, the model never hears of it.

        Raises:
            Busy: when the queue is full.
        """
        size = self.waiting_histories
        if size and size + len(histories) > self.queue:
            raise Busy
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self.waiting.append(Waiting(answer, histories, future, loop.time()))
        self._arrived.set()
        return await future

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._gather()
            requests = self._next()
            histories = [history for request in requests for history in request.histories]
            try:
                answer = requests[0].answer
                answers = iter(await loop.run_in_executor(self._thread, answer, histories))
            except Exception as error:
                for request in requests:
                    if not request.future.done():
                        request.future.set_exception(error)
                continue
            for request in requests:
                own = [next(answers) for _ in request.histories]
                if not request.future.done():  # as it is where nobody waits for it any more
                    request.future.set_result(own)

    async def _gather(self) -> None:
        """Return when a batch is full, or its first request has waited long enough."""
        loop = asyncio.get_running_loop()
        while True:
            self._arrived.clear()
            self.waiting = deque(each for each in self.waiting if not each.future.done())
            left = self.waiting[0].since + self.wait - loop.time() if self.waiting else None
            if self.waiting_histories >= self.batch or (left is not None and left <= 0):
                return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), left)

    def _next(self) -> list[Waiting]:
        """Take the requests of the next call from those waiting."""
        first = self.waiting.popleft()
        taken, size = [first], len(first.histories)
        left: deque[Waiting] = deque()
        for request in self.waiting:
            if request.answer == first.answer and size + len(request.histories) <= self.batch:
                taken.append(request)
                size += len(request.histories)
            else:
                left.append(request)
        self.waiting = left
        return taken
