"""The state of a pickle while it is read: stack, memo, and what it may still spend; it imports and calls nothing.

A global is looked up in the table of names that the caller allows; what stands there is inert, and only a `Builder`
in it can be "called".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from mmap import mmap
from typing import Any, NoReturn

from ..errors import FormatError
from .limits import Limits, quote

Buffer = bytes | mmap
Name = tuple[str, str]

_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
_TEXTS = frozenset({str, bytes, bytearray})
_CONTAINERS = frozenset({list, dict, tuple, OrderedDict, set})
_LARGEST_KEY = 1 << 60  # beyond it, different integers can be made to share a hash


class Inert:
    """A value that stands for a name in the file; whatever the pickle does to it, it stays as it is."""

    __slots__ = ()


class Builder(Inert):
    """What the pickle may "call": a function of ours that makes plain data from plain data."""

    __slots__ = ("function", "name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function

    def build(self, arguments: tuple[Any, ...]) -> Any:
        """The function's value; FormatError where the arguments are not its own."""
        try:
            return self.function(*arguments)
        except FormatError:
            raise
        except (TypeError, ValueError, OverflowError, LookupError) as error:
            raise FormatError(f"{self.name} was given arguments that it does not take: {error}") from error


@dataclass(frozen=True, slots=True)
class Language:
    """What a pickle may say: the names it may use, how `BUILD` fills an object, what a persistent id stands for."""

    names: Mapping[Name, object]
    unknown: Callable[[Name, bool], NoReturn]
    fill: Callable[[Any, Any], None]
    persistent: Callable[[Any], Any]


class Machine:
    """One run of a pickle: its stack, its memo and what it may still spend."""

    __slots__ = ("budget", "compound_keys", "data", "end", "language", "limits", "marks", "memo", "position", "stack")

    def __init__(self, data: Buffer, start: int, language: Language, limits: Limits) -> None:
        self.data = data
        self.position = start
        self.end = min(len(data), start + limits.pickle_bytes)
        self.language = language
        self.limits = limits
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = limits.built_bytes
        self.compound_keys = limits.compound_keys

    def result(self) -> Any:
        """What STOP leaves."""
        if self.marks or len(self.stack) != 1:
            raise FormatError("the pickle ends with other than one object; the file is damaged")
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, self.position = self.position, self.position + count
        if not 0 <= count <= self.end - start:
            limit = self.limits.pickle_bytes
            raise FormatError(f"the pickle asks for {count} bytes: more than there are, or more than {limit}")
        return self.data[start : self.position]

    def number(self, width: int) -> int:
        """The next unsigned number."""
        return int.from_bytes(self.take(width), "little")

    def line(self) -> bytes:
        """The next bytes up to a line feed."""
        stop = self.data.find(b"\n", self.position, min(self.end, self.position + 4096))
        if stop < 0:
            raise FormatError("the pickle holds a text argument without an end")
        start, self.position = self.position, stop + 1
        return self.data[start:stop]

    def text(self, count: int) -> str:
        """The next bytes as text."""
        return self.take(count).decode("utf-8")

    def spend(self, count: int) -> None:
        """Account for memory that the pickle asks for beyond its own bytes."""
        self.budget -= count
        if self.budget < 0:
            raise FormatError(f"the pickle builds more than {self.limits.built_bytes} bytes; weights need far less")

    def remember(self, key: int) -> None:
        """Put the top of the stack into the memo."""
        if len(self.memo) >= self.limits.memo:
            raise FormatError(f"the pickle memorises more than {self.limits.memo} values; weights need far fewer")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        """Push what the memo holds."""
        if key not in self.memo:
            raise FormatError(f"the pickle recalls value {quote(key)}, which it never memorised; the file is damaged")
        self.stack.append(self.memo[key])

    def since_mark(self) -> list[Any]:
        """What was pushed since the latest mark, off the stack."""
        if not self.marks:
            raise FormatError("the pickle closes a group that it never opened; the file is damaged")
        group, self.stack = self.stack, self.marks.pop()
        return group

    def find(self, module: str, name: str) -> None:
        """Push what a global's name stands for."""
        found = self.language.names.get((module, name))
        if found is None:
            self.language.unknown((module, name), self._at_the_top())
        self.stack.append(found)

    def _at_the_top(self) -> bool:
        """Whether what comes next is the object itself, or the class in a legacy ("module", class, file, source)."""
        return not (self.stack or self.marks) or self.stack[-1:] == ["module"]

    def call(self, target: Any, arguments: Any) -> None:
        """Push what a builder makes of its arguments."""
        if not isinstance(target, Builder) or type(arguments) is not tuple:
            raise FormatError(f"the pickle calls {quote_inert(target)}, which cannot be called")
        self.spend(512 + weight(arguments))
        self.stack.append(target.build(arguments))

    def key(self, value: Any) -> Any:
        """A value fit to be hashed: a scalar or a short tuple of them."""
        if type(value) is not tuple or len(value) > 16:
            return scalar_key(value)
        self.compound_keys -= 1
        if self.compound_keys < 0:
            raise FormatError(f"the pickle has more than {self.limits.compound_keys} tuples as keys")
        return tuple(map(scalar_key, value))


def scalar_key(value: Any) -> Any:
    """The value, if it is plain enough to be hashed: nothing whose hash takes long or can be made to collide."""
    if type(value) not in _SCALARS:
        raise FormatError(f"the pickle has {quote(value)} as a key; expected text, numbers or short tuples of them")
    if type(value) is int and not -_LARGEST_KEY < value < _LARGEST_KEY:
        raise FormatError("the pickle has a number of more than 60 bits as a key")
    return value


def weight(values: Iterable[Any]) -> int:
    """About the bytes that copies of the values would take."""
    total = 0
    for value in values:
        kind = type(value)
        if kind in _TEXTS:
            total += len(value)
        elif kind in _CONTAINERS:
            total += 64 * len(value)
    return total


def quote_inert(value: Any) -> str:
    """What stands on the stack, for a message."""
    return quote(value.name) if isinstance(value, Builder) else quote(value)
