"""Archives with their code, pickles and bytes changed at random: each loads, or is refused with a FormatError."""

from __future__ import annotations

import io
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from numserve.engine import jit

from ..damage import survive
from .archives import HERE

SMALL = sorted(path for path in HERE.glob("*.pt") if path.stat().st_size < 9000)
Change = Callable[[bytearray, random.Random], None]
PIECES = [
    b"torch", b"ops.prim", b"(", b")", b"self", b"CONSTANTS.c9", b"__torch__", b"[", b"]", b"{", b"}", b":", b",",
    b"  ", b"\n", b"return ", b"if ", b"while True:\n", b"lambda x: x", b"import os\n", b"1" * 30, b"*", b"**",
    b".__class__", b'getattr(x, "__class__")', b"'", b'"', b"\\", b"=", b"==", b"def f():\n", b"class M(Module):\n",
    b"@", b"yield", b"None", b"-", b"not ", b"\0", b"\xff", b"a" * 300, b"\x80\x02", b"c", b"R", b"b.", b"}", b"(t",
]  # fmt: skip


def flip(content: bytearray, dice: random.Random) -> None:
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def scatter(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    content[start : start + dice.choice([1, 2, 5, 20])] = dice.randbytes(dice.choice([1, 2, 5, 20]))


def remove(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    del content[start : start + dice.choice([1, 2, 5, 20, 100])]


def insert(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    content[start:start] = dice.choice(PIECES)


def repeat(content: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(content))
    content[start:start] = content[start : start + 20] * dice.choice([1, 2, 50])


def swap_words(content: bytearray, dice: random.Random) -> None:
    words = list(re.finditer(rb"\w+", content))
    if words:
        here, there = dice.choice(words), dice.choice(words)
        content[here.start() : here.end()] = there.group()


CHANGES: list[Change] = [flip, scatter, remove, insert, repeat, swap_words]


def damaged(path: Path, dice: random.Random) -> bytes:
    """An archive with a few changes in the records that are read, and some in the file as a whole."""
    with zipfile.ZipFile(path) as archive:
        records = [(name, bytearray(archive.read(name))) for name in archive.namelist()]
    read = [content for name, content in records if content and name.endswith((".py", ".pkl", "version", "byteorder"))]
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        content = dice.choice(read)
        if content:
            dice.choice(CHANGES)(content, dice)
    if dice.random() < 0.05:
        records.pop(dice.randrange(len(records)))
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in records:
            archive.writestr(name, bytes(content))
    whole = bytearray(out.getvalue())
    for _ in range(dice.choice([0] * 9 + [3])):
        flip(whole, dice)
    return bytes(whole)


def run(count: int, seed: str, path: Path) -> None:
    def made(dice: random.Random) -> Path:
        path.write_bytes(damaged(dice.choice(SMALL), dice))
        return path

    survive(count, seed, made, jit.load)


def test_a_thousand_damaged_archives(tmp_path: Path) -> None:
    run(1000, "quick", tmp_path / "m.pt")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_twenty_thousand_damaged_archives(part: int, tmp_path: Path) -> None:
    run(5000, f"slow {part}", tmp_path / "m.pt")
