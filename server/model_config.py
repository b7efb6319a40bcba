"""ModelConfig: how one model is run, and its reading from an archive's YAML or from the `models` setting."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from .batching.priority import Priorities
from .batching.size import MOST
from .yaml_files import read_yaml

logger = logging.getLogger(__name__)

INTEGER = 1 << 31
MILLISECONDS = {
    "maxBatchDelay",
    "clientTimeoutInMills",
    "sequenceMaxIdleMSec",
    "sequenceTimeoutMSec",
    "latencyTarget",
    "maxQueueWait",
    "priorityStep",
}
AT_LEAST_ONE = {"minWorkers", "batchSize", "maxNumSequence", "maxSequenceJobQueueSize"}
SNAPSHOT_KEYS = ("minWorkers", "maxWorkers", "batchSize", "maxBatchDelay", "responseTimeout", "startupTimeout")
ZERO_IS_MEANT = {"minWorkers", "maxWorkers", "maxBatchDelay"}
OF_BATCHES = {"batchSize", "maxBatchDelay"}
UNSERVED = {
    "deviceIds": "models run on the CPU",
    "parallelType": "models are not split over workers",
    "parallelLevel": "models are not split over workers",
    "torchrun": "models are not split over workers",
    "asyncCommunication": "an async handler answers one batch after the other",
}
"""Keys that TorchServe's server reads and this one does not, with the reason the warning gives."""


