"""RNN, LSTM and GRU, as whole layers and as single cells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..functions import cat, stack
from ..ops import recurrent as ops
from ..tensor import Tensor, apply
from . import functional, init
from .module import Module
from .parameter import Parameter
from .sequence import PackedSequence, pack_padded_sequence, unpack

States = tuple[Tensor, ...]
_DEFAULTS = {
    "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False
}  # fmt: skip


class RNNBase(Module):
    """Layers in one or two directions; subclasses name the primitive, its gates and its states.

    Shapes: input (T, N, I), (N, T, I) with batch_first, (T, I) for one sequence, or a PackedSequence; states
    (layers · directions, N, H), zeros when left out. Gives the outputs of the last layer and the last states of all.
    """

    primitive: Any
    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        if hidden_size < 1 or num_layers < 1 or not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{type(self).__name__}: hidden_size {hidden_size}, num_layers {num_layers}, proj_size {proj_size}; "
                "expected sizes above 0 and a projection below the hidden size"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.proj_size = num_layers, proj_size
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                for name, size in self._sizes(layer).items():
                    self.register_parameter(name + suffix, Parameter.blank(size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Even numbers within one over the root of the hidden size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _suffixes(self, layer: int) -> tuple[str, ...]:
        return (f"_l{layer}", f"_l{layer}_reverse") if self.bidirectional else (f"_l{layer}",)

    def _sizes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The parameters of one layer in one direction."""
        state, gates = self.proj_size or self.hidden_size, self.gates * self.hidden_size
        inputs = state * (1 + self.bidirectional) if layer else self.input_size
        sizes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, inputs), "weight_hh": (gates, state)}
        if self.bias:
            sizes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        return sizes | ({"weight_hr": (self.proj_size, self.hidden_size)} if self.proj_size else {})

    def _weights(self, suffix: str) -> tuple[Tensor | None, ...]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return tuple(self._parameters.get(name + suffix) for name in names)

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _attributes(self) -> dict[str, Any]:
        return {}

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Outputs of the last layer, and the last states."""
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.array.ndim not in (2, 3) or input.array.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input of shape {input.array.shape}; "
                f"expected 2 or 3 dims, the last of size {self.input_size}"
            )
        single = input.array.ndim == 2
        x = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        states = None if hx is None else tuple(s.unsqueeze(1) if single else s for s in _as_tuple(hx))
        x, states = self._run(x, states, None)
        if single:
            return x.squeeze(1), self._as_given(tuple(s.squeeze(1) for s in states))
        return (x.transpose(0, 1) if self.batch_first else x), self._as_given(states)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        states, lengths = None if hx is None else _as_tuple(hx), packed.lengths
        if states is not None and packed.sorted_indices is not None:
            states = tuple(s[:, packed.sorted_indices] for s in states)
        x, states = self._run(unpack(packed), states, lengths)
        if packed.unsorted_indices is not None:
            states = tuple(s[:, packed.unsorted_indices] for s in states)
        return packed._replace(data=pack_padded_sequence(x, lengths).data), self._as_given(states)

    def _run(self, x: Tensor, states: States | None, lengths: tuple[int, ...] | None) -> tuple[Tensor, States]:
        """All layers over a time-major batch."""
        first = self._first_states(x, states)
        last: list[States] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = functional.dropout(x, self.dropout, self.training)
            outputs = []
            for way, suffix in enumerate(self._suffixes(layer)):
                here = [s[len(last)] for s in first]
                options = {**self._attributes(), "reverse": bool(way), "lengths": lengths}
                output, *after = apply(self.primitive, x, *here, *self._weights(suffix), **options)
                outputs.append(output)
                last.append(tuple(after))
            x = cat(outputs, 2) if len(outputs) > 1 else outputs[0]
        return x, tuple(stack(s) for s in zip(*last, strict=True))

    def _first_states(self, x: Tensor, states: States | None) -> States:
        layers, batch = self.num_layers * (1 + self.bidirectional), x.array.shape[1]
        shapes = [(layers, batch, size) for size in self._state_sizes()]
        if states is None:
            return tuple(Tensor(np.zeros(shape, x.array.dtype)) for shape in shapes)
        if [s.array.shape for s in states] != shapes:
            raise ShapeError(
                f"{type(self).__name__}: states of shapes {[s.array.shape for s in states]}; expected {shapes}"
            )
        return states

    def _as_given(self, states: States) -> Any:
        return states if len(self._state_sizes()) > 1 else states[0]

    def extra_repr(self) -> str:
        """Sizes, and what differs from the defaults."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"{name}={getattr(self, name)}" for name, value in _DEFAULTS.items() if getattr(self, name) != value]
        return ", ".join(parts)


class RNN(RNNBase):
    """Layers of h = tanh(…) or relu(…). Source: torch.nn.RNN."""

    primitive, gates = ops.rnn, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        self._check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity

    @staticmethod
    def _check_nonlinearity(nonlinearity: str) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity {nonlinearity!r}; expected 'tanh' or 'relu'")

    def _attributes(self) -> dict[str, Any]:
        return {"nonlinearity": self.nonlinearity}


class LSTM(RNNBase):
    """Long short-term memory; its states are (h, c). Source: torch.nn.LSTM."""

    primitive, gates = ops.lstm, 4

    def _weights(self, suffix: str) -> tuple[Tensor | None, ...]:
        return (*super()._weights(suffix), self._parameters.get(f"weight_hr{suffix}"))

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.proj_size or self.hidden_size, self.hidden_size)


class GRU(RNNBase):
    """Gated recurrent units. Source: torch.nn.GRU."""

    primitive, gates = ops.gru, 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)


class RNNCellBase(Module):
    """One step of one layer; subclasses name the primitive, its gates and the number of its states.

    Shapes: input (N, I) or (I), states (N, H) or (H), zeros when left out.
    """

    primitive: Any
    gates: int
    states = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih, self.weight_hh = Parameter.blank((rows, input_size)), Parameter.blank((rows, hidden_size))
        self.register_parameter("bias_ih", Parameter.blank((rows,)) if bias else None)
        self.register_parameter("bias_hh", Parameter.blank((rows,)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Even numbers within one over the root of the hidden size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _step(self, input: Tensor, hx: Any, *more: None, **attributes: Any) -> States:
        """The states after the input."""
        single = input.array.ndim == 1
        x = input.unsqueeze(0) if single else input
        if hx is None:
            zeros = Tensor(np.zeros((len(x), self.hidden_size), x.array.dtype))
            before: States = (zeros,) * self.states
        else:
            before = tuple(s.unsqueeze(0) if single else s for s in _as_tuple(hx))
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        _, *after = apply(self.primitive, x.unsqueeze(0), *before, *weights, *more, **attributes)
        return tuple(s.squeeze(0) if single else s for s in after)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of an RNN. Source: torch.nn.RNNCell."""

    primitive, gates = ops.rnn, 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        RNN._check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The state after the input."""
        return self._step(input, hx, nonlinearity=self.nonlinearity)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM. Source: torch.nn.LSTMCell."""

    primitive, gates, states = ops.lstm, 4, 2

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> States:
        """The states (h, c) after the input."""
        return self._step(input, hx, None)


class GRUCell(RNNCellBase):
    """One step of a GRU. Source: torch.nn.GRUCell."""

    primitive, gates = ops.gru, 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The state after the input."""
        return self._step(input, hx)[0]


def _as_tuple(states: Any) -> States:
    return states if isinstance(states, tuple) else tuple(states) if isinstance(states, list) else (states,)
