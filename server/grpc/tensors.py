"""Tensors of the Open Inference Protocol as gRPC's messages ↔ as the HTTP bodies that handlers read.

What a handler gets of a request is what it would get by HTTP: JSON, or with raw contents, JSON and the bytes behind it
(handlers/open_inference.py). Elements of BYTES come as base64, as in TorchServe (contract: gRPC, section 4).
"""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ..errors import InferenceFailed, InvalidRequest
from ..messages import Bytes, InferenceResponse, Part
from .messages import Message, message_class

ModelInferResponse = message_class("inference.ModelInferResponse")

HEADER_LENGTH = "inference-header-content-length"
SIZE = "binary_data_size"
BYTES = "BYTES"
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Datatype → the field with its elements."""
FORMATS = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I",
    "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
"""Datatype → struct's letter for one element; little-endian."""


def read_request(request: Message) -> tuple[Part, dict[str, str]]:
    """The body that a handler reads, and the header that goes with it.

    Raises: InvalidRequest where the contents are not those of the inputs.
    """
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(f"raw_input_contents has {len(raw)} entries; there are {len(request.inputs)} inputs")
    inputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for number, given in enumerate(request.inputs):
        described: dict[str, Any] = {"name": given.name, "shape": [*given.shape], "datatype": given.datatype}
        parameters = _parameters(given)
        if not raw:
            described["data"] = _data(given)
        elif given.HasField("contents"):
            raise InvalidRequest(f"input {given.name!r:.200} has both contents and raw contents")
        elif given.datatype == BYTES:
            described["data"] = _base64(_elements(given.name, raw[number]))
        else:
            blobs.append(raw[number])
            parameters[SIZE] = len(raw[number])
        inputs.append(described | ({"parameters": parameters} if parameters else {}))
    said = {"id": request.id, "model_name": request.model_name, "inputs": inputs}
    if request.outputs:
        said["outputs"] = [{"name": each.name, "parameters": _parameters(each)} for each in request.outputs]
    if parameters := _parameters(request) | ({"binary_data_output": True} if raw else {}):
        said["parameters"] = parameters
    text = _json(said)
    if not raw:
        return Part("body", "application/json", text), {}
    return Part("body", "application/octet-stream", b"".join([text, *blobs])), {HEADER_LENGTH: str(len(text))}


def write_response(response: InferenceResponse, request: Message) -> Message:
    """A handler's answer as the message; raw where it has bytes, or a datatype that has no contents.

    Raises: InferenceFailed where it is no answer of this protocol.
    """
    try:
        said, rest = _split(response)
        outputs: list[Mapping[str, Any]] = said["outputs"]
        reply = ModelInferResponse(
            model_name=str(said.get("model_name") or request.model_name),
            model_version=str(said.get("model_version") or request.model_version),
            id=str(said.get("id") or request.id),
        )
        raw = any(SIZE in each.get("parameters", {}) or each["datatype"] not in CONTENTS for each in outputs)
        for each in outputs:
            output = reply.outputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
            size = each.get("parameters", {}).get(SIZE)
            if size is not None:
                blob, rest = rest[:size], rest[size:]
                reply.raw_output_contents.append(bytes(blob))
            elif raw:
                reply.raw_output_contents.append(_packed(each["datatype"], _flat(each["data"])))
            else:
                field = CONTENTS[each["datatype"]]
                flat = _flat(each["data"])
                getattr(output.contents, field).extend(map(_octets, flat) if each["datatype"] == BYTES else flat)
        return reply
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise InferenceFailed(
            "The handler's answer is no response of the Open Inference Protocol: the handler `tensor` and the envelope "
            "kservev2 give one",
            f"{type(error).__name__}: {error}",
            500,
        ) from error


def _split(response: InferenceResponse) -> tuple[Mapping[str, Any], memoryview]:
    """The JSON of an answer, and the bytes behind it."""
    body: Bytes = response.body
    length = next((value for name, value in response.headers.items() if name.lower() == HEADER_LENGTH), None)
    text = bytes(body if length is None else body[: int(length)])
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = json.loads(text)  # which takes NaN and Infinity
    return said, memoryview(body)[len(text) :]


def _parameters(message: Message) -> dict[str, Any]:
    """A message's parameters; how an answer is written is not for the client to say: it is as the request."""
    found = {
        name: getattr(each, each.WhichOneof("parameter_choice") or "", None)
        for name, each in message.parameters.items()
    }
    return {name: value for name, value in found.items() if name not in (SIZE, "binary_data", "binary_data_output")}


def _data(given: Message) -> list[Any]:
    """The elements of an input's contents."""
    field = CONTENTS.get(given.datatype)
    if field is None:
        raise InvalidRequest(
            f"input {given.name!r:.200}: {given.datatype!r:.40} has no contents of its own; send "
            f"raw_input_contents, or one of {', '.join(CONTENTS)}"
        )
    elements = getattr(given.contents, field)
    return _base64(elements) if given.datatype == BYTES else [*elements]


def _base64(elements: Iterable[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in elements]


def _elements(name: str, content: bytes) -> list[bytes]:
    """Elements of BYTES: each its length in four bytes, then itself. Raises: InvalidRequest."""
    found, begin = [], 0
    while begin < len(content):
        end = begin + 4
        if end <= len(content):
            end += int.from_bytes(content[begin:end], "little")
        if end > len(content):
            raise InvalidRequest(f"input {name!r:.200}: the last element is cut off")
        found.append(content[begin + 4 : end])
        begin = end
    return found


def _json(said: dict[str, Any]) -> bytes:
    """JSON; NaN and infinities as Python writes them, as JSON has no words for them."""
    if all(_finite(each["data"]) for each in said["inputs"] if "data" in each):
        return orjson.dumps(said)
    return json.dumps(said, separators=(",", ":")).encode()


def _finite(data: list[Any]) -> bool:
    """Whether there is no NaN and no infinity: either would show in the sum."""
    return not data or not isinstance(data[0], float) or math.isfinite(sum(data))


def _flat(data: Any) -> list[Any]:
    """The elements of a list of lists, row by row."""
    if data and isinstance(data[0], list):
        return [element for row in data for element in _flat(row)]
    return list(data)


def _packed(datatype: str, elements: Sequence[Any]) -> bytes:
    """Elements as raw contents."""
    if datatype == BYTES:
        return b"".join(struct.pack("<I", len(each)) + each for each in map(_octets, elements))
    return struct.pack(f"<{len(elements)}{FORMATS[datatype]}", *elements)


def _octets(element: Any) -> bytes:
    """An element of BYTES: a text as it is, anything else as JSON."""
    return element.encode() if isinstance(element, str) else orjson.dumps(element)
