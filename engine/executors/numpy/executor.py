"""NumpyExecutor, which computes plans with NumPy alone: it times the ways to compute a step and keeps the fastest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ....blas import hold_at_one_thread
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
from .elementwise import BINARY, binary, clamp, is_plain, is_unary, unary
from .moves import can_move, chosen, copied, embedding, join, padded
from .pooling import mean, pool
from .products import gemm
from .race import Surroundings, built, fastest, reads_weights, sample
from .recurrent import is_whole, recurrent
from .reduction import REDUCTIONS, reduction
from .rowwise import affine, group_norm, layer_norm, rms_norm, softmax
from .winograd import share_of, suits, winograd
from .workshop import Call, Candidates, Parts, Workshop

PRIMITIVE = "primitive"

Builder = Callable[[Step, Workshop], Candidates]


def conv(step: Step, shop: Workshop) -> Candidates:
    """The ways to compute a convolution of its geometry."""
    c = Conv.of(step)
    if c.is_pointwise:
        return pointwise(c, shop)
    if c.is_depthwise:
        return by_taps(c, shop)
    found = winograd(c, shop) if suits(c) and not shop.exact else {}
    return found | by_columns(c, shop)


BUILDERS: dict[str, Builder] = {
    "conv_nhwc": conv, "gemm": gemm, "affine_nhwc": affine, "max_pool_nhwc": pool, "avg_pool_nhwc": pool,
    "mean_nhwc": mean, "matmul": matmul, "scaled_dot_product_attention": attention, "layer_norm": layer_norm,
    "softmax": softmax, "log_softmax": softmax, "clamp": clamp,
    "rms_norm": rms_norm, "group_norm": group_norm,
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("lstm", "gru", "rnn"), recurrent),
    **{name + suffix: binary for name in BINARY for suffix in ("", "_act")},
}  # fmt: skip
MOVES: dict[str, Builder] = {
    "cat": join, "stack": join, "embedding": embedding, "pad": padded, "where": chosen, "masked_fill": chosen,
    **dict.fromkeys(("reshape", "permute", "getitem", "expand", "clone", "contiguous", "cast", "flip"), copied),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), copied),
}  # fmt: skip
ALONE = "alone "  # before an algorithm that leaves a step to one thread of several: to wake another takes time, too
SMALL = 100_000_000  # operations up to which that may pay
# The inputs that are brought into other orders once, and so must be the same in every run.
FIXED = {
    "conv_nhwc": (1, 2, 4, 5), "gemm": (1, 2), "affine_nhwc": (1, 2), "layer_norm": (1, 2), "rms_norm": (1,),
    "lstm": (3, 4, 5, 6), "gru": (2, 3, 4, 5), "rnn": (2, 3, 4, 5),
}  # fmt: skip


class NumpyExecutor:
    """Computes every step there is; those without an algorithm here go through their primitive, which allocates."""

    name = "numpy"

    def __init__(self, threads: int = 1, exact: bool = False, pool: Pool | None = None) -> None:
        hold_at_one_thread()
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
        if builder is None:
            return {PRIMITIVE: partial(_through_primitive, step)}
        found = builder(step, shop)
        if shop.threads > 1 and step.flops <= SMALL:
            found |= {ALONE + name: make for name, make in builder(step, shop.alone).items()}
        return found

    def compile(self, plan: Plan, choices: Choices | None = None) -> Program:
        """Choose an algorithm for every step, then build all of them over one piece of scratch memory."""
        choices = Choices() if choices is None else choices
        trial, shop, around = self.workshop(), self.workshop(), Surroundings(plan.memory.constants)
        units = []
        with np.errstate(all="ignore"):
            for step in plan.steps:
                name, _built = self.choose(step, trial, choices, around)
                units.append(self.build(step, name, shop))
        return Program(plan, units, shop.scratch_bytes)

    def choose(self, step: Step, trial: Workshop, choices: Choices, around: Surroundings) -> tuple[str, Call | None]:
        """The fastest algorithm, as is remembered or found out now, and what keeps its packed weights until then."""
        candidates = self.candidates(step, trial)
        if len(candidates) == 1:
            return next(iter(candidates)), None
        key = key_of(step, self.name, self.threads, self.exact)
        known = choices.get(key)
        if known is not None and known in candidates:
            return known, None
        some = sample(step, self.threads)
        driven_out = around if reads_weights(some) else None
        name, call = fastest(self.candidates(some, trial), trial, partial(self._floor, some), driven_out)
        if name not in candidates:  # the size came to the same as another for some images, and does not for all
            name = next(n for n in candidates if n.rpartition(" ")[0] == name.rpartition(" ")[0])
        choices.put(key, name)
        return name, call

    def _floor(self, step: Step, algorithm: str) -> float:
        """The seconds that an algorithm must take at least, if all its multiplications are in products of matrices."""
        threads = 1 if algorithm.startswith(ALONE) else self.threads
        return step.flops * share_of(algorithm.removeprefix(ALONE)) / (blas.speed() * threads)

    def build(self, step: Step, algorithm: str, shop: Workshop) -> Unit:
        """A step made ready by an algorithm."""
        with self.packed.final():
            return Unit(step, algorithm, shop.call(built(self.candidates(step, shop)[algorithm], shop)))


def _builder(step: Step) -> Builder | None:
    if step.op in MOVES and step.output.size:
        return MOVES[step.op] if can_move(step) else None
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
