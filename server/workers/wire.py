"""Frames: how messages cross the socket between the server and a worker, the same on both sides.

    kind u8 · length of meta u32 · number of blobs u32 · length of each blob u64 …   (little-endian)
    meta: JSON · the blobs, one after the other

Bodies travel as blobs and are never looked at. Large ones lie in memory that both sides share (memory.py): then the
highest bit of the kind is set, and the frame ends with meta. Nothing is pickled. A frame that is larger than its reader
allows is refused before any memory is taken for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from ..messages import (
    BatchReport,
    DeclaredMetric,
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
from .memory import Buffer, Memory, split

HEAD = struct.Struct("<BII")
META_LIMIT = 64 << 20
BLOBS_LIMIT = 1 << 20
MIN_BUFFER = 1 << 16
LARGE_BUFFER = 16 << 20
SHARED = 0x80
SMALL = 1 << 12
"""Bytes of blobs below which copying them behind their head costs less than to send two pieces."""
SHARED_FROM = 1 << 16
"""Bytes of blobs from which on they go through shared memory: below, a socket is as quick."""


class Kind(IntEnum):
    """What a frame says."""

    LOAD = 1
    LOADED = 2
    LOAD_FAILED = 3
    BATCH = 4
    ANSWERS = 5
    BATCH_FAILED = 6
    PIECES = 7
    STOP = 8
    PING = 9
    PONG = 10
    MEMORY = 11
    RELEASE = 12
    AHEAD = 13


lengths_of = lru_cache(64)(lambda blobs: struct.Struct(f"<{blobs}Q"))
"""How the lengths of so many blobs are packed."""

KINDS: dict[int, Kind] = {kind.value: kind for kind in Kind}


class Frame(NamedTuple):
    """One message as it was received; the blobs are views that end with the next one."""

    kind: Kind
    meta: Any
    blobs: Sequence[memoryview]


class WireError(Exception):
    """What came, or was to be sent, is no frame."""


def pack(kind: Kind, meta: Any, blobs: Sequence[Buffer] = ()) -> list[Buffer]:
    """A frame as buffers to be sent in order.

    Raises: WireError where `meta` is not plain data.
    """
    try:
        text = orjson.dumps(meta)
    except TypeError as error:
        raise WireError(f"{kind.name}: {error}") from error
    lengths = lengths_of(len(blobs)).pack(*map(len, blobs))
    return [HEAD.pack(kind, len(text), len(blobs)) + lengths + text, *blobs]


def through(memory: Memory | None, frame: list[Buffer]) -> list[Buffer]:
    """A frame with its blobs in memory, where they are large and there is room; in one piece, where they are small."""
    size = sum(map(len, frame)) - len(frame[0])
    if size < SMALL:
        return [b"".join(frame)]
    if memory is None or size < SHARED_FROM:
        return frame
    head, *blobs = frame
    try:
        memory.put(blobs, size)
    except OSError:  # none left
        return frame
    return [bytes((head[0] | SHARED,)) + head[1:]]


class FrameReader:
    """Collects what is received into one buffer that is kept, and cuts frames from it."""

    def __init__(self, limit: int, memory: Memory | None = None) -> None:
        """Refuse frames whose blobs are longer than `limit` bytes together."""
        self._limit = limit
        self.memory = memory
        self._buffer = bytearray(MIN_BUFFER)
        self._have = 0

    def space(self) -> memoryview:
        """Where to receive into; never empty."""
        return memoryview(self._buffer)[self._have :]

    def renew(self) -> None:
        """Receive into another buffer from now on: views of this one are still looked at."""
        self._buffer = self._buffer[:]

    def received(self, count: int) -> Iterator[Frame]:
        """The frames that are complete now that `count` more bytes are there; read each before asking for the next.

        Raises: WireError
        """
        self._have += count
        start = needed = 0
        while self._have - start >= HEAD.size:
            kind, meta, blobs = HEAD.unpack_from(self._buffer, start)
            if kind & ~SHARED not in KINDS or meta > META_LIMIT or blobs > BLOBS_LIMIT:
                raise WireError(f"not a frame: kind {kind}, {meta} bytes of meta, {blobs} blobs")
            at = HEAD.size + 8 * blobs
            needed = at + meta
            if self._have - start < at:
                break
            lengths = lengths_of(blobs).unpack_from(self._buffer, start + HEAD.size)
            total = sum(lengths)
            if total > self._limit:
                raise WireError(f"{total} bytes in one message; {self._limit} are allowed")
            needed += 0 if kind & SHARED else total
            if self._have - start < needed:
                break
            yield self._cut(kind, start + at, meta, lengths)
            start, needed = start + needed, 0
        self._keep(start, needed)

    def _cut(self, kind: int, at: int, meta_size: int, lengths: Sequence[int]) -> Frame:
        """The frame whose meta is at `at`, with its blobs behind it."""
        view, end = memoryview(self._buffer), at + meta_size
        try:
            meta = orjson.loads(view[at:end])
        except orjson.JSONDecodeError as error:
            raise WireError(f"{KINDS[kind & ~SHARED].name}: meta is no JSON: {error}") from error
        if self.memory and kind & ~SHARED == Kind.BATCH:
            self.memory.rewind()
        if kind & SHARED:
            return Frame(KINDS[kind & ~SHARED], meta, self._shared(lengths))
        blobs = split(view[end:], lengths)
        if kind == Kind.AHEAD:  # its turn comes after frames that have yet to be received
            blobs = [memoryview(bytes(blob)) for blob in blobs]
        return Frame(KINDS[kind], meta, blobs)

    def _shared(self, lengths: Sequence[int]) -> list[memoryview]:
        if self.memory is None:
            raise WireError("no memory is shared")
        try:
            return self.memory.get(lengths)
        except ValueError as error:
            raise WireError(str(error)) from error

    def _keep(self, start: int, needed: int) -> None:
        """Move what is left to the front of a buffer that has room for the frame that it begins.

        It is another one: views of the frames before are still looked at.
        """
        left = self._have - start
        if not left and len(self._buffer) <= LARGE_BUFFER:
            self._have = 0
            return
        size = max(MIN_BUFFER, needed, left + 1)
        if (start and left) or size > len(self._buffer) or size * 4 < len(self._buffer) > LARGE_BUFFER:
            buffer = bytearray(size)
            buffer[:left] = memoryview(self._buffer)[start : self._have]
            self._buffer = buffer
        self._have = left


def pack_load(spec: ModelSpec) -> list[Buffer]:
    """Server → worker: load this model.

    Its YAML goes as YAML: handlers are to find the whole numbers and dates in it that JSON has no keys for.
    """
    if not spec.config:
        return pack(Kind.LOAD, spec)
    import yaml  # a worker whose model has no YAML starts without it

    return pack(Kind.LOAD, replace(spec, config={}), [yaml.safe_dump(spec.config).encode()])


def unpack_load(frame: Frame) -> ModelSpec:
    """The model to load."""
    said = frame.meta | {"metrics": tuple(_declared(metric) for metric in frame.meta["metrics"])}
    if not frame.blobs:
        return ModelSpec(**said)
    import yaml  # a worker whose model has no YAML starts without it

    return ModelSpec(**said | {"config": yaml.safe_load(bytes(frame.blobs[0]))})


def _declared(said: dict[str, Any]) -> DeclaredMetric:
    return DeclaredMetric(**said | {"labels": tuple(said["labels"])})


def pack_loaded(outcome: LoadReport | LoadFailure) -> list[Buffer]:
    """Worker → server: the model is loaded, or why it is not."""
    return pack(Kind.LOADED if isinstance(outcome, LoadReport) else Kind.LOAD_FAILED, outcome)


def unpack_loaded(frame: Frame) -> LoadReport | LoadFailure:
    """What became of the model."""
    if frame.kind is Kind.LOAD_FAILED:
        return LoadFailure(**frame.meta)
    return LoadReport(**_report(frame.meta))


def pack_batch(requests: Sequence[InferenceRequest], number: int = 0, ahead: bool = False) -> list[Buffer]:
    """Server → worker: answer these; those sent `ahead` when all before are answered, if they can be claimed then."""
    meta = [
        [r.id, r.headers if type(r.headers) is dict else dict(r.headers), [[p.name, p.content_type] for p in r.parts]]
        for r in requests
    ]
    blobs = [part.body for request in requests for part in request.parts]
    return pack(Kind.AHEAD if ahead else Kind.BATCH, [number, meta], blobs)


def unpack_batch(frame: Frame) -> list[InferenceRequest]:
    """The requests to answer; their bodies are views that end with the next frame."""
    bodies = iter(frame.blobs)
    return [
        InferenceRequest(name, tuple(Part(part, kind, next(bodies)) for part, kind in parts), headers)
        for name, headers, parts in frame.meta[1]
    ]


def number_of(frame: Frame) -> int:
    """The number of the batch that the server has sent, or asks to stop."""
    number = frame.meta if frame.kind is Kind.STOP else frame.meta[0]
    return int(number)


def pack_answers(outcome: Sequence[Outcome] | Failure, report: BatchReport) -> list[Buffer]:
    """Worker → server: the answers in the requests' order, or the one failure of all."""
    if isinstance(outcome, Failure):
        return pack(Kind.BATCH_FAILED, {"failure": outcome, "report": _told(report)})
    return pack(Kind.ANSWERS, {"answers": _heads(outcome), "report": _told(report)}, _bodies(outcome))


