"""MicroBatching: a batch in small pieces, whose three steps overlap in threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any

from .context import Context

STEPS = ("preprocess", "inference", "postprocess")


class MicroBatching:
    """Stands in for a handler's `handle`: `self.handle = MicroBatching(self, micro_batch_size=4)` in its constructor.

    `parallelism` is the number of threads for each step, 1 where it is not named. The answers keep their order. An
    exception of a step is the batch's, and the threads live on.
    """

    def __init__(
        self, parent_handler: Any, micro_batch_size: int = 1, parallelism: Mapping[str, int] | None = None
    ) -> None:
        if micro_batch_size < 1:
            raise ValueError(f"micro_batch_size is {micro_batch_size}; expected 1 or more")
        self.handler = parent_handler
        self.micro_batch_size = micro_batch_size
        self._index = threading.local()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._parallelism: dict[str, int] = dict.fromkeys(STEPS, 1)
        self.parallelism = dict(parallelism or {})

    @property
    def parallelism(self) -> dict[str, int]:
        """The number of threads for each step."""
        return dict(self._parallelism)

    @parallelism.setter
    def parallelism(self, parallelism: Mapping[str, int]) -> None:
        for step, threads in parallelism.items():
            if step not in STEPS or threads < 1:
                raise ValueError(
                    f"parallelism {{{step!r}: {threads}}}: expected a step of {STEPS} and 1 or more threads"
                )
        self.shutdown()
        self._parallelism.update(parallelism)

    def shutdown(self) -> None:
        """End the threads; the next batch starts new ones."""
        for pool in self._pools.values():
            pool.shutdown()
        self._pools = {}

    def get_micro_batch_idx(self) -> int:
        """The number of the piece that the calling step works on."""
        number: int = self._index.number
        return number

    def __call__(self, data: list[dict[str, Any]], context: Context) -> list[Any]:
        """Answer a batch; describing and explaining go the plain way."""
        started = perf_counter()
        self.handler.context = context
        if self.handler._is_describe() or self.handler._is_explain():
            answers: list[Any] = self.handler._answers(data)
        else:
            answers = self.handle(data)
        context.metrics.add_time("HandlerTime", round((perf_counter() - started) * 1000, 2), None, "ms")
        return answers

    def handle(self, data: Sequence[dict[str, Any]]) -> list[Any]:
        """The answers to the rows, piece by piece through the steps."""
        pools = self._started()
        size = self.micro_batch_size
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        futures: list[Future[Any]] = [_done(piece) for piece in pieces]
        for step in STEPS:
            futures = [pools[step].submit(self._run, step, number, each) for number, each in enumerate(futures)]
        return [answer for future in futures for answer in future.result()]

    def _run(self, step: str, number: int, before: Future[Any]) -> Any:
        given = before.result()
        self._index.number = number
        return getattr(self.handler, step)(given)

    def _started(self) -> dict[str, ThreadPoolExecutor]:
        if not self._pools:
            self._pools = {step: ThreadPoolExecutor(count, step) for step, count in self._parallelism.items()}
        return self._pools


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future
