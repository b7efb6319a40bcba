"""Our readers and torch on the same fresh files, bit by bit, and torch on the files that we write."""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:.*(ComplexHalf|Sparse|quantize|torch.jit|TypedStorage):UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
FORMS = [{"_use_new_zipfile_serialization": True}, {"_use_new_zipfile_serialization": False}]
DTYPES = [
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
    "complex64", "complex128", "complex32", "uint16", "uint32", "uint64",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
]  # fmt: skip


def raw(tensor: Any) -> bytes:
    """torch's elements in order, as bytes; bfloat16 as the float32 that we keep."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    plain = plain.float() if plain.dtype is torch.bfloat16 else plain
    return bytes(plain.contiguous().reshape(-1).view(torch.uint8).numpy()) if plain.numel() else b""


def ours(value: Tensor | formats.RawTensor) -> bytes:
    return np.ascontiguousarray(value.bits if isinstance(value, formats.RawTensor) else value.array).tobytes()


def check(loaded: Any, saved: Any, where: str = "") -> None:
    """The same structure with the same bits."""
    if isinstance(saved, torch.Tensor):
        assert tuple(loaded.shape) == tuple(saved.shape), where
        assert ours(loaded) == raw(saved), where
        if isinstance(loaded, Tensor):
            assert loaded.requires_grad == saved.requires_grad, where
    elif isinstance(saved, dict):
        assert list(loaded) == list(saved), where
        for key in saved:
            check(loaded[key], saved[key], f"{where}.{key}")
    elif isinstance(saved, list | tuple):
        assert len(loaded) == len(saved), where
        for i, item in enumerate(saved):
            check(loaded[i], item, f"{where}[{i}]")
    else:
        assert loaded == saved, where
        assert type(loaded) is type(saved), where


def variants(dtype: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(7)

    def bits(*shape: int) -> Any:
        if dtype is torch.bool:
            return torch.rand(shape, generator=generator) > 0.5
        count = int(np.prod(shape)) * dtype.itemsize
        flat = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
        # Signalling NaNs become quiet when torch widens bfloat16; keep to numbers there.
        flat[1::2] &= 0x3F if dtype is torch.bfloat16 else 0xFF
        return flat.view(dtype).reshape(shape)

    base = bits(6, 8)
    return {
        "plain": bits(3, 4, 5), "scalar": bits(), "empty": torch.empty((0, 3), dtype=dtype), "transposed": base.t(),
        "strided": base[1:5:2, ::3], "expanded": base[:1].expand(4, 8), "row": base[2],
        "window": base.as_strided((5, 4), (1, 1)),
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=["zip", "legacy"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_and_view(name: str, form: dict[str, bool], tmp_path: Path) -> None:
    saved = variants(getattr(torch, name))
    torch.save(saved, tmp_path / "w.pth", **form)
    loaded = formats.load(tmp_path / "w.pth")
    check(loaded, saved)
    for key, tensor in saved.items():
        array = loaded[key].bits if isinstance(loaded[key], formats.RawTensor) else loaded[key].array
        if tensor.numel() > 1:
            assert [step // array.itemsize for step in array.strides] == list(tensor.stride())


def torchvision_models() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[2] / "data"))
    try:
        from torchvision_oracle import torchvision  # type: ignore[import-not-found, unused-ignore]
    finally:
        sys.path.pop(0)
    pytest.importorskip("PIL")
    return torchvision().models


@pytest.mark.parametrize("form", FORMS, ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_0"])
def test_state_dicts_of_torchvision(name: str, form: dict[str, bool], tmp_path: Path) -> None:
    saved = getattr(torchvision_models(), name)().state_dict()
    torch.save(saved, tmp_path / "w.pth", **form)
    loaded = formats.load(tmp_path / "w.pth")
    check(loaded, saved)
    assert type(loaded) is OrderedDict
    assert loaded._metadata == saved._metadata
    assert formats.state_dict_of(loaded).keys() == saved.keys()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", FORMS, ids=["zip", "legacy"])
def test_a_training_checkpoint_in_every_protocol(protocol: int, form: dict[str, bool], tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.LSTM(3, 2))
    optimizer = torch.optim.AdamW(model.parameters())
    model[2](model[1](model[0](torch.randn(2, 1, 5, 5)))[:, 0])[0].sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    saved = {
        "epoch": 7,
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": {key: item for key, item in scheduler.state_dict().items() if not callable(item)},
        "rng": torch.get_rng_state(),
        "history": [0.5, np.float64(0.25)],
    }
    torch.save(saved, tmp_path / "w.pth", pickle_protocol=protocol, **form)
    loaded = formats.load(tmp_path / "w.pth")
    check(loaded, saved)
    assert formats.state_dict_of(loaded).keys() == model.state_dict().keys()


def test_data_parallel_loads_as_what_it_wraps(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    torch.save({"model": torch.nn.DataParallel(model).state_dict()}, tmp_path / "w.pth")
    state: Any = formats.state_dict_of(formats.load(tmp_path / "w.pth"))
    check(dict(state), dict(model.state_dict()))
    assert state._metadata == model.state_dict()._metadata


def test_checkpoints_without_checksums(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": torch.arange(5)}, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert formats.load(tmp_path / "w.pth")["w"].tolist() == [0, 1, 2, 3, 4]


def test_storages_and_parameters_as_objects(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "kept by torch"
    saved = [parameter, torch.nn.ParameterList([torch.ones(1)]).state_dict()]
    torch.save(saved, tmp_path / "w.pth")
    check(formats.load(tmp_path / "w.pth"), saved)
    torch.save(torch.arange(3.0).untyped_storage(), tmp_path / "s.pth")
    assert formats.load(tmp_path / "s.pth").array.view(np.float32).tolist() == [0, 1, 2]


def test_a_torchscript_archive_is_told(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "m.pt")
    assert formats.detect(tmp_path / "m.pt") == "torchscript"


def test_a_torch_export_archive_is_told(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), tmp_path / "m.pt2")
    assert formats.detect(tmp_path / "m.pt2") == "pt2"


def test_an_onnx_model_is_told(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    value = [helper.make_tensor_value_info(name, number, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert formats.detect(tmp_path / "m.onnx") == "onnx"


OURS = [name for name in DTYPES if name in ("float64", "float32", "float16") or "int" in name or name == "bool"]


@pytest.mark.parametrize("name", [*OURS, "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(2, 3), (), (0, 4)])
def test_torch_reads_what_we_save(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(0, 2, shape).astype(name)
    formats.save(OrderedDict({"w": Tensor(array)}), tmp_path / "w.pth")
    for options in ({}, {"mmap": True}):
        loaded = torch.load(tmp_path / "w.pth", weights_only=True, **options)["w"]
        assert str(loaded.dtype) == f"torch.{name}"
        assert tuple(loaded.shape) == shape
        assert raw(loaded) == array.tobytes()


def test_torch_reads_our_containers(tmp_path: Path) -> None:
    tied = Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    model = OrderedDict({"a": tied, "b": tied})
    model.__dict__["_metadata"] = OrderedDict({"": {"version": 1}})
    value = {"model": model, "epoch": 3, "big": 2**70, "loss": [0.5, None, True, ("x", b"\xff")], 1: {}}
    formats.save(value, tmp_path / "w.pth")
    loaded = torch.load(tmp_path / "w.pth", weights_only=True)
    assert loaded.pop("model")._metadata == {"": {"version": 1}}
    value.pop("model")
    assert loaded == value
    again = torch.load(tmp_path / "w.pth", weights_only=True)["model"]
    assert again["a"] is again["b"]
    assert again["a"].requires_grad


def test_a_module_of_torch_takes_what_we_save(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    formats.save(formats.load(tmp_path / "theirs.pth"), tmp_path / "ours.pth")
    state = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert model.load_state_dict(state).missing_keys == []
    check(formats.load(tmp_path / "ours.pth"), model.state_dict())


def test_safetensors_both_ways(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.torch")
    names = [name for name in DTYPES if name not in ("complex128", "complex32")]
    saved = {
        f"{name}/{kind}": tensor.contiguous()
        for name in names
        for kind, tensor in variants(getattr(torch, name)).items()
        if kind in ("plain", "scalar", "empty") and name not in ("float8_e4m3fnuz", "float8_e5m2fnuz")
    }
    theirs.save_file(saved, tmp_path / "theirs")
    loaded = formats.load(tmp_path / "theirs")
    assert loaded.keys() == saved.keys()
    for name, tensor in saved.items():
        check(loaded[name], tensor, name)
    own = {name: tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}
    formats.save_file(own, tmp_path / "ours", {"made": "here"})
    back = theirs.load_file(tmp_path / "ours")
    assert {name: raw(tensor) for name, tensor in back.items()} == {name: ours(tensor) for name, tensor in own.items()}
