"""safetensors: what is written is read back, mapped; what breaks a rule of the format is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.errors import FormatError

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8"]


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(shape: list[Any], begin: Any, end: Any, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("code", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
def test_tensors_come_back_as_they_were_written(code: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(code)
    formats.save_file({"w": Tensor(array), "other": Tensor(np.ones(3, np.int8))}, tmp_path / "w", {"made": "here"})
    loaded = formats.load(tmp_path / "w")
    assert loaded["w"].array.dtype == array.dtype
    assert loaded["w"].shape == shape
    assert loaded["w"].array.tobytes() == array.tobytes()
    assert formats.read_metadata(tmp_path / "w") == {"made": "here"}


def test_views_are_written_in_order_and_arrays_are_aligned(tmp_path: Path) -> None:
    base = np.arange(12.0).reshape(3, 4)
    tensors = {"odd": Tensor(np.ones(3, np.int8)), "view": Tensor(base.T), "half": Tensor(np.ones(1, np.float16))}
    formats.save_file(tensors, tmp_path / "w")
    loaded = formats.load(tmp_path / "w")
    assert loaded["view"].tolist() == base.T.tolist()
    assert all(tensor.array.ctypes.data % tensor.array.itemsize == 0 for tensor in loaded.values())


def test_what_numpy_lacks_is_widened_or_kept_as_bits(tmp_path: Path) -> None:
    header = {"b": entry([2], 0, 4, "BF16"), "f": entry([2], 4, 6, "F8_E4M3")}
    loaded = formats.load(write(tmp_path / "w", header, b"\x80\x3f\x00\xc0" + b"\x38\xff"))
    assert loaded["b"].tolist() == [1.0, -2.0]
    assert loaded["b"].dtype.name == "float32"
    assert (loaded["f"].dtype, loaded["f"].bits.tolist()) == ("float8_e4m3fn", [0x38, 0xFF])


def test_writing_to_a_tensor_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    formats.save_file({"w": Tensor(np.zeros(4, np.float32))}, tmp_path / "w")
    formats.load(tmp_path / "w")["w"].array[:] = 1
    assert formats.load(tmp_path / "w")["w"].tolist() == [0] * 4


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    formats.save_file({"w": Tensor(np.zeros(4, np.float32))}, tmp_path / "w")
    with pytest.raises(FormatError, match="complex128"):
        formats.save_file({"w": Tensor(np.zeros(4, np.complex128))}, tmp_path / "w")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    assert formats.load(tmp_path / "w")["w"].tolist() == [0] * 4


BROKEN: dict[str, tuple[Any, bytes]] = {
    "no JSON": (b"{nonsense", b""),
    "not UTF-8": (b'{"\xff": 1}', b""),
    "an entry that is a list": ({"a": []}, b""),
    "an entry with too much": ({"a": entry([1], 0, 4) | {"more": 1}}, b"x" * 4),
    "an entry with too little": ({"a": {"dtype": "F32", "shape": [1]}}, b"x" * 4),
    "a name twice": (b'{"a":%s,"a":%s}' % ((json.dumps(entry([1], 0, 4)).encode(),) * 2), b"x" * 4),
    "a key twice": (b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"x" * 4),
    "an unknown type": ({"a": entry([1], 0, 4, "F4")}, b"x" * 4),
    "a type that is a number": ({"a": entry([1], 0, 4, 32)}, b"x" * 4),
    "a size that does not fit": ({"a": entry([2], 0, 4)}, b"x" * 4),
    "a negative size": ({"a": entry([-1], 0, 4)}, b"x" * 4),
    "a fractional size": ({"a": entry([1.0], 0, 4)}, b"x" * 4),
    "a boolean size": ({"a": entry([True], 0, 4)}, b"x" * 4),
    "a product that wraps": ({"a": entry([1 << 32, 1 << 32], 0, 0)}, b""),
    "a product that wraps to fit": ({"a": entry([(1 << 62) + 1], 0, 4)}, b"x" * 4),
    "65 dimensions": ({"a": entry([1] * 65, 0, 4)}, b"x" * 4),
    "offsets backwards": ({"a": entry([1], 4, 0)}, b"x" * 4),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, b"x" * 4),
    "offsets of 2^64": ({"a": entry([1], (1 << 64) - 4, 1 << 64)}, b"x" * 4),
    "a hole": ({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, b"x" * 12),
    "a hole at the start": ({"a": entry([1], 4, 8)}, b"x" * 8),
    "an overlap": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, b"x" * 12),
    "the same place twice": ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"x" * 4),
    "trailing bytes": ({"a": entry([1], 0, 4)}, b"x" * 5),
    "data cut off": ({"a": entry([1], 0, 4)}, b"x" * 3),
    "deep nesting": (b'{"a":' * 100_000, b""),
    "a number of 10,000 digits": (b'{"a":' + b"9" * 10_000 + b"}", b""),
    "millions of brackets": (b'{"a":[' + b"[]," * 2_000_000 + b"[]]}", b""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_breaks_a_rule_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        formats.load(write(tmp_path / "w", *BROKEN[name]))


@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 100_000_001, 99_999_999, 3])
def test_a_header_length_that_is_wrong_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        formats.load(write(tmp_path / "w", {"a": entry([1], 0, 4)}, b"x" * 4, length))


@pytest.mark.parametrize("metadata", [{"a": 1}, ["a"], "a", None])
def test_metadata_that_is_not_text_is_refused(metadata: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="__metadata__"):
        formats.read_metadata(write(tmp_path / "w", {"__metadata__": metadata}))


def test_a_tensor_may_not_be_called_metadata(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be written"):
        formats.save_file({"__metadata__": Tensor(np.zeros(1, np.float32))}, tmp_path / "w")
