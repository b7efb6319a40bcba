import contextlib
import struct
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.messages import (
    BatchReport,
    Emitted,
    Failure,
    InferenceRequest,
    InferenceResponse,
    LoadFailure,
    LoadReport,
    ModelSpec,
    Part,
)
from numserve.server.workers.wire import (
    HEAD,
    FrameReader,
    Kind,
    WireError,
    pack,
    pack_answers,
    pack_batch,
    pack_load,
    pack_loaded,
    pack_pieces,
    unpack_answers,
    unpack_batch,
    unpack_load,
    unpack_loaded,
    unpack_pieces,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
REPORT = BatchReport(0.5, 1 << 20, (Emitted("n", "gauge", 1.5, "ms", {"ModelName": "m"}),))
ENGINE = {"mode": "plan", "reason": "", "threads": 1, "plans": [{"batch": 1, "gflop": 3.6}]}


def feed(reader: FrameReader, data: bytes, step: int = 1 << 30):
    """Give a reader the data in steps, and copy what comes out."""
    frames = []
    while data:
        space = reader.space()
        count = min(len(space), len(data), step)
        space[:count] = data[:count]
        data = data[count:]
        frames += [(frame.kind, frame.meta, [bytes(blob) for blob in frame.blobs]) for frame in reader.received(count)]
    return frames


def one(buffers):
    """The frame that these buffers make, as a reader sees it."""
    reader = FrameReader(1 << 30)
    data = b"".join(buffers)
    while True:
        space = reader.space()
        count = min(len(space), len(data))
        space[:count] = data[:count]
        data = data[count:]
        for frame in reader.received(count):
            return frame


@given(st.lists(st.tuples(TEXT, st.lists(st.binary(max_size=300), max_size=5)), max_size=6), st.integers(1, 200))
def test_frames_arrive_whole_however_they_are_cut(messages, step):
    sent = b"".join(b"".join(pack(Kind.BATCH, meta, blobs)) for meta, blobs in messages)
    assert feed(FrameReader(1 << 20), sent, step) == [(Kind.BATCH, meta, blobs) for meta, blobs in messages]


@given(st.lists(st.integers(0, 400_000), min_size=1, max_size=6))
def test_the_buffer_grows_and_shrinks_with_what_comes(sizes):
    sent = b"".join(b"".join(pack(Kind.BATCH, size, [b"x" * size])) for size in sizes)
    assert [(meta, len(blobs[0])) for _, meta, blobs in feed(FrameReader(1 << 20), sent)] == [(s, s) for s in sizes]


def test_a_large_buffer_is_not_kept_for_small_frames():
    reader = FrameReader(1 << 30)
    feed(reader, b"".join(pack(Kind.BATCH, 0, [bytes(40 << 20)])))
    feed(reader, b"".join(pack(Kind.BATCH, 0)) * 2)
    assert len(reader.space()) < 1 << 20


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (HEAD.pack(99, 2, 0), "kind 99"),
        (HEAD.pack(Kind.BATCH, 1 << 31, 0), "bytes of meta"),
        (HEAD.pack(Kind.BATCH, 2, 1 << 30), "blobs"),
        (HEAD.pack(Kind.BATCH, 2, 1) + struct.pack("<Q", 1001), "1001 bytes in one message; 1000 are allowed"),
        (HEAD.pack(Kind.BATCH, 2, 0) + b"{]", "no JSON"),
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken(data, problem):
    reader = FrameReader(1000)
    with pytest.raises(WireError, match=problem):
        feed(reader, data)
    assert len(reader.space()) <= 1 << 16


@given(st.binary(max_size=400))
def test_noise_never_raises_anything_else(noise):
    with contextlib.suppress(WireError):
        feed(FrameReader(1000), noise)


PARTS = st.builds(Part, TEXT, st.none() | TEXT, st.binary(max_size=50))
REQUESTS = st.builds(
    InferenceRequest, TEXT, st.lists(PARTS, max_size=3).map(tuple), st.dictionaries(TEXT, TEXT, max_size=3)
)
RESPONSES = st.builds(
    InferenceResponse,
    st.integers(200, 599),
    TEXT,
    st.none() | TEXT,
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.binary(max_size=50),
)


@given(st.lists(REQUESTS, max_size=4))
def test_requests_survive_the_crossing(requests):
    assert unpack_batch(one(pack_batch(requests))) == requests


@given(st.lists(RESPONSES | st.builds(Failure, TEXT, TEXT), max_size=4), st.sampled_from([None, ENGINE]))
def test_answers_survive_the_crossing(responses, engine):
    report = replace(REPORT, engine=engine)
    assert unpack_answers(one(pack_answers(responses, report)), len(responses)) == (responses, report)


@given(st.lists(RESPONSES, max_size=4))
def test_pieces_survive_the_crossing(pieces):
    assert unpack_pieces(one(pack_pieces(pieces)), len(pieces)) == pieces


def test_a_failure_is_everybodys():
    failure = Failure("InferenceFailed", "Prediction failed", 503, "ValueError: no")
    assert unpack_answers(one(pack_answers(failure, REPORT)), 3) == ([failure] * 3, REPORT)


def test_the_number_of_answers_must_be_that_of_the_requests():
    with pytest.raises(WireError, match="0 answers to 2 requests"):
        unpack_answers(one(pack_answers([], REPORT)), 2)


@pytest.mark.parametrize(
    "outcome",
    [
        LoadReport(1.5, 10, REPORT.emitted, ENGINE),
        LoadFailure("import", "ImportError", "no", "h.py:1", "install it", True),
    ],
)
def test_what_became_of_a_load_survives_the_crossing(outcome):
    assert unpack_loaded(one(pack_loaded(outcome))) == outcome


def test_a_model_specification_survives_the_crossing():
    config = {"a": {"b": 1.5}, 0: "cat", "day": date(2020, 1, 2)}
    spec = ModelSpec("m", "1.0", "/models/m", "h.py:f", "json", {"model": {"x": [1, None]}}, 4, config)
    assert unpack_load(one(pack_load(spec))) == spec


def test_what_json_cannot_say_is_refused():
    with pytest.raises(WireError, match="BATCH"):
        pack(Kind.BATCH, {"x": object()})
