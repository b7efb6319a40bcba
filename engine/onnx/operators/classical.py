"""Operators of ai.onnx.ml that stand before or behind networks; they run eager."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item, known
from .table import operator

ML = "ai.onnx.ml"
_PARTS = ("int64s", "strings", "floats", "tensor")


def _listed(at: Call, name: str) -> tuple[np.ndarray, str]:
    """What an attribute of one of several types holds."""
    for kind in _PARTS:
        if at.has(f"{name}_{kind}"):
            value = at.attributes[f"{name}_{kind}"].value
            if kind == "tensor":
                return value.array, kind
            if kind == "strings":
                return np.array([v.decode(errors="replace") for v in value], object), kind
            return np.asarray(value, np.int64 if kind == "int64s" else np.float32), kind
    raise FormatError(f"the attribute {name} is missing")


@operator("LabelEncoder", domain=ML)
def label_encoder(at: Call, x: Item) -> Item:
    """Keys replaced by values."""
    (keys, _), (values, kind) = _listed(at, "keys"), _listed(at, "values")
    default: Any
    if kind == "tensor":
        default = at.tensor("default_tensor").array.reshape(-1)[0] if at.has("default_tensor") else values.dtype.type()
    else:
        default = {
            "int64s": lambda: at.integer("default_int64", -1),
            "strings": lambda: at.text("default_string", "_Unused"),
            "floats": lambda: at.number("default_float", -0.0),
        }[kind]()
    table = dict(zip(map(_key, keys.reshape(-1).tolist()), values.reshape(-1).tolist(), strict=True))

    def encoded(given: np.ndarray) -> np.ndarray:
        found = [table.get(_key(v), default) for v in given.reshape(-1).tolist()]
        result = np.empty(len(found), values.dtype)
        result[:] = found
        return result.reshape(given.shape)

    return known(at.hosted(encoded, x))


def _key(value: Any) -> Any:
    return "nan" if isinstance(value, float) and value != value else value


@operator("Binarizer", domain=ML)
def binarizer(at: Call, x: Item) -> Item:
    """1 above a threshold, else 0."""
    return at.cast(at("gt", x, at.number("threshold", 0.0)), x.element)


@operator("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(at: Call, x: Item, places: Item) -> Item:
    """Some columns."""
    return at("index", x, at("reshape", places, shape=(places.array.size,)), dims=(x.ndim - 1,))


@operator("Scaler", domain=ML)
def scaler(at: Call, x: Item) -> Item:
    """Columns moved and stretched."""
    offset, scale = (np.array(at.numbers(name), np.float32) for name in ("offset", "scale"))
    moved = at("sub", at.as_float(x), at.constant(offset))
    return at("mul", moved, at.constant(scale))


@operator("LinearRegressor", domain=ML)
def linear_regressor(at: Call, x: Item) -> Item:
    """Rows by coefficients."""
    targets = at.integer("targets", 1)
    weight = np.array(at.numbers("coefficients"), np.float32).reshape(targets, -1)
    bias = np.array(at.numbers("intercepts", (0.0,) * targets), np.float32)
    return at("linear", at.as_float(x), at.constant(weight), at.constant(bias))


@operator("Normalizer", domain=ML)
def normalizer(at: Call, x: Item) -> Item:
    """Rows over their norm."""
    orders = {"MAX": np.inf, "L1": 1, "L2": 2}
    x = at.as_float(x)
    length = at("norm", x, p=orders[at.text("norm", "MAX")], dim=x.ndim - 1, keepdim=True)
    return at("div", x, at("where", at("eq", length, 0.0), at.constant(1, x), length))