def pack_pieces(pieces: Sequence[InferenceResponse]) -> list[Buffer]:
    """Worker → server: a piece of each answer of the batch; more will follow."""
    return pack(Kind.PIECES, {"answers": _heads(pieces)}, _bodies(pieces))


def unpack_answers(frame: Frame, count: int) -> tuple[Sequence[Outcome], BatchReport]:
    """An outcome for each of `count` requests, and what the worker reports."""
    seconds, memory, emitted, engine, requests = frame.meta["report"]
    report = BatchReport(seconds, memory, tuple([Emitted(*value) for value in emitted]), engine, requests)
    if frame.kind is Kind.BATCH_FAILED:
        return [Failure(**frame.meta["failure"])] * count, report
    return _outcomes(frame, count), report


def pack_stop(number: int) -> list[Buffer]:
    """Server → worker: nobody waits for the rest of the answers of this batch any more."""
    return pack(Kind.STOP, number)


def pack_release() -> list[Buffer]:
    """Server → worker: no large bodies come any more, for which memory is kept."""
    return pack(Kind.RELEASE, None)


def pack_ping() -> list[Buffer]:
    """Server → worker: are you there? Answered between two batches, and by a handler that asks whether to stop."""
    return pack(Kind.PING, None)


def pack_pong() -> list[Buffer]:
    """Worker → server: I am."""
    return pack(Kind.PONG, None)


