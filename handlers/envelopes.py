"""Service envelopes: the wrapping of a request's body that a platform prescribes, taken off and put on again.

An envelope stands around the handler's inference call only. Its words and forms: contract/handlers.md, section 6.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import numpy as np

from .base import Handler
from .context import Context
from .errors import EnvelopeError, PredictionException
from .open_inference import HEADER_LENGTH, Array, datatype_of, read_request

HandleFunction = Callable[[Any, Context], Any]


class BaseEnvelope(ABC):
    """Turns a batch into what the handler gets, and the handler's results into answers."""

    def __init__(self, handle_fn: HandleFunction) -> None:
        self._handle_fn = handle_fn
        self.context: Context | None = None

    def handle(self, data: Any, context: Context) -> Any:
        """Unwrap, call, wrap; no data is not unwrapped and no results are not wrapped."""
        self.context = context
        results = self._handle_fn(self.parse_input(data) if data else data, context)
        return self.format_output(results) if _filled(results) else results

    @abstractmethod
    def parse_input(self, data: list[Any]) -> Any:
        """What the handler gets for these rows."""

    @abstractmethod
    def format_output(self, data: Any) -> Any:
        """The answers for these results."""


class BodyEnvelope(BaseEnvelope):
    """The handler gets the bodies alone: each row's `data`, else its `body`."""

    def parse_input(self, data: list[Any]) -> list[Any]:
        """The value of each row."""
        return [body_of(row) for row in data]

    def format_output(self, data: Any) -> Any:
        """The results as they are."""
        return data


class SharedEnvelope(BaseEnvelope):
    """The items of all requests go to the handler in one list, and each request gets back the results of its own.

    What is wrong with a request is its own answer, where others share the batch.
    """

    def __init__(self, handle_fn: HandleFunction) -> None:
        super().__init__(handle_fn)
        self._requests: list[list[Any] | PredictionException] = []

    def handle(self, data: Any, context: Context) -> Any:
        """Unwrap, call, wrap; where no request can be read, the handler is not called."""
        self.context = context
        if not data:
            return self._handle_fn(data, context)
        items = self.parse_input(data)
        if self._requests and not any(isinstance(each, list) for each in self._requests):
            return list(self._requests)
        results = self._handle_fn(items, context)
        return self.format_output(results) if _filled(results) else results

    def parse_input(self, data: list[Any]) -> Any:
        """The items of the whole batch."""
        self._requests = [self._opened(number, row, alone=len(data) == 1) for number, row in enumerate(data)]
        return [item for items in self._requests if isinstance(items, list) for item in items]

    def format_output(self, data: Any) -> list[Any]:
        """The results, shared out to the requests their items came from."""
        counts = [len(items) for items in self._requests if isinstance(items, list)]
        if len(data) != sum(counts):
            raise EnvelopeError(f"the handler gave {len(data)} results for {sum(counts)} {self.called}")
        rest = iter(data)
        return [
            self.wrapped(number, list(islice(rest, len(items)))) if isinstance(items, list) else items
            for number, items in enumerate(self._requests)
        ]

    called = "instances"

    @abstractmethod
    def items(self, number: int, row: Any) -> list[Any]:
        """The items of a request. Raises: PredictionException"""

    @abstractmethod
    def wrapped(self, number: int, results: list[Any]) -> Any:
        """The answer to a request with these results."""

    def _opened(self, number: int, row: Any, alone: bool) -> list[Any] | PredictionException:
        try:
            return self.items(number, row)
        except PredictionException as error:
            if alone:
                raise
            return error


class JSONEnvelope(SharedEnvelope):
    """{"instances": [...]} of all requests, one after the other; each answer is {"predictions": [...]} as text."""

    def items(self, number: int, row: Any) -> list[Any]:
        """The instances; base64 values are decoded."""
        return _decoded(_instances(number, row))

    def wrapped(self, number: int, results: list[Any]) -> str:
        """The predictions in one line."""
        return json.dumps({"predictions": results})


