"""EngineOptions, the `engine` section of a model's YAML: how the engine is to compute the model."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from .. import engine
from .context import Context
from .errors import HandlerError

logger = logging.getLogger(__name__)

SECTION = "engine"
AUTO, EAGER = "auto", "eager"
DTYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")


@dataclass(frozen=True, slots=True)
class Input:
    """The shape of one of the model's inputs, the batch in front, and its dtype."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    def example(self) -> Any:
        """A tensor of this kind: noise, or ones where it holds whole numbers."""
        if self.dtype.startswith("float"):
            generator = engine.Generator().manual_seed(0)
            return engine.randn(*self.shape, generator=generator).to(getattr(engine, self.dtype))
        return engine.ones(*self.shape, dtype=getattr(engine, self.dtype))


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How the engine computes a model.

    `executor` is "auto", the name of one, or "eager" for none; `exact` leaves algorithms out that round more;
    `inputs` and `sample` (a file of the archive, sent as a request's body) say before the first request what the model
    will get, and `batches` for which sizes plans are made then; empty: for 1, 2, 4, … up to a full batch.
    """

    executor: str = AUTO
    exact: bool = False
    threads: int = 1
    inputs: tuple[Input, ...] = ()
    sample: str | None = None
    batches: tuple[int, ...] = ()

    @classmethod
    def of(cls, context: Context | None) -> EngineOptions:
        """The options of a model, the number of threads being the worker's where the YAML does not say.

        Raises: HandlerError that names the key, what was met and what is expected.
        """
        if context is None:
            return cls()
        threads = context.threads or len(os.sched_getaffinity(0))
        section = (context.model_yaml_config or {}).get(SECTION)
        if not isinstance(section, Mapping):
            return cls(threads=threads)
        for key in section.keys() - READERS.keys():
            logger.warning("%s.%s is not known and is ignored%s", SECTION, key, _suggestion(str(key)))
        read = {key: reader(f"{SECTION}.{key}", section[key]) for key, reader in READERS.items() if key in section}
        return cls(**{"threads": threads} | read)


def _text(key: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise _wrong(key, value, "a name")


def _flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(key, value, "true or false")


def _count(key: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise _wrong(key, value, "a whole number of at least 1")


def _counts(key: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, list) and value:
        return tuple(_count(f"{key}[{place}]", item) for place, item in enumerate(value))
    raise _wrong(key, value, "a list of whole numbers, such as [1, 8]")


def _inputs(key: str, value: Any) -> tuple[Input, ...]:
    if isinstance(value, list) and value:
        return tuple(_input(f"{key}[{place}]", item) for place, item in enumerate(value))
    raise _wrong(key, value, "a list with a shape for each input, such as [[1, 3, 224, 224]]")


def _input(key: str, value: Any) -> Input:
    if isinstance(value, list):
        return Input(_counts(key, value))
    if not isinstance(value, Mapping) or "shape" not in value or value.keys() - {"shape", "dtype"}:
        raise _wrong(key, value, "a shape, such as [1, 16], or {shape: [1, 16], dtype: int64}")
    dtype = value.get("dtype", "float32")
    if dtype not in DTYPES:
        raise _wrong(f"{key}.dtype", dtype, f"one of {', '.join(DTYPES)}")
    return Input(_counts(f"{key}.shape", value["shape"]), dtype)


READERS: dict[str, Callable[[str, Any], Any]] = {
    "executor": _text,
    "exact": _flag,
    "threads": _count,
    "inputs": _inputs,
    "sample": _text,
    "batches": _counts,
}
"""What reads the value of each key."""


def _wrong(key: str, value: Any, expected: str) -> HandlerError:
    return HandlerError(
        f"{key}: met {value!r:.60}; expected {expected}", hint="correct the model's YAML file and pack it again"
    )


def _suggestion(key: str) -> str:
    near = get_close_matches(key, READERS, n=1)
    return f"; did you mean {SECTION}.{near[0]}?" if near else f"; there are: {', '.join(READERS)}"
