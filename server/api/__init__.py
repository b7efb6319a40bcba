"""The HTTP faces over the registry: inference, management, metrics."""

from .apps import inference_app, management_app, metrics_app
from .combined import Combined

__all__ = ["Combined", "inference_app", "management_app", "metrics_app"]