class KServeEnvelope(SharedEnvelope):
    """KServe v1's `instances`; the answer is {"predictions": …} or {"explanations": …}.

    A request that is alone may have whatever it likes there, and gets whatever the handler gives, as with TorchServe.
    """

    def parse_input(self, data: list[Any]) -> Any:
        """The instances; None where a lone request names none."""
        if len(data) > 1:
            return super().parse_input(data)
        self._requests = []
        return _object(0, data[0]).get("instances")

    def format_output(self, data: Any) -> list[Any]:
        """All results of a lone request in one object, or each request's in its own."""
        return super().format_output(data) if self._requests else [self.wrapped(0, data)]

    def items(self, number: int, row: Any) -> list[Any]:
        """The instances."""
        return _instances(number, row)

    def wrapped(self, number: int, results: Any) -> dict[str, Any]:
        """The results under the word that the request's path asks for."""
        explaining = self.context is not None and self.context.get_request_header(number, "explain") == "True"
        return {"explanations" if explaining else "predictions": results}


class KServev2Envelope(SharedEnvelope):
    """KServe v2's typed `inputs`; one typed output for each result, named as the input at its place.

    The data are nested as their shape says, whether they came as JSON or as bytes; of BYTES only the first element.
    """

    called = "inputs"

    def __init__(self, handle_fn: HandleFunction) -> None:
        super().__init__(handle_fn)
        self._ids: dict[int, str] = {}

    def parse_input(self, data: list[Any]) -> list[dict[str, Any]]:
        """The inputs of all requests."""
        self._ids = {}
        parsed: list[dict[str, Any]] = super().parse_input(data)
        return parsed

    def format_output(self, data: Any) -> list[Any]:
        """The results as outputs; a lone request may get fewer than it has inputs."""
        if len(self._requests) > 1:
            return super().format_output(data)
        (inputs,) = self._requests
        if isinstance(inputs, list) and len(data) > len(inputs):
            raise EnvelopeError(f"the handler gave {len(data)} results for {len(inputs)} inputs")
        return [self.wrapped(0, data)]

    def items(self, number: int, row: Any) -> list[Any]:
        """The inputs of a request."""
        assert self.context is not None, "handle() sets it"
        if (length := self.context.get_request_header(number, HEADER_LENGTH)) is not None:
            said = read_request(body_of(row), length)
            self._note_id(number, said.id)
            return [_of_tensor(name, array, said.datatypes[name]) for name, array in said.inputs.items()]
        body = _object(number, row)
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not inputs:
            raise _malformed(f'the request has the keys {sorted(body)}; expected "inputs", a list of objects')
        self._note_id(number, body.get("id"))
        return [_input(place, each) for place, each in enumerate(inputs)]

    def wrapped(self, number: int, results: Any) -> dict[str, Any]:
        """The results as named and typed outputs."""
        assert self.context is not None, "handle() sets it"
        model = (self.context.manifest or {}).get("model", {})
        inputs = self._requests[number]
        names = [each["name"] for each in inputs] if isinstance(inputs, list) else []
        return {
            "id": self._ids.get(number) or self.context.get_request_id(number),
            "model_name": model.get("modelName", self.context.model_name),
            "model_version": model.get("modelVersion"),
            "outputs": [_output(name, item) for name, item in zip(names, results, strict=False)],
        }

    def _note_id(self, number: int, said: Any) -> None:
        if said:
            self._ids[number] = said


ENVELOPES: dict[str, type[BaseEnvelope]] = {
    "body": BodyEnvelope,
    "json": JSONEnvelope,
    "kserve": KServeEnvelope,
    "kservev2": KServev2Envelope,
}


