"""NativeExecutor: a builder for each operation, the fastest of its candidates, and NumPy for the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from ...graph.plan import Plan, Step
from ..base import Executor, Program, Unit
from ..builtin import executor_named
from ..choices import Choices, key_of
from . import attention, convolution, copies, pooling, recurrent, rowwise
from .library import Library, load
from .program import NativeProgram, Scratch, Segment, scratch_for
from .work import Candidates, Shop, Work, builder_of

ROUNDS = 3  # further timings of the candidates that come near the best, of which the least counts
NEAR, HOPELESS = 1.2, 2.0  # times the best so far: what is timed on, what is not timed twice
HUGE_BYTES = 1 << 27  # weights that drive themselves out of the caches

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
    "cat": copies.join,
    **dict.fromkeys(recurrent.GATES, recurrent.recurrent),
    **dict.fromkeys(("permute", "getitem", "reshape", "expand", "clone", "contiguous"), copies.moved),
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
        self._numpy: Executor | None = None

    def supports(self, step: Step) -> bool:
        """Whether a native kernel computes a step."""
        return builder_of(step, BUILDERS, self._shop) is not None

    def compile(self, plan: Plan, choices: Choices | None = None) -> Program:
        """Make a plan ready, timing candidates where `choices` has no answer yet."""
        choices = Choices() if choices is None else choices
        built: list[tuple[Step, str, list[Work]] | Unit] = [self._build(plan, step, choices) for step in plan.steps]
        scratch = scratch_for((w for b in built if not isinstance(b, Unit) for w in b[2]), self.threads)
        units = [b if isinstance(b, Unit) else self._unit(*b, scratch) for b in built]
        return NativeProgram(plan, units)

    def _unit(self, step: Step, algorithm: str, works: list[Work], scratch: Scratch) -> Unit:
        return Unit(step, f"native {algorithm}", Segment(self.library, works, scratch))

    def _build(self, plan: Plan, step: Step, choices: Choices) -> tuple[Step, str, list[Work]] | Unit:
        candidates = builder_of(step, BUILDERS, self._shop)
        if candidates is None:
            return self._left_to_numpy(replace(plan, steps=(step,)), choices)
        algorithm = self._choose(step, candidates, choices)
        with self._shop.packed.final():
            return step, algorithm, candidates[algorithm]()

    def _left_to_numpy(self, plan: Plan, choices: Choices) -> Unit:
        """The unit of a plan of one step, over the same buffers."""
        self._numpy = self._numpy or executor_named("numpy", threads=self.threads, exact=self.exact)
        return self._numpy.compile(plan, choices).units[0]

    def _choose(self, step: Step, candidates: Candidates, choices: Choices) -> str:
        if len(candidates) == 1:
            return next(iter(candidates))
        key = key_of(step, f"{self.name} {self.library.variant}", self.threads, self.exact)
        chosen = choices.get(key)
        if chosen is None or chosen not in candidates:
            chosen = self._fastest({name: make() for name, make in candidates.items()})
            choices.put(key, chosen)
        return chosen

    def _forget(self, work: Work) -> None:
        """Drop a step's weights from the caches: in a model's run other steps have driven them out since."""
        for constant in (c for c in work.cold if c.nbytes <= HUGE_BYTES):
            self.library.forget(constant.ctypes.data, constant.nbytes)

    def _fastest(self, candidates: Mapping[str, list[Work]]) -> str:
        """The one of the least time: all are run once, then those that came near the best some times more."""
        scratch = scratch_for((w for works in candidates.values() for w in works), self.threads)
        segments = {name: Segment(self.library, works, scratch) for name, works in candidates.items()}
        best: dict[str, float] = {}
        for name, segment in segments.items():
            best[name] = self._seconds(segment)
            if best[name] <= HOPELESS * min(best.values()):
                best[name] = min(best[name], self._seconds(segment))
        near = [name for name in best if best[name] <= NEAR * min(best.values())]
        for _ in range(ROUNDS if len(near) > 1 else 0):
            for name in near:
                best[name] = min(best[name], self._seconds(segments[name]))
        return min(best, key=best.__getitem__)

    def _seconds(self, segment: Segment) -> float:
        for work in segment.works:
            self._forget(work)
        start = time.perf_counter()
        segment()
        return time.perf_counter() - start
