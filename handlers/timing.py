"""timed: the decorator that measures a handler's steps when the model's YAML asks for it (handler: profile: true)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import Any, TypeVar, cast

Step = TypeVar("Step", bound=Callable[..., Any])


def timed(step: Step) -> Step:
    """Make a handler's method emit `ts_handler_<its name>` in milliseconds, where profiling is on."""

    @wraps(step)
    def measured(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = getattr(self, "context", None)
        if context is None or not (context.model_yaml_config.get("handler") or {}).get("profile"):
            return step(self, *args, **kwargs)
        started = perf_counter()
        result = step(self, *args, **kwargs)
        context.metrics.add_time(f"ts_handler_{step.__name__}", (perf_counter() - started) * 1000)
        return result

    return cast(Step, measured)
