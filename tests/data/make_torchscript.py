"""Makes tests/data/torchscript: small archives as PyTorch writes them, and results.pth with what they give.

Run in an environment with torch: `.venv-oracle/bin/python tests/data/make_torchscript.py`
"""

# What TorchScript reads is the older Python:
# ruff: noqa: B905, SIM108, UP006, UP007, UP031, UP035, UP045

from __future__ import annotations

import copy
import enum
import math
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent / "torchscript"


class Point(NamedTuple):
    x: Tensor
    n: int


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@torch.jit.script
class Counter:
    def __init__(self, n: int):
        self.n = n
        self.seen: List[int] = []

    def add(self, k: int) -> int:
        self.n += k
        self.seen.append(k)
        return self.n


class MyModule(nn.Module):
    """The example of PyTorch's introduction."""

    def __init__(self, n: int, m: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(n, m))
        self.linear = nn.Linear(m, m)

    def forward(self, input):
        if input.sum() > 0:
            output = self.weight.mv(input)
        else:
            output = self.weight + input
        return self.linear(output)


class Loops(nn.Module):
    def forward(self, x: Tensor, n: int = 3):
        for i in range(n):
            if bool((x.sum() > 10.0).item()):
                return x
            if i == 1:
                continue
            x = x * 2
            if i > 5:
                break
        k = 0
        while k < 4 and x.max() < 1000.0:
            x = x + k
            k += 1
        return -x


class Containers(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = {"a": 1.5, "b": 2.5}
        self.names = ["x", "y"]

    def forward(
        self, x: Tensor, d: Dict[str, Tensor], o: Optional[Tensor] = None
    ) -> Tuple[Tensor, Dict[str, List[Tensor]], List[int], Optional[str]]:
        out: Dict[str, List[Tensor]] = {}
        for k, v in d.items():
            if k not in out:
                out[k] = []
            out[k].append(v + x)
        numbers = [i * i for i in range(5)]
        if o is not None:
            x = x + o
        numbers.reverse()
        numbers.extend([7, 8])
        numbers.insert(0, 3)
        numbers.pop()
        numbers[0] = 9
        numbers.sort()
        a, b = numbers[1:3]
        for i, (name, m) in enumerate(zip(self.names, [1, 2])):
            x = x + i * m + len(name)
        keys = sorted(d.keys())
        x = x + self.table["a"] - self.table.get("b", 0.0)
        return x, out, numbers + [a, b] + [len(keys)], None if len(keys) > 3 else keys[0].upper()


class Indexing(nn.Module):
    def forward(self, x):
        parts = [x[0], x[:, 1:3], x[..., -1], x[x > 0].sum(), x[:, None], x[torch.tensor([0, 1])], x[:, ::2]]
        y = x.clone()
        y[0] = 5.0
        y[:, 1] += 2
        y[y > 1.0] = 0.5
        y[:, 2:] = x[:, 2:] * 3
        y[torch.tensor([1])] = x[torch.tensor([0])]
        z = x.t().contiguous().view(-1)
        z.add_(1.0)
        rows = x.unbind(0)
        return parts, y, z, x.reshape(2, -1), rows[1], torch.split(x, 2, dim=1)[0], x.chunk(2, 1)[1], x.T


class Aliases(nn.Module):
    def forward(self, x):
        y = x + 0
        first, whole = y[0], y.view(-1)
        first.mul_(2)
        whole[-1] = 7
        y.t()[1].add_(1)
        return y, first, whole, F.relu_(y.clone()), y.sigmoid_()


class Numbers(nn.Module):
    def forward(self, x, i: int, f: float, b: bool):
        whole = [
            i // 2,
            i % 3,
            -i // 2,
            -i % 3,
            int(i**2),
            i << 2,
            i ^ 1,
            int(f),
            int(x.sum().item()),
            abs(i),
            min(i, 3),
        ]
        real = [i / 2, f // 0.3, 2**-1, float(i), math.sqrt(f), math.log(f), math.pi, max(f, 1.0), round(f)]
        tensors = [x // 2, x % 2, torch.div(x, 2, rounding_mode="trunc"), torch.floor_divide(x, 2.0)]
        return whole, real, tensors, not b, float("inf"), -float("inf"), f"{i}-{f}", "%d" % i, str(f), str(1.0)


class Texts(nn.Module):
    def forward(self, t: str) -> List[str]:
        r = t.strip().lower().split(" ")
        r.append(t[::-1] if len(t) > 2 else t[1:])
        r.append("-".join(r))
        r.append(t.replace("a", "b"))
        r.append("é\n\"'\\")
        r.append(str(t.startswith("H")) + str(t.find("l")) + str(ord(t[0])) + chr(65))
        return r


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, h):
        h = torch.tanh(self.linear(x) + h)
        return h, h


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = nn.ModuleList([Cell() for _ in range(3)])
        inner = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(4))
        self.chain = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), inner)
        self.named = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
        self.gate = Gate()
        self.register_buffer("kept", torch.arange(4.0))
        self.tied = self.chain[0]

    def forward(self, x) -> Point:
        h = torch.zeros_like(x)
        for cell in self.cells:
            x, h = cell(x, h)
        x = self.chain(x) + self.kept
        y = x
        for k, m in self.named.items():
            y = y + m(x).sum() if k == "a" else y - m(x).sum()
        return Point(self.gate(self.tied(y)), int(x.size(0)))


