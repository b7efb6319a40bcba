"""A request of the Open Inference Protocol for a model that tells what its inputs are."""

from __future__ import annotations

import math
from typing import Any

import orjson


def infer_request(metadata: dict[str, Any]) -> bytes:
    """Zeros of the inputs' types; a size that the model leaves open is 1."""
    return orjson.dumps({"inputs": [_input(each) for each in metadata.get("inputs") or [ANY]]})


ANY = {"name": "input", "datatype": "FP32", "shape": [1, 1]}


def _input(told: dict[str, Any]) -> dict[str, Any]:
    shape = [size if size > 0 else 1 for size in told["shape"]]
    zero: object = {"BOOL": False, "BYTES": ""}.get(told["datatype"], 0)
    return {"name": told["name"], "datatype": told["datatype"], "shape": shape, "data": [zero] * math.prod(shape)}