class ModelConfig(BaseModel):
    """How one model is run; durations are seconds. `model_fields_set` names what was set, the rest are defaults."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", strict=True)

    min_workers: int = Field(0, ge=0, description="workers to keep; 0 leaves the number to the registration")
    max_workers: int = Field(0, ge=0, description="workers at most; 0 means as many as min_workers")
    batch_size: int = Field(1, ge=1, description="rows a worker is given at once, at most")
    max_batch_delay: float = Field(0.1, ge=0, description="seconds a request may wait for others to share its batch")
    batching: Literal["adaptive", "fixed"] | None = Field(
        None,
        description="`adaptive`: the size of batches is learnt; `fixed`: it is batchSize; none = learnt where neither"
        " batchSize nor maxBatchDelay is set, if batches are certain to change no answer",
    )
    latency_target: float = Field(0.1, gt=0, description="seconds that a request is to take, for adaptive batches")
    fixed_delay: bool | None = Field(
        None, description="wait maxBatchDelay for others even while a worker is idle; none = as the server's setting"
    )
    max_queue_wait: float = Field(
        0, ge=0, description="seconds a request may wait for a worker; who would wait longer is refused; 0 = any"
    )
    priority_levels: int = Field(1, ge=1, le=16, description="priorities of requests, from 1, which goes first")
    default_priority: int = Field(0, ge=0, le=16, description="of a request that names none; 0 = the middle")
    priority_step: float = Field(
        1, ge=0, description="seconds by which a request counts as having come later for each level"
    )
    response_timeout: float = Field(120, gt=0, description="seconds a batch may take in the worker")
    startup_timeout: float = Field(120, gt=0, description="seconds a worker may take to load the model")
    device_type: Literal["cpu"] = Field("cpu", description="where the model runs")
    recovery_window: float = Field(
        300, ge=0, alias="maxRetryTimeoutInSec", description="seconds a failing worker still counts as healthy"
    )
    client_timeout: float = Field(
        0,
        ge=0,
        alias="clientTimeoutInMills",
        description="seconds after which a waiting request is given up; 0 = never",
    )
    job_queue_size: int = Field(
        0, ge=0, description="requests that may wait; 0 leaves it to the job_queue_size setting"
    )
    use_job_ticket: bool = Field(False, description="take a request only where a worker is idle")
    max_requests_per_worker: int = Field(0, ge=0, description="requests after which a worker is replaced; 0 = never")
    max_worker_memory: int = Field(0, ge=0, description="MB in use above which a worker is replaced; 0 = never")
    scale_up_wait: float = Field(
        0.1, ge=0, description="seconds a request may wait before another worker is started, up to max_workers"
    )
    scale_down_after: float = Field(
        60, gt=0, description="seconds with too little to do after which a worker is ended, down to min_workers"
    )
    scale_to_zero_after: float = Field(
        0, ge=0, description="seconds without a request after which all workers are ended, until one comes; 0 = never"
    )
    isolate_failures: bool = Field(True, description="try the requests of a failed batch once more, each alone")
    continuous_batching: bool = Field(False, description="answers in rounds; requests join and leave between two")
    sequence_batching: bool = Field(False, description="a sequence's requests go to one worker, in their order")
    sequence_max_idle: float = Field(
        0, ge=0, alias="sequenceMaxIdleMSec", description="seconds without a request that end a sequence; needed for it"
    )
    sequence_timeout: float = Field(
        0, ge=0, alias="sequenceTimeoutMSec", description="seconds after which a sequence ends; 0 = none"
    )
    max_num_sequence: int = Field(1, ge=1, description="sequences at a time")
    max_sequence_job_queue_size: int = Field(1, ge=1, description="requests that may wait in a sequence")
    use_venv: bool = Field(False, description="nothing is changed by it: packages always go into an environment")
    engine: dict[str, Any] = Field({}, description="how the engine computes the model, see below")
    document: dict[Any, Any] = Field(
        default_factory=dict, exclude=True, description="the YAML as it stands, for the handler"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _fits(cls, value: object) -> object:
        """Any number of 32 bits, as in TorchServe: timers and messages hold no larger ones."""
        if isinstance(value, int | float) and not abs(value) < INTEGER:
            raise ValueError(f"expected a number below {INTEGER}")
        return value

    def over(self, *below: ModelConfig) -> ModelConfig:
        """This configuration with what it leaves unset taken from the others, the nearest first.

        Who sets the least number of workers and not the most has said both: no most from below is taken over it.
        """
        values: dict[str, Any] = {}
        for layer in (*reversed(below), self):
            given = {name: getattr(layer, name) for name in layer.model_fields_set}
            if "min_workers" in given:
                values.pop("max_workers", None)
            values |= given
        return ModelConfig(**values)

    def threads(self, cores: int) -> int:
        """The threads of each worker: what `engine` says, else an even share of the cores."""
        asked = self.engine.get("threads")
        return asked if isinstance(asked, int) and asked >= 1 else max(1, cores // max(1, self.min_workers))

    @property
    def adaptive(self) -> bool:
        """Whether the size of batches is learnt: where the YAML says so, or says nothing of batches."""
        if self.continuous_batching or self.stateful:
            return False
        if self.batching is not None:
            return self.batching == "adaptive"
        return self.says_nothing_of_batches

    @property
    def says_nothing_of_batches(self) -> bool:
        """Whether nobody has set what TorchServe knows of them."""
        return not {"batch_size", "max_batch_delay"} & self.model_fields_set

    @property
    def most_rows(self) -> int:
        """Rows that a worker may be given at once, where batches were asked for."""
        asked = self.adaptive and self.batching is not None and "batch_size" not in self.model_fields_set
        return MOST if asked else self.batch_size

    @property
    def priorities(self) -> Priorities:
        """The levels of priority."""
        levels = self.priority_levels
        default = min(self.default_priority, levels) or (levels + 1) // 2
        return Priorities(levels, default, self.priority_step)

    @property
    def stateful(self) -> bool:
        """Whether requests come in sequences (contract: configuration, section 6)."""
        return self.sequence_batching and self.sequence_max_idle > 0

    @property
    def for_handler(self) -> dict[Any, Any]:
        """The YAML as the handler sees it: as it stands, with the `engine` that counts."""
        return self.document | ({"engine": self.engine} if self.engine else {})

    @classmethod
    def from_wire(cls, values: Mapping[Any, Any], where: str, lines: Mapping[str, int] | None = None) -> ModelConfig:
        """Take what is known by its wire spelling and unit; a wrong value warns and is left out."""
        known = {field.alias for field in cls.model_fields.values()} - {"document"}
        taken: dict[str, Any] = {str(key): _inside(str(key), value) for key, value in values.items() if key in known}
        for key in filter(lambda key: key not in known, values):
            if key in UNSERVED:
                logger.warning("%s: %s is not served and is ignored: %s", _place(where, lines, key), key, UNSERVED[key])
            elif near := _nearest(str(key), known):
                logger.warning("%s: %s is left to the handler. Did you mean %s?", _place(where, lines, key), key, near)
        try:
            return cls(**taken, document=dict(values))
        except ValidationError as error:
            for problem in error.errors():
                key = str(problem["loc"][0])
                taken.pop(key, None)
                place = _place(where, lines, key)
                logger.warning(
                    "%s: %s: %r is ignored: %s", place, key, values[key], problem["msg"].removeprefix("Value error, ")
                )
            return cls(**taken, document=dict(values))

    @classmethod
    def from_snapshot(cls, entry: Mapping[str, Any]) -> ModelConfig:
        """Take what a snapshot tells of a version, where 0 workers are meant; what cannot be read is left out."""
        taken: dict[str, Any] = {}
        for key in SNAPSHOT_KEYS:
            value = None if entry.get("batching") == "adaptive" and key in OF_BATCHES else entry.get(key)
            if isinstance(value, int | float) and (0 < value < INTEGER or (value == 0 and key in ZERO_IS_MEANT)):
                taken[key] = value / 1000 if key in MILLISECONDS else value
        return cls(**taken)

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read an archive's YAML.

        Raises: ValueError where it is no YAML mapping, too large or too deeply aliased; the message names the line.
        """
        values, lines = read_yaml(path)
        return cls.from_wire(values, path.name, lines)


def _inside(key: str, value: object) -> object:
    """The value in this server's units: seconds, and at least one where zero makes no sense."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if key in AT_LEAST_ONE:
        return max(1, value)
    return value / 1000 if key in MILLISECONDS else value


def _nearest(key: str, known: Iterable[str | None]) -> str | None:
    """The key that one was meant to be, if it is but another spelling of it, such as batch_size or maxWorker."""
    spelt = {_letters(name): name for name in known if name}
    near = difflib.get_close_matches(_letters(key), spelt, n=1, cutoff=0.9)
    return spelt[near[0]] if near else None


def _letters(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "")


def _place(where: str, lines: Mapping[str, int] | None, key: str) -> str:
    return f"{where} line {lines[key]}" if lines and key in lines else where
