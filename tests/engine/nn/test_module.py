import copy

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.errors import DeviceError


class Scale(nn.Module):
    def __init__(self, size=2):
        super().__init__()
        self.weight = nn.Parameter(np.arange(size, dtype=np.float32))
        self.register_buffer("count", Tensor(np.zeros((), np.int64)))

    def forward(self, x):
        return x * self.weight


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale(2)
        self.second = nn.Sequential(Scale(2), Scale(3))
        self.bias = nn.Parameter(np.ones(2, np.float32))


def test_parameters_have_dotted_names_in_order():
    names = [name for name, _ in Net().named_parameters()]
    assert names == ["bias", "first.weight", "second.0.weight", "second.1.weight"]


def test_a_shared_parameter_counts_once():
    net = Net()
    net.second[0].weight = net.first.weight
    assert [name for name, _ in net.named_parameters()] == ["bias", "first.weight", "second.1.weight"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert "second.0.weight" in net.state_dict()


def test_a_shared_module_is_visited_once():
    part = Scale()
    net = nn.Sequential(part, part)
    assert len(list(net.modules())) == 2
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1"]


def test_assigning_before_super_init_says_so():
    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(1, np.float32))

    with pytest.raises(AttributeError, match=r"before Early calls super\(\).__init__\(\)"):
        Early()


def test_reading_before_super_init_says_so():
    class Never(nn.Module):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"must call super\(\).__init__\(\)"):
        _ = Never().weight


def test_a_parameter_cannot_become_a_plain_tensor():
    with pytest.raises(TypeError, match="'weight' of Scale is a Parameter; met Tensor"):
        Scale().weight = Tensor(np.ones(2))


def test_a_parameter_may_become_none_and_back():
    scale = Scale()
    scale.weight = None
    assert list(scale.parameters()) == [] and scale.weight is None
    scale.weight = nn.Parameter(np.ones(2, np.float32))
    assert len(list(scale.parameters())) == 1


def test_a_buffer_may_become_another_tensor():
    scale = Scale()
    scale.count = Tensor(np.ones((), np.int64))
    assert scale.state_dict()["count"].item() == 1


def test_a_buffer_object_registers_itself():
    module = nn.Module()
    module.state = nn.Buffer(np.ones(2))
    module.scratch = nn.Buffer(np.ones(2), persistent=False)
    assert [name for name, _ in module.named_buffers()] == ["state", "scratch"]
    assert list(module.state_dict()) == ["state"]


def test_an_attribute_can_change_its_kind():
    module = nn.Module()
    module.part = None
    module.part = Scale()
    module.part = nn.Parameter(np.ones(1, np.float32))
    assert [name for name, _ in module.named_parameters()] == ["part"] and not list(module.children())


@pytest.mark.parametrize("name", ["", "a.b"])
def test_names_hold_no_dots_and_something(name):
    with pytest.raises(KeyError, match="cannot name a module"):
        nn.Module().add_module(name, Scale())


def test_a_taken_name_is_refused():
    with pytest.raises(KeyError, match="has an attribute 'forward' already"):
        Scale().register_buffer("forward", None)


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Scale' object has no attribute 'bias'"):
        _ = Scale().bias
    assert not hasattr(Scale(), "bias")


def test_deleting_a_part_forgets_it():
    net = Net()
    del net.first, net.bias
    assert [name for name, _ in net.named_parameters()] == ["second.0.weight", "second.1.weight"]


def test_calling_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"Module has no forward\(\)"):
        nn.Module()(1)


def test_train_and_eval_reach_all_parts():
    net = Net().eval()
    assert not any(module.training for module in net.modules())
    assert all(module.training for module in net.train().modules())


def test_apply_goes_from_the_leaves_up():
    seen = []
    Net().apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Scale", "Scale", "Scale", "Sequential", "Net"]


def test_half_changes_floating_tensors_alone():
    scale = Scale().half()
    assert scale.weight.dtype.name == "float16" and scale.count.dtype.name == "int64"
    assert isinstance(scale.weight, nn.Parameter)


def test_to_takes_a_device_and_a_dtype():
    scale = Scale()
    assert scale.to("cpu", Scale().double().weight.dtype) is scale
    assert scale.weight.dtype.name == "float64"


@pytest.mark.parametrize("move", [lambda m: m.to("cuda:0"), lambda m: m.to(device="mps"), lambda m: m.cuda()])
def test_other_devices_are_refused(move):
    with pytest.raises(DeviceError, match="CPU"):
        move(Scale())


def test_requires_grad_and_zero_grad_reach_all():
    net = Net()
    net.bias.grad = Tensor(np.ones(2, np.float32))
    net.zero_grad(set_to_none=False)
    assert net.bias.grad.tolist() == [0, 0]
    net.zero_grad()
    assert net.bias.grad is None
    assert not any(p.requires_grad for p in net.requires_grad_(False).parameters())


def test_hooks_change_arguments_and_result_until_removed():
    scale = Scale()
    before = scale.register_forward_pre_hook(lambda module, args: args[0] * 2)
    with scale.register_forward_hook(lambda module, args, result: result + 1):
        assert scale(Tensor(np.ones(2, np.float32))).tolist() == [1, 3]
    before.remove()
    before.remove()
    assert scale(Tensor(np.ones(2, np.float32))).tolist() == [0, 1]


def test_a_prepended_hook_runs_first():
    seen = []
    scale = Scale()
    scale.register_forward_hook(lambda *_: seen.append("second"))
    scale.register_forward_hook(lambda *_: seen.append("first"), prepend=True)
    scale(Tensor(np.ones(2, np.float32)))
    assert seen == ["first", "second"]


def test_a_hook_can_see_keyword_arguments():
    scale, seen = Scale(), []
    scale.register_forward_hook(lambda module, args, kwargs, result: seen.append(sorted(kwargs)), with_kwargs=True)
    scale(x=Tensor(np.ones(2, np.float32)))
    assert seen == [["x"]]


def test_get_submodule_follows_dots_or_names_the_parts():
    net = Net()
    assert net.get_submodule("second.1") is net.second[1]
    assert net.get_parameter("first.weight") is net.first.weight
    assert net.get_buffer("first.count") is net.first.count
    with pytest.raises(AttributeError, match="no part 'third'.*first, second"):
        net.get_submodule("third")


def test_a_deep_copy_is_apart_and_keeps_sharing():
    net = Net()
    net.second[0].weight = net.first.weight
    twin = copy.deepcopy(net)
    assert twin.second[0].weight is twin.first.weight
    twin.first.weight.array[:] = 7
    assert net.first.weight.tolist() == [0, 1]


def test_a_deep_copy_of_a_buffer_stays_what_it_was():
    module = nn.Module()
    module.scratch = nn.Buffer(np.ones(2), persistent=False)
    twin = copy.deepcopy(module)
    assert twin.scratch.tolist() == [1, 1] and not twin.scratch.persistent and not twin.state_dict()


def test_repr_shows_the_tree():
    assert repr(nn.Sequential(Scale(), nn.Sequential(Scale()))) == (
        "Sequential(\n  (0): Scale()\n  (1): Sequential(\n    (0): Scale()\n  )\n)"
    )


def test_a_module_list_repr_groups_equal_neighbours():
    assert repr(nn.ModuleList([Scale(), Scale(), nn.Module()])) == (
        "ModuleList(\n  (0-1): 2 x Scale()\n  (2): Module()\n)"
    )
