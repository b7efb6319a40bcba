"""Report, what a run of a compiled model does and how long each step takes, beside what the machine could do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..compiled import CompiledModel
from ..dtype import Array
from ..executors import ParallelProgram, Program
from ..executors.choices import cpu_model
from ..graph.layout import Layout
from ..graph.plan import Plan, Step
from .limits import Limits, measure

KINDS: Mapping[str, tuple[str, ...]] = {
    "convolution": ("conv", "conv_nhwc", "conv_transpose"),
    "product": ("gemm", "linear", "matmul", "bilinear"),
    "attention": ("scaled_dot_product_attention", "softmax", "log_softmax"),
    "recurrent": ("lstm", "gru", "rnn"),
    "pool": ("max_pool_nhwc", "avg_pool_nhwc", "mean_nhwc", "max_pool", "avg_pool"),
    "norm": ("affine_nhwc", "layer_norm", "batch_norm", "group_norm"),
    "move": ("reshape", "permute", "getitem", "expand", "cat", "clone", "contiguous", "cast", "embedding", "pad"),
}
ELEMENTWISE = "elementwise"
"""The kind of all that has none of these."""


@dataclass(frozen=True, slots=True)
class Line:
    """One step: what it does, from which steps it reads (-1: from the inputs), and how long it takes."""

    layer: str
    op: str
    kind: str
    what: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    algorithm: str
    seconds: float
    flops: int
    bytes: int
    sources: tuple[int, ...]

    @property
    def gflops(self) -> float:
        """Operations a second by the direct algorithm, in units of 10⁹."""
        return self.flops / self.seconds / 1e9

    @property
    def gbytes(self) -> float:
        """Bytes a second, each input and output counted once, in units of 10⁹."""
        return self.bytes / self.seconds / 1e9

    @property
    def shapes(self) -> str:
        """The shapes of what goes in, weights left out, and of what comes out."""
        alike = len(self.inputs) > 1 and len(set(self.inputs)) == 1
        given = f"{len(self.inputs)} of {_times(self.inputs[0])}" if alike else " ".join(map(_times, self.inputs))
        return f"{given} → {_times(self.output)}".strip()


@dataclass(frozen=True, slots=True)
class Report:
    """A model's run on one batch. Times are the least of several rounds; `parts` of it run at the same time."""

    title: str
    batch: int
    executor: str
    threads: int
    exact: bool
    cpu: str
    limits: Limits
    lines: tuple[Line, ...]
    seconds: float
    parts: int
    arena_bytes: int
    scratch_bytes: int
    weights_bytes: int

    @property
    def flops(self) -> int:
        """Operations of a run, by the direct algorithms."""
        return self.parts * sum(line.flops for line in self.lines)

    @property
    def steps_seconds(self) -> float:
        """The seconds of all steps together."""
        return sum(line.seconds for line in self.lines)

    def share(self, line: Line) -> float:
        """Of the roofline: the least time there could be to the time taken. Winograd and caches can make it over 1."""
        return self.limits.seconds(line.flops, line.bytes) / line.seconds

    @property
    def share_of_all(self) -> float:
        """Of the roofline, for all steps together."""
        return sum(self.limits.seconds(line.flops, line.bytes) for line in self.lines) / self.steps_seconds

    def by_kind(self) -> dict[str, float]:
        """The seconds of each kind of step, the longest first."""
        kinds: dict[str, float] = {}
        for line in self.lines:
            kinds[line.kind] = kinds.get(line.kind, 0.0) + line.seconds
        return dict(sorted(kinds.items(), key=lambda item: -item[1]))


