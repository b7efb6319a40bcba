"""The applications of the listeners: predictions, health and metrics at once, and FastAPI, which answers everything
else, when the first request for that comes."""

from __future__ import annotations

from collections.abc import Callable

from ..auth import Authority
from ..metrics.metrics import Metrics
from ..registry import ModelRegistry
from ..settings import Settings
from ..workflows import WorkflowRegistry
from .dispatch import Dispatcher
from .later import Later
from .listener import App
from .probes import Probes, of_health, of_metrics


def inference_app(
    registry: ModelRegistry,
    settings: Settings,
    metrics: Metrics,
    secured: bool = False,
    workflows: WorkflowRegistry | None = None,
) -> Dispatcher:
    """The application of the inference listener; `secured` says that a gate before it asks for tokens."""

    def make() -> App:
        from .inference import inference_routes

        return inference_routes(registry, settings, secured, workflows)

    health = of_health(registry, settings.ts_open_inference_protocol)
    return Dispatcher(Probes(Later(make), health), registry, settings, metrics, workflows)


def management_app(
    registry: ModelRegistry,
    settings: Settings,
    authority: Authority | None = None,
    changed: Callable[[], None] = lambda: None,
    workflows: WorkflowRegistry | None = None,
) -> App:
    """The application of the management listener; `changed` is called after each change of what is served."""

    def make() -> App:
        from .management import management_routes

        return management_routes(registry, settings, authority, changed, workflows)

    return Later(make)


def metrics_app(metrics: Metrics, secured: bool = False) -> App:
    """The application of the metrics listener; `secured` says that a gate before it asks for tokens."""

    def make() -> App:
        from .metrics import metrics_routes

        return metrics_routes(metrics, secured)

    return Probes(Later(make), of_metrics(metrics))
