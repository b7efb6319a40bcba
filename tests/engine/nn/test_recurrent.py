"""Recurrent layers: directions, depth, batches and packed sequences agree with the plainest case."""

from typing import Any

import numpy as np
import pytest
from numserve import engine
from numserve.engine import ShapeError, Tensor, nn, randn

LAYERS = [
    pytest.param(nn.RNN, {}, id="rnn"),
    pytest.param(nn.RNN, {"nonlinearity": "relu"}, id="rnn relu"),
    pytest.param(nn.LSTM, {}, id="lstm"),
    pytest.param(nn.LSTM, {"proj_size": 2}, id="lstm projected"),
    pytest.param(nn.GRU, {}, id="gru"),
]
CELLS = [(nn.RNN, nn.RNNCell), (nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell)]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    engine.manual_seed(5)


def flat(result: tuple[Any, Any]) -> list[Tensor]:
    output, states = result
    return [output, *(states if isinstance(states, tuple) else (states,))]


def same(ones: Any, others: Any) -> None:
    for one, other in zip(ones, others, strict=True):
        assert one.shape == other.shape
        assert np.abs(one.array - other.array).max() < 1e-6


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_shapes_are_those_of_the_documentation(layer: Any, options: dict[str, Any]) -> None:
    output, *states = flat(layer(4, 3, num_layers=2, bidirectional=True, **options)(randn(5, 2, 4)))
    width = options.get("proj_size", 3)
    assert output.shape == (5, 2, 2 * width)
    assert [s.shape for s in states] == [(4, 2, width), (4, 2, 3)][: len(states)]


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_batch_first_only_swaps_dims(layer: Any, options: dict[str, Any]) -> None:
    one, other = layer(4, 3, **options), layer(4, 3, batch_first=True, **options)
    other.load_state_dict(one.state_dict())
    x = randn(5, 2, 4)
    output, *states = flat(other(x.transpose(0, 1)))
    same(flat(one(x)), [output.transpose(0, 1), *states])


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_a_sequence_without_a_batch_is_a_batch_of_one(layer: Any, options: dict[str, Any]) -> None:
    net = layer(4, 3, **options)
    x = randn(5, 4)
    same(flat(net(x)), [t.squeeze(1) for t in flat(net(x.unsqueeze(1)))])


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_a_sequence_in_two_parts_is_the_sequence(layer: Any, options: dict[str, Any]) -> None:
    net = layer(4, 3, num_layers=2, **options)
    x = randn(6, 2, 4)
    first, states = net(x[:2])
    second, after = net(x[2:], states)
    same(flat(net(x)), flat((engine.cat([first, second]), after)))


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_two_layers_are_one_after_the_other(layer: Any, options: dict[str, Any]) -> None:
    both = layer(4, 3, num_layers=2, **options)
    singles = [layer(4, 3, **options), layer(options.get("proj_size", 3), 3, **options)]
    for number, single in enumerate(singles):
        single.load_state_dict({k: both.state_dict()[k.replace("_l0", f"_l{number}")] for k in single.state_dict()})
    x = randn(5, 2, 4)
    middle, _ = singles[0](x)
    same([both(x)[0]], [singles[1](middle)[0]])


