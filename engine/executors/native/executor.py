"""NativeExecutor: a builder for each operation, the fastest of its candidates, and NumPy for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ...graph.plan import Plan, Step
from ..base import Program, Unit
from ..choices import Choices, key_of
from ..numpy import NumpyExecutor
from . import attention, convolution, pooling, rowwise
from .library import Library, load
from .program import NativeProgram, Scratch, Segment, scratch_for
from .work import Candidates, Shop, Work, builder_of

ROUNDS = 4  # timings of each candidate, of which the least counts
ENOUGH = 0.03  # seconds after which a candidate needs no further timing

BUILDERS: Mapping[str, Callable[[Step, Shop], Candidates]] = {
    "conv_nhwc": convolution.conv_candidates,
    "gemm": convolution.gemm_candidates,
    "affine_nhwc": rowwise.affine,
    "max_pool_nhwc": pooling.max_pool,
    "avg_pool_nhwc": pooling.average_pool,
    "mean_nhwc": pooling.mean,
    "softmax": rowwise.softmax,
    "layer_norm": rowwise.layer_norm,
    "scaled_dot_product_attention": attention.attention,
    "cat": rowwise.join,
    **dict.fromkeys(("permute", "getitem", "reshape", "expand", "clone", "contiguous"), rowwise.moved),
    **dict.fromkeys((*rowwise.PLAIN, *rowwise.WITH_ATTRIBUTES), rowwise.unary),
    **dict.fromkeys(rowwise.OPERATIONS, rowwise.binary),
}


class NativeExecutor:
    """Compute plans with the native kernels.

    `exact` leaves Winograd's algorithm out; `variant` names the kernels' vectors where the best are not wanted.
    Raises: NativeUnavailable where the kernels were not built.
    """

    name = "native"

    def __init__(self, threads: int = 1, exact: bool = False, variant: str | None = None) -> None:
        self.threads, self.exact = threads, exact
        self.library: Library = load(variant)
        self._shop = Shop(self.library, threads, exact)
        self._numpy = NumpyExecutor(threads=threads, exact=exact)

    def supports(self, step: Step) -> bool:
        """Whether a native kernel computes a step."""
        return builder_of(step, BUILDERS, self._shop) is not None

    def compile(self, plan: Plan, choices: Choices | None = None) -> Program:
        """Make a plan ready, timing candidates where `choices` has no answer yet."""
        choices = Choices() if choices is None else choices
        built: list[tuple[Step, str, list[Work]] | Unit] = [self._build(step, choices) for step in plan.steps]
        scratch = scratch_for((w for b in built if not isinstance(b, Unit) for w in b[2]), self.threads)
        units = [b if isinstance(b, Unit) else self._unit(*b, scratch) for b in built]
        return NativeProgram(plan, units)

    def _unit(self, step: Step, algorithm: str, works: list[Work], scratch: Scratch) -> Unit:
        return Unit(step, f"native {algorithm}", Segment(self.library, works, scratch))

    def _build(self, step: Step, choices: Choices) -> tuple[Step, str, list[Work]] | Unit:
        candidates = builder_of(step, BUILDERS, self._shop)
        if candidates is None:
            return self._numpy.unit(step, choices)
        algorithm = self._choose(step, candidates, choices)
        return step, algorithm, candidates[algorithm]()

    def _choose(self, step: Step, candidates: Candidates, choices: Choices) -> str:
        if len(candidates) == 1:
            return next(iter(candidates))
        key = key_of(step, f"{self.name} {self.library.variant}", self.threads, self.exact)
        chosen = choices.get(key)
        if chosen is None or chosen not in candidates:
            chosen = min(candidates, key=lambda name: self._seconds(candidates[name]()))
            choices.put(key, chosen)
        return chosen

    def _seconds(self, works: list[Work]) -> float:
        """The least time of some runs."""
        segment = Segment(self.library, works, scratch_for(works, self.threads))
        segment()
        best, spent = float("inf"), 0.0
        for _ in range(ROUNDS):
            start = time.perf_counter()
            segment()
            took = time.perf_counter() - start
            best, spent = min(best, took), spent + took
            if spent > ENOUGH:
                break
        return best