class Objects(nn.Module):
    def forward(self, x, i: int):
        counter = Counter(i)
        counter.add(2)
        counter.add(3)
        point = Point(x, counter.n)
        color = Color.RED if i > 0 else Color.BLUE
        return point.x * point.n + len(counter.seen), color.value, point


class Checks(nn.Module):
    def forward(self, x):
        assert x.dim() == 2, f"need 2-d, got {x.dim()}"
        if x.size(1) != 4:
            raise ValueError("bad width")
        return F.pad(x, (1, 1), value=2.0)


class Exported(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0, 3.0]))

    @torch.jit.export
    def encode(self, x: Tensor) -> Tensor:
        return x * self.w

    def forward(self, x):
        return self.encode(x) + 1


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(1, dtype=torch.long))
        self.k = 0
        self.history = torch.jit.Attribute([], List[int])

    def forward(self, x):
        self.n += 1
        self.k += 1
        self.history.append(self.k)
        return x + self.n + self.k + len(self.history)


class Types(nn.Module):
    def forward(self, x):
        made = [
            torch.zeros(2, 3, dtype=torch.half, device=x.device), x.to(torch.int64), x.type_as(x.to(torch.int64)),
            torch.full([2], 3.0, dtype=torch.float64), torch.arange(0, 10, 2), torch.tensor([[1, 2], [3, 4]]),
            torch.tensor(3.5), torch.linspace(0, 1, 5), x.double().mean(), x.to(torch.bool),
            torch.ones_like(x, dtype=torch.uint8), torch.empty(0), torch.cat([x, x], 1),
            x.to(device="cpu", dtype=torch.float32, non_blocking=True),
            torch.where(x > 0, x, torch.zeros_like(x)), x.masked_fill(x < 0, -1.0), torch.einsum("ij,kj->ik", [x, x]),
            x.argmax(1), x.std(), torch.clamp(x, min=0.0, max=1.0), x.var(1, unbiased=False),
            torch.linalg.vector_norm(x, dim=1),
        ]  # fmt: skip
        best = torch.topk(x, 2)
        values, places = x.max(1)
        facts = [x.dtype == torch.float32, x.is_cuda, x.is_floating_point()]
        return made, best.values, best.indices, values, places, facts, x.numel(), list(x.shape)


class Decoder(nn.Module):
    """A loop that ends when the values say so."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)
        self.out = nn.Linear(4, 3)

    def forward(self, x, steps: int):
        h = torch.zeros(x.size(0), 4)
        ys: List[Tensor] = []
        t = 0
        while t < steps:
            h = self.cell(x, h)
            y = self.out(h)
            if (y.argmax(1) == 0).all():
                break
            ys.append(y)
            t += 1
        return torch.stack(ys) if len(ys) > 0 else torch.zeros(0), t


class Forms(nn.Module):
    """Rarer forms of the language."""

    def forward(self, x, y: Optional[Union[int, Tensor]] = None):
        if isinstance(y, Tensor):
            x = x + y
        with torch.no_grad():
            x = x * 2
        waited = torch.jit.wait(torch.jit.fork(torch.relu, x))
        listed: List[float] = x.tolist()
        del listed[0]
        doubled = {i: 2 * i for i in range(3)}
        pair = (1, 2, 3.0)[1:]
        x[0] = 1
        x[1:] += 3
        print(x.shape)
        return waited, listed, doubled, pair, x, float("nan"), [True, False], x.dtype, x.device == torch.device("cpu")


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate()
        self.gate.register_forward_pre_hook(before)
        self.gate.register_forward_hook(after)
        self.register_forward_hook(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x) * 2


def before(self, input: Tuple[Tensor]) -> Tuple[Tensor]:
    return (input[0] * 10,)


def after(self, input: Tuple[Tensor], output: Tensor) -> Tensor:
    return output + 100


class Convolutions(nn.Module):
    """A small network with most kinds of layers of images."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.left = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.right = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Hardswish(), nn.AvgPool2d(3, 1, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = torch.cat([self.left(x) + x, self.right(x)], 1)
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return F.softmax(self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), dim=1)