def profile(compiled: CompiledModel, title: str, batch: int = 1, rounds: int = 10) -> Report:
    """Run a compiled model and measure it, and the machine.

    Raises: EngineError where the model runs eager.
    """
    program = compiled.program(batch)
    times = compiled.profile(batch, rounds)
    parts = program.programs if isinstance(program, ParallelProgram) else (program,)
    threads = compiled.threads if len(parts) == 1 else 1
    sources = sources_of(program.plan)
    lines = tuple(
        Line(
            layer=time.name, op=time.op, kind=kind_of(unit.step), what=described(unit.step),
            inputs=tuple(_moving(unit.step)), output=unit.step.output.shape, algorithm=time.algorithm,
            seconds=max(time.seconds, 1e-9), flops=time.flops, bytes=time.bytes, sources=sources[number],
        )
        for number, (unit, time) in enumerate(zip(program.units, times, strict=True))
    )  # fmt: skip
    return Report(
        title=title, batch=batch, executor=compiled.executor, threads=compiled.threads, exact=compiled.exact,
        cpu=cpu_model(), limits=measure(compiled.executor, threads), lines=lines,
        seconds=_run(program, compiled.sample(batch), compiled.threads, rounds), parts=len(parts),
        arena_bytes=sum(part.plan.memory.arena for part in parts), scratch_bytes=sum(part.scratch for part in parts),
        weights_bytes=program.plan.memory.constants,
    )  # fmt: skip


def sources_of(plan: Plan) -> list[tuple[int, ...]]:
    """The steps that each step reads from, -1 for the inputs; through views and joins that take no step."""
    layout = Layout.of(plan.graph.at(plan.batch))
    numbers = {id(node): number for number, node in enumerate(layout.running)}
    made: dict[str, frozenset[int]] = {value.name: frozenset({-1}) for value in layout.graph.inputs}
    for node in layout.graph.nodes:
        read = _union(made, node.values)
        for value in node.outputs:
            made[value.name] = frozenset({numbers[id(node)]}) if id(node) in numbers else read
    return [tuple(sorted(_union(made, node.values))) for node in layout.running]


def kind_of(step: Step) -> str:
    """What a step is counted as."""
    op = step.op.removesuffix("_act")
    return next((kind for kind, ops in KINDS.items() if op in ops), ELEMENTWISE)


def described(step: Step) -> str:
    """A step in a few words: conv 3x3/2 +residual relu."""
    words = [step.op.removesuffix("_nhwc").removesuffix("_act")]
    window = step.inputs[1].shape[:2] if step.op == "conv_nhwc" else step.attributes.get("kernel")  # type: ignore[union-attr]
    if isinstance(window, tuple):
        stride = step.attributes.get("stride", (1, 1))
        words.append(_times(window) + (f"/{max(stride)}" if max(stride) > 1 else ""))
    groups = step.attributes.get("groups", 1)
    if groups > 1:
        words.append("depthwise" if groups == step.inputs[0].shape[-1] else f"in {groups} groups")  # type: ignore[union-attr]
    if step.op in ("conv_nhwc", "gemm") and len(step.inputs) > 3 and step.inputs[3] is not None:
        words.append("+residual")
    return " ".join([*words, str(step.attributes.get("activation", "")).partition(":")[0]]).strip()


def _moving(step: Step) -> list[tuple[int, ...]]:
    """The shapes of the inputs that are no constants; a residual, which has the output's, left out."""
    pairs = list(zip(step.inputs, step.constant, strict=True))[: 1 if step.op in ("conv_nhwc", "gemm") else None]
    return [item.shape for item, constant in pairs if isinstance(item, np.ndarray) and not constant]


def _union(made: Mapping[str, frozenset[int]], values: object) -> frozenset[int]:
    return frozenset().union(*(made.get(value.name, frozenset()) for value in values))  # type: ignore[attr-defined]


def _run(program: Program, given: Sequence[Array], threads: int, rounds: int) -> float:
    """The least seconds of whole runs."""
    clock = time.thread_time if threads == 1 else time.perf_counter  # what others do at the time is not to count
    best = float("inf")
    for _ in range(2 * rounds):
        start = clock()
        program.run(given)
        best = min(best, clock() - start)
    return best


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "number"
