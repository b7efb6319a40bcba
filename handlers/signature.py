"""Signature: which named tensors a model takes and gives, by its YAML file, or by what the model itself shows."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import engine
from .engine_options import EngineOptions, Input
from .errors import HandlerError
from .metadata import SECTION
from .open_inference import BYTES, DTYPES, Array, TensorRequest, datatype_of, refused

OUTPUT = "output_{}"
VARIABLE = -1


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor's name, datatype and shape; -1 is a size that varies. What is not known is None."""

    name: str
    datatype: str | None = None
    shape: tuple[int, ...] | None = None

    def check(self, array: Array, datatype: str) -> None:
        """Raises: PredictionException, 400, where a tensor is not as it must be."""
        if self.datatype and datatype != self.datatype:
            raise refused(f"input {self.name!r} is {datatype}; expected {self.datatype}")
        if self.shape is None:
            return
        fits = len(array.shape) == len(self.shape) and all(
            want in (VARIABLE, met) for want, met in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            raise refused(f"input {self.name!r} has the shape {list(array.shape)}; expected {list(self.shape)}")

    def from_bytes(self, content: bytes | bytearray | memoryview) -> TensorRequest:
        """A body that is nothing but this tensor's bytes, whose shape has one size to be found at most.

        Raises: PredictionException, 400
        """
        dtype, shape = DTYPES.get(self.datatype or ""), self.shape
        if dtype is None or shape is None or shape.count(VARIABLE) > 1:
            raise refused(f"input {self.name!r} has no datatype and shape that would tell what the bytes are")
        row = math.prod(size for size in shape if size != VARIABLE) * dtype.itemsize
        if (row == 0 or len(content) % row) if VARIABLE in shape else len(content) != row:
            raise refused(f"input {self.name!r}: {len(content)} bytes do not fill the shape {list(shape)}")
        array = np.frombuffer(content, dtype).reshape(shape)
        return TensorRequest(None, {self.name: array}, {self.name: self.datatype or ""}, binary=True)

    def describe(self) -> dict[str, Any]:
        """As the protocol's metadata tell it; what is not known is said to vary."""
        return {"name": self.name, "datatype": self.datatype or "FP32", "shape": list(self.shape or (VARIABLE,))}


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs in the order of the model's parameters, and the outputs as far as they are known.

    `required` counts the inputs, from the first, that a request cannot leave out.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] = ()
    required: int = 1

    @classmethod
    def of(cls, model: Any, document: Mapping[Any, Any], options: EngineOptions) -> Signature:
        """What the YAML's `signature` says, then its `engine.inputs`, then the model's forward().

        Raises: HandlerError where the YAML is wrong, naming the key.
        """
        section = document.get(SECTION) or {}
        if not isinstance(section, Mapping) or section.keys() - {"inputs", "outputs"}:
            raise _wrong(SECTION, section, "the keys inputs and outputs")
        outputs = _ports(f"{SECTION}.outputs", section.get("outputs") or ())
        if declared := _ports(f"{SECTION}.inputs", section.get("inputs") or ()):
            return cls(declared, outputs, len(declared))
        names, required = _parameters(model)
        ports = [Port(name) for name in names]
        for place, known in enumerate(options.inputs):
            name = ports[place].name if place < len(ports) else f"input_{place}"
            ports[place : place + 1] = [_of_engine(name, known)]
        return cls(tuple(ports), outputs, max(required, len(options.inputs)))

    def examples(self) -> tuple[Any, ...]:
        """A tensor for each input, where all shapes are known; a size that varies is 1."""
        if any(not port.datatype or port.shape is None for port in self.inputs):
            return ()
        dtypes = {name: str(dtype) for name, dtype in DTYPES.items()}
        return tuple(
            Input(tuple(1 if n == VARIABLE else n for n in port.shape or ()), dtypes[port.datatype or "FP32"]).example()
            for port in self.inputs
        )

    def names_of(self, result: Any) -> dict[str, Any]:
        """The model's outputs by name: those declared, a dict's own, or output_0, output_1, …

        Raises: HandlerError where there are more or fewer than declared.
        """
        if isinstance(result, Mapping) and not self.outputs:
            return {str(name): value for name, value in result.items()}
        several = isinstance(result, Sequence) and not isinstance(result, engine.Tensor)
        values = list(result.values() if isinstance(result, Mapping) else result if several else [result])
        names = [port.name for port in self.outputs] or [OUTPUT.format(place) for place in range(len(values))]
        if len(names) != len(values):
            raise HandlerError(f"{SECTION}.outputs names {len(names)} outputs; the model gives {len(values)}")
        return dict(zip(names, values, strict=True))

    def with_outputs(self, arrays: Mapping[str, Array]) -> Signature:
        """This signature with the outputs that an example has given; their first size varies."""
        known = {port.name for port in self.outputs if port.datatype}
        found = tuple(Port(name, datatype_of(array), (VARIABLE, *array.shape[1:])) for name, array in arrays.items())
        return self if known else Signature(self.inputs, found, self.required)

    def describe(self) -> dict[str, Any]:
        """As the protocol's metadata tell it."""
        return {
            "inputs": [port.describe() for port in self.inputs],
            "outputs": [port.describe() for port in self.outputs],
        }


def _parameters(model: Any) -> tuple[list[str], int]:
    """The names of the tensors that forward() takes, and how many it cannot do without."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [p for p in inspect.signature(model.forward).parameters.values() if p.kind in kinds]
    except (AttributeError, TypeError, ValueError):
        found = []
    names = [parameter.name for parameter in found] or ["input_0"]
    return names, sum(parameter.default is inspect.Parameter.empty for parameter in found) or 1


def _of_engine(name: str, known: Input) -> Port:
    datatypes = {str(dtype): datatype for datatype, dtype in DTYPES.items()}
    return Port(name, datatypes[known.dtype], (VARIABLE, *known.shape[1:]))


def _ports(key: str, value: Any) -> tuple[Port, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(key, value, "a list of {name, datatype, shape}")
    return tuple(_port(f"{key}[{place}]", each) for place, each in enumerate(value))


def _port(key: str, value: Any) -> Port:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise _wrong(key, value, "a name, such as {name: x, datatype: FP32, shape: [-1, 16]}")
    datatype, shape = value.get("datatype"), value.get("shape")
    if datatype is not None and (datatype not in DTYPES or datatype == BYTES):
        raise _wrong(f"{key}.datatype", datatype, f"one of {', '.join(DTYPES)}")
    if shape is not None and not (
        isinstance(shape, list) and all(type(size) is int and size >= VARIABLE for size in shape)
    ):
        raise _wrong(f"{key}.shape", shape, "a list of sizes, -1 for one that varies")
    return Port(value["name"], datatype, None if shape is None else tuple(shape))


def _wrong(key: str, value: Any, expected: str) -> HandlerError:
    return HandlerError(
        f"{key}: met {value!r:.60}; expected {expected}", hint="correct the model's YAML file and pack it again"
    )
