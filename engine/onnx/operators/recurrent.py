"""Recurrent layers: as our primitives where these have the same meaning, else time by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import FormatError
from ..calls import Call
from ..items import Item
from .table import operator

Function = Callable[[Item], Item]


class Layer:
    """What the three kinds of layer share: their inputs by direction, and their outputs put together."""

    def __init__(self, at: Call, x: Item, w: Item, r: Item, b: Item | None, lengths: Item | None, gates: int) -> None:
        self.at, self.gates, self.size = at, gates, r.shape[-1]
        self.layout = at.integer("layout", 0)
        self.x = at("permute", x, dims=(1, 0, 2)) if self.layout else x
        self.w, self.r, self.b = w, r, b
        self.directions = ["forward", "reverse"] if at.text("direction", "forward") == "bidirectional" else [
            at.text("direction", "forward")
        ]  # fmt: skip
        if len(self.directions) != w.shape[0]:
            raise FormatError(f"{len(self.directions)} directions, yet the weights are {w.shape}")
        self.lengths = self._lengths(lengths)
        self.clip = at.number("clip", None)

    def _lengths(self, given: Item | None) -> tuple[int, ...] | None:
        if given is None:
            return None
        counts = self.at.whole(given, "the sequences' lengths")
        return None if all(n == self.x.shape[0] for n in counts) else counts

    def state(self, given: Item | None, direction: int) -> Item:
        """The first state of a direction."""
        at = self.at
        if given is None:
            return at("expand", at.constant(0, self.x), shape=(self.x.shape[1], self.size))
        first = at("permute", given, dims=(1, 0, 2)) if self.layout else given
        return at("getitem", first, index=(direction,))

    def weights(self, direction: int, order: Sequence[int]) -> tuple[Item, Item, Item | None, Item | None]:
        """The weights and biases of a direction with their gates in another order."""
        at = self.at
        w, r = (self._ordered(at("getitem", i, index=(direction,)), order) for i in (self.w, self.r))
        if self.b is None:
            return w, r, None, None
        both = at("getitem", self.b, index=(direction,))
        half = self.gates * self.size
        parts = (at("getitem", both, index=(slice(n * half, (n + 1) * half),)) for n in (0, 1))
        of_input, of_state = (self._ordered(p, order) for p in parts)
        return w, r, of_input, of_state

    def _ordered(self, item: Item, order: Sequence[int]) -> Item:
        if list(order) == sorted(order):
            return item
        size = self.size
        return self.at(
            "cat", *(self.at("getitem", item, index=(slice(n * size, (n + 1) * size),)) for n in order), dim=0
        )

    def functions(self, direction: int, defaults: Sequence[str]) -> list[Function]:
        """The activations of a direction."""
        at, count = self.at, len(defaults)
        names = at.texts("activations", tuple(defaults) * len(self.directions))
        alphas, betas = list(at.numbers("activation_alpha", ())), list(at.numbers("activation_beta", ()))
        made = []
        for place, name in enumerate(names):
            alpha = alphas.pop(0) if name in _WITH_ALPHA and alphas else None
            beta = betas.pop(0) if name in _WITH_BETA and betas else None
            if direction * count <= place < (direction + 1) * count:
                made.append(_function(at, name, alpha, beta))
        return made

    @property
    def plain(self) -> bool:
        """Whether the activations are the usual ones, and nothing is clipped."""
        return not self.at.has("activations") and self.clip is None

    def clipped(self, x: Item) -> Item:
        """Sums of gates, kept between bounds where that is asked for."""
        return x if self.clip is None else self.at("clamp", x, min=-self.clip, max=self.clip)

    def times(self, direction: int) -> Sequence[int]:
        """The order in which a direction goes through time."""
        count = self.x.shape[0]
        return range(count - 1, -1, -1) if self.directions[direction] == "reverse" else range(count)

    def kept(self, t: int, new: Item, old: Item) -> Item:
        """The new state where a sequence is still going, else the old one."""
        if self.lengths is None:
            return new
        live = np.array(self.lengths)[:, None] > t
        return self.at("where", self.at.constant(live), new, old)

    def heard(self, t: int, output: Item) -> Item:
        """The output where a sequence is still going, else 0."""
        if self.lengths is None:
            return output
        live = np.array(self.lengths)[:, None] > t
        return self.at("where", self.at.constant(live), output, self.at.constant(0, output))

    def result(self, outputs: Sequence[Item], *states: Sequence[Item]) -> tuple[Item, ...]:
        """All outputs and the last states, with the directions beside one another."""
        at = self.at
        whole = at("stack", *outputs, dim=1)
        last = [at("stack", *parts, dim=0) for parts in states]
        if self.layout:
            whole = at("permute", whole, dims=(2, 0, 1, 3))
            last = [at("permute", item, dims=(1, 0, 2)) for item in last]
        return whole, *last


_WITH_ALPHA = {"LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Affine"}
_WITH_BETA = {"ScaledTanh", "HardSigmoid", "Affine"}


def _function(at: Call, name: str, alpha: float | None, beta: float | None) -> Function:
    """An activation by its name. Source: ONNX RNN-22, activations."""
    a, b = alpha, beta
    table: dict[str, Function] = {
        "Relu": lambda x: at("relu", x),
        "Tanh": lambda x: at("tanh", x),
        "Sigmoid": lambda x: at("sigmoid", x),
        "Softsign": lambda x: at("div", x, at("add", at("abs", x), 1)),
        "Softplus": lambda x: at("softplus", x),
        "LeakyRelu": lambda x: at("leaky_relu", x, negative_slope=0.01 if a is None else a),
        "ThresholdedRelu": lambda x: at("where", at("gt", x, 1.0 if a is None else a), x, at.constant(0, x)),
        "ScaledTanh": lambda x: at("mul", at("tanh", at("mul", x, 1.0 if b is None else b)), 1.0 if a is None else a),
        "HardSigmoid": lambda x: at(
            "clamp", at("add", at("mul", x, 0.2 if a is None else a), 0.5 if b is None else b), min=0.0, max=1.0
        ),
        "Elu": lambda x: at("elu", x, alpha=1.0 if a is None else a),
        "Affine": lambda x: at("add", at("mul", x, 1.0 if a is None else a), 0.0 if b is None else b),
    }
    if name not in table:
        raise FormatError(f"activation {name!r}; expected one of {', '.join(table)}")
    return table[name]


def _projected(at: Call, x: Item, weight: Item, *biases: Item | None) -> Item:
    result = at("linear", x, weight)
    for bias in biases:
        result = result if bias is None else at("add", result, bias)
    return result


def _gates(at: Call, x: Item, count: int) -> list[Item]:
    size = x.shape[-1] // count
    return [at.part(x, -1, n * size, (n + 1) * size) for n in range(count)]


@operator("RNN")
def rnn(at: Call, x: Item, w: Item, r: Item, b: Item | None = None, lengths: Item | None = None, first: Item | None = None) -> tuple[Item, ...]:  # fmt: skip  # noqa: E501
    """h = f(w x + r h + b)."""
    layer = Layer(at, x, w, r, b, lengths, gates=1)
    outputs, last = [], []
    for n, way in enumerate(layer.directions):
        h, (w_ih, w_hh, b_ih, b_hh) = layer.state(first, n), layer.weights(n, (0,))
        if layer.plain:
            output, h = at.several(
                "rnn", layer.x, h, w_ih, w_hh, b_ih, b_hh, nonlinearity="tanh", reverse=way == "reverse",
                lengths=layer.lengths,
            )  # fmt: skip
        else:
            (f,) = layer.functions(n, ("Tanh",))
            steps: dict[int, Item] = {}
            for t in layer.times(n):
                now = _projected(at, at("getitem", layer.x, index=(t,)), w_ih, b_ih, b_hh)
                new = f(layer.clipped(at("add", now, at("linear", h, w_hh))))
                steps[t], h = layer.heard(t, new), layer.kept(t, new, h)
            output = at("stack", *(steps[t] for t in sorted(steps)), dim=0)
        outputs.append(output)
        last.append(h)
    return layer.result(outputs, last)


@operator("GRU")
def gru(at: Call, x: Item, w: Item, r: Item, b: Item | None = None, lengths: Item | None = None, first: Item | None = None) -> tuple[Item, ...]:  # fmt: skip  # noqa: E501
    """Gates in the order z, r, h; ours come as r, z, n."""
    layer = Layer(at, x, w, r, b, lengths, gates=3)
    linear = at.flag("linear_before_reset")
    outputs, last = [], []
    for n, way in enumerate(layer.directions):
        h, (w_ih, w_hh, b_ih, b_hh) = layer.state(first, n), layer.weights(n, (1, 0, 2))
        if layer.plain and linear:
            output, h = at.several(
                "gru", layer.x, h, w_ih, w_hh, b_ih, b_hh, reverse=way == "reverse", lengths=layer.lengths
            )
        else:
            output, h = _gru_steps(layer, n, h, (w_ih, w_hh, b_ih, b_hh), linear)
        outputs.append(output)
        last.append(h)
    return layer.result(outputs, last)


def _gru_steps(
    layer: Layer, n: int, h: Item, weights: tuple[Item, Item, Item | None, Item | None], linear: bool
) -> tuple[Item, Item]:
    at, (w_ih, w_hh, b_ih, b_hh) = layer.at, weights
    f, g = layer.functions(n, ("Sigmoid", "Tanh"))
    size = layer.size
    r_r, r_z, r_n = (at("getitem", w_hh, index=(slice(k * size, (k + 1) * size),)) for k in range(3))
    biases = [None] * 3 if b_hh is None else [
        at("getitem", b_hh, index=(slice(k * size, (k + 1) * size),)) for k in range(3)
    ]  # fmt: skip
    steps: dict[int, Item] = {}
    for t in layer.times(n):
        x_r, x_z, x_n = _gates(at, _projected(at, at("getitem", layer.x, index=(t,)), w_ih, b_ih), 3)
        r = f(layer.clipped(at("add", x_r, _projected(at, h, r_r, biases[0]))))
        z = f(layer.clipped(at("add", x_z, _projected(at, h, r_z, biases[1]))))
        if linear:
            part = at("mul", r, _projected(at, h, r_n, biases[2]))
        else:
            part = _projected(at, at("mul", r, h), r_n, biases[2])
        new = at("add", x_n, part)
        new = g(layer.clipped(new))
        new = at("add", at("mul", at("sub", 1.0, z), new), at("mul", z, h))
        steps[t], h = layer.heard(t, new), layer.kept(t, new, h)
    return at("stack", *(steps[t] for t in sorted(steps)), dim=0), h


@operator("LSTM")
def lstm(at: Call, x: Item, w: Item, r: Item, b: Item | None = None, lengths: Item | None = None, first: Item | None = None, cell: Item | None = None, peephole: Item | None = None) -> tuple[Item, ...]:  # fmt: skip  # noqa: E501
    """Gates in the order i, o, f, c; ours come as i, f, g, o."""
    layer = Layer(at, x, w, r, b, lengths, gates=4)
    outputs, last, cells = [], [], []
    for n, way in enumerate(layer.directions):
        h, c, weights = layer.state(first, n), layer.state(cell, n), layer.weights(n, (0, 2, 3, 1))
        if layer.plain and peephole is None and not at.flag("input_forget"):
            output, h, c = at.several(
                "lstm", layer.x, h, c, *weights, None, reverse=way == "reverse", lengths=layer.lengths
            )
        else:
            output, h, c = _lstm_steps(layer, n, h, c, weights, peephole)
        outputs.append(output)
        last.append(h)
        cells.append(c)
    return layer.result(outputs, last, cells)


def _lstm_steps(
    layer: Layer, n: int, h: Item, c: Item, weights: tuple[Item, Item, Item | None, Item | None], peephole: Item | None
) -> tuple[Item, Item, Item]:
    at, (w_ih, w_hh, b_ih, b_hh) = layer.at, weights
    f, g, q = layer.functions(n, ("Sigmoid", "Tanh", "Tanh"))
    peeps: list[Item | None] = [None] * 3
    if peephole is not None:
        peeps = list(_gates(at, at("getitem", peephole, index=(n,)), 3))  # i, o, f

    def seen(gate: Item, state: Item, peep: Item | None) -> Item:
        return layer.clipped(gate if peep is None else at("add", gate, at("mul", peep, state)))

    steps: dict[int, Item] = {}
    for t in layer.times(n):
        now = _projected(at, at("getitem", layer.x, index=(t,)), w_ih, b_ih, b_hh)
        i, forget, new, o = _gates(at, at("add", now, at("linear", h, w_hh)), 4)
        i = f(seen(i, c, peeps[0]))
        forget = at("sub", 1.0, i) if at.flag("input_forget") else f(seen(forget, c, peeps[2]))
        cell = at("add", at("mul", forget, c), at("mul", i, g(layer.clipped(new))))
        output = at("mul", f(seen(o, cell, peeps[1])), q(cell))
        steps[t], h, c = layer.heard(t, output), layer.kept(t, output, h), layer.kept(t, cell, c)
    return at("stack", *(steps[t] for t in sorted(steps)), dim=0), h, c
