from collections import OrderedDict

import numpy as np
import pytest
from numserve.engine import Tensor, nn


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        return x + self.amount


def amounts(modules):
    return [module.amount for module in modules]


def test_sequential_calls_one_after_the_other():
    assert nn.Sequential(Add(1), Add(2))(Tensor(np.zeros(1))).item() == 3


def test_sequential_slices_keep_names():
    named = nn.Sequential(OrderedDict(a=Add(1), b=Add(2), c=Add(3)))
    assert list(named[1:]._modules) == ["b", "c"]
    assert named.a is named[0] and amounts(named[1:]) == [2, 3] and named[-1].amount == 3


def test_sequential_changes_in_place():
    row = nn.Sequential(Add(1)).append(Add(2)).extend([Add(3)]).insert(0, Add(0))
    row[1] = Add(9)
    del row[2]
    assert amounts(row) == [0, 9, 3] and list(row._modules) == ["0", "1", "2"]
    assert row.pop().amount == 3 and len(row) == 2
    assert amounts(row + nn.Sequential(Add(5))) == [0, 9, 5]


def test_an_index_too_far_says_how_many_there_are():
    with pytest.raises(IndexError, match="Sequential has 1 parts; met index 4"):
        nn.Sequential(Add(1))[4]


def test_module_list_is_a_list():
    modules = nn.ModuleList(Add(i) for i in range(4))
    assert amounts(modules[1:3]) == [1, 2] and modules[-1].amount == 3
    assert amounts(modules + [Add(7)]) == [0, 1, 2, 3, 7]
    assert [name for name, _ in modules.named_children()] == ["0", "1", "2", "3"]


def test_module_dict_is_a_dict():
    modules = nn.ModuleDict({"a": Add(1)})
    modules["b"] = Add(2)
    assert list(modules) == ["a", "b"] and "a" in modules and len(modules) == 2
    assert modules.pop("a").amount == 1 and amounts(modules.values()) == [2]
    with pytest.raises(KeyError, match="already"):
        modules["keys"] = Add(3)


def test_parameter_list_registers_what_it_gets():
    params = nn.ParameterList([nn.Parameter(np.ones(1, np.float32)), Tensor(np.zeros(2, np.float32))])
    assert [name for name, _ in params.named_parameters()] == ["0", "1"]
    assert params[1].requires_grad and len(params) == 2
    params[0] = Tensor(np.zeros(3, np.float32))
    assert [p.shape for p in params] == [(3,), (2,)]


def test_parameter_dict_registers_what_it_gets():
    params = nn.ParameterDict({"w": Tensor(np.zeros(2, np.float32))})
    assert list(params.state_dict()) == ["w"] and params["w"].requires_grad and "w" in params
