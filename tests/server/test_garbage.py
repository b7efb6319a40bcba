"""Garbage: models that stay are set aside from Python's collector, and those that go are collected all the same."""

import gc
import weakref

import pytest
from numserve.server.garbage import FEW, Garbage


class Model:
    """What only the collector can free."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def garbage():
    before = gc.get_freeze_count()
    yield Garbage()
    if not before:
        gc.unfreeze()


def test_a_few_models_change_nothing(garbage):
    before = gc.get_freeze_count()
    for _ in range(FEW - 1):
        garbage.come()
        garbage.gone()
    assert gc.get_freeze_count() == before


def test_many_are_set_aside_and_collected_once_many_have_gone(garbage):
    models = [Model() for _ in range(6 * FEW)]
    seen = [weakref.ref(model) for model in models]
    for _ in models:
        garbage.come()
    models.clear()
    gc.collect()
    assert all(ref() for ref in seen)
    for _ in range(FEW):
        garbage.gone()
    assert all(ref() for ref in seen), "a sixth is not many"
    for _ in range(FEW):
        garbage.gone()
    assert not any(ref() for ref in seen)
