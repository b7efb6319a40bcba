"""Makes tests/data/export: small programs as torch.export.save writes them, and results.pth with what they give.

Run in an environment with torch: `.venv-oracle/bin/python tests/data/make_export.py`
"""

from __future__ import annotations

import json
import math
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent / "export"


class Choosing(nn.Module):
    """cond, tied weights, bfloat16, buffers that change, constants, and a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.tied = self.linear
        self.narrow_one = nn.Parameter(torch.randn(4).to(torch.bfloat16))
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("fixed", torch.ones(4), persistent=False)

    def forward(self, x: Tensor, flag: bool = True, rest: Any = None) -> dict[str, Any]:
        self.count.add_(1)
        y = torch.cond(x.sum() > 0, lambda a: a + 1, lambda a: a - 1, (x,))
        y = self.tied(y) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + self.fixed
        return {"y": y, "z": [x.shape[0], self.narrow_one.float().sum() + x.new_zeros(1)]}


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.left, self.right = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        x = torch.cat([self.left(x) + x, F.hardswish(self.right(x))], 1)
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return F.softmax(self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)), dim=1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(16, 8)
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        b, n = ids.size(0), ids.size(1)
        x = self.words(ids) + self.places(torch.arange(n).unsqueeze(0))
        q, k, v = (m(x).view(b, n, 2, 4).permute(0, 2, 1, 3) for m in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1)) + (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e9
        x = self.norm(x + self.out((F.softmax(scores, -1) @ v).permute(0, 2, 1, 3).reshape(b, n, -1)))
        return F.gelu(x[:, 0])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True), nn.GRU(6, 3, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.lstm(x)
        z, h = self.gru(y)
        return z[:, -1], h


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


class Forms(nn.Module):
    """Arguments by name and in structures, no_grad, sizes, in-place changes of parts, a named tuple."""

    def forward(self, pair: list[Tensor], *, scale: Tensor, by: int = 3) -> Pair:
        x, y = pair
        with torch.no_grad():
            z = x * scale
        z = z.clone()
        z[:, 1:] += y[:, 1:]
        parts = torch.split(z, 2, dim=1)
        values, places = torch.topk(z, 2, dim=1)
        n = x.shape[0] * 2
        return Pair(parts[0].sum() * by + values.sum() + n, places.float() + torch.arange(n).sum())


class Counting(nn.Module):
    """while_loop."""

    def forward(self, x: Tensor) -> Tensor:
        def going(i: Tensor, v: Tensor) -> Tensor:
            return i < 4

        def step(i: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            return i + 1, v * 1.5

        return torch.ops.higher_order.while_loop(going, step, (torch.tensor(0), x), ())[1]


torch.utils._pytree._register_namedtuple(Pair, serialized_type_name="Pair")


def strip(path: Path) -> None:
    """Leave out where the source was and the sample inputs; keep records aligned to 64 bytes."""
    with zipfile.ZipFile(path) as archive:
        records = [(i.filename, archive.read(i)) for i in archive.infolist() if "/sample_inputs/" not in i.filename]
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in records:
            if "/models/" in name:
                content = json.dumps(bare(json.loads(content)), separators=(",", ":")).encode()
            info = zipfile.ZipInfo(name)
            padding = -(file.tell() + 30 + len(name) + 4) % 64
            info.extra = struct.pack("<2H", 0x4246, padding) + b"\0" * padding
            if "/models/" in name:
                info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)


def bare(item: Any) -> Any:
    if isinstance(item, dict):
        return {k: {} if k == "metadata" else bare(v) for k, v in item.items()}
    return [bare(v) for v in item] if isinstance(item, list) else item


def normal(*size: int) -> Tensor:
    return torch.randn(*size)


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    batch = torch.export.Dim("batch", min=1, max=64)

    def keep(name: str, module: nn.Module, inputs: list[tuple[Any, ...]], named: Any = None, **options: Any) -> None:
        decomposed = options.pop("decomposed", False)
        program = torch.export.export(module.eval(), inputs[0], named, **options)
        program = program.run_decompositions() if decomposed else program
        torch.export.save(program, HERE / f"{name}.pt2")
        run = torch.export.load(HERE / f"{name}.pt2").module()
        strip(HERE / f"{name}.pt2")
        outputs = [run(*args, **(named or {})) for args in inputs]
        results[name] = {"in": inputs, "named": named or {}, "out": [plain(o) for o in outputs]}

    keep("choosing", Choosing(), [(normal(3, 4),), (-torch.ones(3, 4),)])
    images, free = [(normal(2, 3, 16, 16),), (normal(5, 3, 16, 16),)], {"x": {0: batch}}
    keep("convolutions", Convolutions(), images, dynamic_shapes=free)
    keep("convolutions_decomposed", Convolutions(), images, dynamic_shapes=free, decomposed=True)
    words = (torch.randint(0, 20, (2, 6)), torch.tensor([[1] * 6, [1] * 4 + [0] * 2]))
    free = {"ids": {0: batch}, "mask": {0: batch}}
    keep("attention", Attention(), [words], dynamic_shapes=free)
    keep("attention_decomposed", Attention(), [words], dynamic_shapes=free, decomposed=True)
    keep("recurrent", Recurrent(), [(normal(2, 5, 4),)])
    keep("forms", Forms(), [([normal(3, 4), normal(3, 4)],)], {"scale": normal(4)})
    keep("counting", Counting(), [(normal(3),)])
    torch.save(results, HERE / "results.pth")


def plain(value: Any) -> Any:
    """A result as a checkpoint can hold it."""
    if isinstance(value, Tensor):
        return value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
