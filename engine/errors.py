"""What the engine raises, as one family.

EngineError
├── ShapeError           sizes that do not fit together; the message shows the shapes
├── DtypeError           a dtype that an operation cannot take
├── OutOfRangeError      an index or a dim that is not there
├── GradientError        a backward pass that cannot be made
├── DeviceError          a device that the engine does not have
├── FormatError          a file that is not what it should be; says what was found and what to do
├── ScriptError          what a program read from a file raises by itself
└── UnsupportedOpError   an operator that the engine lacks, by its name
    └── MissingOperatorsError   all operators of a file that the engine lacks; a FormatError too
"""

from __future__ import annotations


class EngineError(Exception):
    """Anything the engine refuses. `layer` is the place in the model, where it is known, and begins the message."""

    layer: str = ""
    module: object = None  # the innermost that was running, whose name in the whole model is its layer

    def __str__(self) -> str:
        return f"layer {self.layer}: {super().__str__()}" if self.layer else super().__str__()


class ShapeError(EngineError, ValueError):
    """Sizes that do not fit together."""


class DtypeError(EngineError, TypeError):
    """A dtype that an operation cannot take."""


class OutOfRangeError(EngineError, IndexError):
    """An index or a dim that is not there."""


class GradientError(EngineError, RuntimeError):
    """A backward pass that cannot be made."""


class DeviceError(EngineError, RuntimeError):
    """A device that the engine does not have."""


class FormatError(EngineError, ValueError):
    """A file that is not what it should be."""


class ScriptError(EngineError, RuntimeError):
    """What a program read from a file raises by itself."""


class UnsupportedOpError(EngineError, NotImplementedError):
    """An operator that the engine lacks."""


class MissingOperatorsError(UnsupportedOpError, FormatError):
    """Operators of a file that the engine lacks, all by their names."""
