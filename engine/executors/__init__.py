"""The executors: ways to compute a plan, by name."""

from .base import Executor, ParallelProgram, Program, StepTime, Unit
from .builtin import BUILTIN, executor_named
from .choices import Choices
from .threads import Pool

__all__ = [
    "BUILTIN",
    "Choices",
    "Executor",
    "ParallelProgram",
    "Pool",
    "Program",
    "StepTime",
    "Unit",
    "executor_named",
]
