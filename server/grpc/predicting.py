"""A prediction by whatever service: the model, its answer, what is counted; and streams of them, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from grpc import StatusCode

from ..api.bodies import OURS_TO_ASK
from ..errors import DeadlineExceeded, InvalidRequest, ModelNotFound, Unavailable
from ..messages import Bytes, InferenceRequest, InferenceResponse, Part
from ..metrics.metrics import UNKNOWN_MODEL, Metrics
from ..registry import ModelRegistry
from .calls import Call, left
from .messages import Message
from .statuses import status_of

PIPELINE = 32
"""Requests of one stream that are worked on at a time, so that they can share a batch."""
OUTSIDE = {"url_path": "", "explain": "False"}
"""What a handler finds among the headers of a prediction, as by HTTP (contract: inference API, section 4)."""

Answer = TypeVar("Answer")


class Predictor:
    """Asks models, and counts how they answer."""

    def __init__(self, registry: ModelRegistry, metrics: Metrics) -> None:
        """Predict by the registry's models."""
        self._registry = registry
        self._metrics = metrics

    async def predict(
        self, call: Call, identity: str, name: str, version: str, parts: tuple[Part, ...], headers: dict[str, str]
    ) -> InferenceResponse:
        """Ask the model of this name, in its default version where none is given; cancelling drops the request.

        Raises: what `ModelRegistry.get` and `Model.predict` raise; InvalidRequest without a name.
        """
        asked, code = (UNKNOWN_MODEL, ""), "OK"
        try:
            if not name:
                raise InvalidRequest("Parameter model_name is required.")
            model = self._registry.get(name, version or None)
            asked = call.exchange.model, call.exchange.version = name, model.version
            told = {key: value for key, value in call.headers.items() if key != OURS_TO_ASK}
            request = InferenceRequest(identity, parts, {**told, **OUTSIDE, **headers}, call.exchange)
            return await self._answer(call, name, model.predict(request, version_given=bool(version)))
        except asyncio.CancelledError:
            code = left(call.remaining()).name
            raise
        except Exception as error:
            if isinstance(error, ModelNotFound):
                self._metrics.request_rejected("unknown_model")
            code = status_of(error).name
            raise
        finally:
            self._metrics.prediction_answered(*asked, code, "grpc")

    async def _answer(self, call: Call, name: str, answer: asyncio.Future[InferenceResponse]) -> InferenceResponse:
        """The answer, or nothing for a call that has ended: grpc cancels it where the client's time is over, too."""
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if left(call.remaining()) is StatusCode.CANCELLED:
                answer.cancel()
            elif not answer.done():
                self._metrics.request_rejected("deadline", name)
                answer.set_exception(DeadlineExceeded("The client's time is over."))
                answer.exception()  # seen: nobody waits for it any more
            raise


async def pieces_of(response: InferenceResponse) -> AsyncGenerator[Bytes]:
    """The pieces of an answer, as they come; one, where it is whole."""
    yield response.body
    if response.further:
        try:
            async for piece in response.further:
                yield piece
        finally:
            response.further.close()


async def whole(response: InferenceResponse) -> bytes:
    """An answer in one piece."""
    if response.further is None:
        return bytes(response.body)
    async with aclosing(pieces_of(response)) as pieces:
        return b"".join([piece async for piece in pieces])


async def in_order(
    requests: AsyncIterator[Message], answer: Callable[[Message], Awaitable[Answer]], stopping: asyncio.Event
) -> AsyncGenerator[Answer]:
    """The answers to a stream's requests, in their order, while further requests are read.

    `answer` must not raise. Raises: what reading the requests raises; Unavailable where the server is about to end.
    """
    slots, answers = asyncio.Semaphore(PIPELINE), asyncio.Queue[asyncio.Future[Answer] | None]()

    async def read() -> None:
        async for request in requests:
            await slots.acquire()
            answers.put_nowait(asyncio.ensure_future(answer(request)))

    reader, ending = asyncio.create_task(read()), asyncio.create_task(stopping.wait())
    reader.add_done_callback(lambda _: answers.put_nowait(None))
    ending.add_done_callback(lambda _: reader.cancel())
    try:
        while (future := await answers.get()) is not None:
            yield await future
            slots.release()
        if reader.cancelled():
            raise Unavailable("The server is stopping.")
        reader.result()
    finally:
        ending.cancel()
        while not answers.empty():
            if future := answers.get_nowait():
                future.cancel()
