"""The Open Inference Protocol's bodies: named tensors as JSON, or as raw bytes behind it (the binary tensor extension).

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; the binary extension is
docs/protocol/extension_binary_data.md of github.com/triton-inference-server/server. Nothing is allocated by what a
request declares: counts are compared with the bytes that are there first.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from .errors import PredictionException

Array = np.ndarray[Any, np.dtype[Any]]

HEADER_LENGTH = "Inference-Header-Content-Length"
BYTES, BF16 = "BYTES", "BF16"
DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}
"""Which kinds of numbers in JSON a tensor of a kind may be made of."""
SHARED_MEMORY = "shared_memory_region"
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that is asked for: as bytes or as JSON, or as its `classes` best classes."""

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """Named tensors to be answered; without `wanted`, with every output, as bytes where `binary` says so."""

    id: str | None
    inputs: dict[str, Array]
    datatypes: dict[str, str]
    wanted: tuple[Wanted, ...] = ()
    binary: bool = False


@dataclass(frozen=True, slots=True)
class TensorAnswer:
    """A response's body, with the headers that describe it."""

    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def refused(text: str) -> PredictionException:
    """What a request is answered with that does not follow the protocol; it may quote the client, but not at length."""
    return PredictionException(text if len(text) <= LONGEST else f"{text[:LONGEST]}…", 400)


def read_request(body: Any, header_length: str | None = None) -> TensorRequest:
    """Take a body apart: bytes, or what JSON has made of them already.

    Raises: PredictionException, 400, that says which input is wrong and how.
    """
    said, rest = _split(body, header_length)
    inputs = said.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise refused(f'the request has the keys {sorted(said)[:9]}; expected "inputs", a list of tensors')
    blobs = _Blobs(rest)
    named: dict[str, Array] = {}
    for number, each in enumerate(inputs):
        name, array = _input(number, each, blobs)
        if name in named:
            raise refused(f"input {name!r} is given twice")
        named[name] = array
    blobs.finish()
    binary = _parameters(said).get("binary_data_output") is True
    wanted = tuple(_wanted(number, each, binary) for number, each in enumerate(_listed(said)))
    if len({each.name for each in wanted}) < len(wanted):
        raise refused("an output is asked for twice")
    identity = said.get("id")
    datatypes = {each["name"]: each["datatype"] for each in inputs}
    return TensorRequest(identity if isinstance(identity, str) else None, named, datatypes, wanted, binary)


def write_answer(
    request: TensorRequest,
    outputs: Mapping[str, Array],
    head: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
) -> TensorAnswer:
    """Put an answer together; `head` is what stands before the outputs (model_name, …), `labels` name classes.

    Raises: PredictionException, 400, where an output is asked for that there is not.
    """
    wanted = request.wanted or tuple(Wanted(name, request.binary) for name in outputs)
    described: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for each in wanted:
        if each.name not in outputs:
            raise refused(f"there is no output {each.name!r}; there are: {', '.join(outputs)}")
        array = outputs[each.name]
        described.append(_output(each, _best(array, each.classes, labels) if each.classes else array, blobs))
    text = _json({**head, "outputs": described})
    if not blobs:
        return TensorAnswer(text)
    return TensorAnswer(b"".join([text, *blobs]), "application/octet-stream", {HEADER_LENGTH: str(len(text))})


def datatype_of(array: Array) -> str:
    """The protocol's name of an array's dtype."""
    return DATATYPES.get(array.dtype.newbyteorder("<"), BYTES)


class _Blobs:
    """The raw bytes behind the JSON, taken from the front."""

    def __init__(self, content: memoryview) -> None:
        self._content = content

    def take(self, name: str, size: Any) -> memoryview:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(self._content):
            raise refused(f"input {name!r}: binary_data_size is {size!r}; {len(self._content)} bytes are left")
        taken, self._content = self._content[:size], self._content[size:]
        return taken

    def finish(self) -> None:
        if len(self._content):
            raise refused(f"{len(self._content)} bytes follow the last tensor")


