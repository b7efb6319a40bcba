"""Packed: made once as long as anybody sees it, and gone after that."""

import gc

import numpy as np
from numserve.engine.executors.packed import Packed
from numserve.engine.graph.memory import aligned


def made() -> np.ndarray:
    array = aligned((4, 6))
    array[...] = np.arange(24).reshape(4, 6)
    return array


def test_views_keep_what_they_see() -> None:
    packed, source = Packed(), np.zeros(3, np.float32)
    column = packed.get(source, "columns", made)[1:, None, 2]  # a view, of which NumPy forgets what it was taken of
    gc.collect()

    again = packed.get(source, "columns", made)

    assert np.shares_memory(again, column)
    np.testing.assert_array_equal(again, made())


def test_what_nobody_sees_is_made_anew() -> None:
    packed, source, counted = Packed(), np.zeros(3, np.float32), []
    packed.get(source, "x", lambda: counted.append(1) or made())
    gc.collect()
    packed.get(source, "x", lambda: counted.append(1) or made())

    assert len(counted) == 2


def test_kinds_and_sources_are_told_apart() -> None:
    packed, one, other = Packed(), np.zeros(3), np.zeros(3)
    held = [packed.get(one, "a", made), packed.get(one, "b", made), packed.get(other, "a", made)]

    assert not any(np.shares_memory(x, y) for x, y in zip(held, held[1:], strict=False))


def test_an_array_of_its_own_comes_back_as_it_is() -> None:
    packed, source = Packed(), np.zeros(3)
    array = packed.get(source, "x", lambda: np.arange(5.0))

    assert packed.get(source, "x", made) is array
