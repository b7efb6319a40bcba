"""Service envelopes: the wrapping of a request's body that a platform prescribes, taken off and put on again.

An envelope stands around the handler's inference call only. Its words and forms: contract/handlers.md, section 6.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .base import Handler
from .context import Context
from .errors import EnvelopeError

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


class JSONEnvelope(BaseEnvelope):
    """{"instances": [...]} of all requests, one after the other; each answer is {"predictions": [...]} as text."""

    def __init__(self, handle_fn: HandleFunction) -> None:
        super().__init__(handle_fn)
        self._lengths: list[int] = []

    def parse_input(self, data: list[Any]) -> list[Any]:
        """The instances of the whole batch; base64 values are decoded."""
        batches = [_decoded(_instances(number, row)) for number, row in enumerate(data)]
        self._lengths = [len(batch) for batch in batches]
        return [instance for batch in batches for instance in batch]

    def format_output(self, data: Any) -> list[str]:
        """The results, shared out to the requests their instances came from."""
        if len(data) != sum(self._lengths):
            raise EnvelopeError(f"the handler gave {len(data)} results for {sum(self._lengths)} instances")
        rest = iter(data)
        return [json.dumps({"predictions": [next(rest) for _ in range(length)]}) for length in self._lengths]


class KServeEnvelope(BaseEnvelope):
    """KServe v1: the `instances` of a single request; the answer is {"predictions": …} or {"explanations": …}."""

    def parse_input(self, data: list[Any]) -> Any:
        """The instances of the only request; None where it names none."""
        return _object(0, _only(data, "kserve")).get("instances")

    def format_output(self, data: Any) -> list[dict[str, Any]]:
        """All results in one object."""
        explaining = self.context is not None and self.context.get_request_header(0, "explain") == "True"
        return [{"explanations" if explaining else "predictions": data}]


class KServev2Envelope(BaseEnvelope):
    """KServe v2: the typed `inputs` of a single request; one typed output for each result."""

    def __init__(self, handle_fn: HandleFunction) -> None:
        super().__init__(handle_fn)
        self._id: str | None = None
        self._names: list[str] = []

    def parse_input(self, data: list[Any]) -> list[dict[str, Any]]:
        """The inputs, their data nested as their shape says; of BYTES only the first element."""
        body = _object(0, _only(data, "kservev2"))
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not inputs:
            raise EnvelopeError(f'the request has the keys {sorted(body)}; expected "inputs", a list of objects')
        self._id = body.get("id")
        parsed = [_input(number, each) for number, each in enumerate(inputs)]
        self._names = [each["name"] for each in parsed]
        return parsed

    def format_output(self, data: Any) -> list[dict[str, Any]]:
        """The results as outputs named as the inputs at the same places."""
        if len(data) > len(self._names):
            raise EnvelopeError(f"the handler gave {len(data)} results for {len(self._names)} inputs")
        assert self.context is not None, "handle() sets it"
        model = (self.context.manifest or {}).get("model", {})
        return [
            {
                "id": self._id or self.context.get_request_id(0),
                "model_name": model.get("modelName", self.context.model_name),
                "model_version": model.get("modelVersion"),
                "outputs": [_output(name, item) for name, item in zip(self._names, data, strict=False)],
            }
        ]


ENVELOPES: dict[str, type[BaseEnvelope]] = {
    "body": BodyEnvelope,
    "json": JSONEnvelope,
    "kserve": KServeEnvelope,
    "kservev2": KServev2Envelope,
}

_DATATYPES = {  # Open Inference Protocol, "Tensor Data Types"; whatever NumPy has beside these is BYTES
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
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
        """Answer a batch of wrapped requests."""
        return self.envelope.handle(rows, context)


def wrap_envelope(name: str, handler: Handler) -> Handler:
    """The handler inside the named envelope.

    Raises: HandlerError where no envelope has the name.
    """
    if name not in ENVELOPES:
        raise EnvelopeError(
            f"no service envelope is called {name!r}; there are: {', '.join(ENVELOPES)}", phase="initialize"
        )
    return EnvelopedHandler(handler, ENVELOPES[name])


def body_of(row: Any) -> Any:
    """A row's value: under `data`, else under `body`; a row that is no dict is its own value."""
    return (row.get("data") or row.get("body")) if isinstance(row, Mapping) else row


def _filled(results: Any) -> bool:
    return len(results) > 0 if hasattr(results, "__len__") else bool(results)


def _only(data: Sequence[Any], envelope: str) -> Any:
    if len(data) != 1:
        raise EnvelopeError(f"the {envelope} envelope takes one request at a time, not {len(data)}: set batchSize to 1")
    return data[0]


def _object(number: int, row: Any) -> Mapping[str, Any]:
    """The JSON object that a request's body is, or holds as bytes or text."""
    value = body_of(row) or row
    if isinstance(value, (bytes, bytearray, str)):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise EnvelopeError(f"request {number}: the body is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise EnvelopeError(f"request {number}: the body is a {type(value).__name__}; expected a JSON object")
    return value


def _instances(number: int, row: Any) -> list[Any]:
    body = _object(number, row)
    instances = body.get("instances")
    if not isinstance(instances, list) or not instances:
        raise EnvelopeError(f'request {number} has the keys {sorted(body)}; expected "instances", a list of some items')
    return instances


def _decoded(instances: list[Any]) -> list[Any]:
    """The instances with their base64 values as bytes; only asked for where the first is an object."""
    return [_from_base64(each) for each in instances] if isinstance(instances[0], dict) else instances


def _from_base64(instance: Any) -> Any:
    if not isinstance(instance, dict):
        raise EnvelopeError(f"the first instance is an object and another is a {type(instance).__name__}")
    if instance.keys() == {"b64"}:
        return b64decode(instance["b64"])
    return {
        column: b64decode(value["b64"]) if isinstance(value, dict) and value.keys() == {"b64"} else value
        for column, value in instance.items()
    }


def _input(number: int, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not {"name", "datatype", "data"} <= given.keys():
        raise EnvelopeError(f"input {number} is {given!r:.80}; expected an object with name, shape, datatype and data")
    kind, data = given["datatype"], given["data"]
    if kind == "BYTES":
        return {**given, "data": data[0] if isinstance(data, list) and data else data}
    try:
        array = np.array(data, object)
        return {**given, "data": array.reshape(given.get("shape", array.shape)).tolist()}
    except (TypeError, ValueError) as error:
        raise EnvelopeError(f"input {number}: the data do not fill the shape {given.get('shape')}: {error}") from error


def _output(name: str, item: Any) -> dict[str, Any]:
    array = np.array(item)
    data = array.flatten().tolist()
    return {"name": name, "datatype": _DATATYPES.get(str(array.dtype), "BYTES"), "data": data, "shape": [len(data)]}