class EnvelopedHandler:
    """A handler whose inference call passes through an envelope."""

    def __init__(self, handler: Handler, envelope: type[BaseEnvelope]) -> None:
        self.handler = handler
        self.envelope = envelope(lambda rows, context: handler.handle(rows, context))

    def initialize(self, context: Context) -> None:
        """Load the model: the envelope has no part in it."""
        self.handler.initialize(context)

    def handle(self, rows: list[dict[str, Any]], context: Context) -> Any:
        """Answer a batch of wrapped requests; who asks for a description has wrapped nothing."""
        if context.request_processor and context.get_request_header(0, "describe") == "True":
            return self.handler.handle(rows, context)
        return self.envelope.handle(rows, context)


def wrap_envelope(name: str, handler: Handler) -> Handler:
    """The handler inside the named envelope; one that opens envelopes itself stays as it is.

    Raises: HandlerError where no envelope has the name.
    """
    if name not in ENVELOPES:
        raise EnvelopeError(
            f"no service envelope is called {name!r}; there are: {', '.join(ENVELOPES)}", phase="initialize"
        )
    if getattr(handler, "opens_envelopes", False):
        return handler
    return EnvelopedHandler(handler, ENVELOPES[name])


def body_of(row: Any) -> Any:
    """A row's value: under `data`, else under `body`; a row that is no dict is its own value."""
    return (row.get("data") or row.get("body")) if isinstance(row, Mapping) else row


def _filled(results: Any) -> bool:
    return len(results) > 0 if hasattr(results, "__len__") else bool(results)


def _malformed(text: str) -> PredictionException:
    """What a request is answered with that lacks what its envelope needs."""
    return PredictionException(text, 503)


def _object(number: int, row: Any) -> Mapping[str, Any]:
    """The JSON object that a request's body is, or holds as bytes or text."""
    value = body_of(row) or row
    if isinstance(value, (bytes, bytearray, str)):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise _malformed(f"request {number}: the body is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise _malformed(f"request {number}: the body is a {type(value).__name__}; expected a JSON object")
    return value


def _instances(number: int, row: Any) -> list[Any]:
    body = _object(number, row)
    instances = body.get("instances")
    if not isinstance(instances, list) or not instances:
        raise _malformed(f'request {number} has the keys {sorted(body)}; expected "instances", a list of some items')
    return instances


def _decoded(instances: list[Any]) -> list[Any]:
    """The instances with their base64 values as bytes; only asked for where the first is an object."""
    return [_from_base64(each) for each in instances] if isinstance(instances[0], dict) else instances


def _from_base64(instance: Any) -> Any:
    if not isinstance(instance, dict):
        raise _malformed(f"the first instance is an object and another is a {type(instance).__name__}")
    if instance.keys() == {"b64"}:
        return b64decode(instance["b64"])
    return {
        column: b64decode(value["b64"]) if isinstance(value, dict) and value.keys() == {"b64"} else value
        for column, value in instance.items()
    }


def _input(number: int, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not {"name", "datatype", "data"} <= given.keys():
        raise _malformed(f"input {number} is {given!r:.80}; expected an object with name, shape, datatype and data")
    kind, data = given["datatype"], given["data"]
    if kind == "BYTES":
        return {**given, "data": data[0] if isinstance(data, list) and data else data}
    try:
        array = np.array(data, object)
        return {**given, "data": array.reshape(given.get("shape", array.shape)).tolist()}
    except (TypeError, ValueError) as error:
        raise _malformed(f"input {number}: the data do not fill the shape {given.get('shape')}: {error}") from error


def _output(name: str, item: Any) -> dict[str, Any]:
    array = np.array(item)
    data = array.flatten().tolist()
    return {"name": name, "datatype": datatype_of(array), "data": data, "shape": [len(data)]}


def _of_tensor(name: str, array: Array, datatype: str) -> dict[str, Any]:
    """An input that came as bytes, as it would have come in JSON."""
    texts = [each.decode("utf-8", "replace") for each in array.reshape(-1)[:1]] if datatype == "BYTES" else []
    data = next(iter(texts), None) if datatype == "BYTES" else array.tolist()
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": data}
