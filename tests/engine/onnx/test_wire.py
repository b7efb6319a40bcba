"""The wire format of protobuf."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.engine import FormatError
from numserve.engine.onnx.wire import Message, fields, fixed, signed, text, varint, varints

INT64 = st.integers(-(2**63), 2**63 - 1)


def written(message):
    return memoryview(b"".join(map(bytes, message.parts())))


@given(st.lists(INT64))
def test_numbers_come_back_as_they_were(numbers):
    packed = memoryview(b"".join(map(varint, numbers)))

    assert varints(packed).tolist() == numbers


@given(INT64, st.text(), st.floats(width=32, allow_nan=False))
def test_fields_come_back_in_order(number, word, fraction):
    data = written(Message().integer(3, number).text(4, word).floating(500, fraction))

    (_, _, first), (_, _, second), (field, _, third) = fields(data)

    assert (signed(first), text(second), field, fixed(third, "<f4")[0]) == (number, word, 500, np.float32(fraction))


def test_a_message_in_a_message_is_told_apart():
    inner = Message().text(1, "inside")

    ((number, kind, content),) = fields(written(Message().message(7, inner)))

    assert (number, kind) == (7, 2) and [text(v) for _, _, v in fields(content)] == ["inside"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80", "without its end"),
        (b"\x08" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x0a\x05abc", "5 bytes where 3 are left"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "are left"),
        (b"\x0b", "wire type 3"),
        (b"\x00\x00", "number 0"),
        (b"\x09\x01", "8 bytes where 1"),
    ],
)
def test_what_is_no_protobuf_is_refused(data, reason):
    with pytest.raises(FormatError, match=reason):
        list(fields(memoryview(data)))


def test_packed_numbers_without_their_end_are_refused():
    with pytest.raises(FormatError, match="without their end"):
        varints(memoryview(b"\x01\x80"))
    with pytest.raises(FormatError, match="more than 10"):
        varints(memoryview(b"\x80" * 12 + b"\x01"))
    with pytest.raises(FormatError, match="3 bytes of packed"):
        fixed(memoryview(b"abc"), "<f4")
    with pytest.raises(FormatError, match="not UTF-8"):
        text(memoryview(b"\xff"))
