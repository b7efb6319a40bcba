"""A model as `GET /models/{name}` shows it: TorchServe's fields in TorchServe's order, then what we know besides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic.alias_generators import to_camel

from ..registry import Model
from ..settings import ModelConfig
from ..status import BatchingStatus, QueueStatus, ScalingStatus, WorkerStatus


def describe(model: Model, held: Mapping[int, int], customized: dict[str, Any] | None = None) -> dict[str, Any]:
    """One version of a model; `held` is the memory of its workers' processes."""
    config, status = model.config, model.status()
    described = {
        "modelName": model.name,
        "modelVersion": model.version,
        "modelUrl": model.url,
        "runtime": model.manifest.runtime,
        "minWorkers": config.min_workers,
        "maxWorkers": config.max_workers,
        "batchSize": config.batch_size,
        "maxBatchDelay": round(config.max_batch_delay * 1000),
        "responseTimeout": round(config.response_timeout),
        "startupTimeout": round(config.startup_timeout),
        "maxRetryTimeoutInSec": round(config.recovery_window),
        "clientTimeoutInMills": round(config.client_timeout * 1000),
        "parallelType": "",
        "parallelLevel": 0,
        "deviceType": "cpu",
        "continuousBatching": config.continuous_batching,
        "useJobTicket": config.use_job_ticket,
        "useVenv": config.use_venv,
        **_sequences(config),
        "loadedAtStartup": model.loaded_at_startup,
        "workers": [_worker(worker, held) for worker in status.workers],
        "jobQueueStatus": _queue(status.queue),
        "batching": _batching(model.batching()),
        "state": status.state,
    }
    if scaling := model.scaling():
        described["autoscaling"] = _scaling(scaling)
    if status.reason:
        described["reason"] = status.reason
    if customized is not None:
        described["customizedMetadata"] = customized
    return described


def _sequences(config: ModelConfig) -> dict[str, Any]:
    """How sequences are batched; zeros where they are not."""
    stateful = config.stateful
    return {
        "stateful": stateful,
        "sequenceMaxIdleMSec": round(config.sequence_max_idle * 1000) if stateful else 0,
        "sequenceTimeoutMSec": round(config.sequence_timeout * 1000) if stateful else 0,
        "maxNumSequence": config.max_num_sequence if stateful else 0,
        "maxSequenceJobQueueSize": config.max_sequence_job_queue_size if stateful else 0,
    }


def _scaling(scaling: ScalingStatus) -> dict[str, Any]:
    described: dict[str, Any] = {
        "scaleUpWait": scaling.up_wait,
        "scaleDownAfter": scaling.down_after,
        "scaleToZeroAfter": scaling.rest_after,
    }
    if scaling.at and scaling.last:
        described["lastDecision"] = {
            "time": _moment(scaling.at),
            "workers": scaling.last.workers,
            "reason": scaling.last.why,
        }
    return described


def _queue(queue: QueueStatus) -> dict[str, int]:
    return {"remainingCapacity": max(0, queue.capacity - queue.pending), "pendingRequests": queue.pending}


def _batching(batching: BatchingStatus) -> dict[str, Any]:
    described = {
        "mode": batching.mode,
        "size": batching.size,
        "sizeUnderLoad": batching.size_under_load,
        "millisecondsPerBatch": round(batching.start * 1000, 3),
        "millisecondsPerRequest": round(batching.each * 1000, 3),
    }
    if batching.target is not None:
        described["latencyTarget"] = round(batching.target * 1000)
    return described | ({"reason": batching.reason} if batching.reason else {})


def _worker(worker: WorkerStatus, held: Mapping[int, int]) -> dict[str, Any]:
    described = {
        "id": worker.id,
        "startTime": _moment(worker.started_at),
        "status": worker.state.upper(),
        "memoryUsage": worker.memory_bytes,
        "pid": -1 if worker.pid is None else worker.pid,
        "gpu": False,
        "gpuUsage": "N/A",
    }
    if worker.pid is not None and worker.pid in held:
        described["proportionalMemoryUsage"] = held[worker.pid]
    if worker.engine:
        described["engine"] = _camel(worker.engine)
    return described | ({"lastError": worker.last_error} if worker.last_error else {})


def _camel(thing: Any) -> Any:
    """Plain data with its keys spelled as all others here."""
    if isinstance(thing, dict):
        return {to_camel(key): _camel(value) for key, value in thing.items()}
    return [_camel(item) for item in thing] if isinstance(thing, list) else thing


def _moment(moment: datetime) -> str:
    """TorchServe's form of a time stamp, in true UTC as its Z says."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
