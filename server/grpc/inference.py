"""TorchServe's InferenceAPIsService: bytes by name in, bytes out (contract: gRPC, section 2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NamedTuple
from uuid import uuid4

from ..api.responses import pretty
from ..errors import InvalidRequest
from ..messages import InferenceResponse, Part, SequenceHeaders
from ..registry import ModelRegistry
from .calls import Call, Service, log_unexpected
from .messages import Message, message_class
from .predicting import Predictor, in_order, pieces_of, whole
from .statuses import status_of, text_of

PACKAGE = "org.pytorch.serve.grpc.inference"
PredictionResponse = message_class(f"{PACKAGE}.PredictionResponse")
TorchServeHealthResponse = message_class(f"{PACKAGE}.TorchServeHealthResponse")
Status = message_class("google.rpc.Status")


class _Answered(NamedTuple):
    """What became of a request of a stream."""

    request: Message
    response: InferenceResponse | None
    error: Exception | None = None


class Inference(Service):
    """Health, predictions, and predictions in streams."""

    names = (f"{PACKAGE}.InferenceAPIsService",)
    open = frozenset({"Ping"})

    def __init__(self, registry: ModelRegistry, predictor: Predictor, sequence: SequenceHeaders) -> None:
        """Serve the registry's models; `sequence` names what handlers look for in sequences."""
        self._sequence = sequence
        self._registry = registry
        self._predictor = predictor

    async def ping(self, request: Message, call: Call) -> Message:
        """As JSON, whether every model has its workers."""
        told = pretty({"status": "Healthy" if self._registry.healthy() else "Unhealthy"})
        return TorchServeHealthResponse(health=told.decode().rstrip())

    async def predictions(self, request: Message, call: Call) -> Message:
        """One answer; one that comes in pieces is put together."""
        return PredictionResponse(prediction=await whole(await self._answer(request, call, call.exchange.id)))

    async def stream_predictions(self, request: Message, call: Call) -> AsyncGenerator[Message]:
        """One answer, in its handler's pieces."""
        response = await self._answer(request, call, call.exchange.id)
        async with aclosing(pieces_of(response)) as pieces:
            async for piece in pieces:
                yield PredictionResponse(prediction=bytes(piece))

    async def stream_predictions2(self, requests: AsyncIterator[Message], call: Call) -> AsyncGenerator[Message]:
        """Sequences: answers in the order of the requests; an error is told in the stream, which goes on."""

        async def answer(request: Message) -> _Answered:
            try:
                if not request.sequence_id and self._sequence.start not in request.input:
                    raise InvalidRequest("Parameter sequenceId is required.")
                return _Answered(request, await self._answer(request, call, str(uuid4())))
            except Exception as error:  # a border: whatever it is, the client is told
                return _Answered(request, None, error)

        async with aclosing(in_order(requests, answer, call.stopping)) as answers:
            async for answered in answers:
                async with aclosing(self._replies(answered, call)) as replies:
                    async for reply in replies:
                        yield reply

    async def _answer(self, request: Message, call: Call, identity: str) -> InferenceResponse:
        start = self._sequence.start
        parts = tuple(Part(name, None, value) for name, value in request.input.items() if name != start)
        headers = {self._sequence.id: request.sequence_id} if request.sequence_id else {}
        if start in request.input:  # which is a header for handlers, however it has come
            headers[start] = "true"
        return await self._predictor.predict(call, identity, request.model_name, request.model_version, parts, headers)

    async def _replies(self, answered: _Answered, call: Call) -> AsyncGenerator[Message]:
        """What the client gets for a request of a sequence: the answer's pieces, and the error if there is one."""
        request, response, error = answered
        sequence = request.sequence_id
        try:
            if response:
                sequence = response.headers.get(self._sequence.id, sequence)
                async with aclosing(pieces_of(response)) as pieces:
                    async for piece in pieces:
                        yield PredictionResponse(prediction=bytes(piece), sequence_id=sequence)
        except Exception as broken:  # a border: the answer breaks off, the stream does not
            error = broken
        if error:
            log_unexpected(error, call.exchange)
            status = Status(code=status_of(error).value[0], message=text_of(error))
            yield PredictionResponse(sequence_id=sequence, status=status)
