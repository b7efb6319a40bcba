"""What happens between a request's bytes and the model: handlers, their context, and how they are loaded.

What brings the engine along is imported when it is first asked for: it is most of what a worker takes to start and to
keep, and there are handlers that never ask.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .context import Context, ResponseParts
from .errors import HandlerError, PredictionException, as_in_archive
from .loading import BUILTIN, load_handler
from .metadata import metadata_of
from .metrics import Dimension, Emitted, MetricTypes
from .streaming import ask_stopping_criteria, send_intermediate_predict_response

if TYPE_CHECKING:
    from .base import BaseHandler, Handler
    from .batching import answers_apart
    from .envelopes import wrap_envelope
    from .library import tensor_bytes
    from .preparing import engine_of, prepare, share_weights

WITH_ENGINE = {
    "BaseHandler": "base",
    "Handler": "base",
    "answers_apart": "batching",
    "engine_of": "preparing",
    "prepare": "preparing",
    "share_weights": "preparing",
    "tensor_bytes": "library",
    "wrap_envelope": "envelopes",
}
"""Where each name is that brings the engine, or NumPy, along."""

__all__ = [
    "BUILTIN",
    "BaseHandler",
    "Context",
    "Dimension",
    "Emitted",
    "Handler",
    "HandlerError",
    "MetricTypes",
    "PredictionException",
    "ResponseParts",
    "answers_apart",
    "as_in_archive",
    "ask_stopping_criteria",
    "engine_of",
    "load_handler",
    "metadata_of",
    "prepare",
    "send_intermediate_predict_response",
    "share_weights",
    "tensor_bytes",
    "wrap_envelope",
]


def __getattr__(name: str) -> Any:
    if name not in WITH_ENGINE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f".{WITH_ENGINE[name]}", __name__), name)
    return found
