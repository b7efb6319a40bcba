"""Function, a compiled function of a program: closures that run over a frame, a list of the values of its names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EngineError, ScriptError
from ..graph.recording import PROGRAMS, CaptureError

Frame = list[Any]
Expression = Callable[[Frame], Any]
Statement = Callable[[Frame], bool]  # gives whether the function has returned

# Places in a frame: what is returned, the frame around a nested function, the file that the code is of, the names.
RESULT, OUTER, FILE, FIRST = 0, 1, 2, 3


class Budget(threading.local):
    """How many turns loops may still take in this thread; None for any number."""

    left: int | None = None

    def spend(self) -> None:
        """Take one turn."""
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise ScriptError("the program loops for too long while it is loaded")


BUDGET = Budget()


class Unset:
    """What a name has before it is given a value."""

    def __repr__(self) -> str:
        return "nothing"


UNSET = Unset()


class Block:
    """Statements in order; what goes wrong in one is told with its line."""

    __slots__ = ("statements",)

    def __init__(self, statements: Sequence[tuple[int, Statement]]) -> None:
        self.statements = tuple(statements)

    def run(self, frame: Frame) -> bool:
        """Run until the end or a return."""
        line = 0
        try:
            for line, statement in self.statements:  # noqa: B007  # told where something goes wrong
                if statement(frame):
                    return True
        except Exception as error:
            located(error, f"{frame[FILE]}:{line}")
        return False


PROGRAMS[Block.run.__code__] = lambda names: f"{names['frame'][FILE]}:{names['line']}"


def located(error: Exception, where: str) -> None:
    """Raise an error again as one of the engine's that says where in the program it arose."""
    if isinstance(error, CaptureError):  # says so itself
        raise error
    if not isinstance(error, EngineError):
        raise ScriptError(f"{type(error).__name__}: {error} (at {where})") from error
    if not getattr(error, "located", False):
        error.located = True  # type: ignore[attr-defined]
        error.args = (f"{error} (at {where})", *error.args[1:])
    raise error


class Function:
    """A function by its full name; its body is compiled after all names are known, or by `later` when it first runs."""

    def __init__(
        self, name: str, parameters: Sequence[str], file: str = "", later: Callable[[], None] | None = None
    ) -> None:
        self.name, self.file = name, file
        self.parameters = tuple(parameters)
        self._later = later
        self.defaults: dict[int, Expression] = {}
        self.size = FIRST
        self.body: Block | None = None

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Run it."""
        return self.run(None, args, named)

    def run(self, outer: Frame | None, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Run it inside of a frame, which nested functions see."""
        body = self.body or self._compiled()
        frame = [None, outer, outer[FILE] if outer else self.file, *args, *[UNSET] * (self.size - FIRST - len(args))]
        if len(args) != len(self.parameters) or named:
            self._fill(frame, args, named)
        body.run(frame)
        return frame[RESULT]

    def run_as(self, other: Function) -> None:
        """Run the code of a function that is alike."""
        self.defaults, self.size, self.body = other.defaults, other.size, other.body

    @property
    def optional(self) -> int:
        """How many of the last parameters may be left out."""
        if self.body is None:
            self._compiled()
        return len(self.defaults)

    def _compiled(self) -> Block:
        if self.body is None and self._later is not None:
            self._later()
        if self.body is None:
            raise ScriptError(f"{self.name} is not there any more; the program was changed since it was opened")
        return self.body

    def _fill(self, frame: Frame, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Arguments by name and defaults, in their places."""
        if len(args) > len(self.parameters):
            raise ScriptError(f"{self.name}: {len(args)} arguments; expected {self._signature()}")
        for name, value in named.items():
            place = self.parameters.index(name) if name in self.parameters else -1
            if place < len(args):
                raise ScriptError(
                    f"{self.name}: argument {name!r} is unknown or there twice; takes {self._signature()}"
                )
            frame[FIRST + place] = value
        for place in range(len(args), len(self.parameters)):
            if frame[FIRST + place] is UNSET:
                if place not in self.defaults:
                    raise ScriptError(f"{self.name}: {self.parameters[place]!r} is missing; takes {self._signature()}")
                frame[FIRST + place] = self.defaults[place](frame)

    def _signature(self) -> str:
        return f"({', '.join(self.parameters)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Function:
        return self

    def __repr__(self) -> str:
        return f"<function {self.name}{self._signature()}>"