def _split(body: Any, header_length: str | None) -> tuple[Mapping[str, Any], memoryview]:
    """The JSON object, and the bytes behind it."""
    rest = memoryview(b"")
    if header_length is not None:
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise refused(f"a body with {HEADER_LENGTH} is no {type(body).__name__}: send it as octets")
        if not header_length.isdecimal() or len(header_length) > 18 or int(header_length) > len(body):
            raise refused(f"{HEADER_LENGTH} is {header_length!r:.40}; the body has {len(body)} bytes")
        body, rest = body[: int(header_length)], memoryview(body)[int(header_length) :]
    said = _parsed(body)
    if not isinstance(said, Mapping):
        raise refused(f"the body is a {type(said).__name__}; expected a JSON object")
    return said, rest


def _parsed(body: Any) -> Any:
    if not isinstance(body, (bytes, bytearray, memoryview, str)):
        return body
    try:
        return orjson.loads(body)
    except ValueError:
        pass  # Python's own reader takes NaN and Infinity, which orjson does not
    try:
        return json.loads(body if isinstance(body, str) else bytes(body))
    except (ValueError, RecursionError) as error:
        raise refused(f"the body is no JSON: {error!s:.200}") from error


def _listed(said: Mapping[str, Any]) -> list[Any]:
    """The outputs that a request asks for."""
    outputs = said.get("outputs") or []
    if not isinstance(outputs, list):
        raise refused(f"outputs is a {type(outputs).__name__}; expected a list")
    return outputs


