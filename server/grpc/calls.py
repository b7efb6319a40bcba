"""What surrounds every call: its id, its token, its status where it fails, its log line; and what a service is."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from grpc import StatusCode

from ..api.errors import EXPECTED
from ..api.listener import RETRY_AT_MOST
from ..auth import Authority
from ..errors import Forbidden, InvalidRequest, QueueFull, Unauthorized
from ..logs import AccessLog, Exchange
from ..metrics.metrics import Metrics
from .messages import Message, message_class, service
from .statuses import status_of, text_of

logger = logging.getLogger(__name__)

AUTHORIZATION = "authorization"
REQUEST_ID = "x-request-id"
PUSHBACK = "grpc-retry-pushback-ms"
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class Service:
    """What answers the calls of one protocol: a method for each of them, called with the request and the Call.

    A method is named as the protocol's, `ModelInfer` as `model_infer`; one that is missing is answered UNIMPLEMENTED.
    It returns the answer, or is an asynchronous generator where the protocol says `stream`.
    """

    names: ClassVar[tuple[str, ...]]
    """The full names under which it is served."""
    open: ClassVar[frozenset[str]] = frozenset()
    """The calls that need no token: what they tell is of no model."""


class Call:
    """One call, as a service sees it."""

    def __init__(self, context: Any, exchange: Exchange, stopping: asyncio.Event) -> None:
        """Be about one call; `stopping` is set when the server is about to end."""
        self._context = context
        self.exchange = exchange
        self.stopping = stopping

    @property
    def headers(self) -> dict[str, str]:
        """What the client said beside its request, but for what is no text."""
        return {key: value for key, value in self._context.invocation_metadata() or () if isinstance(value, str)}

    def remaining(self) -> float | None:
        """The seconds until the client waits no more; None where it waits for ever."""
        seconds: float | None = self._context.time_remaining()
        return seconds


class Calls:
    """Everything that is the same for all calls of a listener, which is inference or management."""

    def __init__(self, face: str, authority: Authority | None, metrics: Metrics, access_log: AccessLog) -> None:
        """Let in whom the authority lets in, and note what is asked."""
        self._face = face
        self._authority = authority
        self._metrics = metrics
        self._access_log = access_log
        self.stopping = asyncio.Event()

    def handlers(self, implementation: Service) -> list[grpc.GenericRpcHandler]:
        """What grpc needs to call a service, for each of its names."""
        return [self._handlers(name, implementation) for name in implementation.names]

    def _handlers(self, name: str, implementation: Service) -> grpc.GenericRpcHandler:
        found = {}
        for method in service(name).methods:
            function = getattr(implementation, _WORD.sub("_", method.name).lower(), None)
            if function:
                found[method.name] = self._handler(method, function, method.name in implementation.open)
        return grpc.method_handlers_generic_handler(name, found)

    def _handler(self, method: MethodDescriptor, function: Callable[..., Any], is_open: bool) -> Any:
        """One call's handler: answers one by one, or in a stream."""
        path = f"{method.containing_service.full_name}/{method.name}"
        taken, given = (message_class(kind.full_name) for kind in (method.input_type, method.output_type))

        def read(sent: bytes, context: Any) -> Message:
            request = _parsed(taken, sent)
            if not is_open:
                self._admit(context, request)
            return request

        async def read_each(sent: AsyncIterator[bytes], context: Any) -> AsyncIterator[Message]:
            async for each in sent:
                yield read(each, context)

        async def unary(sent: bytes, context: Any) -> Message:
            async def work(call: Call) -> Message:
                return await function(read(sent, context), call)

            return await self._surround(path, context, work)

        async def streaming(sent: Any, context: Any) -> None:
            async def work(call: Call) -> None:
                asked = read_each(sent, context) if method.client_streaming else read(sent, context)
                async with aclosing(function(asked, call)) as answers:
                    async for answer in answers:
                        await context.write(answer)

            await self._surround(path, context, work)

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.client_streaming, method.server_streaming]
        return make(streaming if method.server_streaming else unary, response_serializer=given.SerializeToString)

    async def _surround(self, path: str, context: Any, work: Callable[[Call], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        exchange = Exchange(str(uuid4()))
        context.set_trailing_metadata(((REQUEST_ID, exchange.id),))
        code = StatusCode.OK
        try:
            return await work(Call(context, exchange, self.stopping))
        except asyncio.CancelledError:
            code = left(context.time_remaining())
            raise
        except Exception as error:
            code = status_of(error)
            log_unexpected(error, exchange)
            told = ((REQUEST_ID, exchange.id), *_hints(error))
            await context.abort(code, text_of(error, self._face == "management"), told)
        finally:
            seconds = time.perf_counter() - began
            self._access_log.note(_client(context.peer()), f"gRPC {path} HTTP/2.0", code.value[0], seconds, exchange)

    def _admit(self, context: Any, request: Message) -> None:
        """Let a request pass by its token, and by the model that it names. Raises: Unauthorized, Forbidden."""
        if self._authority is None:
            return
        told = " ".join(str(value) for key, value in context.invocation_metadata() or () if key == AUTHORIZATION)
        try:
            self._authority.check(self._face, told, getattr(request, "model_name", getattr(request, "name", None)))
        except (Unauthorized, Forbidden):
            self._metrics.request_rejected("unauthorized")
            raise


def _parsed(kind: Any, sent: bytes) -> Message:
    """The message in these bytes: read here and not by grpc, which would tell neither client nor log what is wrong."""
    try:
        return kind.FromString(sent)
    except DecodeError as error:
        raise InvalidRequest(f"The request is no {kind.DESCRIPTOR.full_name}.") from error


def log_unexpected(error: Exception, exchange: Exchange) -> None:
    """Write down the traceback of an error that is none of ours: its client is told nothing of it."""
    if not isinstance(error, EXPECTED):
        logger.error("call %s failed", exchange.id, exc_info=error)


def left(remaining: float | None) -> StatusCode:
    """Why a call was cancelled: its client's time was over, or the client has left."""
    return StatusCode.CANCELLED if remaining is None or remaining > 0 else StatusCode.DEADLINE_EXCEEDED


def _hints(error: Exception) -> tuple[tuple[str, str], ...]:
    """What tells a client when to try again. Source: github.com/grpc/proposal, A6-client-retries.md, pushback."""
    if not isinstance(error, QueueFull):
        return ()
    return ((PUSHBACK, str(round(1000 * min(RETRY_AT_MOST, max(1, error.retry_after))))),)


def _client(peer: str) -> str:
    """The client as the access log has it: `ipv4:127.0.0.1:5` and `ipv6:%5B::1%5D:5` without their families."""
    family, _, place = unquote(peer).partition(":")
    return place if family in ("ipv4", "ipv6") else peer
