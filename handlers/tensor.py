"""TensorHandler, the default handler `tensor`: named tensors in, named tensors out, without any code of the user's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from ..engine.errors import ShapeError
from .base import BaseHandler
from .context import Context
from .engine_options import EngineOptions
from .envelopes import body_of
from .errors import PredictionException
from .open_inference import (
    HEADER_LENGTH,
    Array,
    TensorAnswer,
    TensorRequest,
    datatype_of,
    read_request,
    refused,
    write_answer,
)
from .signature import Port, Signature

logger = logging.getLogger(__name__)

JSON_DTYPES: dict[str, np.dtype[Any]] = {
    "f": np.dtype(np.float32),
    "i": np.dtype(np.int64),
    "u": np.dtype(np.int64),
    "b": np.dtype(np.bool_),
}
"""What numbers in JSON become where the signature names no datatype: as PyTorch's tensors of lists."""


@dataclass(slots=True)
class _Asked:
    """One request of a batch: where it stands, its tensors, and how many rows they have."""

    place: int
    request: TensorRequest
    instances: bool

    @property
    def kind(self) -> Any:
        """Requests of one kind can be computed together: their inputs differ in nothing but the number of rows."""
        arrays = self.request.inputs.items()
        if not self.rows:
            return self.place
        return tuple((name, array.dtype.str, array.shape[1:]) for name, array in arrays)

    @property
    def rows(self) -> int:
        """The first size of every input; 0 where they have none in common."""
        firsts = {array.shape[0] if array.ndim else 0 for array in self.request.inputs.values()}
        return firsts.pop() if len(firsts) == 1 else 0