def _parameters(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found = said.get("parameters")
    return found if isinstance(found, Mapping) else {}


def _input(number: int, given: Any, blobs: _Blobs) -> tuple[str, Array]:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise refused(f"input {number} is no object with a name")
    name, kind, shape = given["name"], given.get("datatype"), given.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise refused(f"input {name!r}: the shape is {shape!r:.80}; expected a list of whole numbers from 0")
    if kind not in DTYPES and kind not in (BYTES, BF16):
        raise refused(f"input {name!r}: the datatype is {kind!r:.40}; expected one of {', '.join(DTYPES)}, BF16, BYTES")
    parameters = _parameters(given)
    if SHARED_MEMORY in parameters:
        raise refused(f"input {name!r}: shared memory is not served; send the tensor's bytes")
    if "binary_data_size" in parameters:
        flat = _from_bytes(name, kind, blobs.take(name, parameters["binary_data_size"]))
    elif "data" in given:
        flat = _from_json(name, kind, given["data"])
    else:
        raise refused(f"input {name!r} has neither data nor a binary_data_size")
    if flat.size != math.prod(shape):
        raise refused(f"input {name!r}: {flat.size} values do not fill the shape {shape}")
    try:
        return name, flat.reshape(shape)
    except (ValueError, OverflowError) as error:  # too many dimensions, or sizes beyond any array's beside a 0
        raise refused(f"input {name!r}: no array has the shape {str(shape):.80}") from error


def _from_bytes(name: str, kind: str, content: memoryview) -> Array:
    if kind == BYTES:
        return np.array(_texts(name, content), object)
    dtype = np.dtype("<u2") if kind == BF16 else DTYPES[kind]
    if len(content) % dtype.itemsize:
        raise refused(f"input {name!r}: {len(content)} bytes are no multiple of {kind}'s {dtype.itemsize}")
    array = np.frombuffer(content, dtype)
    return (array.astype("<u4") << 16).view("<f4") if kind == BF16 else array


def _texts(name: str, content: memoryview) -> list[bytes]:
    """Elements of BYTES: each its length in four bytes, then itself."""
    found = []
    while content:
        (length,) = struct.unpack("<I", content[:4]) if len(content) >= 4 else (len(content),)
        if length > len(content) - 4:
            raise refused(f"input {name!r}: the last element is cut off")
        found.append(bytes(content[4 : 4 + length]))
        content = content[4 + length :]
    return found


def _from_json(name: str, kind: str, data: Any) -> Array:
    """Numbers in one list or nested ones, row by row; texts for BYTES."""
    if kind == BYTES:
        return np.array([_octets(name, each) for each in _leaves(data)] or [], object)
    if kind == BF16:
        raise refused(f"input {name!r}: BF16 has no form in JSON; send the tensor's bytes")
    dtype = DTYPES[kind]
    try:
        array = np.array(data)
        if dtype == np.uint64 and array.dtype == np.float64:
            array = _unsigned(data)
        if array.size and array.dtype.kind not in KINDS[dtype.kind]:
            raise ValueError(f"met {array.dtype}")
        if array.size and dtype.kind in "iu":
            limits = np.iinfo(dtype.name)
            if int(array.min()) < limits.min or int(array.max()) > limits.max:
                raise ValueError(f"met values from {array.min()} to {array.max()}")
        with np.errstate(over="ignore"):
            return array.astype(dtype).reshape(-1)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise refused(f"input {name!r}: the data are no {kind}: {error!s:.200}") from error


def _unsigned(data: Any) -> Array:
    """Whole numbers on either side of 2**63, which NumPy would make floats of, as UINT64; floats as they are."""
    exact = np.array(data, object)
    whole = all(type(value) is int and value >= 0 for value in exact.flat)
    return exact.astype(np.uint64) if whole else exact.astype(np.float64)


def _leaves(data: Any) -> list[Any]:
    """What nested lists hold, in order, found without recursion."""
    found, todo = [], [data]
    while todo:
        each = todo.pop()
        if isinstance(each, list):
            todo += reversed(each)
        else:
            found.append(each)
    return found


def _octets(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise refused(f"input {name!r}: an element of BYTES is a {type(value).__name__}; expected a text")
    return value.encode("utf-8", "surrogatepass")


def _wanted(number: int, given: Any, binary: bool) -> Wanted:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise refused(f"output {number} is no object with a name")
    parameters = _parameters(given)
    if SHARED_MEMORY in parameters:
        raise refused(f"output {given['name']!r}: shared memory is not served")
    classes = parameters.get("classification", 0)
    if not isinstance(classes, int) or isinstance(classes, bool) or classes < 0:
        raise refused(f"output {given['name']!r}: classification is {classes!r:.40}; expected a number of classes")
    return Wanted(given["name"], parameters.get("binary_data", binary) is True, classes)


def _best(scores: Array, count: int, labels: Mapping[str, str] | None) -> Array:
    """The best classes of each row as texts, `value:index` and `:label` where labels are known."""
    rows = scores.reshape(-1, scores.shape[-1]) if scores.ndim > 1 else scores.reshape(1, -1)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    texts = [[_class(row[index], index, labels) for index in order] for row, order in zip(rows, best, strict=True)]
    shape = (*scores.shape[:-1], best.shape[1])
    return np.array(texts, object).reshape(shape)


def _class(value: Any, index: int, labels: Mapping[str, str] | None) -> bytes:
    label = (labels or {}).get(str(index))
    return f"{value:f}:{index}{f':{label}' if label else ''}".encode()


def _output(wanted: Wanted, array: Array, blobs: list[bytes]) -> dict[str, Any]:
    described: dict[str, Any] = {"name": wanted.name, "datatype": datatype_of(array), "shape": list(array.shape)}
    if not wanted.binary:
        return described | {"data": array.reshape(-1)}
    blob = _packed(array)
    blobs.append(blob)
    return described | {"parameters": {"binary_data_size": len(blob)}}


def _packed(array: Array) -> bytes:
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(struct.pack("<I", len(each)) + each for each in array.reshape(-1))


def _json(content: Mapping[str, Any]) -> bytes:
    """JSON; NaN and Infinity are written as Python writes them, which JSON itself has no words for."""
    outputs: Sequence[Mapping[str, Any]] = content["outputs"]
    arrays = [each["data"] for each in outputs if "data" in each]
    if all(array.dtype.kind in "biu" or (array.dtype.kind == "f" and np.isfinite(array).all()) for array in arrays):
        return orjson.dumps(content, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    plain = [{**each, "data": _list(each["data"])} if "data" in each else each for each in outputs]
    return json.dumps({**content, "outputs": plain}, separators=(",", ":")).encode()


def _plain(thing: Any) -> Any:
    """What orjson does not take by itself: arrays that are not contiguous, or of a dtype it does not know."""
    return thing.tolist()


def _list(array: Array) -> list[Any]:
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in array.tolist()]
