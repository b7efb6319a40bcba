"""What happens between a request's bytes and the model: handlers, their context, and how they are loaded."""

from .base import BaseHandler, Handler
from .batching import answers_apart
from .context import Context, ResponseParts
from .envelopes import wrap_envelope
from .errors import HandlerError, PredictionException
from .library import tensor_bytes
from .loading import BUILTIN, load_handler
from .metrics import Dimension, Emitted, MetricTypes
from .preparing import engine_of, prepare, share_weights
from .signature import metadata_of
from .streaming import ask_stopping_criteria, send_intermediate_predict_response

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
