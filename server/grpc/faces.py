"""Which services a listener has."""

from __future__ import annotations

from collections.abc import Callable

from grpc import ServerCredentials

from ..api.operations import Operations
from ..auth import Authority
from ..batching.queues import sequence_headers
from ..http.certificates import Certificates
from ..http.listeners import Bound
from ..logs import AccessLog
from ..metrics.metrics import Metrics
from ..registry import ModelRegistry
from ..settings import Settings
from .calls import Calls, Service
from .health import Health
from .inference import Inference
from .listener import GrpcServer, Limits, credentials
from .management import Management
from .open_inference import OpenInference
from .predicting import Predictor
from .reflection import Reflection


class Faces:
    """Makes the listeners of one server: the same registry, tokens, metrics and access log as by HTTP."""

    def __init__(
        self,
        registry: ModelRegistry,
        settings: Settings,
        authority: Authority | None,
        metrics: Metrics,
        access_log: AccessLog,
        changed: Callable[[], None],
        certificates: Certificates | None = None,
    ) -> None:
        """`changed` is called after each change of what is served."""
        self._registry = registry
        self._settings = settings
        self._authority = authority
        self._metrics = metrics
        self._access_log = access_log
        self._changed = changed
        self._certificates = certificates

    def server(self, face: str, bound: Bound) -> GrpcServer:
        """The listener of inference or management."""
        settings = self._settings
        services = self._inference() if face == "inference" else self._management()
        names = [name for each in services for name in each.names]
        services += [Health(self._registry, names), Reflection([*names, *Health.names])]
        limits = Limits(
            settings.max_request_size,
            settings.max_connections,
            getattr(settings, f"grpc_{face}_max_connection_age_ms"),
            getattr(settings, f"grpc_{face}_max_connection_age_grace_ms"),
        )
        calls = Calls(face, self._authority, self._metrics, self._access_log)
        return GrpcServer(bound, calls, services, limits, settings.drain_timeout, self._tls())

    def _tls(self) -> ServerCredentials | None:
        if not self._settings.enable_grpc_ssl or not self._certificates:
            return None
        return credentials(self._certificates.pem)

    def _inference(self) -> list[Service]:
        predictor = Predictor(self._registry, self._metrics)
        services: list[Service] = [Inference(self._registry, predictor, sequence_headers(self._settings))]
        if self._settings.ts_open_inference_protocol:
            services.append(OpenInference(self._registry, predictor))
        return services

    def _management(self) -> list[Service]:
        return [Management(Operations(self._registry, self._settings, self._changed))]
