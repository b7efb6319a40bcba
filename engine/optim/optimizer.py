"""Optimizer: parameters in groups with their options, and a state a parameter; subclasses say what a step does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from ..autograd import enable_grad, no_grad
from ..dtype import Array
from ..errors import EngineError
from ..tensor import Tensor

Closure = Callable[[], Any]
Group = dict[str, Any]
State = dict[str, Any]


class Optimizer:
    """What all optimisers share: groups, state, zero_grad() and the state dict. Source: torch.optim.Optimizer.

    A subclass gives `update`: it finds its options in the parameter's group and keeps what it likes in `state`.
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        if isinstance(params, Tensor):
            raise TypeError("expected an iterable of tensors or of groups; met a single tensor: put it in a list")
        groups = list(params)
        if not groups:
            raise ValueError("there is nothing to optimise: the list of parameters is empty")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def update(self, parameter: Array, gradient: Array, state: State, group: Group) -> None:
        """Change the parameter in place, one step along its gradient."""
        raise NotImplementedError

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Take further parameters, with options of their own where given."""
        group = {**self.defaults, **param_group}
        group["params"] = _parameters(group["params"])
        known = {id(p) for g in self.param_groups for p in g["params"]}
        if any(id(p) in known for p in group["params"]):
            raise ValueError("a parameter stands in two groups; each may be in one only")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or make them zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else Tensor(np.zeros_like(p.grad.array))

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient; gives the closure's loss where there is one."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step_one(p, group)
        return loss

    def _step_one(self, parameter: Tensor, group: Group) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.array
        if group.get("maximize"):
            gradient = -gradient
        self.update(parameter.data.array, gradient, self.state[parameter], group)
        parameter.version[0] += 1

    def state_dict(self) -> dict[str, Any]:
        """Options and states as plain containers, parameters by number, as torch.save can keep them."""
        numbers = {id(p): i for i, p in enumerate(self._all())}
        groups = [{**g, "params": [numbers[id(p)] for p in g["params"]]} for g in self.param_groups]
        return {"state": {numbers[id(p)]: dict(s) for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options and states, of the same groups in the same order."""
        saved = state_dict["param_groups"]
        sizes, expected = [len(g["params"]) for g in saved], [len(g["params"]) for g in self.param_groups]
        if sizes != expected:
            raise EngineError(f"the state dict has groups of {sizes} parameters; this optimiser has {expected}")
        for group, there in zip(self.param_groups, saved, strict=True):
            group.update({k: deepcopy(v) for k, v in there.items() if k != "params"})
        numbers = [number for g in saved for number in g["params"]]
        states = {n: deepcopy(dict(s)) for n, s in state_dict["state"].items()}
        self.state = defaultdict(dict)
        for number, p in zip(numbers, self._all(), strict=True):
            if number in states:
                self.state[p] = states[number]

    def _all(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        groups = ({k: v for k, v in g.items() if k != "params"} for g in self.param_groups)
        return f"{type(self).__name__}({', '.join(map(str, groups))})"


def slot(state: State, name: str, like: Array) -> Array:
    """The array kept under a name, zeros at first."""
    if state.get(name) is None:
        state[name] = Tensor(np.zeros_like(like))
    array: Array = state[name].array
    return array


def count(state: State) -> int:
    """One more step; kept as a float32 tensor, as torch keeps it."""
    step = 1 + int(state["step"]) if "step" in state else 1
    state["step"] = Tensor(np.float32(step))
    return step


def check(**options: float) -> None:
    """Refuse a negative option by its name."""
    for name, value in options.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative; met {value}")


def check_betas(betas: tuple[float, float]) -> None:
    """Refuse decay rates outside 0 to 1."""
    if not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"both betas must be at least 0 and below 1; met {betas}")


def _parameters(params: Any) -> list[Tensor]:
    found = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
    for p in found:
        if not isinstance(p, Tensor):
            raise TypeError(f"optimisers change tensors; met {type(p).__name__}")
        if not p.is_leaf:
            raise ValueError("only leaves can be optimised; this tensor is the result of an operation")
    return found
