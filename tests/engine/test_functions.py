"""The functions of the namespace, and the namespace itself."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numserve.engine as engine
import pytest
from numserve.engine import Tensor, arange, ones, tensor, zeros


def test_the_public_names_exist_once_and_in_order() -> None:
    assert sorted(set(engine.__all__)) == sorted(engine.__all__)
    assert [name for name in engine.__all__ if not hasattr(engine, name)] == []


@pytest.mark.parametrize("module", [engine.functions, engine.creation, engine.random])
def test_each_module_lists_its_names_in_order(module) -> None:  # type: ignore[no-untyped-def]
    assert module.__all__ == sorted(module.__all__)


def test_functions_are_methods() -> None:
    x = tensor([-1.0, 2.0])
    assert engine.abs(x).tolist() == [1.0, 2.0] and engine.softmax(x, dim=0).sum().item() == pytest.approx(1.0)
    assert engine.topk(x, 1).indices.tolist() == [1] and engine.max(x, 0).values.item() == 2.0


def test_joining() -> None:
    a, b = ones(2), zeros(2)
    assert engine.cat([a, b]).tolist() == engine.hstack([a, b]).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert engine.stack([a, b]).tolist() == engine.vstack([a, b]).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert engine.cat([tensor([1]), tensor([2.5])]).tolist() == [1.0, 2.5]


def test_where_chooses_or_finds() -> None:
    x = tensor([1.0, -1.0])
    assert engine.where(x > 0, x, 0).tolist() == [1.0, 0.0] and engine.where(x > 0, 1, 2.5).tolist() == [1.0, 2.5]
    assert engine.where(x > 0)[0].tolist() == [0]


def test_einsum_takes_a_list_or_several() -> None:
    a, b = ones(2, 3), ones(3, 4)
    assert engine.einsum("ij,jk->ik", a, b).equal(engine.einsum("ij,jk", [a, b]))
    with pytest.raises(engine.ShapeError, match="label 'j' has sizes 3 and 2"):
        engine.einsum("ij,jk", a, ones(2, 2))
    with pytest.raises(engine.ShapeError, match="has 1 operands; met 2"):
        engine.einsum("ij", a, b)


def test_broadcasting_and_grids() -> None:
    a, b = engine.broadcast_tensors(ones(2, 1), ones(3))
    assert a.shape == b.shape == engine.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert engine.broadcast_to(ones(1), (2, 2)).shape == (2, 2)
    rows, columns = engine.meshgrid(arange(2), arange(3), indexing="ij")
    assert rows.tolist() == [[0, 0, 0], [1, 1, 1]] and columns.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert engine.meshgrid(arange(2), arange(3), indexing="xy")[0].shape == (3, 2)


def test_places_in_order() -> None:
    edges = tensor([1.0, 3.0])
    assert engine.searchsorted(edges, tensor([1.0, 2.0]), right=True).tolist() == [1, 1]
    assert engine.searchsorted(edges, tensor([1.0]), side="right").tolist() == [1]
    assert engine.bucketize(tensor([0.0, 5.0]), edges).tolist() == [0, 2] and engine.bucketize(2.0, edges).item() == 1


def test_tables_and_classes() -> None:
    assert engine.embedding(tensor([1, 0]), tensor([[1.0], [2.0]])).tolist() == [[2.0], [1.0]]
    assert engine.one_hot(tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert engine.isin(tensor([1, 2]), tensor([2, 3])).tolist() == [False, True]


def test_distances_and_moments() -> None:
    a, b = tensor([[0.0, 0.0], [3.0, 4.0]]), zeros(1, 2)
    assert engine.cdist(a, b).tolist() == [[0.0], [5.0]] and engine.dist(a, zeros(2, 2)).item() == 5.0
    x, y = tensor([1.0, 0.0, 0.0]), tensor([0.0, 1.0, 0.0])
    assert engine.cross(x, y).tolist() == [0.0, 0.0, 1.0]
    assert [m.item() for m in engine.var_mean(tensor([1.0, 3.0]), correction=0)] == [1.0, 2.0]
    assert [m.item() for m in engine.std_mean(tensor([1.0, 3.0]), correction=0)] == [1.0, 2.0]
    assert engine.linear(ones(1, 2), ones(3, 2), ones(3)).tolist() == [[3.0, 3.0, 3.0]]


def test_questions() -> None:
    assert engine.is_tensor(ones(1)) and not engine.is_tensor(np.ones(1)) and engine.is_floating_point(ones(1))
    assert engine.allclose(ones(2), ones(2) + 1e-9) and not engine.equal(ones(2), zeros(2))
    assert engine.isclose(tensor([1.0, 2.0]), tensor([1.0, 3.0])).tolist() == [True, False]
    assert (
        engine.get_default_dtype() is engine.float32 and engine.promote_types(engine.int8, engine.uint8) is engine.int16
    )
    assert engine.can_cast(engine.int64, engine.float16) and not engine.can_cast(engine.float16, engine.int64)


def test_the_engine_is_imported_quickly_and_alone() -> None:
    script = (
        "import sys, numpy, time; before = time.perf_counter(); import numserve.engine; "
        "print([m for m in ('fastapi', 'torch', 'PIL', 'pydantic', 'numserve.engine.models') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
    example, names = page.partition("```python")[2].partition("```")[0], dict[str, Any]()
    exec(example, names)
    assert names["x"].grad.shape == (2, 2)


def test_results_are_tensors_of_the_plain_class() -> None:
    class Special(Tensor):
        pass

    assert type(Special(np.ones(2)) + 1) is Tensor
