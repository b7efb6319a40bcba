"""What the families of methods know of the tensor they become part of, and how plain methods are made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ..dtype import Array
from ..ops.primitive import Primitive


class Methods:
    """A tensor, seen from its methods."""

    __slots__ = ()
    array: Array

    def _apply(self, primitive: Primitive, *operands: Any, **attributes: Any) -> Self:
        """Run a primitive of one output with this tensor as its first operand."""
        raise NotImplementedError

    def _apply_many(self, primitive: Primitive, *operands: Any, **attributes: Any) -> tuple[Self, ...]:
        """Run a primitive of several outputs with this tensor as its first operand."""
        raise NotImplementedError

    def _reflect(self, primitive: Primitive, other: Any) -> Self:
        """Run a primitive with this tensor as its second operand."""
        raise NotImplementedError

    def _plain(self, array: Any) -> Self:
        """A tensor over an array, without history."""
        raise NotImplementedError

    def _records(self, *others: Any) -> bool:
        """Whether an operation on this tensor and others would be recorded."""
        raise NotImplementedError

    def _changed(self) -> None:
        """Count a change of the memory."""
        raise NotImplementedError

    def _before(self) -> Self:
        """This tensor as it is now, as an operand of an in-place operation."""
        raise NotImplementedError

    def _become(self, result: Self) -> Self:
        """Take a result's values into this memory, and its history."""
        raise NotImplementedError


T = TypeVar("T")
M = TypeVar("M", bound=Methods)
P = ParamSpec("P")


def of_one(primitive: Primitive) -> Callable[[M], M]:
    """The method that runs a primitive on the tensor alone."""

    def method(self: M) -> M:
        return self._apply(primitive)

    return _named(method, primitive.name, f"{primitive.__doc__} Source: torch.{primitive.name}.")


def of_two(primitive: Primitive) -> Callable[[M, Any], M]:
    """The method that runs a primitive on the tensor and another operand."""

    def method(self: M, other: Any) -> M:
        return self._apply(primitive, other)

    return _named(method, primitive.name, f"{primitive.__doc__} Source: torch.{primitive.name}.")


def reflected(primitive: Primitive) -> Callable[[M, Any], M]:
    """The operator that runs a primitive with the tensor on the right."""

    def method(self: M, other: Any) -> M:
        return self._reflect(primitive, other)

    return _named(method, f"__r{primitive.name}__", f"{primitive.__doc__} This tensor is the second operand.")


def spelled_as_numpy(method: Callable[P, T]) -> Callable[P, T]:
    """Take `axis` for `dim` and `keepdims` for `keepdim`, as PyTorch does; NumPy's functions call methods so."""

    @functools.wraps(method)
    def either(*args: P.args, **kwargs: P.kwargs) -> T:
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in kwargs:
                kwargs[ours] = kwargs.pop(theirs)
        if kwargs.get("out", 0) is None:
            del kwargs["out"]
        return method(*args, **kwargs)

    return either


def in_place(method: Callable[Concatenate[M, P], M]) -> Callable[Concatenate[M, P], M]:
    """The form of a method that keeps its result in the tensor it was called on."""

    def changed(self: M, /, *args: P.args, **kwargs: P.kwargs) -> M:
        return self._become(method(self._before(), *args, **kwargs))

    name = method.__name__
    return _named(changed, f"{name}_", f"{name}() in place.")


def _named(function: T, name: str, doc: str) -> T:
    function.__name__ = function.__qualname__ = name  # type: ignore[attr-defined]
    function.__doc__ = doc
    return function