def unpack_pieces(frame: Frame, count: int) -> list[InferenceResponse]:
    """A piece of the answer to each of `count` requests."""
    pieces = [outcome for outcome in _outcomes(frame, count) if isinstance(outcome, InferenceResponse)]
    if len(pieces) != count:
        raise WireError("a failure is no piece of an answer")
    return pieces


def _heads(outcomes: Sequence[Outcome]) -> list[Any]:
    """A list for each response; a failure as it is, which is an object."""
    return [o if isinstance(o, Failure) else [o.status, o.phrase, o.content_type, o.headers] for o in outcomes]


def _bodies(outcomes: Sequence[Outcome]) -> list[Buffer]:
    return [b"" if isinstance(outcome, Failure) else outcome.body for outcome in outcomes]


def _outcomes(frame: Frame, count: int) -> list[Outcome]:
    heads = frame.meta["answers"]
    if len(heads) != count:
        raise WireError(f"{len(heads)} answers to {count} requests")
    return [_outcome(head, body) for head, body in zip(heads, frame.blobs, strict=True)]


def _outcome(head: Any, body: memoryview) -> Outcome:
    if isinstance(head, dict):
        return Failure(**head)
    status, phrase, kind, headers = head
    return InferenceResponse(status, phrase, kind, headers, bytes(body))


def _told(report: BatchReport) -> list[Any]:
    """The fields of a report and of its metrics without their names, which would come again with each batch."""
    emitted = [[e.name, e.kind, e.value, e.unit, e.labels, e.request] for e in report.emitted]
    return [report.seconds, report.memory_bytes, emitted, report.engine, report.requests]


def _report(said: dict[str, Any]) -> dict[str, Any]:
    """The fields of a report, its metrics as what they are."""
    return said | {"emitted": tuple(Emitted(**value) for value in said["emitted"])}
