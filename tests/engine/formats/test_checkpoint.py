"""Checkpoints that torch wrote: every dtype and view bit by bit, tied tensors, and memory that stays the file's."""

from __future__ import annotations

import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.formats.elements import ELEMENTS

Expected = dict[str, Any]
EVERY_DTYPE = ["every_dtype.pth", "every_dtype_legacy.pth"]
VALUES = ["values_2.pth", "values_3.pth", "values_4.pth", "values_5.pth", "values_legacy.pth"]


def bits_of(value: Tensor | formats.RawTensor) -> str:
    array = value.bits if isinstance(value, formats.RawTensor) else value.array
    return np.ascontiguousarray(array).tobytes().hex()


def check_tensor(name: str, value: Tensor | formats.RawTensor, expected: Expected) -> None:
    wanted = expected["bits"]
    if expected["dtype"] == "bfloat16":  # kept as float32, whose upper half it is
        halves = np.frombuffer(bytes.fromhex(wanted), "<u2").astype("<u4") << 16
        wanted = halves.astype("<u4").tobytes().hex()
    array = value.bits if isinstance(value, formats.RawTensor) else value.array
    assert list(value.shape) == expected["shape"], name
    assert bits_of(value) == wanted, name
    if array.size > 1:
        assert [step // array.itemsize for step in array.strides] == expected["strides"], name
    if isinstance(value, formats.RawTensor):
        assert value.dtype == expected["dtype"]
    else:
        assert value.requires_grad == expected["requires_grad"], name


@pytest.mark.parametrize("file", EVERY_DTYPE)
def test_every_dtype_and_view_has_the_bits_that_torch_wrote(file: str, checkpoints: Path, expected: Expected) -> None:
    loaded = formats.load(checkpoints / file)
    assert list(loaded) == list(expected["every_dtype"])
    for name, description in expected["every_dtype"].items():
        # Legacy files hold dtypes without a storage class as bytes under the right dtype too.
        check_tensor(name, loaded[name], description)


@pytest.mark.parametrize("file", EVERY_DTYPE)
def test_dtypes_are_the_engines_where_it_has_them(file: str, checkpoints: Path) -> None:
    for name, value in formats.load(checkpoints / file).items():
        dtype = name.partition("/")[0]
        wanted = Tensor if ELEMENTS[dtype].dtype else formats.RawTensor
        assert type(value) is wanted
        if dtype != "bfloat16":
            assert (value.dtype.name if isinstance(value, Tensor) else value.dtype) == dtype


@pytest.mark.parametrize("file", EVERY_DTYPE)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64", "bool", "uint16"])
def test_views_on_one_storage_share_memory(dtype: str, file: str, checkpoints: Path) -> None:
    loaded = formats.load(checkpoints / file)
    base = loaded[f"{dtype}/transposed"].array
    for view in ("strided", "expanded", "row"):
        assert np.shares_memory(base, loaded[f"{dtype}/{view}"].array)
    assert not np.shares_memory(base, loaded[f"{dtype}/plain"].array)


@pytest.mark.parametrize("file", EVERY_DTYPE)
def test_every_array_is_aligned(file: str, checkpoints: Path) -> None:
    for name, value in formats.load(checkpoints / file).items():
        array = value.bits if isinstance(value, formats.RawTensor) else value.array
        assert array.flags.aligned, name


@pytest.mark.parametrize("file", VALUES)
def test_everything_else_in_checkpoints_comes_as_torch_gives_it(
    file: str, checkpoints: Path, expected: Expected
) -> None:
    loaded = formats.load(checkpoints / file)
    for name, description in expected["values"].items():
        check_tensor(name, loaded[name], description)
    assert loaded["tied"] is loaded["tied_again"]
    assert np.shares_memory(loaded["tied"].array, loaded["alias"].array)
    assert loaded["size"] == (1, 2)
    assert str(loaded["device"]) == "cuda:1"
    assert loaded["dtype"].name == "float16"
    assert loaded["nested"]["list"] == [1, 2.5, "x", None, True, (1, 2)]
    assert loaded["nested"]["set"] == {1, 2}
    assert loaded["nested"]["inner"]["tensor"].tolist() == [1, 1]
    assert loaded["bytes"] == b"ab\xff"
    assert loaded["bytearray"] == bytearray(b"zz")
    assert (loaded["large"], loaded["complex"], loaded["frozenset"]) == (2**80, 1 + 2j, frozenset("a"))
    assert (loaded["range"], loaded["slice"]) == (range(1, 5, 2), slice(1, None))
    assert (loaded["counter"], loaded["defaultdict"]) == ({"a": 2, "b": 1}, {"a": [1]})
    assert loaded["numpy_scalar"] == 0.5
    assert loaded["numpy_array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["numpy_fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["numpy_bool"].tolist() == [True, False]


@pytest.mark.parametrize("file", VALUES)
def test_quantised_and_sparse_tensors_come_as_their_parts(file: str, checkpoints: Path, expected: Expected) -> None:
    loaded = formats.load(checkpoints / file)
    for name, wanted in expected["quantized"].items():
        assert loaded[name].dequantize().tolist() == wanted
    assert (loaded["quantized"].dtype, loaded["per_channel"].axis) == ("quint8", 0)
    assert loaded["coo"].layout == "sparse_coo"
    assert [part.tolist() for part in loaded["coo"].parts] == [[[0, 1, 2], [0, 1, 2]], [1, 1, 1]]
    assert [part.tolist() for part in loaded["csr"].parts] == [[0, 1, 2, 3], [0, 1, 2], [1, 1, 1]]
    assert loaded["csr"].shape == (3, 3)


def test_a_training_checkpoint_has_its_weights_optimiser_and_scheduler(checkpoints: Path, expected: Expected) -> None:
    loaded = formats.load(checkpoints / "training.pth")
    for name, description in expected["training"].items():
        check_tensor(name, loaded["model"][name], description)
    assert loaded["epoch"] == 3
    assert loaded["optimizer"]["param_groups"][0]["lr"] == 0.25
    assert loaded["optimizer"]["state"][0]["step"].item() == 1
    assert loaded["scheduler"]["T_max"] == 10


def test_a_state_dict_keeps_the_versions_of_its_modules(checkpoints: Path) -> None:
    state = formats.load(checkpoints / "training.pth")["model"]
    assert type(state) is OrderedDict
    assert state._metadata["1"] == {"version": 2}


@pytest.mark.parametrize("file", ["whole_module.pth", "whole_legacy.pth"])
def test_a_whole_module_is_refused_with_advice(file: str, checkpoints: Path) -> None:
    with pytest.raises(formats.FormatError, match=r"whole pickled module.*torch\.save\(model\.state_dict\(\)"):
        formats.load(checkpoints / file)


@pytest.mark.parametrize("file", EVERY_DTYPE)
def test_writing_to_a_tensor_leaves_the_file_as_it_was(file: str, checkpoints: Path) -> None:
    before = (checkpoints / file).read_bytes()
    loaded = formats.load(checkpoints / file)
    loaded["float32/plain"].array[:] = 7
    assert (checkpoints / file).read_bytes() == before
    assert formats.load(checkpoints / file)["float32/plain"].array.flat[0] != 7


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes], method: int) -> Path:
    """The archive again, each record changed; records lie wherever zipfile puts them."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", method) as copy:
        for name in source.namelist():
            copy.writestr(name, change(name.partition("/")[2], source.read(name)))
    return target


def test_a_big_endian_file_has_the_same_values(checkpoints: Path, expected: Expected, tmp_path: Path) -> None:
    storages = iter_storages(checkpoints / "every_dtype.pth")

    def swap(name: str, content: bytes) -> bytes:
        if name == "byteorder":
            return b"big"
        width = storages.get(name, 1)
        return np.frombuffer(content, np.uint8).reshape(-1, width)[:, ::-1].tobytes()

    path = rewritten(checkpoints / "every_dtype.pth", tmp_path / "big.pth", swap, zipfile.ZIP_STORED)
    loaded = formats.load(path)
    for name, description in expected["every_dtype"].items():
        check_tensor(name, loaded[name], description)


def iter_storages(path: Path) -> dict[str, int]:
    """Record → the bytes that are swapped together in it, by the dtype of the fixture's tensors in order."""
    widths: dict[str, int] = {}
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    records = sorted((name for name in names if name.startswith("data/")), key=lambda name: int(name[5:]))
    dtypes = list(dict.fromkeys(name.partition("/")[0] for name in formats.load(path)))
    for index, record in enumerate(records):  # plain, scalar, empty, base
        element = ELEMENTS[dtypes[index // 4]]
        widths[record] = element.itemsize // element.parts
    return widths


def test_a_repacked_file_is_read_deflated_and_unaligned(checkpoints: Path, expected: Expected, tmp_path: Path) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        path = rewritten(checkpoints / "every_dtype.pth", tmp_path / "again.pth", lambda _, content: content, method)
        loaded = formats.load(path)
        for name, description in expected["every_dtype"].items():
            check_tensor(name, loaded[name], description)
        assert np.shares_memory(loaded["int64/row"].array, loaded["int64/transposed"].array)


def test_a_file_from_before_byte_orders_were_recorded_is_read(checkpoints: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(checkpoints / "training.pth") as source, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in source.namelist():
            inner = name.partition("/")[2]
            if inner == "data.pkl" or inner.startswith("data/") or inner == "version":
                old.writestr(f"archive/{inner}", source.read(name))
    assert formats.load(tmp_path / "old.pth")["epoch"] == 3


def test_a_thousand_tensors_open_quickly(tmp_path: Path) -> None:
    state = {f"layers.{i}.weight": Tensor(np.full((4, 4), i, np.float32)) for i in range(1000)}
    formats.save(state, tmp_path / "many.pth")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        loaded = formats.load(tmp_path / "many.pth")
        seconds.append(time.perf_counter() - start)
    assert loaded["layers.999.weight"].tolist() == [[999] * 4] * 4
    assert min(seconds) < 0.5  # about 0.035 on an idle core