@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_the_way_back_is_a_layer_over_the_sequence_turned_round(layer: Any, options: dict[str, Any]) -> None:
    both, back = layer(4, 3, bidirectional=True, **options), layer(4, 3, **options)
    back.load_state_dict({name: both.state_dict()[f"{name}_reverse"] for name in back.state_dict()})
    x = randn(5, 2, 4)
    output, *_ = both(x)
    same([output[..., output.shape[-1] // 2 :]], [back(x.flip(0))[0].flip(0)])


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize(("layer", "options"), LAYERS)
def test_packed_sequences_are_each_run_by_itself(layer: Any, options: dict[str, Any], enforce_sorted: bool) -> None:
    lengths = [5, 3, 1] if enforce_sorted else [1, 5, 3]
    net = layer(4, 3, num_layers=2, bidirectional=True, **options)
    x = randn(5, 3, 4)
    start = [randn(4, 3, width) for width in ((options.get("proj_size", 3), 3) if layer is nn.LSTM else (3,))]
    given = tuple(start) if len(start) > 1 else start[0]
    packed = nn.sequence.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
    output, states = net(packed, given)
    padded, sizes = nn.sequence.pad_packed_sequence(output)
    assert sizes.tolist() == lengths
    for n, length in enumerate(lengths):
        alone = [s[:, n : n + 1] for s in start]
        expected = flat(net(x[:length, n : n + 1], tuple(alone) if len(alone) > 1 else alone[0]))
        same([padded[:length, n : n + 1], *(s[:, n : n + 1] for s in flat((output, states))[1:])], expected)
        assert not padded[length:, n].array.any()


@pytest.mark.parametrize(("layer", "cell"), CELLS)
def test_a_cell_is_one_step_of_a_layer(layer: Any, cell: Any) -> None:
    net, step = layer(4, 3), cell(4, 3)
    step.load_state_dict({name: net.state_dict()[f"{name}_l0"] for name in step.state_dict()})
    x = randn(2, 4)
    _, *states = flat(net(x.unsqueeze(0)))
    after = step(x)
    same(after if isinstance(after, tuple) else [after], [s[0] for s in states])
    alone = step(x[0], tuple(s[0, 0] for s in states) if layer is nn.LSTM else states[0][0, 0])
    again = step(x, tuple(s[0] for s in states) if layer is nn.LSTM else states[0][0])
    same(alone if isinstance(alone, tuple) else [alone], [s[0] for s in again] if layer is nn.LSTM else [again[0]])


def test_parameters_bear_pytorchs_names() -> None:
    net = nn.LSTM(4, 3, num_layers=2, bidirectional=True, proj_size=2)
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    assert list(net.state_dict()) == [f"{n}_{s}" for s in ("l0", "l0_reverse", "l1", "l1_reverse") for n in names]
    assert net.weight_ih_l1.shape == (12, 4) and net.weight_hr_l1.shape == (2, 3)
    assert list(nn.GRU(4, 3, bias=False).state_dict()) == ["weight_ih_l0", "weight_hh_l0"]
    assert list(nn.LSTMCell(4, 3).state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


def test_dropout_lies_between_layers_and_only_in_training() -> None:
    net, x = nn.GRU(4, 3, num_layers=2, dropout=0.5), randn(5, 2, 4)
    assert np.abs(net(x)[0].array - net(x)[0].array).max() > 0
    net.eval()
    same(net(x)[:1], net(x)[:1])


def test_gradients_reach_every_parameter_through_packing() -> None:
    net, x = nn.LSTM(4, 3, num_layers=2, bidirectional=True), randn(5, 2, 4, requires_grad=True)
    packed = nn.sequence.pack_padded_sequence(x, [5, 2])
    nn.sequence.pad_packed_sequence(net(packed)[0])[0].sum().backward()
    assert all(p.grad is not None and p.grad.array.any() for p in net.parameters())
    assert x.grad is not None and not x.grad.array[2:, 1].any() and x.grad.array[:2, 1].all()


def test_padding_and_packing_are_each_others_inverse() -> None:
    sequences = [randn(n, 2) for n in (2, 4, 3)]
    padded = nn.sequence.pad_sequence(sequences, batch_first=True, padding_value=-1)
    assert padded.shape == (3, 4, 2) and (padded.array[0, 2:] == -1).all()
    packed = nn.sequence.pack_padded_sequence(padded, [2, 4, 3], batch_first=True, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 3, 2, 1] and packed.data.shape == (9, 2)
    back, lengths = nn.sequence.pad_packed_sequence(packed, batch_first=True, padding_value=-1, total_length=5)
    same([back[:, :4]], [padded])
    assert lengths.tolist() == [2, 4, 3] and (back.array[:, 4] == -1).all()
    left = nn.sequence.pad_sequence(sequences, padding_side="left")
    same([left[2:, 0]], [sequences[0]])


def test_lengths_that_cannot_be_are_refused() -> None:
    x = randn(3, 2, 1)
    for lengths, message in (([3], "1 lengths"), ([4, 1], "expected 1 to 3"), ([0, 1], "from 0"), ([1, 3], "fall")):
        with pytest.raises(ShapeError, match=message):
            nn.sequence.pack_padded_sequence(x, lengths)
    with pytest.raises(ShapeError, match="total_length 1"):
        nn.sequence.pad_packed_sequence(nn.sequence.pack_padded_sequence(x, [3, 1]), total_length=1)


def test_what_does_not_fit_is_refused_with_its_shapes() -> None:
    net = nn.LSTM(4, 3)
    with pytest.raises(ShapeError, match=r"input of shape \(5, 2, 7\).*the last of size 4"):
        net(randn(5, 2, 7))
    with pytest.raises(ShapeError, match=r"states of shapes \[\(1, 1, 3\), \(1, 2, 3\)\]; expected \[\(1, 2, 3\)"):
        net(randn(5, 2, 4), (randn(1, 1, 3), randn(1, 2, 3)))
    with pytest.raises(ShapeError, match="at least one time"):
        net(randn(0, 2, 4))
    with pytest.raises(ValueError, match="'tanh' or 'relu'"):
        nn.RNN(4, 3, nonlinearity="sine")
    with pytest.raises(ValueError, match="projection below"):
        nn.LSTM(4, 3, proj_size=3)


def test_it_prints_what_differs_from_the_defaults() -> None:
    assert repr(nn.LSTM(4, 3, num_layers=2, bidirectional=True)) == "LSTM(4, 3, num_layers=2, bidirectional=True)"
    assert repr(nn.GRUCell(4, 3, bias=False)) == "GRUCell(4, 3, bias=False)"
