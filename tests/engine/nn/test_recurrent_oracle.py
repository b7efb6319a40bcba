"""Recurrent layers against torch: same state dict, same outputs and gradients."""

from types import ModuleType
from typing import Any

import pytest
from numserve.engine import Tensor, nn

from .oracle import agree, pair

pytestmark = pytest.mark.oracle


@pytest.fixture
def torch() -> ModuleType:
    module = pytest.importorskip("torch")
    module.manual_seed(3)
    return module  # type: ignore[no-any-return]


RECURRENT = [
    ("RNN", {}), ("RNN", {"nonlinearity": "relu", "bias": False}), ("LSTM", {}), ("GRU", {}), ("GRU", {"bias": False}),
    ("LSTM", {"num_layers": 3, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), RECURRENT)
@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 4)])
def test_recurrent_layers(name: str, options: dict[str, Any], shape: tuple[int, ...], torch: ModuleType) -> None:
    theirs, ours = pair(torch, name, 4, 3, **options)
    agree(theirs, ours, [torch.randn(shape).double()])


@pytest.mark.parametrize(("name", "options"), RECURRENT)
@pytest.mark.parametrize("lengths", [[5, 3, 1], [2, 5, 4]])
def test_packed_sequences(name: str, options: dict[str, Any], lengths: list[int], torch: ModuleType) -> None:
    first = options.get("batch_first", False)
    theirs, ours = pair(torch, name, 4, 3, **options)
    rows = 2 * options.get("num_layers", 1) if options.get("bidirectional") else 1
    states = [torch.randn(rows, 3, options.get("proj_size", 3)).double(), torch.randn(rows, 3, 3).double()]

    def call(layer: Any, x: Any, *states: Any) -> Any:
        rnn = nn.sequence if isinstance(x, Tensor) else torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=lengths[0] == 5)
        output, after = layer(packed, states if len(states) > 1 else states[0])
        return rnn.pad_packed_sequence(output, batch_first=first)[0], after

    agree(
        theirs,
        ours,
        [torch.randn(3, 5, 4).double() if first else torch.randn(5, 3, 4).double(), *states[: 1 + (name == "LSTM")]],
        call,
    )


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name: str, torch: ModuleType) -> None:
    theirs, ours = pair(torch, name, 4, 3)
    agree(theirs, ours, [torch.randn(2, 4).double()])
    agree(*pair(torch, name, 4, 3), [torch.randn(4).double()])
