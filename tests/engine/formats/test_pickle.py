"""The pickle interpreter: it agrees with Python on plain values, and gives up in one way on everything else."""

from __future__ import annotations

import pickle
import struct
import time
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.engine.errors import FormatError
from numserve.engine.formats.allowed import language
from numserve.engine.formats.limits import Limits
from numserve.engine.formats.opcodes import OPCODES
from numserve.engine.formats.pickle import read_pickle


def read(data: bytes, limits: Limits | None = None) -> Any:
    return read_pickle(data, 0, language(lambda identifier: identifier), limits or Limits())[0]


KEYS = st.text() | st.integers(-(2**59), 2**59) | st.booleans() | st.none() | st.floats(allow_nan=False) | st.binary()
PLAIN = KEYS | st.integers(-(2**200), 2**200)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.frozensets(KEYS),
    max_leaves=20,
)


@given(VALUES, st.integers(0, 5))
def test_plain_values_come_out_as_python_reads_them(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    try:
        assert read(data) == value
    except FormatError as error:  # protocol 0 and 1 make a frozenset by copyreg, or escape text
        assert protocol < 2, error


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(protocol: int) -> None:
    value = {"name": ["é", 1.5, 2**70, -3, 70000, None, True, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], 7: "x" * 300}
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", (2, 3, 4, 5))
def test_shared_and_special_values_keep_their_kind(protocol: int) -> None:
    shared = ["x"]
    value = [shared, shared, b"ab\xff", bytearray(b"z"), {1, 2}, frozenset("a"), 1 + 2j, range(3), OrderedDict(a=1)]
    result = read(pickle.dumps(value, protocol))
    assert result == value
    assert result[0] is result[1]
    assert [type(item) for item in result] == [type(item) for item in value]


def test_python_2_text_is_read_and_binary_stays_binary() -> None:
    assert read(b"\x80\x02U\x03abc.") == "abc"
    assert read(b"T\x02\0\0\0\xff\xfe.") == b"\xff\xfe"
    assert read(b"S'abc'\n.") == "abc"


def test_protocol_0_forms_are_read() -> None:
    assert read(b"(lp0\nI01\naI00\naI7\naL8L\naF1.5\naVx\\u00e9\na.") == [True, False, 7, 8, 1.5, "xé"]
    assert read(b"(dp0\nVa\nI1\ns.") == {"a": 1}
    assert read(b"(Va\nI1\nd.") == {"a": 1}


def test_the_position_after_stop_is_told() -> None:
    data = pickle.dumps(1, 2) + b"rest"
    assert read_pickle(data, 0, language(lambda identifier: identifier))[1] == len(data) - 4


MALFORMED = {
    "nothing": b"",
    "no stop": b"\x80\x02N",
    "two results": b"NN.",
    "no result": b".",
    "an open mark": b"N(N.",
    "newer protocol": b"\x80\x06N.",
    "unknown opcode": b"\xffN.",
    "no opcode at all": b"\x00N.",
    "pop of nothing": b"0N.",
    "dup of nothing": b"2.",
    "memo of nothing": b"q\x00N.",
    "recall of nothing": b"h\x05.",
    "recall by text": b"g5\n.",
    "tuple without a mark": b"Nt.",
    "pop of a mark that is none": b"1N.",
    "tuple1 of nothing": b"\x85.",
    "tuple2 of one": b"N\x86.",
    "tuple3 of two": b"NN\x87.",
    "append to a number": b"K\x01Na.",
    "appends to a dict": b"}(Ne.",
    "setitem on a list": b"]K\x01K\x02s.",
    "setitems on a tuple": b")(K\x01K\x02u.",
    "odd number of items": b"}(K\x01u.",
    "additems to a list": b"](K\x01\x90.",
    "items below the mark": b"K\x01(a.",
    "list as a key": b"}]K\x01s.",
    "dict in a set": b"\x8f(}\x90.",
    "complex as a key": b"}c__builtin__\ncomplex\nG" + struct.pack(">d", 1) + b"\x85RK\x01s.",
    "text is not UTF-8": b"X\x01\0\0\0\xff.",
    "text beyond the end": b"X\xff\0\0\0a.",
    "text of 2^63 bytes": b"\x8d" + (1 << 63).to_bytes(8, "little") + b"a.",
    "bytes of 2^62": b"\x8e" + (1 << 62).to_bytes(8, "little") + b"a.",
    "bytearray of 2^40": b"\x96" + (1 << 40).to_bytes(8, "little") + b"a.",
    "frame of 2^63": b"\x80\x04\x95" + (1 << 63).to_bytes(8, "little") + b"N.",
    "line without an end": b"cos",
    "line of a megabyte": b"V" + b"a" * (1 << 20) + b"\n.",
    "integer of 2 GB": b"\x8b\xff\xff\xff\x7f.",
    "integer of negative size": b"\x8b\xff\xff\xff\xff.",
    "integer of 1000 bytes": b"\x8b" + (1000).to_bytes(4, "little") + b"\1" * 1000 + b".",
    "decimal of 5000 digits": b"L" + b"9" * 5000 + b"L\n.",
    "decimal that is none": b"Iseven\n.",
    "float that is none": b"Fseven\n.",
    "text with escapes": b"S'\\z'\n.",
    "text without quotes": b"Sabc\n.",
    "bad unicode escape": b"V\\u12\n.",
    "binfloat cut off": b"G\0\0.",
    "stack global of numbers": b"K\x01K\x02\x93.",
    "stack global of nothing": b"\x93.",
    "reduce of a number": b"K\x01)R.",
    "reduce with a list": b"ccollections\nOrderedDict\n]R.",
    "build on a dict": b"}}b.",
    "build on nothing": b"}b.",
    "put by a name": b"Npx\n.",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_pickles_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        read(MALFORMED[name])


@pytest.mark.parametrize("code", [c for c in range(256) if OPCODES[c].__name__ in ("_unknown", "refuse")])
def test_opcodes_that_no_checkpoint_needs_are_refused(code: int) -> None:
    with pytest.raises(FormatError):
        read(b"\x80\x04(" + bytes([code]) + b"\0\0\0\0\n\n.") if code != ord(".") else read(b".")


BOMBS = {
    "opcodes": (b"N0" * 3_000 + b"N.", Limits(opcodes=5_000)),
    "memo": (b"N" + b"\x94" * 3_000 + b".", Limits(memo=2_000)),
    "sets": (b"\x8f0" * 3_000 + b"N.", Limits(built_bytes=100_000)),
    "lists": (b"(" + b"]" * 3_000 + b"t.", Limits(built_bytes=100_000)),
    "dicts": (b"(" + b"}" * 3_000 + b"t.", Limits(built_bytes=100_000)),
    "encoded text": (
        b"X\x10'\0\0" + b"x" * 10_000 + b"q\x000" + b"c_codecs\nencode\nh\0\x85R0" * 50 + b"N.",
        Limits(built_bytes=100_000),
    ),
    "copied lists": (
        b"](" + b"K\x01" * 1_000 + b"eq\x000" + b"c__builtin__\nset\nh\0\x85R0" * 50 + b"N.",
        Limits(built_bytes=100_000),
    ),
    "pickle": (b"B\xe8\x03\0\0" + b"x" * 1_000 + b".", Limits(pickle_bytes=500)),
    "tuple keys": (
        b"}(" + b"".join(b"M%c%c\x85N" % divmod(i, 256) for i in range(300)) + b"u.",
        Limits(compound_keys=99),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_may_not_ask_for_more_than_its_limits(name: str) -> None:
    data, limits = BOMBS[name]
    with pytest.raises(FormatError):
        read(data, limits)
    read(data)  # the same is fine where the limits are wide


def test_ten_million_opcodes_are_given_up_in_seconds() -> None:
    start = time.perf_counter()
    with pytest.raises(FormatError, match="more than 4000000 opcodes"):
        read(b"N0" * 5_000_000 + b"N.")
    assert time.perf_counter() - start < 20


def test_a_large_memo_index_costs_nothing() -> None:
    assert read(b"Nr\xff\xff\xff\xff.") is None


def test_keys_that_take_exponential_time_to_hash_are_refused() -> None:
    with pytest.raises(FormatError, match="key"):
        read(b"}N" + b"2\x86" * 64 + b"Ns.")


def test_integers_that_share_a_hash_are_no_keys() -> None:
    colliding = b"".join(b"\x8a\x10" + ((2**61 - 1) * i).to_bytes(16, "little") + b"N" for i in range(1, 4))
    with pytest.raises(FormatError, match="60 bits"):
        read(b"}(" + colliding + b"u.")
