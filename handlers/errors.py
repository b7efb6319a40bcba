"""What goes wrong around a handler: HandlerError and what it tells about the user's code.

HandlerError             anything that stops a handler from being loaded, initialised or run
├─ EnvelopeError         a request does not have the form its envelope asks for
├─ MetricsCacheError     a metric is asked for or made wrongly (metrics.py)
└─ PredictionException   raised by handlers: this status and message go to the client
"""

from __future__ import annotations

import traceback
from pathlib import Path


class HandlerError(Exception):
    """A handler cannot be loaded, initialised or run.

    `phase` names the step ("import", "initialize", …), `cause` is the exception that ended it, `where` the user's
    "file:line", `hint` what to do about it; each is None where it is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        phase: str | None = None,
        cause: BaseException | None = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.phase = phase
        self.cause = cause
        self.where = where
        self.hint = hint

    @classmethod
    def wrap(cls, error: BaseException, phase: str, model_dir: Path) -> HandlerError:
        """Turn any exception of `phase` into a HandlerError that knows the user's line and a hint."""
        if isinstance(error, HandlerError) and error.phase:
            return error
        return HandlerError(
            as_in_archive(summary(error), model_dir),
            phase=phase,
            cause=error.cause if isinstance(error, HandlerError) and error.cause else error,
            where=getattr(error, "where", None) or user_line(error, model_dir),
            hint=getattr(error, "hint", None) or hint_for(error),
        )


class EnvelopeError(HandlerError):
    """A request lacks what its service envelope needs."""


class PredictionException(HandlerError):
    """Raised by a handler to choose the status and the message that every request of the batch is answered with."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


def summary(error: BaseException) -> str:
    """One line for an exception: its class and its text; a HandlerError speaks for itself."""
    if isinstance(error, HandlerError):
        return error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def as_in_archive(text: str, model_dir: Path) -> str:
    """A text that calls the files of a model by their names in the archive: nobody knows where it was unpacked."""
    return text.replace(f"{model_dir}/", "").replace(f"{model_dir.resolve()}/", "")


def user_line(error: BaseException, model_dir: Path) -> str | None:
    """The "file:line" of the model directory that `error` came through last, relative to that directory."""
    root = model_dir.resolve()
    if isinstance(error, SyntaxError) and error.filename:
        return _relative(error.filename, error.lineno, root)
    lines = [_relative(f.filename, f.lineno, root) for f in traceback.extract_tb(error.__traceback__)]
    found = [line for line in lines if line]
    return found[-1] if found else None


def _relative(filename: str, line: int | None, root: Path) -> str | None:
    path = Path(filename)
    return f"{path.relative_to(root)}:{line}" if path.is_relative_to(root) else None


def hint_for(error: BaseException) -> str | None:
    """What to do about an exception of a user's file, where experience knows it."""
    match error:
        case ModuleNotFoundError(name=str(name)):
            return _missing_package(name.partition(".")[0])
        case SyntaxError():
            return "the file is not valid Python for the interpreter of this server; correct the line and pack it again"
        case FileNotFoundError(filename=str(name)):
            return (
                f"{Path(name).name} is not in the model directory; pack it with --extra-files and open it by its path"
                " in context.system_properties['model_dir']"
            )
        case MemoryError():
            return "the machine has too little memory for this model; use fewer workers or a smaller model"
        case _:
            return None


def _missing_package(name: str) -> str | None:
    if name == "ts":
        return None  # the message itself says what is there and what is not
    if name in ("torch", "torchvision", "torchaudio", "torchtext"):
        return (
            "this needs PyTorch itself: the built-in engine answers `import torch` in the archive's own files only,"
            " and with the names it has; install PyTorch in the server's environment"
        )
    return (
        f"install {name} in the server's environment (pip install {name}, or the archive's requirements file);"
        f" if {name} is a file of yours, pack it with --extra-files"
    )
