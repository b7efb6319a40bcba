"""Plans compiled by the native executor: against the interpreter, over and over, with choices kept."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numserve.engine.dtype import float32
from numserve.engine.executors import Choices, Program, Unit
from numserve.engine.executors.native import NativeExecutor
from numserve.engine.executors.native import executor as module
from numserve.engine.executors.native.program import Segment
from numserve.engine.graph.interpret import interpret
from numserve.engine.graph.ir import Extent, Graph, Node, Value
from numserve.engine.graph.plan import Plan, plan
from numserve.engine.ops import PRIMITIVES
from numserve.engine.sharing import LARGE

from .steps import VARIANTS, Step, random

N = Extent(1)
SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "activation": "relu"}


def _value(name: str, *shape: int | Extent) -> Value:
    return Value(name, shape, float32)


@pytest.fixture
def graph() -> Graph:
    """A small network: a stem, two convolutions side by side, their concatenation, a pool, a mean and a product."""
    constants = {
        "w0": random(1, 3, 3, 3, 16), "b0": random(2, 16), "w1": random(3, 3, 3, 16, 24), "b1": random(4, 24),
        "w2": random(5, 1, 1, 16, 8), "b2": random(6, 8), "w3": random(7, 32, 10), "b3": random(8, 10),
    }  # fmt: skip
    x, v = _value("x", N, 3, 18, 18), {name: _value(name, *array.shape) for name, array in constants.items()}
    seen, stem = _value("seen", N, 18, 18, 3), _value("stem", N, 18, 18, 16)
    left, right, both = _value("left", N, 18, 18, 24), _value("right", N, 18, 18, 8), _value("both", N, 18, 18, 32)
    pooled, means, out = _value("pooled", N, 9, 9, 32), _value("means", N, 32), _value("out", N, 10)
    halves = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0)}
    nodes = (
        Node("permute", (x,), (seen,), {"dims": (0, 2, 3, 1)}),
        Node("conv_nhwc", (seen, v["w0"], v["b0"], None, None, None), (stem,), SAME, "stem"),
        Node("conv_nhwc", (stem, v["w1"], v["b1"], None, None, None), (left,), SAME, "left"),
        Node(
            "conv_nhwc", (stem, v["w2"], v["b2"], None, None, None), (right,), SAME | {"padding": (0, 0, 0, 0)}, "right"
        ),
        Node("cat", (left, right), (both,), {"dim": -1}),
        Node("max_pool_nhwc", (both,), (pooled,), halves),
        Node("mean_nhwc", (pooled,), (means,)),
        Node("gemm", (means, v["w3"], v["b3"], None), (out,), {"activation": ""}, "head"),
    )
    return Graph((x,), (out,), nodes, constants)


def _close(met: np.ndarray, graph: Graph, x: np.ndarray) -> None:
    (expected,) = interpret(graph, [x], len(x))
    np.testing.assert_allclose(met, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 3, 17])
def test_a_program_computes_what_the_interpreter_does(graph: Graph, variant: str, threads: int, batch: int) -> None:
    program = NativeExecutor(threads, variant=variant).compile(plan(graph, batch, threads), Choices())
    for seed in range(3):
        x = random(seed, batch, 3, 18, 18)
        _close(program.run([x])[0], graph, x)


def test_all_steps_in_a_row_are_one_call(graph: Graph) -> None:
    program = NativeExecutor().compile(plan(graph, 1), Choices())
    assert all(isinstance(unit.run, Segment) for unit in program.units)
    assert len(program._calls) == 1


def test_an_input_may_be_of_another_layout(graph: Graph) -> None:
    program = NativeExecutor().compile(plan(graph, 2), Choices())
    x = random(1, 2, 3, 18, 18)
    _close(program.run([np.asfortranarray(x)])[0], graph, x)


def test_what_lies_in_the_inputs_is_computed_after_a_run_too(graph: Graph) -> None:
    program = NativeExecutor().compile(plan(graph, 1), Choices())
    program.run([random(1, 1, 3, 18, 18)])
    x = random(2, 1, 3, 18, 18)
    np.copyto(program.inputs[0], x)
    program.execute()
    _close(program.outputs[0], graph, x)


def test_outputs_may_be_given(graph: Graph) -> None:
    program = NativeExecutor().compile(plan(graph, 2), Choices())
    x, out = random(1, 2, 3, 18, 18), np.empty((2, 10), np.float32)
    assert program.run([x], [out])[0] is out
    _close(out, graph, x)


def test_a_run_allocates_nothing(graph: Graph) -> None:
    program = NativeExecutor(threads=2).compile(plan(graph, 2, 2), Choices())
    x, out = random(1, 2, 3, 18, 18), [np.empty((2, 10), np.float32)]
    program.run([x], out)
    tracemalloc.start()
    for _ in range(20):
        program.run([x], out)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2000 and peak < 4000  # Python's own objects; no array


def test_choices_spare_the_timing(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = Choices()
    first = NativeExecutor().compile(plan(graph, 1), choices)
    monkeypatch.setattr(NativeExecutor, "_fastest", None)  # a further timing would fail
    again = NativeExecutor().compile(plan(graph, 1), choices)
    assert [u.algorithm for u in again.units] == [u.algorithm for u in first.units]
    assert any("winograd" in u.algorithm or "direct" in u.algorithm for u in again.units)


def test_exact_leaves_winograd_out_of_a_plan(graph: Graph) -> None:
    program = NativeExecutor(exact=True).compile(plan(graph, 1), Choices())
    assert not any("winograd" in unit.algorithm for unit in program.units)


def test_a_profile_names_every_step(graph: Graph) -> None:
    program = NativeExecutor(threads=2).compile(plan(graph, 1, 2), Choices())
    program.run([random(1, 1, 3, 18, 18)])
    times = program.profile(2)
    assert [time.op for time in times] == [step.op for step in program.plan.steps]
    assert all(0 < time.seconds < 1 for time in times)


def test_weights_are_packed_once_for_all_batches(graph: Graph) -> None:
    executor = NativeExecutor(exact=True)
    choices = Choices()
    programs = [executor.compile(plan(graph, batch), choices) for batch in (2, 2)]
    heads = [p.units[-1].run.works[0].arguments.weights for p in programs if isinstance(p.units[-1].run, Segment)]
    assert len(heads) == 2 and len(set(heads)) == 1


def test_large_weights_are_packed_in_one_way_alone() -> None:
    constants = {"w": random(1, 1024, 1 + LARGE // 4096), "b": random(2, 1 + LARGE // 4096)}
    x, out = _value("x", N, 1024), _value("out", N, 1 + LARGE // 4096)
    weights = [_value(name, *array.shape) for name, array in constants.items()]
    node = Node("gemm", (x, *weights, None), (out,), {"activation": ""})
    graph, executor = Graph((x,), (out,), (node,), constants), NativeExecutor()

    programs = [executor.compile(plan(graph, batch)) for batch in (1, 4, 9, 40)]
    packed = [unit.run.works[0].cold[0] for program in programs for unit in program.units]  # type: ignore[attr-defined]

    assert len(packed) == 4 and all(np.shares_memory(packed[0], other) for other in packed)


def test_an_input_that_is_copied_to_two_places_is_copied_to_both() -> None:
    x, out = _value("x", N, 4, 5), _value("out", N, 8, 5)
    graph = Graph((x,), (out,), (Node("cat", (x, x), (out,), {"dim": 1}),))
    program = NativeExecutor().compile(plan(graph, 1), Choices())
    given = random(1, 1, 4, 5)
    assert np.array_equal(program.run([given])[0], np.concatenate([given, given], axis=1))


class Primitives:
    """An executor that runs the primitives: what stands in for NumPy's here."""

    def compile(self, plan: Plan, choices: Choices) -> Program:
        def unit(step: Step) -> Unit:
            def run() -> None:
                np.copyto(step.output, PRIMITIVES[step.op].run(*step.inputs, **step.attributes))

            return Unit(step, "primitive", run)

        return Program(plan, [unit(step) for step in plan.steps])


def test_what_has_no_kernel_is_left_to_the_other_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "executor_named", lambda name, **_: Primitives())
    x, doubled, sines, out = (_value(name, N, 20) for name in ("x", "doubled", "sines", "out"))
    nodes = (
        Node("add", (x, x), (doubled,), {}, "first"),
        Node("sin", (doubled,), (sines,), {}, "second"),
        Node("relu", (sines,), (out,), {}, "third"),
    )
    graph = Graph((x,), (out,), nodes)
    program = NativeExecutor(threads=2).compile(plan(graph, 3, 2), Choices())
    assert [u.algorithm.split()[0] for u in program.units] == ["native", "primitive", "native"]
    _close(program.run([random(1, 3, 20)])[0], graph, random(1, 3, 20))
    assert [time.name for time in program.profile(1)] == ["first", "second", "third"]
