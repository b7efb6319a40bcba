"""The archives in tests/data/torchscript, what they give, and ways to make others of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numserve.engine import Tensor, formats, nn

HERE = Path(__file__).parents[2] / "data" / "torchscript"
RESULTS: dict[str, Any] = formats.load(HERE / "results.pth")


def path_of(name: str) -> Path:
    return HERE / f"{name}.pt"


def remade(source: Path, target: Path, changes: Mapping[str, Callable[[bytes], bytes] | None]) -> Path:
    """A copy of an archive with some records changed (named below the root), left out (None) or added."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        if change is None:
            records.pop(name, None)
        else:
            records[name] = change(records.get(name, b""))
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"{root}/{name}", content)
    return target


def program(target: Path, code: str, version: int = 10) -> Path:
    """An archive whose module is of class M in this code, without weights."""
    pickle = b"\x80\x02c__torch__\nM\n)\x81}X\x08\x00\x00\x00training\x89sb."
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("m/data.pkl", pickle)
        archive.writestr("m/code/__torch__.py", code)
        archive.writestr("m/constants.pkl", b"\x80\x02).")
        archive.writestr("m/version", f"{version}\n")
    return target


HEAD = "class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n  training : bool\n"


def body(*lines: str, takes: str = "x: Tensor") -> str:
    """A class M with these lines in its forward."""
    return f"{HEAD}  def forward(self: __torch__.M, {takes}) -> Tensor:\n" + "".join(f"    {line}\n" for line in lines)


class Nested(nn.Module):
    """Tensors in lists, dicts and tuples, one inside the other, and one by name."""

    def forward(self, pair: Any, parts: Any, *, more: Any) -> Tensor:
        (x, (y,)), named = pair, parts["inner"]
        return x * y + named[0] - named[1] * parts["outer"][0] + more["shift"]


def nested() -> tuple[tuple[Any, ...], dict[str, Any]]:
    a, b, c, d, e, f = (Tensor(np.full((2, 3), n + 1.0, np.float32)) for n in range(6))
    return ((a, [b]), {"inner": [c, d], "outer": [e]}), {"more": {"shift": f}}
