"""Finding the state_dict in what a checkpoint holds."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.errors import FormatError

W = Tensor(np.ones((2, 3), np.float32))


def test_a_plain_state_dict_is_given_as_one_to_change() -> None:
    original = OrderedDict({"a.weight": W})
    state = formats.state_dict_of(original)
    state["b"] = state.pop("a.weight")
    assert list(original) == ["a.weight"]
    assert type(state) is OrderedDict


@pytest.mark.parametrize("name", ["state_dict", "model", "model_state_dict"])
def test_a_state_dict_under_a_usual_name_is_found(name: str) -> None:
    state = formats.state_dict_of({name: OrderedDict({"weight": W}), "epoch": 3, "optimizer": {"state": {}}})
    assert state == {"weight": W}


def test_the_prefix_of_dataparallel_is_taken_off_names_and_versions() -> None:
    wrapped = OrderedDict({"module.conv.weight": W, "module.bias": W})
    wrapped.__dict__["_metadata"] = {"": {"version": 1}, "module": {"version": 3}, "module.conv": {"version": 2}}
    state: Any = formats.state_dict_of({"state_dict": wrapped})
    assert list(state) == ["conv.weight", "bias"]
    assert state._metadata == {"": {"version": 3}, "conv": {"version": 2}}


def test_a_prefix_that_not_all_names_have_stays() -> None:
    assert list(formats.state_dict_of({"module.a": W, "b": W})) == ["module.a", "b"]


def test_extra_state_may_be_of_any_type() -> None:
    assert formats.state_dict_of({"a": W, "bn._extra_state": {"x": 1}})["bn._extra_state"] == {"x": 1}


def test_an_empty_state_dict_is_one() -> None:
    assert formats.state_dict_of({}) == {}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (W, r"one tensor of shape \(2, 3\)"),
        ([W], "a list"),
        ({"epoch": 3, "net": {"w": W}}, r"'epoch' \(a int\), 'net' \(a dict\)"),
        ({"state_dict": 3}, "no state_dict among 'state_dict'"),
        ({"model": {"a": W}, "state_dict": {"b": W}}, "several state_dicts"),
        ({1: W}, "no state_dict"),
    ],
)
def test_anything_else_is_explained(value: Any, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        formats.state_dict_of(value)
