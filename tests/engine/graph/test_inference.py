"""Shapes and dtypes told before the work is done, for every case of every primitive."""

import numpy as np
import pytest
from numserve.engine import EngineError, ShapeError
from numserve.engine.graph.inference import BY_VALUES, ELEMENTWISE, RULES, VIEWS, outline, outlines_of
from numserve.engine.ops import PRIMITIVES

from ..cases import CASES

ALL = [pytest.param(name, case, id=f"{name}-{n}") for name, row in CASES.items() for n, case in enumerate(row)]


@pytest.mark.parametrize(("name", "case"), ALL)
def test_the_outline_is_that_of_the_result(name, case):
    met = PRIMITIVES[name](*case.operands, **case.attributes)
    results = met if isinstance(met, tuple) else (np.asarray(met),)
    if name in BY_VALUES or (name == "one_hot" and case.attributes.get("num_classes", -1) < 0):
        return

    operands = [outline(o.shape, o.dtype) if isinstance(o, np.ndarray) else o for o in case.operands]
    outlines = outlines_of(name, operands, case.attributes)

    assert [(o.shape, o.dtype) for o in outlines] == [(r.shape, r.dtype) for r in results]


def test_every_rule_is_of_a_primitive():
    assert (RULES.keys() | ELEMENTWISE | VIEWS | BY_VALUES) <= PRIMITIVES.keys()


def test_an_outline_takes_no_memory():
    huge = outline((1 << 20, 1 << 20), np.dtype(np.float32))

    (product,) = outlines_of("matmul", (huge, huge), {})

    assert product.shape == huge.shape and product.strides == (0, 0)


def test_what_the_values_decide_is_refused():
    with pytest.raises(EngineError, match="depends on the values"):
        outlines_of("nonzero", [outline((3,), np.dtype(np.float32))], {})
    with pytest.raises(ShapeError, match="inner sizes"):
        outlines_of("matmul", [outline((2, 3), np.dtype(np.float32)), outline((2, 3), np.dtype(np.float32))], {})
