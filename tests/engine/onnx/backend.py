"""Our reader as a backend of the onnx package's own test-suite; for the oracle tests alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numserve.engine import Tensor
from numserve.engine.executors import Choices, executor_named
from numserve.engine.graph.passes import lower
from numserve.engine.onnx import OnnxModel, read
from numserve.engine.onnx.elements import ELEMENTS
from numserve.engine.programs import Programs

# The NumPy dtypes that the suite has from ml_dtypes, by ONNX's names.
NARROW = {
    "bfloat16": "bfloat16", "float8e4m3fn": "float8_e4m3fn", "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2", "float8e5m2fnuz": "float8_e5m2fnuz", "float8e8m0": "float8_e8m0fnu",
    "float4e2m1": "float4_e2m1fn", "int4": "int4", "uint4": "uint4", "int2": "int2", "uint2": "uint2",
}  # fmt: skip


def given(value: Any) -> Any:
    """A value of the suite as ours."""
    import onnx

    if isinstance(value, list):
        return [given(part) for part in value]
    if value is None:
        return None
    array = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    for element in ELEMENTS.values():
        if element.narrow and str(array.dtype) == NARROW[element.name]:
            return array.astype(element.carrier)
    return array.astype(object) if array.dtype.kind in "UST" else array


def expected(value: Any) -> Any:
    """A value of ours as the suite's."""
    import ml_dtypes

    if isinstance(value, list):
        return [expected(part) for part in value]
    if value is None:
        return None
    if value.element.narrow:
        return value.array.astype(getattr(ml_dtypes, NARROW[value.element.name]))
    return value.array


class Prepared:
    """A model, ready to be run."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        names = [info.name for info in self.model.inputs]
        return tuple(map(expected, self.model.run(dict(zip(names, map(given, inputs), strict=False)))))


class Backend:
    """What the suite asks of a backend."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Prepared:
        return Prepared(read(memoryview(model.SerializeToString())))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **_: Any) -> bool:
        return True


class PreparedPlan(Prepared):
    """A model that must run on a plan.

    It is not compared with running eager first, as compile_module() would: the suite's SqueezeNet has all weights alike
    and scores of 1e10, so that softmax shows the last bit of each.
    """

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        tensors = [Tensor(given(value)) for value in inputs]
        graph = lower(self.model.graph_for(*tensors))
        programs = Programs(graph, executor_named("auto", threads=1, exact=True), 1, True, Choices(), 1)
        arrays = [tensor.array for tensor in tensors]
        return tuple(programs.run(arrays, graph.batch_of([array.shape for array in arrays])))


class Planned(Backend):
    """The backend that runs models on plans."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Prepared:
        return PreparedPlan(Backend.prepare(model).model)