class Attention(nn.Module):
    """An encoder of its own making, whose trace computes with sizes."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 8), nn.Embedding(16, 8)
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.norm = nn.LayerNorm(8)

    def forward(self, ids, mask):
        b, n = ids.size(0), ids.size(1)
        x = self.words(ids) + self.places(torch.arange(n).unsqueeze(0))
        q, k, v = (m(x).view(b, n, 2, n // n * 4).permute(0, 2, 1, 3) for m in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.size(-1)) + (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e9
        x = self.norm(x + self.out((F.softmax(scores, -1) @ v).permute(0, 2, 1, 3).reshape(b, n, -1)))
        return F.gelu(x[:, 0])


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(6, 3, batch_first=True)

    def forward(self, ids):
        y, _ = self.lstm(self.words(ids))
        z, h = self.gru(y)
        return z[:, -1], h


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        return self.encoder(x)


def normal(*size: int) -> Tensor:
    return torch.randn(*size)


def cases() -> dict[str, tuple[nn.Module, list[tuple[Any, ...]]]]:
    """What is scripted, with inputs."""
    return {
        "mymodule": (MyModule(5, 5), [(torch.ones(5),), (-torch.ones(5),)]),
        "loops": (Loops(), [(torch.ones(3),), (torch.ones(3), 8), (-torch.ones(3), 2), (100 * torch.ones(3),)]),
        "containers": (
            Containers(), [(normal(2), {"p": normal(2), "q": normal(2)}), (normal(2), {"p": normal(2)}, normal(2))]
        ),
        "indexing": (Indexing(), [(normal(4, 4),)]),
        "aliases": (Aliases(), [(normal(3, 3),)]),
        "numbers": (Numbers(), [(5 * normal(3), 7, 2.7, True), (5 * normal(3), -7, 1.2, False)]),
        "texts": (Texts(), [(" Hello a world ",)]),
        "parts": (Parts().eval(), [(normal(3, 4),), (-normal(3, 4),)]),
        "objects": (Objects(), [(normal(2), 4), (normal(2), -4)]),
        "checks": (Checks(), [(normal(2, 4),)]),
        "exported": (Exported(), [(normal(2),)]),
        "stateful": (Stateful(), [(normal(2),), (normal(2),)]),
        "types": (Types(), [(normal(3, 4),)]),
        "decoder": (Decoder().eval(), [(normal(1, 4), 4), (normal(2, 4), 6)]),
        "hooked": (Hooked(), [(normal(3),), (-torch.ones(2),)]),
        "forms": (Forms(), [(normal(4), normal(4)), (normal(4), 3)]),
    }  # fmt: skip


def networks() -> dict[str, tuple[nn.Module, tuple[Any, ...]]]:
    """What is scripted, traced and frozen, with an input."""
    return {
        "convolutions": (Convolutions().eval(), (normal(2, 3, 16, 16),)),
        "attention": (Attention().eval(), (torch.randint(0, 20, (2, 6)), torch.tensor([[1] * 6, [1] * 4 + [0] * 2]))),
        "recurrent": (Recurrent().eval(), (torch.randint(0, 10, (2, 5)),)),
        "encoder": (Encoder().eval(), (normal(2, 5, 8),)),
    }


def plain(value: Any) -> Any:
    """A result as a checkpoint can hold it."""
    if isinstance(value, torch.Size) or (isinstance(value, list) and not isinstance(value, Tensor)):
        return [plain(v) for v in value]
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, torch.dtype):
        return str(value)
    return value


def strip(path: Path) -> None:
    """Leave out the records that say where the source was; the rest stays aligned to 64 bytes."""
    with zipfile.ZipFile(path) as archive:
        records = [(i, archive.read(i)) for i in archive.infolist() if not i.filename.endswith(".debug_pkl")]
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for info, content in records:
            kept = zipfile.ZipInfo(info.filename)
            kept.compress_type = info.compress_type
            padding = -(file.tell() + 30 + len(kept.filename) + 4) % 64
            kept.extra = struct.pack("<2H", 0x4246, padding) + b"\0" * padding
            archive.writestr(kept, content)


def main() -> None:
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    results: dict[str, Any] = {}

    def keep(name: str, program: Any, inputs: list[tuple[Any, ...]]) -> None:
        torch.jit.save(program, HERE / f"{name}.pt")
        strip(HERE / f"{name}.pt")
        fresh = torch.jit.load(HERE / f"{name}.pt")
        with torch.no_grad():
            outputs = [plain(fresh(*copy.deepcopy(args))) for args in inputs]
        results[name] = {"in": inputs, "out": outputs}

    for name, (module, inputs) in cases().items():
        keep(name, torch.jit.script(module), inputs)
    for name, (module, args) in networks().items():
        with torch.no_grad():
            keep(f"{name}_traced", torch.jit.trace(module, args, check_trace=False), [args])
            if name != "attention":  # a generator over layers cannot be scripted
                keep(f"{name}_scripted", torch.jit.script(module), [args])
                keep(f"{name}_frozen", torch.jit.freeze(torch.jit.script(module)), [args])
    torch.save(results, HERE / "results.pth")


if __name__ == "__main__":
    main()
