"""What crosses the border between the server and its workers: plain data, importable on both sides.

Nobody changes it once it is made. What is made for each request is not frozen all the same: that takes thrice as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol


@dataclass(slots=True)
class Part:
    """One named piece of a request's body.

    A `content_type` of None hands the body on as it is, without decoding: form fields and query parameters.
    """

    name: str
    content_type: str | None
    body: bytes | bytearray | memoryview


@dataclass(slots=True)
class Trace:
    """What a request met on its way, filled in for whoever logs it; durations are seconds."""

    batch_size: int | None = None
    queue: float | None = None
    inference: float | None = None


@dataclass(slots=True)
class InferenceRequest:
    """What a client asked; a raw body is one part named "body". No parts at all become an empty row.

    The trace, and how many seconds the client waits (0: as long as it takes), stay on this side of the process border.
    """

    id: str
    parts: tuple[Part, ...]
    headers: Mapping[str, str]
    trace: Trace | None = field(default=None, compare=False)
    timeout: float = field(default=0, compare=False)


Bytes = bytes | bytearray | memoryview


class Pieces(Protocol):
    """What follows the first piece of an answer: to be read one by one, or left."""

    def __aiter__(self) -> Pieces: ...

    async def __anext__(self) -> Bytes: ...

    def close(self) -> None:
        """Read no more."""


@dataclass(slots=True)
class InferenceResponse:
    """What a handler answered to one request; `content_type` is None unless it is known.

    `further` are the pieces that follow the body, where the handler answers in pieces. They stay on this side of the
    process border, where each piece arrives as a response of its own.
    """

    status: int
    phrase: str
    content_type: str | None
    headers: dict[str, str]
    body: Bytes
    further: Pieces | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as data: `kind` names a class of server/errors.py, `detail` is for the operator's eyes.

    `raised` says that the handler has raised it for the whole batch: one of its requests alone may be to blame.
    """

    kind: str
    message: str
    code: int | None = None
    detail: str = ""
    raised: bool = False


Outcome = InferenceResponse | Failure
"""What becomes of one request of a batch."""


@dataclass(frozen=True, slots=True)
class DeclaredMetric:
    """A metric that is known before its first value; kind is counter, gauge or histogram."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]


class SequenceHeaders(NamedTuple):
    """The names of the headers of sequences: requests bear `id` and `start`, responses `id` and `end`."""

    id: str
    start: str
    end: str


Needs = Literal["python", "numpy", "engine"]
"""What a worker has to have imported for its model, from least to most: the engine brings NumPy along."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All a worker must know to load a model. `model_dir` is also its working directory.

    `several` says that there may be other workers of the same model, `metric_ids` that whoever reads the handler's
    metrics wants to know the requests that each value is about, `needs` what its process has to have imported
    (needs.py).
    """

    name: str
    version: str
    model_dir: str
    handler: str
    envelope: str | None = None
    manifest: dict[str, Any] | None = None
    batch_size: int = 1
    config: dict[Any, Any] = field(default_factory=dict)
    limit_max_image_pixels: bool = True
    decode_input_request: bool = True
    threads: int = 1
    max_response_size: int = 6_553_500
    several: bool = False
    sequence_headers: tuple[str, ...] | None = None
    """Those of SequenceHeaders, where requests come in sequences."""
    metrics: tuple[DeclaredMetric, ...] = ()
    metric_ids: bool = False
    needs: Needs = "engine"


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why a model could not be loaded: `phase` is import, initialize or start; `where` is the user's file and line."""

    phase: str
    exception: str
    message: str
    where: str | None = None
    hint: str | None = None
    out_of_memory: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Emitted:
    """One value a handler gave to `context.metrics`; kind is counter, gauge or histogram.

    `request` are the ids of the requests it is about, with commas, where somebody wants to know.
    """

    name: str
    kind: str
    value: float
    unit: str
    labels: dict[str, str]
    request: str = ""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a worker says when its model is loaded; `engine` is how the engine runs it, None where it does not.

    `signature` are the named tensors that it takes and gives, as the Open Inference Protocol describes them.
    """

    seconds: float
    memory_bytes: int
    emitted: tuple[Emitted, ...] = ()
    engine: dict[str, Any] | None = None
    signature: dict[str, Any] | None = None


@dataclass(slots=True)
class BatchReport:
    """What a worker says beside the answers of a batch; `seconds` were spent in the handler, for so many `requests`.

    `engine` is as in LoadReport, None where nothing has changed since the last report.
    """

    seconds: float
    memory_bytes: int
    emitted: tuple[Emitted, ...] = ()
    engine: dict[str, Any] | None = None
    requests: int = 0


Report = LoadReport | BatchReport
"""What a worker says of itself each time it becomes idle."""
