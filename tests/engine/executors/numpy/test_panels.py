"""Products by panels, of all sorts of sizes, against np.matmul."""

from __future__ import annotations

import numpy as np
import pytest
from numserve.engine.executors.numpy.panels import SMALL, depth_of, multiply, multiply_small, panels_of
from numserve.engine.executors.numpy.workshop import Bench, run_all
from numserve.engine.executors.packed import Packed

NUMBERS = np.random.default_rng(11)


def array(*shape: int) -> np.ndarray:
    return NUMBERS.standard_normal(shape, np.float32)


@pytest.mark.parametrize("width", [64, 32, 7])
@pytest.mark.parametrize("sizes", [(2, 5, 64), (49, 300, 130), (200, 70, 64), (33, 2048, 96), (5, 1030, 40)])
def test_products_by_panels(sizes: tuple[int, int, int], width: int) -> None:
    rows, depth, columns = sizes
    x, weight, packed = array(rows, depth), array(depth, columns), Packed()
    y = np.full((rows, columns + 9), 7, np.float32)[:, 4 : 4 + columns]
    panels = panels_of(weight, width, packed)

    run_all(multiply(x, panels, y, Bench(packed)))

    np.testing.assert_allclose(y, x @ weight, atol=1e-4 * depth**0.5)
    assert (y.base[:, :4] == 7).all() and (y.base[:, 4 + columns :] == 7).all()  # type: ignore[index]


def test_stacks_of_products_by_panels() -> None:
    x, weight, y, packed = array(36, 11, 48), array(36, 48, 70), np.empty((36, 11, 70), np.float32), Packed()

    run_all(multiply(x, panels_of(weight, 64, packed), y, Bench(packed)))

    np.testing.assert_allclose(y, x @ weight, atol=1e-4)


def test_panels_are_packed_once_and_made_of_prepared_weights() -> None:
    weight, packed, calls = array(20, 100), Packed(), []

    def prepare(part: np.ndarray) -> np.ndarray:
        calls.append(part.shape)
        return 2 * part

    panels = panels_of(weight, 32, packed, "twice", prepare)
    again = panels_of(weight, 32, packed, "twice", prepare)
    y = np.empty((3, 100), np.float32)
    run_all(multiply(np.ones((3, 20), np.float32), panels, y, Bench(packed)))

    assert calls == [(20, 32)] * 3 + [(20, 4)]
    assert all(np.shares_memory(one[1], other[1]) for one, other in zip(panels, again, strict=True))
    np.testing.assert_allclose(y, np.tile(2 * weight.sum(0), (3, 1)), atol=1e-4)


def test_rows_are_divided_evenly_or_not_at_all() -> None:
    assert [depth_of(rows) for rows in (1, 1024, 4608, 25088)] == [1, 1024, 576, 512]
    assert depth_of(1031) is None


@pytest.mark.parametrize("many", [1, 100, SMALL // 36 + 5])
def test_small_matrices_times_wide_ones(many: int) -> None:
    matrix, x = array(4, 6), array(2, 6, many)
    y = np.empty((2, 4, many), np.float32)

    run_all(multiply_small(matrix, x, y))

    np.testing.assert_allclose(y, matrix @ x, atol=1e-5)
