"""gRPC's server reflection: what is served here. Source: github.com/grpc/grpc, doc/server-reflection.md."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from grpc import StatusCode

from .calls import Call, Service
from .messages import POOL, Message, message_class

ServerReflectionResponse = message_class("grpc.reflection.v1.ServerReflectionResponse")


class Reflection(Service):
    """Answers what grpcurl and its like ask."""

    names = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
    open = frozenset({"ServerReflectionInfo"})

    def __init__(self, served: Iterable[str]) -> None:
        """Tell of the services of these names, and of this one."""
        self._services = sorted({*self.names, *served})
        self._answers: dict[str | None, Callable[[Any], dict[str, Any]]] = {
            "list_services": self._listed,
            "file_by_filename": lambda name: _files(POOL.FindFileByName(name)),
            "file_containing_symbol": lambda name: _files(_file_with(name)),
            "all_extension_numbers_of_type": _no_extensions,
        }

    async def server_reflection_info(self, requests: AsyncIterator[Message], call: Call) -> AsyncIterator[Message]:
        """An answer to each question."""
        async for request in requests:
            asked = request.WhichOneof("message_request")
            try:
                answer = self._answers[asked](getattr(request, asked or ""))
            except KeyError:
                error = {"error_code": StatusCode.NOT_FOUND.value[0], "error_message": "There is no such thing here."}
                answer = {"error_response": error}
            yield ServerReflectionResponse(valid_host=request.host, original_request=request, **answer)

    def _listed(self, _: str) -> dict[str, Any]:
        return {"list_services_response": {"service": [{"name": name} for name in self._services]}}


def _file_with(symbol: str) -> FileDescriptor:
    """The file of a service, a message or an enumeration, or of a member of one. Raises: KeyError."""
    try:
        return POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        return POOL.FindFileContainingSymbol(symbol.rpartition(".")[0])


def _files(file: FileDescriptor) -> dict[str, Any]:
    """A file, and all that it imports, each once."""
    found, todo = {}, [file]
    while todo:
        each = todo.pop()
        if each.name not in found:
            found[each.name] = each.serialized_pb
            todo += each.dependencies
    return {"file_descriptor_response": {"file_descriptor_proto": [*found.values()]}}


def _no_extensions(name: str) -> dict[str, Any]:
    """These protocols have messages, and no extensions of them. Raises: KeyError where there is no such message."""
    POOL.FindMessageTypeByName(name)
    return {"all_extension_numbers_response": {"base_type_name": name}}
