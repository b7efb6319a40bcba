"""answers_apart(): whether a handler may be given several requests at once although nobody has said so.

TorchServe gives a handler one request at a time unless told otherwise, and there are handlers that look at the first
alone. So a batch that nobody has asked for must be certain to change nothing: the steps are those of the handlers
here, and the engine has proved of the model that each row of its outputs depends on that row of its inputs alone.
"""

from __future__ import annotations

from .base import BaseHandler, Handler
from .preparing import inside, path_of

PACKAGE = __name__.rpartition(".")[0]
HARMLESS = frozenset(
    {"__init__", "initialize", "example_inputs", "image_processing", "get_insights", "explain_handle",
     "describe_handle", "tensor_metadata", "set_max_result_classes", "get_max_result_classes"}
)  # fmt: skip
"""What a class of the user's may define that no prediction passes, or that is called for each picture by itself."""


def answers_apart(handler: Handler) -> bool:
    """Whether a batch is certain to be answered as each of its requests would be alone, but for rounding."""
    inner = inside(handler)
    if not isinstance(inner, BaseHandler) or not _steps_are_ours(inner):
        return False
    path = path_of(inner)
    if path is None or path.inner is not None:  # where a part of the model alone is compiled, the rest is not known
        return False
    return path.compiled is not None and path.compiled.rows_apart


def _steps_are_ours(handler: BaseHandler) -> bool:
    """Whether no method between a request and its answer is the user's; values such as `topk` may be."""
    own = [kind for kind in type(handler).__mro__ if kind is not object and not _is_ours(kind)]
    theirs = {name for kind in own for name, value in vars(kind).items() if _is_code(value)}
    replaced = {name for name in vars(handler) if _is_code(getattr(type(handler), name, None))}
    return not (theirs | replaced) - HARMLESS


def _is_ours(kind: type) -> bool:
    return kind.__module__ == PACKAGE or kind.__module__.startswith(f"{PACKAGE}.")


def _is_code(value: object) -> bool:
    return callable(value) or isinstance(value, (property, classmethod, staticmethod))
