"""Batches of the samples of concurrent requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

Results = Sequence[dict[str, Any] | Exception]


class _Waiting(NamedTuple):
    sample: Any
    result: asyncio.Future[dict[str, Any]]


class Batcher:
    """Predict samples of concurrent requests together.

    A batch starts when it is full, or when its first sample has waited for `wait` seconds. One batch is computed at a
    time, in another thread, while the next one fills; so under load batches fill with a `wait` of 0 too.

    Example:
        >>> async def main():
        ...     batcher = Batcher(lambda samples: [{"batch": len(samples)} for _ in samples], size=8, wait=0.01)
        ...     async with asyncio.TaskGroup() as group:
        ...         running = group.create_task(batcher.run())
        ...         records = await asyncio.gather(*map(batcher.predict, range(3)))
        ...         running.cancel()
        ...     return records
        >>> asyncio.run(main())
        [{'batch': 3}, {'batch': 3}, {'batch': 3}]

    Args:
        predict: maps samples to a record each, or the error that prevented it.
        size: largest number of samples of a batch.
        wait: longest time in seconds that a sample waits for others.
    """

    def __init__(self, predict: Callable[[Sequence[Any]], Results], size: int, wait: float) -> None:
        self._predict, self._size, self._wait = predict, size, wait
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()

    async def predict(self, sample: Any) -> dict[str, Any]:
        """Return the record of a sample.

        Raises:
            Exception: the error that prevented it.
        """
        waiting = _Waiting(sample, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        return await waiting.result

    async def run(self) -> None:
        """Predict samples until the task is cancelled."""
        while True:
            batch = [await self._queue.get()]
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait):
                    while len(batch) < self._size:
                        batch.append(await self._queue.get())
            batch = [one for one in batch if not one.result.done()]  # those that timed out are cancelled
            if batch:
                await self._answer(batch)

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        try:
            results: Results = await asyncio.to_thread(self._predict, [one.sample for one in batch])
        except Exception as error:  # the server goes on
            results = [error] * len(batch)
        for one, result in zip(batch, results, strict=True):
            if one.result.done():
                continue
            if isinstance(result, Exception):
                one.result.set_exception(result)
            else:
                one.result.set_result(result)