class TensorHandler(BaseHandler):
    """Speaks the Open Inference Protocol, and KServe v1's `instances`, for any model that takes and gives tensors.

    The names of the inputs are those of the model's forward(), or those of `signature` in the model's YAML. Requests
    of a batch are computed together where their tensors differ in the number of rows alone.
    """

    signature = Signature(())
    opens_envelopes = True
    takes_views = True

    def initialize(self, context: Context) -> None:
        """Load the model, and learn its signature."""
        super().initialize(context)
        self.signature = Signature.of(self.model, context.model_yaml_config, EngineOptions.of(context))

    def example_inputs(self) -> tuple[Any, ...]:
        """A tensor for each input, where the signature knows its shape."""
        return self.signature.examples()

    def tensor_metadata(self) -> dict[str, Any]:
        """The inputs and outputs; unless the YAML describes the outputs, one example is computed to see them."""
        example = self.example_inputs()
        if example and not any(port.datatype for port in self.signature.outputs):
            try:
                self.signature = self.signature.with_outputs(self._arrays(self.inference(*example)))
            except Exception:  # a border: the model, on an input that nobody may ever send
                logger.warning("the outputs cannot be told: the model fails on an example", exc_info=True)
        return self.signature.describe()

    def describe_handle(self) -> dict[str, Any]:
        """What a customised description adds."""
        return self.signature.describe()

    def _answers(self, data: list[dict[str, Any]]) -> list[Any]:
        if self._is_describe():
            return [self.describe_handle()]
        if self._is_explain():
            return self.explain_handle(None, data)
        answers: list[Any] = [None] * len(data)
        groups: dict[Any, list[_Asked]] = {}
        for place, row in enumerate(data):
            try:
                asked = self._asked(place, body_of(row))
                groups.setdefault(asked.kind, []).append(asked)
            except PredictionException as error:
                answers[place] = error
        for group in groups.values():
            for asked, answer in zip(group, self._computed(group), strict=True):
                answers[asked.place] = answer
        return answers

    def _asked(self, place: int, body: Any) -> _Asked:
        """A request, its inputs as the signature wants them. Raises: PredictionException, 400."""
        if isinstance(body, Mapping) and "instances" in body:
            return _Asked(place, self._of_instances(body["instances"]), True)
        ports = self.signature.inputs
        length = self.context.get_request_header(place, HEADER_LENGTH)
        if length == "0" and len(ports) == 1 and isinstance(body, (bytes, bytearray, memoryview)):
            return _Asked(place, ports[0].from_bytes(body), False)
        request = read_request(body, length)
        missing = [port.name for port in ports[: self.signature.required] if port.name not in request.inputs]
        unknown = request.inputs.keys() - {port.name for port in ports}
        if missing or unknown:
            expected = ", ".join(port.name for port in ports)
            raise refused(f"the inputs are {', '.join(request.inputs)}; expected {expected}")
        for port in ports:
            if port.name in request.inputs:
                port.check(request.inputs[port.name], request.datatypes[port.name])
        return _Asked(place, request, False)

    def _of_instances(self, instances: Any) -> TensorRequest:
        """KServe v1: a list with a value for each row, or with an object that has one for each input."""
        if not isinstance(instances, list) or not instances:
            raise refused("instances must be a list of some items")
        ports = self.signature.inputs
        if all(isinstance(each, Mapping) for each in instances):
            given = [port for port in ports if port.name in instances[0]]
            columns = {port: [each.get(port.name) for each in instances] for port in given}
        else:
            columns = {ports[0]: instances}
        if len(columns) < self.signature.required:
            raise refused(f"an instance must have {', '.join(port.name for port in ports)}")
        inputs = {port.name: _array(port, column) for port, column in columns.items()}
        return TensorRequest(None, inputs, {name: datatype_of(array) for name, array in inputs.items()})

    def _computed(self, group: Sequence[_Asked]) -> list[Any]:
        """The answers to requests of one kind: computed together, or one by one where one of them fails."""
        try:
            outputs = self._together(group)
        except MemoryError:
            raise
        except Exception as error:  # a border: one request's tensors must not be the others' failure
            if len(group) == 1:
                return [_failure(error)]
            return [answer for asked in group for answer in self._computed([asked])]
        return [self._answer(asked, each) for asked, each in zip(group, outputs, strict=True)]

    def _together(self, group: Sequence[_Asked]) -> list[dict[str, Array]]:
        if len(group) == 1:
            return [self._run({name: array.copy() for name, array in group[0].request.inputs.items()})]
        names = group[0].request.inputs
        outputs = self._run({name: np.concatenate([asked.request.inputs[name] for asked in group]) for name in names})
        ends = np.cumsum([asked.rows for asked in group])
        if any(array.ndim == 0 or array.shape[0] != ends[-1] for array in outputs.values()):
            raise ValueError("an output has not a row for each of the inputs' rows")
        parts = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
        return [{name: pieces[number] for name, pieces in parts.items()} for number in range(len(group))]

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The model on these tensors: by place, and those by name that stand behind one that was left out."""
        tensors = {name: self.library.from_numpy(array) for name, array in inputs.items()}
        in_place = [*takewhile(tensors.__contains__, (port.name for port in self.signature.inputs))]
        positional = [tensors.pop(name) for name in in_place]
        return self._arrays(self.inference(*positional, **tensors))

    def _arrays(self, result: Any) -> dict[str, Array]:
        return {name: _numpy(name, value) for name, value in self.signature.names_of(result).items()}

    def _answer(self, asked: _Asked, outputs: dict[str, Array]) -> Any:
        if asked.instances:
            return {"predictions": _rows(outputs)}
        context: Context = self.context
        version = ((self.manifest or {}).get("model") or {}).get("modelVersion", "1.0")
        head = {
            "model_name": context.model_name,
            "model_version": version,
            "id": asked.request.id or context.get_request_id(asked.place),
        }
        try:
            answer: TensorAnswer = write_answer(asked.request, outputs, head, self.mapping)
        except PredictionException as error:
            return error
        context.set_response_content_type(asked.place, answer.content_type)
        for name, value in answer.headers.items():
            context.set_response_header(asked.place, name, value)
        return answer.body


def _array(port: Port, column: list[Any]) -> Array:
    try:
        array = np.array(column)
    except ValueError as error:
        raise refused(f"input {port.name!r}: the instances have different shapes") from error
    dtype = JSON_DTYPES.get(array.dtype.kind)
    if dtype is None:
        raise refused(f"input {port.name!r}: the instances hold {array.dtype}; expected numbers")
    datatype = port.datatype or datatype_of(np.zeros(0, dtype))
    said = {"name": port.name, "datatype": datatype, "shape": list(array.shape), "data": column}
    request = read_request({"inputs": [said]})
    port.check(request.inputs[port.name], datatype)
    return request.inputs[port.name]


def _numpy(name: str, value: Any) -> Array:
    try:
        array: Array = value.detach().numpy()
    except AttributeError:
        raise TypeError(f"output {name!r} is a {type(value).__name__}; expected a tensor") from None
    return array


def _rows(outputs: Mapping[str, Array]) -> list[Any]:
    """A row's value for each instance: the only output's, or an object of all."""
    if len(outputs) == 1:
        (array,) = outputs.values()
        rows: list[Any] = array.tolist()
        return rows
    return [dict(zip(outputs, row, strict=True)) for row in zip(*(a.tolist() for a in outputs.values()), strict=True)]


def _failure(error: Exception) -> PredictionException:
    """What is wrong with one request: a shape that the model cannot take is the client's mistake, all else ours."""
    if isinstance(error, PredictionException):
        return error
    if isinstance(error, ShapeError):
        return refused(f"the model cannot take these tensors: {error}")
    logger.error("the model fails on a request", exc_info=error)
    return PredictionException("Prediction failed", 503)
