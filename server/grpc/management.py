"""TorchServe's ManagementAPIsService: the operations of management, told in one text (contract: gRPC, section 3)."""

from __future__ import annotations

from typing import Any

from ..api.operations import Operations
from ..api.parameters import Parameters
from ..api.responses import pretty
from ..errors import InvalidRequest
from .calls import Call, Service
from .messages import Message, message_class

PACKAGE = "org.pytorch.serve.grpc.management"
ManagementResponse = message_class(f"{PACKAGE}.ManagementResponse")


class Management(Service):
    """One method an operation; what a request leaves open is left open, as by HTTP."""

    names = (f"{PACKAGE}.ManagementAPIsService",)

    def __init__(self, operations: Operations) -> None:
        """Do what the operations do."""
        self._operations = operations

    async def describe_model(self, request: Message, call: Call) -> Message:
        """JSON of a version, or of all."""
        name, version = _named(request)
        return _json(await self._operations.describe(name, version, request.customized))

    async def list_models(self, request: Message, call: Call) -> Message:
        """JSON of a page of models."""
        return _json(self._operations.page(_parameters(request)))

    async def register_model(self, request: Message, call: Call) -> Message:
        """Register a model, and start its workers; by default without waiting for them."""
        return _told((await self._operations.register(_parameters(request))).text)

    async def scale_worker(self, request: Message, call: Call) -> Message:
        """Change how many workers a version has."""
        name, version = _named(request)
        return _told((await self._operations.scale(name, version, _parameters(request))).text)

    async def set_default(self, request: Message, call: Call) -> Message:
        """Say which version answers those who name none."""
        name, version = _named(request)
        return _told(self._operations.set_default(name, version or "").text)

    async def unregister_model(self, request: Message, call: Call) -> Message:
        """Take a version away."""
        return _told((await self._operations.unregister(*_named(request))).text)


def _named(request: Message) -> tuple[str, str | None]:
    """The model that a request is about, and its version where it names one."""
    if not request.model_name:
        raise InvalidRequest("Parameter model_name is required.")
    return request.model_name, request.model_version or None


def _parameters(request: Message) -> Parameters:
    """The fields that were sent, by HTTP's names for them, which are the same; a negative number says nothing."""
    sent: dict[str, Any] = {field.name: value for field, value in request.ListFields()}
    said = {name: value for name, value in sent.items() if not isinstance(value, int) or value >= 0}
    return Parameters({"synchronous": False, **said} if "url" in type(request).DESCRIPTOR.fields_by_name else said)


def _json(content: Any) -> Message:
    return _told(pretty(content).decode().rstrip())


def _told(text: str) -> Message:
    return ManagementResponse(msg=text)
