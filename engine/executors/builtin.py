"""The table of built-in executors, and how a name becomes one."""

from __future__ import annotations

from typing import cast

from ...plugins import PluginNotFound, resolve
from ..errors import EngineError
from .base import Executor

BUILTIN = {
    "numpy": "numserve.engine.executors.numpy:NumpyExecutor",
    "native": "numserve.engine.executors.native:NativeExecutor",
}


def executor_named(name: str = "auto", *, threads: int = 1, exact: bool = False) -> Executor:
    """The executor of a name; "auto" is the native one where it was built, else NumPy's.

    Raises: EngineError where there is none of that name, or where it cannot work here.
    """
    if name == "auto":
        try:
            return executor_named("native", threads=threads, exact=exact)
        except EngineError:
            return executor_named("numpy", threads=threads, exact=exact)
    try:
        return cast(Executor, resolve("executors", name, BUILTIN)(threads=threads, exact=exact))
    except (ImportError, PluginNotFound) as error:
        raise EngineError(f"executor {name!r}: {error}") from error
