"""Make the checkpoints that the tests read, with torch: python tests/data/checkpoints/make.py

expected.json says of each tensor in `every_dtype` and `values` its dtype, shape, strides and bits in order (hex).
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parent
DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
    torch.complex64, torch.complex128, torch.complex32, torch.uint16, torch.uint32, torch.uint64,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def random_bits(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Any bit pattern, so that NaNs with payloads are among the values."""
    count = int(np.prod(shape))
    if dtype is torch.bool:
        return torch.rand(shape) > 0.5
    raw = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8)
    return raw.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


def every_dtype() -> OrderedDict[str, torch.Tensor]:
    """Each dtype as plain, scalar, empty, and four views on one storage."""
    tensors: OrderedDict[str, torch.Tensor] = OrderedDict()
    for dtype in DTYPES:
        name = str(dtype).removeprefix("torch.")
        base = random_bits(dtype, 4, 6)
        tensors[f"{name}/plain"] = random_bits(dtype, 2, 3, 2)
        tensors[f"{name}/scalar"] = random_bits(dtype)
        tensors[f"{name}/empty"] = random_bits(dtype, 0, 3)
        tensors[f"{name}/transposed"] = base.t()
        tensors[f"{name}/strided"] = base[1:4:2, ::3]
        tensors[f"{name}/expanded"] = base[:1].expand(4, 6)
        tensors[f"{name}/row"] = base[2]
    return tensors


def values() -> dict[str, Any]:
    """What stands in checkpoints beside plain tensors."""
    tied = torch.nn.Parameter(torch.randn(2, 2))
    channels = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    return {
        "channels_last": torch.randn(1, 3, 2, 2).to(memory_format=torch.channels_last),
        "conjugated": torch.randn(3, dtype=torch.complex64).conj(),
        "negated": torch.randn(3, dtype=torch.complex64).conj().imag,
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "buffer": torch.nn.Buffer(torch.randn(2)),
        "tied": tied,
        "tied_again": tied,
        "alias": tied.data,
        "quantized": torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 10, torch.quint8),
        "per_channel": torch.quantize_per_channel(torch.randn(3, 4), channels, torch.tensor([0, 1, 2]), 0, torch.qint8),
        "coo": torch.eye(3).to_sparse(),
        "csr": torch.eye(3).to_sparse_csr(),
        "size": torch.Size([1, 2]),
        "device": torch.device("cuda:1"),
        "dtype": torch.float16,
        "nested": {"list": [1, 2.5, "x", None, True, (1, 2)], "set": {1, 2}, "inner": {"tensor": torch.ones(2)}},
        "bytes": b"ab\xff",
        "bytearray": bytearray(b"zz"),
        "large": 2**80,
        "complex": 1 + 2j,
        "frozenset": frozenset({"a"}),
        "range": range(1, 5, 2),
        "slice": slice(1, None),
        "counter": Counter("aab"),
        "defaultdict": defaultdict(list, {"a": [1]}),
        "numpy_scalar": np.float64(0.5),
        "numpy_array": np.arange(6.0).reshape(2, 3),
        "numpy_fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "numpy_bool": np.array([True, False]),
    }


def training() -> dict[str, Any]:
    """What a training script saves: model, AdamW after a step, scheduler."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.25)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    return {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state()[:16].clone(),
    }


def described(tensor: torch.Tensor) -> dict[str, Any]:
    plain = tensor.detach().resolve_conj().resolve_neg()
    flat = plain.contiguous().reshape(-1)
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "requires_grad": tensor.requires_grad,
        "bits": flat.view(torch.uint8).numpy().tobytes().hex() if flat.numel() else "",
    }


def is_dense(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_quantized


def main() -> None:
    torch.manual_seed(0)
    tensors, others, checkpoint = every_dtype(), values(), training()
    # torch writes the dtypes without a storage class in legacy form too, but cannot read them back.
    torch.save(tensors, HERE / "every_dtype.pth")
    torch.save(tensors, HERE / "every_dtype_legacy.pth", _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4, 5):
        torch.save(others, HERE / f"values_{protocol}.pth", pickle_protocol=protocol)
    torch.save(others, HERE / "values_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(checkpoint, HERE / "training.pth")
    module = torch.nn.Linear(3, 2)
    torch.save(module, HERE / "whole_module.pth")
    torch.save(module, HERE / "whole_legacy.pth", _use_new_zipfile_serialization=False)
    quantized = {name: others[name].dequantize().tolist() for name in ("quantized", "per_channel")}
    expected = {
        "every_dtype": {name: described(tensor) for name, tensor in tensors.items()},
        "values": {name: described(value) for name, value in others.items() if is_dense(value)},
        "quantized": quantized,
        "training": {name: described(tensor) for name, tensor in checkpoint["model"].items()},
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")


if __name__ == "__main__":
    main()
