"""Sizes that a trace wrote as tensors: while a module is watched to make a graph, they stay plain numbers.

`n = NumToTensor(size(x, 0)); int(n // 2)` would come out as operations on a constant that differs from batch to batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..aten import Count
from ..tensor import Tensor
from ..tracing import TRACING

Function = Callable[..., Any]


def counted(function: Function) -> Function:
    """The function, told apart from what is watched where it works on sizes alone."""

    def run(*args: Any, **named: Any) -> Any:
        if TRACING.watcher is None:
            return function(*args, **named)
        return _watched(function, args, named)

    return run


def _watched(function: Function, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    met = [*_tensors(args), *_tensors(named.values())]
    counts = [t for t in met if isinstance(t, Count)]
    if not counts:
        return function(*args, **named)
    if len(counts) < len(met):
        return function(*_numbers(args), **dict(zip(named, _numbers(named.values()), strict=True)))
    watcher, TRACING.watcher = TRACING.watcher, None
    try:
        result = function(*args, **named)
    finally:
        TRACING.watcher = watcher
    return Count(result.array) if isinstance(result, Tensor) else result


def _tensors(items: Any) -> list[Tensor]:
    return [t for item in items for t in (item if isinstance(item, list) else [item]) if isinstance(t, Tensor)]


def _numbers(items: Any) -> list[Any]:
    def plain(item: Any) -> Any:
        return item.array.item() if isinstance(item, Count) else item

    return [[plain(i) for i in item] if isinstance(item, list) else plain(item) for item in items]
