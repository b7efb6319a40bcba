"""The HTTP faces over the registry: inference, management, metrics."""

from .combined import Combined
from .inference import inference_app
from .management import management_app
from .metrics import metrics_app

__all__ = ["Combined", "inference_app", "management_app", "metrics_app"]
