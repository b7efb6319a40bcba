"""TorchServe's metrics as lines of a log: one for each value (contract: metrics, section 7)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson

from .. import logs
from ..messages import DeclaredMetric


class MetricsLog:
    """Writes values to `ts_metrics.log` and `model_metrics.log`, in bunches."""

    def __init__(self, style: str, hostname: str) -> None:
        """Write `text` or `json` lines."""
        self._line = _json_line if style == "json" else _text_line
        self._hostname = hostname
        self._frontend, self._model = logs.Bunch(logs.TS_METRICS), logs.Bunch(logs.MODEL_METRICS)

    def note(self, metric: DeclaredMetric, labels: Mapping[str, str], value: float) -> None:
        """A value that the server has measured."""
        self._frontend.add(self._line(metric, value, labels, self._hostname, None))

    def note_model(self, metric: DeclaredMetric, value: float, labels: Mapping[str, str], request: str) -> None:
        """A value that a handler has measured, with the ids of the requests it is about."""
        self._model.add(self._line(metric, value, labels, self._hostname, request))

    def flush(self) -> None:
        """Write what was kept."""
        self._frontend.flush()
        self._model.flush()


def _text_line(
    metric: DeclaredMetric, value: float, labels: Mapping[str, str], hostname: str, request: str | None
) -> str:
    now = time.time()
    told = ",".join(f"{name}:{text}" for name, text in labels.items() if name.lower() != "hostname")
    ids = "" if request is None else f"requestID:{request},"
    line = f"{metric.name}.{metric.unit}:{float(value)!r}|#{told}|#hostname:{hostname},{ids}timestamp:{int(now)}"
    return f"{logs.stamp(now)} - {logs.escape(line)}"


def _json_line(
    metric: DeclaredMetric, value: float, labels: Mapping[str, str], hostname: str, request: str | None
) -> str:
    found = {
        "MetricName": metric.name,
        "Value": float(value),
        "Unit": metric.unit,
        "Dimensions": [{"Name": name, "Value": text} for name, text in labels.items() if name.lower() != "hostname"],
        "Timestamp": int(time.time()),
        "HostName": hostname,
    }
    return orjson.dumps(found if request is None else found | {"RequestId": request}).decode()
