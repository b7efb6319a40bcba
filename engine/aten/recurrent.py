"""RNN, LSTM and GRU as operators: all layers at once with their parameters in a list, and single cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..functions import cat, stack
from ..nn import functional
from ..nn.sequence import PackedSequence, pack_padded_sequence, unpack
from ..ops import recurrent as ops
from ..ops.primitive import Primitive
from ..tensor import Tensor, apply
from .table import aten, enter

Maybe = Tensor | None
Tensors = Sequence[Tensor]


def _weights(params: Tensors, has_biases: bool, projected: bool) -> list[list[Maybe]]:
    """w_ih, w_hh, b_ih, b_hh (None where there are none) and w_hr, for each layer and direction."""
    count = 2 + 2 * has_biases + projected
    groups = [list(params[n : n + count]) for n in range(0, len(params), count)]
    return [[*g[:2], *(g[2:4] if has_biases else (None, None)), *g[2 + 2 * has_biases :]] for g in groups]


def _layers(
    primitive: Primitive, x: Tensor, states: Sequence[Tensor], weights: list[list[Maybe]], ways: int,
    dropout: float, lengths: tuple[int, ...] | None, **attributes: Any,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """All layers over a time-major batch, and their last states."""
    last: list[Sequence[Tensor]] = []
    for layer in range(len(weights) // ways):
        if layer and dropout:
            x = functional.dropout(x, dropout)
        outputs = []
        for way in range(ways):
            here = [s[len(last)] for s in states]
            options = {**attributes, "reverse": bool(way), "lengths": lengths}
            output, *after = apply(primitive, x, *here, *weights[len(last)], **options)
            outputs.append(output)
            last.append(after)
        x = cat(outputs, 2) if ways > 1 else outputs[0]
    return x, [stack(s) for s in zip(*last, strict=True)]


def _recurrent(primitive: Primitive, several: bool, **attributes: Any) -> Any:
    """(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first), and the packed form."""

    def run(input: Tensor, second: Any, third: Any, fourth: Any, *rest: Any) -> tuple[Tensor, ...]:
        packed = isinstance(fourth, (list, tuple))
        if packed:  # (data, batch_sizes, hx, params, has_biases, …)
            sequence = PackedSequence(input, second)
            hx, params, has_biases, lengths = third, fourth, rest[0], sequence.lengths
            _layers_count, dropout, train, bidirectional = rest[1:5]
            x, batch_first = unpack(sequence), False
        else:
            hx, params, has_biases, lengths = second, third, fourth, None
            _layers_count, dropout, train, bidirectional, batch_first = rest
            x = input.transpose(0, 1) if batch_first else input
        states = list(hx) if several else [hx]
        projected = several and states[0].size(2) != states[1].size(2)
        weights = _weights(params, has_biases, projected)
        if several and not projected:
            weights = [[*group, None] for group in weights]
        output, after = _layers(
            primitive, x, states, weights, 1 + bidirectional, dropout if train else 0.0, lengths, **attributes
        )
        if packed:
            assert lengths is not None
            output = pack_padded_sequence(output, lengths).data
        return (output.transpose(0, 1) if batch_first else output, *after)

    return run


enter("lstm", _recurrent(ops.lstm, True))
enter("gru", _recurrent(ops.gru, False))
enter("rnn_tanh", _recurrent(ops.rnn, False, nonlinearity="tanh"))
enter("rnn_relu", _recurrent(ops.rnn, False, nonlinearity="relu"))


def _cell(primitive: Primitive, x: Tensor, states: Tensors, weights: Sequence[Maybe], **attributes: Any) -> Any:
    """One time of one layer; the last states."""
    return apply(primitive, x.unsqueeze(0), *states, *weights, **attributes)[1:]


@aten("lstm_cell")
def _(
    input: Tensor, hx: Tensors, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe = None, b_hh: Maybe = None
) -> tuple[Tensor, ...]:
    return tuple(_cell(ops.lstm, input, hx, (w_ih, w_hh, b_ih, b_hh, None)))


@aten("gru_cell")
def _(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe = None, b_hh: Maybe = None) -> Any:
    return _cell(ops.gru, input, [hx], (w_ih, w_hh, b_ih, b_hh))[0]


@aten("rnn_tanh_cell")
def _(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe = None, b_hh: Maybe = None) -> Any:
    return _cell(ops.rnn, input, [hx], (w_ih, w_hh, b_ih, b_hh), nonlinearity="tanh")[0]


@aten("rnn_relu_cell")
def _(input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Maybe = None, b_hh: Maybe = None) -> Any:
    return _cell(ops.rnn, input, [hx], (w_ih, w_hh, b_ih, b_hh), nonlinearity="relu")[0]


@aten("_pack_padded_sequence")
def _(input: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
    packed = pack_padded_sequence(input, lengths, batch_first)
    return packed.data, packed.batch_sizes


@aten("_pad_packed_sequence")
def _(
    data: Tensor, batch_sizes: Tensor, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Tensor, Tensor]:
    sequence = PackedSequence(data, batch_sizes)
    padded = unpack(sequence, padding_value, total_length if total_length > 0 else None)
    lengths = Tensor([int(n) for n in sequence.lengths])
    return (padded.transpose(0, 1) if batch_first else padded), lengths
