"""Archives whose JSON and bytes are changed at random: each loads, or is refused with a FormatError."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from numserve.engine import export

from ..damage import survive
from .archives import RESULTS, path_of, records_of, written

VALUES = [
    None,
    True,
    -1,
    0,
    1,
    7,
    1 << 40,
    -(1 << 70),
    0.5,
    "",
    "x",
    "as_tensor",
    "torch.ops.aten.relu.default",
    [],
    {},
    [[]],
]
ARCHIVES = {name: records_of(path_of(name)) for name in RESULTS}


def changed(item: Any, dice: random.Random) -> Any:
    """The item with one change somewhere within it."""
    if dice.random() < 0.1 or not isinstance(item, (dict, list)) or not item:
        return dice.choice(VALUES)
    if isinstance(item, dict):
        key = dice.choice(list(item))
        if dice.random() < 0.1:
            return {k: v for k, v in item.items() if k != key}
        if dice.random() < 0.1:
            return {(str(dice.choice(VALUES)) if k == key else k): v for k, v in item.items()}
        return {**item, key: changed(item[key], dice)}
    place = dice.randrange(len(item))
    if dice.random() < 0.2:
        return dice.choice([item[:place] + item[place + 1 :], item + item[place:], item[::-1]])
    return [changed(v, dice) if n == place else v for n, v in enumerate(item)]


def damaged(dice: random.Random) -> dict[str, bytes]:
    records = dict(ARCHIVES[dice.choice(list(ARCHIVES))])
    texts = [name for name in records if name.endswith(".json")]
    for _ in range(dice.choice([1, 1, 2, 4])):
        name = dice.choice(texts)
        if dice.random() < 0.8:
            try:
                records[name] = json.dumps(changed(json.loads(records[name]), dice)).encode()
            except ValueError:
                continue
        else:
            content = bytearray(records[name])
            content[dice.randrange(len(content))] = dice.randrange(256)
            records[name] = bytes(content)
    if dice.random() < 0.1:
        records.pop(dice.choice(list(records)))
    return records


def run(count: int, seed: str, path: Path) -> None:
    survive(count, seed, lambda dice: written(path, damaged(dice)), export.load)


def test_a_thousand_damaged_archives(tmp_path: Path) -> None:
    run(1000, "quick", tmp_path / "m.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_twenty_thousand_damaged_archives(part: int, tmp_path: Path) -> None:
    run(5000, f"slow {part}", tmp_path / "m.pt2")
