"""Runtime: loads a handler and runs batches through it. The only file of the server that imports handlers."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ... import handlers
from ...handlers import (
    Context,
    HandlerError,
    MetricTypes,
    PredictionException,
    as_in_archive,
    ask_stopping_criteria,
    load_handler,
    metadata_of,
)
from ..messages import (
    BatchReport,
    Emitted,
    Failure,
    InferenceRequest,
    InferenceResponse,
    LoadFailure,
    LoadReport,
    ModelSpec,
    Outcome,
    Part,
)

if TYPE_CHECKING:
    from ...handlers import Handler

logger = logging.getLogger(__name__)

LIBRARIES = (f"{__name__.partition('.')[0]}.engine", "torch")
"""What tensors are of: where neither has been imported there are none."""
MEMORY_INTERVAL = 1.0
"""Seconds for which a measurement of the memory is good enough."""
ENGINE_INTERVAL = 1.0
"""Seconds between two looks at what the engine does, after the first few."""
FIRST_LOOKS = 4
LEFT = "Nobody waits for the answer."


class _Refused(Exception):
    """Raised in a handler whose piece of an answer cannot be sent, or would be sent to nobody."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.message} {failure.detail}")
        self.failure = failure


class Runtime:
    """One model in this process: what a worker of any kind runs."""

    def __init__(self, spec: ModelSpec) -> None:
        """Know the model; nothing is loaded yet."""
        self._spec = spec
        self._model_dir = Path(spec.model_dir)
        self._context = Context(
            spec.name,
            spec.model_dir,
            spec.manifest,
            spec.batch_size,
            limit_max_image_pixels=spec.limit_max_image_pixels,
            model_yaml_config=spec.config,
            threads=spec.threads,
        )
        for metric in spec.metrics:
            kind = MetricTypes(metric.kind)
            self._context.metrics.add_metric_to_cache(metric.name, metric.unit, metric.labels, kind)
        if spec.sequence_headers:
            context = self._context
            (
                context.header_key_sequence_id,
                context.header_key_sequence_start,
                context.header_key_sequence_end,
            ) = spec.sequence_headers
        self._handler: Handler | None = None
        self._views = False
        self._labels = {"ModelName": spec.name, "Level": "Model"}
        self._memory = 0
        self._measured_at = 0.0
        self._engine: dict[str, Any] | None = None
        self._looks, self._looked_at = 0, 0.0
        self.leaving = False
        """True once the handler has asked its process to end."""
        self.send_pieces: Callable[[list[InferenceResponse]], None] = lambda pieces: None
        """What sends a piece of each answer before the batch is done; set by the worker."""
        self.nobody_waits: Callable[[], bool] = lambda: False
        """Whether every client of the batch has left, as far as is known; set by the worker."""
        self._left = False
        self._sending = threading.RLock()

    def share(self) -> None:
        """Have the weights in common with the other workers of the model; for a process that has no other model."""
        if self._spec.needs == "engine":
            handlers.share_weights(self._model_dir, self._spec.several)

    def load(self) -> LoadReport | LoadFailure:
        """Import the handler, let it initialize, and have its model compiled where that is possible already."""
        began = time.perf_counter()
        phase = "import"
        try:
            handler = load_handler(self._spec.handler, self._model_dir)
            if self._spec.envelope:
                handler = handlers.wrap_envelope(self._spec.envelope, handler)
            phase = "initialize"
            handler.initialize(self._context)
            if self._has_engine():
                handlers.prepare(handler, self._context)
            signature = metadata_of(handler, self._spec.config)
            self._views = not self._spec.envelope and bool(vars(type(handler)).get("takes_views"))
        except BaseException as error:
            logger.exception("the model cannot be loaded")
            return self._load_failure(error, phase)
        self._handler = handler
        return LoadReport(
            time.perf_counter() - began, self._memory_bytes(), self._emitted(), self._engine_news(), signature
        )

    def infer(self, requests: Sequence[InferenceRequest]) -> tuple[list[Outcome] | Failure, BatchReport]:
        """Answer a batch; what the handler raises becomes the failure of all, a returned PredictionException of one."""
        assert self._handler is not None, "load() comes first"
        began, context = time.perf_counter(), self._context
        try:
            rows = [{part.name: self._value(part) for part in request.parts} for request in requests]
            context.begin([request.id for request in requests], [_headers(request) for request in requests])
            if self._spec.metric_ids:
                context.metrics.request_ids = dict(enumerate(request.id for request in requests))
            context.intermediate = partial(self._send_pieces, len(requests))
            context.nobody_waits, self._left = self._cancelled, False
            if self._spec.sequence_headers:
                self._name_sequences(len(requests))
            answers = self._handler.handle(rows, context)
            seconds = time.perf_counter() - began
            if context.stopping_criteria and isinstance(answers, list):
                ask_stopping_criteria(answers[: len(requests)], context)
            outcome = self._encoded(answers, len(requests))
        except BaseException as error:
            seconds = time.perf_counter() - began
            outcome = error.failure if isinstance(error, _Refused) else replace(self._failure(error), raised=True)
        finally:
            context.intermediate = context.nobody_waits = None
        emitted = self._emitted()
        if not isinstance(outcome, Failure):
            ids = ",".join(request.id for request in requests) if self._spec.metric_ids else ""
            emitted += (Emitted("PredictionTime", "gauge", seconds * 1000, "ms", self._labels, ids),)
        return outcome, BatchReport(seconds, self._memory_bytes(), emitted, self._engine_news(), len(requests))

    def _name_sequences(self, count: int) -> None:
        """Tell each client which sequence its request belongs to; it may not have named one itself."""
        for index in range(count):
            if name := self._context.get_sequence_id(index):
                self._context.set_response_header(index, self._context.header_key_sequence_id, name)

    def _send_pieces(self, count: int, pieces: list[Any]) -> None:
        """Send a piece of each answer, which ends the handler where nobody waits; its threads may send too."""
        encoded = self._encoded(pieces, count)
        outcomes = [encoded] if isinstance(encoded, Failure) else encoded
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                raise _Refused(outcome)
        with self._sending:
            if self._cancelled():
                raise _Refused(Failure("InferenceFailed", LEFT, 499, "every client of the batch has left"))
            self.send_pieces([outcome for outcome in outcomes if isinstance(outcome, InferenceResponse)])

    def _cancelled(self) -> bool:
        """Whether every client of the batch has left."""
        with self._sending:
            self._left = self._left or self.nobody_waits()
        return self._left

    def _value(self, part: Part) -> Any:
        """What the handler gets for a part: contract, inference API, section 4."""
        if not part.content_type or not self._spec.decode_input_request:
            return self._raw(part)
        media_type = part.content_type.partition(";")[0].strip().lower()
        if media_type == "application/json":
            return self._parsed(part)
        return self._text(part) if media_type.startswith("text") else self._raw(part)

    def _raw(self, part: Part) -> bytearray | memoryview:
        """The bytes as they are: the handler's own, or a view that ends with the batch, for a handler that takes it."""
        return memoryview(part.body) if self._views else bytearray(part.body)

    def _parsed(self, part: Part) -> Any:
        """JSON as Python reads it; orjson is quick but refuses NaN, which json takes."""
        for parse in (orjson.loads, _lenient):
            try:
                return parse(part.body)
            except ValueError as error:
                problem = error
        if len(part.body):
            logger.warning("part %r is no JSON and stays bytes: %s", part.name, problem)
        return self._raw(part)

    def _text(self, part: Part) -> str | bytearray | memoryview:
        try:
            return str(part.body, "utf-8")
        except UnicodeDecodeError:
            return self._raw(part)

    def _encoded(self, answers: Any, count: int) -> list[Outcome] | Failure:
        """The handler's list as responses: contract, inference API, section 5."""
        if not isinstance(answers, list):
            met = f"the handler returned a {type(answers).__name__}; a list with one item per request is expected"
            return self._refuse("Invalid model predict output", met)
        if len(answers) != count:
            met = f"the handler returned {len(answers)} answers to {count} requests"
            return self._refuse("number of batch response mismatched", met)
        try:
            outcomes = [self._outcome(index, answer) for index, answer in enumerate(answers)]
        except (TypeError, ValueError, RecursionError) as error:
            met = f"{error}; bytes, str, tensors and what json.dumps takes can be sent: call .tolist() on arrays"
            return self._refuse("Unsupported model output data type.", met)
        size = sum(len(outcome.body) for outcome in outcomes if isinstance(outcome, InferenceResponse))
        if size > self._spec.max_response_size:
            met = f"the answers have {size} bytes; max_response_size allows {self._spec.max_response_size}"
            refused = self._refuse("Model output is too large.", met, 500)
            return replace(refused, raised=count > 1)  # each answer alone may be small enough
        return outcomes

    def _outcome(self, index: int, answer: Any) -> Outcome:
        if isinstance(answer, PredictionException):
            return self._failure(answer)
        parts = self._context.response(index)
        body, content_type = _encode(answer)
        return InferenceResponse(parts.status, parts.phrase, parts.content_type or content_type, parts.headers, body)

    def _refuse(self, message: str, detail: str, code: int = 503) -> Failure:
        logger.error("%s %s", message, detail)
        return Failure("InferenceFailed", message, code, _clean(detail))

    def _failure(self, error: BaseException) -> Failure:
        """What the client is told of an exception; the traceback goes to the log."""
        wrapped = HandlerError.wrap(error, "handle", self._model_dir)
        detail = _clean(f"{_named(error)}{f' at {wrapped.where}' if wrapped.where else ''}")
        if isinstance(error, PredictionException):
            return Failure("InferenceFailed", _clean(error.message), _code(error), detail)
        logger.error("the prediction failed: %s", detail, exc_info=error)
        if isinstance(error, MemoryError) or "CUDA" in str(error):
            return Failure("OutOfResources", "Out of resources", 507, detail)
        if isinstance(error, Exception):
            return Failure("InferenceFailed", "Prediction failed", 503, detail)
        self.leaving = True
        return Failure("WorkerDied", "Worker died.", 500, detail)

    def _load_failure(self, error: BaseException, phase: str) -> LoadFailure:
        wrapped = HandlerError.wrap(error, phase, self._model_dir)
        cause = wrapped.cause or error
        return LoadFailure(
            phase=wrapped.phase or phase,
            exception=type(cause).__name__,
            message=_clean(as_in_archive(str(cause), self._model_dir)),
            where=wrapped.where,
            hint=wrapped.hint,
            out_of_memory=isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and "CUDA" in str(cause)),
        )

    def _emitted(self) -> tuple[Emitted, ...]:
        """What the handler has measured since the last time, as messages of the server's."""
        drained = self._context.metrics.drain()
        return tuple([Emitted(e.name, e.kind, e.value, e.unit, e.labels, e.request) for e in drained])

    def _engine_news(self) -> dict[str, Any] | None:
        """What the engine says of the model, where it is not what it said the last time."""
        now = time.monotonic()
        if self._handler is None or (self._looks >= FIRST_LOOKS and now - self._looked_at < ENGINE_INTERVAL):
            return None
        told = handlers.engine_of(self._handler) if self._has_engine() else None
        if told is not None:
            told["answers_apart"] = handlers.answers_apart(self._handler)
        self._looks, self._looked_at = self._looks + 1, now
        if told == self._engine:
            return None
        self._engine = told
        return told

    def _has_engine(self) -> bool:
        """Whether the engine may have a part in the handler."""
        return self._spec.needs == "engine" or _tensors_exist()

    def _memory_bytes(self) -> int:
        now = time.monotonic()
        if not self._memory or now - self._measured_at > MEMORY_INTERVAL:
            self._memory, self._measured_at = resident_bytes(), now
        return self._memory


