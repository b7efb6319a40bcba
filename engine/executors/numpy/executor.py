"""NumpyExecutor, which computes plans with NumPy alone: it times the ways to compute a step and keeps the fastest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from ...errors import EngineError
from ...graph.plan import Plan, Step
from ...ops import PRIMITIVES
from .. import blas
from ..base import Program, Unit
from ..choices import Choices, key_of
from ..packed import Packed
from ..threads import Pool
from .activation import function_of
from .attention import attention, matmul
from .convolution import Conv, by_columns, by_taps, pointwise
from .elementwise import BINARY, binary, clamp, copied, embedding, is_plain, is_unary, join, unary
from .pooling import mean, pool
from .products import gemm
from .recurrent import is_whole, recurrent
from .rowwise import affine, layer_norm, softmax
from .winograd import suits, winograd
from .workshop import Call, Candidates, Parts, Workshop

ROUNDS = 5
HOPELESS = 1.5  # times slower than the best: not worth another round
PRIMITIVE = "primitive"

Builder = Callable[[Step, Workshop], Candidates]


def conv(step: Step, shop: Workshop) -> Candidates:
    """The ways to compute a convolution of its geometry."""
    c = Conv.of(step)
    if c.is_pointwise:
        return pointwise(c, shop)
    if c.is_depthwise:
        return by_taps(c, shop)
    found = by_columns(c, shop)
    if suits(c) and not shop.exact:
        found |= winograd(c, shop)
    return found


BUILDERS: dict[str, Builder] = {
    "conv_nhwc": conv, "gemm": gemm, "affine_nhwc": affine, "max_pool_nhwc": pool, "avg_pool_nhwc": pool,
    "mean_nhwc": mean, "matmul": matmul, "scaled_dot_product_attention": attention, "layer_norm": layer_norm,
    "softmax": softmax, "log_softmax": softmax, "clamp": clamp,
    **dict.fromkeys(("lstm", "gru", "rnn"), recurrent),
    **{name + suffix: binary for name in BINARY for suffix in ("", "_act")},
}  # fmt: skip
MOVES: dict[str, Builder] = {
    "cat": join, "embedding": embedding,
    **dict.fromkeys(("reshape", "permute", "getitem", "expand", "clone", "contiguous", "cast"), copied),
}  # fmt: skip
# The inputs that are brought into other orders once, and so must be the same in every run.
FIXED = {
    "conv_nhwc": (1, 2, 4, 5), "gemm": (1, 2), "affine_nhwc": (1, 2),
    "lstm": (3, 4, 5, 6), "gru": (2, 3, 4, 5), "rnn": (2, 3, 4, 5),
}  # fmt: skip


class NumpyExecutor:
    """Computes every step there is; those without an algorithm here go through their primitive, which allocates."""

    name = "numpy"

    def __init__(self, threads: int = 1, exact: bool = False, pool: Pool | None = None) -> None:
        blas.hold_at_one_thread()
        self.threads, self.exact = threads, exact
        self.packed = Packed()
        self.pool = pool or (Pool(threads) if threads > 1 else None)

    def supports(self, step: Step) -> bool:
        """Whether there is an algorithm that allocates nothing."""
        return _builder(step) is not None

    def workshop(self) -> Workshop:
        """Scratch memory and helpers for the steps of one program."""
        return Workshop(self.pool, self.packed, self.exact)

    def candidates(self, step: Step, shop: Workshop) -> Candidates:
        """The ways to compute a step, by name."""
        builder = _builder(step)
        return builder(step, shop) if builder else {PRIMITIVE: partial(_through_primitive, step)}

    def compile(self, plan: Plan, choices: Choices | None = None) -> Program:
        """Choose an algorithm for every step, then build all of them over one piece of scratch memory."""
        choices = Choices() if choices is None else choices
        trial, shop = self.workshop(), self.workshop()
        units = []
        with np.errstate(all="ignore"):
            for step in plan.steps:
                name = self.choose(step, trial, choices)
                units.append(self.build(step, name, shop))
        return Program(plan, units, shop.scratch_bytes)

    def choose(self, step: Step, shop: Workshop, choices: Choices) -> str:
        """The fastest way, by memory or by trial."""
        candidates = self.candidates(step, shop)
        if len(candidates) == 1:
            return next(iter(candidates))
        key = key_of(step, self.name, self.threads, self.exact)
        known = choices.get(key)
        if known is None or known not in candidates:
            known = fastest(candidates, shop)
            choices.put(key, known)
        return known

    def build(self, step: Step, algorithm: str, shop: Workshop) -> Unit:
        """A step made ready by an algorithm."""
        return Unit(step, algorithm, shop.call(_built(self.candidates(step, shop)[algorithm], shop)))

    def unit(self, step: Step, shop: Workshop, choices: Choices) -> Unit:
        """A step made ready by the fastest algorithm, for executors that leave it to this one."""
        with np.errstate(all="ignore"):
            return self.build(step, self.choose(step, shop, choices), shop)


def fastest(candidates: Candidates, shop: Workshop) -> str:
    """The candidate with the least time of a few rounds; those far behind the best are given up early."""
    best, least = "", math.inf
    for name, make in candidates.items():
        call = shop.call(_built(make, shop))
        call()
        mine = math.inf
        for _ in range(ROUNDS):
            start = time.perf_counter()
            call()
            mine = min(mine, time.perf_counter() - start)
            if mine > HOPELESS * least:
                break
        if mine < least:
            best, least = name, mine
    return best


def _built(make: Callable[[], Parts], shop: Workshop) -> Parts:
    """The parts of a step, each thread's scratch memory being free before and after."""
    for bench in shop.benches:
        bench.clear()
    return make()


def _builder(step: Step) -> Builder | None:
    if step.op in MOVES and step.output.size:
        return MOVES[step.op]
    if not is_plain(step) or not step.output.size or not _known_activation(step):
        return None
    if step.op in ("lstm", "gru", "rnn") and not is_whole(step):
        return None
    if not all(step.constant[index] for index in FIXED.get(step.op, ())):
        return None
    return BUILDERS.get(step.op) or (unary if is_unary(step) else None)


def _known_activation(step: Step) -> bool:
    activation = step.attributes.get("activation", "")
    return not activation or function_of(activation) is not None


def _through_primitive(step: Step) -> Parts:
    primitive = PRIMITIVES.get(step.op)
    if primitive is None:
        raise EngineError(f"{step.op} (layer {step.name}): no primitive has this name")

    def run() -> None:
        try:
            result = primitive.run(*step.inputs, **step.attributes)
        except EngineError as error:
            raise type(error)(f"layer {step.name}: {error}") from error
        for target, source in zip(step.outputs, result if isinstance(result, tuple) else (result,), strict=True):
            np.copyto(target, source)

    calls: list[Call] = [run]
    return [calls]
