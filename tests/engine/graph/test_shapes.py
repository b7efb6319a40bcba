"""Shapes that a graph declares, held against what its operations give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numserve.engine import ShapeError
from numserve.engine.dtype import float32, of
from numserve.engine.executors.native.executor import BUILDERS as NATIVE
from numserve.engine.executors.numpy.executor import BUILDERS, MOVES
from numserve.engine.graph import Extent, Graph, Node, Value
from numserve.engine.graph.plan import plan
from numserve.engine.graph.shapes import check_node, check_shapes, rule_of
from numserve.engine.ops import PRIMITIVES

from ..cases import CASES
from ..cases.case import Case

RULED = sorted(name for name in CASES if rule_of(name))


def node_of(name: str, case: Case) -> Node:
    inputs = tuple(
        Value(f"x{number}", o.shape, of(o)) if isinstance(o, np.ndarray) else o
        for number, o in enumerate(case.operands)
    )
    result = PRIMITIVES[name].run(*case.operands, **case.attributes)
    arrays = result if isinstance(result, tuple) else (np.asarray(result),)
    outputs = tuple(Value(f"y{number}", a.shape, of(a)) for number, a in enumerate(arrays))
    return Node(name, inputs, outputs, case.attributes, "layer1")


@pytest.mark.parametrize("name", RULED)
def test_what_primitives_give_is_accepted_and_nothing_else(name: str) -> None:
    for case in CASES[name]:
        node = node_of(name, case)
        check_node(node)
        first = node.outputs[0]
        for shape in ((*first.shape, 1), tuple(size + 1 for size in first.shape) or (2,)):
            with pytest.raises(ShapeError, match=r"layer1"):
                check_node(replace(node, outputs=(replace(first, shape=shape), *node.outputs[1:])))


def test_all_that_executors_compute_in_their_own_ways_has_a_rule() -> None:
    computed = {name.removesuffix("_act") for name in (*NATIVE, *BUILDERS, *MOVES)}
    assert not [name for name in computed if rule_of(name) is None]


SAME = {"stride": (1, 1), "padding": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1, "activation": ""}


def conv(x: Any, w: Any, b: Any, y: Any, **attributes: Any) -> Node:
    shapes = {"x": x, "w": w, "b": b, "y": y}
    x, w, b, y = (Value(name, shape, float32) for name, shape in shapes.items())
    return Node("conv_nhwc", (x, w, b, None, None, None), (y,), SAME | attributes, "stem")


def test_a_convolution_is_checked_through_and_through() -> None:
    check_node(conv((1, 8, 8, 4), (3, 3, 4, 6), (6,), (1, 8, 8, 6)))
    for wrong in (
        conv((1, 8, 8, 4), (3, 3, 4, 6), (6,), (1, 9, 8, 6)),
        conv((1, 8, 8, 4), (3, 3, 5, 6), (6,), (1, 8, 8, 6)),
        conv((1, 8, 8, 4), (3, 3, 4, 6), (5,), (1, 8, 8, 6)),
        conv((1, 8, 8, 4), (3, 3, 2, 6), (6,), (1, 8, 8, 6), groups=4),
        conv((1, 8, 8, 4), (11, 3, 4, 6), (6,), (1, 0, 8, 6)),
        conv((1, 8, 8, 4), (3, 3, 4, 6), (6,), (1, 8, 8, 6), stride=(0, 1)),
        conv((1, 8, 8, 4), (3, 3, 4, 6), (6,), (1, 8, 8, 6), padding=(1, 1, 1)),
        conv((8, 8, 4), (3, 3, 4, 6), (6,), (1, 8, 8, 6)),
    ):
        with pytest.raises(ShapeError, match="stem"):
            check_node(wrong)


def test_a_graph_is_checked_before_memory_is_laid_out() -> None:
    x, y = (Value(name, (Extent(1), size), float32) for name, size in (("x", 3), ("y", 4)))
    graph = Graph((x,), (y,), (Node("relu", (x,), (y,), {}, "act"),))
    for check in (check_shapes, lambda graph: plan(graph, 3)):
        with pytest.raises(ShapeError, match=r"relu of \(\d, 3\) \(layer act\) gives \(\d, 3\); met \(\d, 4\)"):
            check(graph)