def resident_bytes() -> int:
    """The memory this process has in use (proc_pid_statm(5): the second number, in pages)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _headers(request: InferenceRequest) -> Mapping[str, Any]:
    """The request's headers, with the type of each part under the part's name."""
    headers: dict[str, Any] = {**request.headers}
    for part in request.parts:
        headers[part.name] = {"content-type": part.content_type or ""}
    return headers


def _lenient(body: bytes | bytearray | memoryview) -> Any:
    try:
        return json.loads(bytes(body))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _encode(answer: Any) -> tuple[bytes | bytearray, str | None]:
    """The body of an answer, and its type where that is certain."""
    if isinstance(answer, bytes | bytearray):
        return answer, None
    if isinstance(answer, str):
        return answer.encode(), None
    if _tensors_exist() and (saved := handlers.tensor_bytes(answer)) is not None:
        return saved, None
    return json.dumps(answer, indent=2).encode(), "application/json"


def _tensors_exist() -> bool:
    """Whether anybody has imported what can make a tensor."""
    return any(name in sys.modules for name in LIBRARIES)


def _code(error: PredictionException) -> int:
    """The status the handler asks for, where HTTP has it."""
    code = error.error_code
    return code if isinstance(code, int) and 200 <= code <= 599 else 500


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _clean(text: str) -> str:
    """The text without what UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()
