"""Checkpoints of our own making: what is saved is read back, aligned, tied where it was, written whole."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.dtype import DTYPES
from numserve.engine.errors import FormatError
from numserve.engine.formats import writing
from numserve.engine.formats.mapping import map_file
from numserve.engine.formats.zip import Archive


def again(value: Any, path: Path) -> Any:
    formats.save(value, path / "saved.pth")
    return formats.load(path / "saved.pth")


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
def test_every_dtype_and_shape_comes_back(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 2, shape).astype(DTYPES[name].numpy)
    loaded = again({"w": Tensor(array)}, tmp_path)["w"]
    assert loaded.array.dtype == array.dtype
    assert loaded.shape == shape
    assert loaded.array.tobytes() == array.tobytes()


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    value = {
        "epoch": 3, "negative": -1, "large": 2**70, "wide": 1 << 31, "loss": 0.1, "name": "é", "none": None,
        "flags": [True, False, []], "pair": (1, (2, ())), "bytes": b"a\xff", "empty": {}, 5: {"key": 1}, (1, "a"): b"",
    }  # fmt: skip
    assert again(value, tmp_path) == value


def test_numpy_numbers_are_saved_as_numbers(tmp_path: Path) -> None:
    loaded = again([np.float64(0.5), np.int64(4), np.bool_(True)], tmp_path)
    assert [(type(item), item) for item in loaded] == [(float, 0.5), (int, 4), (bool, True)]


def test_dtypes_are_saved_by_name(tmp_path: Path) -> None:
    assert again({"dtype": DTYPES["float16"]}, tmp_path) == {"dtype": DTYPES["float16"]}


def test_a_state_dict_keeps_its_order_and_versions(tmp_path: Path) -> None:
    state = OrderedDict((name, Tensor(np.ones(1, np.float32))) for name in ("b", "a"))
    state.__dict__["_metadata"] = OrderedDict({"": {"version": 1}, "a": {"version": 2}})
    loaded = again(state, tmp_path)
    assert list(loaded) == ["b", "a"]
    assert loaded._metadata == {"": {"version": 1}, "a": {"version": 2}}


def test_tied_tensors_stay_tied_and_the_same_tensor_stays_one(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32)
    one, other = Tensor(array), Tensor(array)
    loaded = again({"a": one, "b": one, "c": other, "d": Tensor(array.copy())}, tmp_path)
    assert loaded["a"] is loaded["b"]
    assert loaded["a"] is not loaded["c"]
    assert np.shares_memory(loaded["a"].array, loaded["c"].array)
    assert not np.shares_memory(loaded["a"].array, loaded["d"].array)


def test_views_are_saved_without_what_they_view(tmp_path: Path) -> None:
    base = np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000)
    loaded = again(
        [Tensor(base[3:5, ::500]), Tensor(base.T[:2, :2]), Tensor(np.broadcast_to(base[0, :2], (3, 2)))], tmp_path
    )
    assert [tensor.tolist() for tensor in loaded] == [
        [[3000, 3500], [4000, 4500]], [[0, 1000], [1, 1001]], [[0, 1]] * 3,
    ]  # fmt: skip
    assert (tmp_path / "saved.pth").stat().st_size < 5_000


def test_big_endian_arrays_are_saved_little(tmp_path: Path) -> None:
    assert again([Tensor(np.arange(3, dtype=">f4"))], tmp_path)[0].tolist() == [0, 1, 2]


def test_requires_grad_is_kept(tmp_path: Path) -> None:
    loaded = again([Tensor(np.ones(2, np.float32), requires_grad=True), Tensor(np.ones(2, np.float32))], tmp_path)
    assert [tensor.requires_grad for tensor in loaded] == [True, False]


@pytest.mark.parametrize("wide_from", [1 << 30, 1])
def test_every_record_is_stored_at_a_multiple_of_64_bytes(
    wide_from: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_ZIP64_FROM", wide_from)
    again({f"layer{i}": Tensor(np.ones(i, np.int8)) for i in range(1, 130)}, tmp_path)
    archive = Archive(map_file(tmp_path / "saved.pth"))
    assert len(archive.records) == 132
    starts = [archive._start(record) for record in archive.records.values()]
    assert {start % 64 for start in starts} == {0}
    with zipfile.ZipFile(tmp_path / "saved.pth") as same:
        assert same.testzip() is None
        assert {info.compress_type for info in same.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_value_makes_the_same_file(tmp_path: Path) -> None:
    value = {"w": Tensor(np.arange(5.0)), "n": 1}
    formats.save(value, tmp_path / "a")
    formats.save(value, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def in_itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED: dict[str, Any] = {
    "an object": object(),
    "a set": {1},
    "a function": len,
    "an array": np.ones(3),
    "a key that is a tensor": {Tensor(np.ones(1)): 1},
    "a list in itself": in_itself(),
    "an integer of 300 bytes": 1 << 2400,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_saved_leaves_the_old_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    formats.save([1], tmp_path / "saved.pth")
    with pytest.raises(FormatError, match="cannot be saved"):
        formats.save([REFUSED[name]], tmp_path / "saved.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["saved.pth"]
    assert formats.load(tmp_path / "saved.pth") == [1]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.save([1], tmp_path / "saved.pth")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numserve.engine.formats.writing.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        formats.save([2], tmp_path / "saved.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["saved.pth"]
    assert formats.load(tmp_path / "saved.pth") == [1]
