"""The Open Inference Protocol's GRPCInferenceService, under KServe's name and under TorchServe's.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_grpc.md. ModelStreamInfer is
Triton's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from uuid import uuid4

from ..api.metadata import model_metadata, server_metadata
from ..errors import InvalidRequest
from ..messages import InferenceResponse
from ..registry import ModelRegistry
from .calls import Call, Service, log_unexpected
from .messages import Message, message_class
from .predicting import Predictor, in_order, pieces_of, whole
from .statuses import text_of
from .tensors import read_request, write_response

_PREFIX = "inference."
ServerLiveResponse = message_class(f"{_PREFIX}ServerLiveResponse")
ServerReadyResponse = message_class(f"{_PREFIX}ServerReadyResponse")
ServerMetadataResponse = message_class(f"{_PREFIX}ServerMetadataResponse")
ModelReadyResponse = message_class(f"{_PREFIX}ModelReadyResponse")
ModelMetadataResponse = message_class(f"{_PREFIX}ModelMetadataResponse")
ModelStreamInferResponse = message_class(f"{_PREFIX}ModelStreamInferResponse")


class OpenInference(Service):
    """Health, readiness, metadata and inference with named tensors."""

    names = ("inference.GRPCInferenceService", "org.pytorch.serve.grpc.openinference.GRPCInferenceService")
    open = frozenset({"ServerLive"})

    def __init__(self, registry: ModelRegistry, predictor: Predictor) -> None:
        """Serve the registry's models."""
        self._registry = registry
        self._predictor = predictor

    async def server_live(self, request: Message, call: Call) -> Message:
        """It answers, so it lives."""
        return ServerLiveResponse(live=True)

    async def server_ready(self, request: Message, call: Call) -> Message:
        """Whether everything that should be served can be."""
        return ServerReadyResponse(ready=not self._registry.unready())

    async def model_ready(self, request: Message, call: Call) -> Message:
        """Whether a model has a worker that is ready."""
        status = self._registry.get(*_named(request)).status()
        return ModelReadyResponse(ready=status.ready)

    async def server_metadata(self, request: Message, call: Call) -> Message:
        """What serves here."""
        return ServerMetadataResponse(**server_metadata())

    async def model_metadata(self, request: Message, call: Call) -> Message:
        """A model's versions, inputs and outputs."""
        return ModelMetadataResponse(**model_metadata(self._registry, *_named(request)))

    async def model_infer(self, request: Message, call: Call) -> Message:
        """The model's outputs for these inputs."""
        response = await self._answer(request, call, call.exchange.id)
        response = replace(response, body=await whole(response), further=None)
        return write_response(response, request)

    async def model_stream_infer(self, requests: AsyncIterator[Message], call: Call) -> AsyncGenerator[Message]:
        """The outputs for each request of a stream, in their order; an error is told in the stream, which goes on."""

        async def answer(request: Message) -> tuple[Message, InferenceResponse | Exception]:
            try:
                return request, await self._answer(request, call, str(uuid4()))
            except Exception as error:  # a border: whatever it is, the client is told
                return request, error

        async with aclosing(in_order(requests, answer, call.stopping)) as answers:
            async for request, answered in answers:
                async with aclosing(_replies(request, answered, call)) as replies:
                    async for reply in replies:
                        yield reply

    async def _answer(self, request: Message, call: Call, identity: str) -> InferenceResponse:
        part, headers = read_request(request)
        return await self._predictor.predict(
            call, identity, request.model_name, request.model_version, (part,), headers
        )


def _named(request: Message) -> tuple[str, str | None]:
    if not request.name:
        raise InvalidRequest("Parameter name is required.")
    return request.name, request.version or None


async def _replies(request: Message, answered: InferenceResponse | Exception, call: Call) -> AsyncGenerator[Message]:
    """What the client of a stream gets for a request: a response for each piece of the answer, or the error."""
    try:
        if isinstance(answered, Exception):
            raise answered
        async with aclosing(pieces_of(answered)) as pieces:
            async for piece in pieces:
                reply = write_response(replace(answered, body=piece), request)
                yield ModelStreamInferResponse(infer_response=reply)
    except Exception as error:  # a border: the answer breaks off, the stream does not
        log_unexpected(error, call.exchange)
        yield ModelStreamInferResponse(error_message=text_of(error), infer_response={"id": request.id})
