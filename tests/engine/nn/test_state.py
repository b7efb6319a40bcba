import copy
import mmap
from collections import OrderedDict

import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.errors import EngineError


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter.blank((2, 3))
        self.b = nn.Parameter.blank((2,))
        self.register_buffer("steps", Tensor(np.zeros((), np.int64)))
        self.register_buffer("scratch", Tensor(np.zeros(5)), persistent=False)


def weights():
    return OrderedDict(
        a=Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)),
        b=Tensor(np.ones(2, np.float32)),
        steps=Tensor(np.array(4)),
    )


def mapped(array, path):
    array.tofile(path)
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(memory, array.dtype).reshape(array.shape)


def test_what_goes_out_comes_in_again():
    source, target = Pair(), Pair()
    source.load_state_dict(weights())
    result = target.load_state_dict(source.state_dict())
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert target.a.tolist() == [[0, 1, 2], [3, 4, 5]] and target.steps.item() == 4
    assert repr(result) == "<All keys matched successfully>"


def test_the_state_dict_shares_memory_and_knows_versions():
    pair = Pair()
    state = pair.state_dict(prefix="x.")
    assert list(state) == ["x.a", "x.b", "x.steps"] and np.shares_memory(state["x.a"].array, pair.a.array)
    assert dict(state._metadata) == {"x": {"version": 1}}
    assert dict(nn.Sequential(Pair()).state_dict()._metadata) == {"": {"version": 1}, "0": {"version": 1}}


def test_loading_copies_what_lies_in_memory():
    pair, given = Pair(), weights()
    pair.load_state_dict(given)
    given["a"].array[:] = 9
    assert pair.a.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_loading_keeps_the_memory_that_others_see():
    pair = Pair()
    seen = pair.a.detach()
    pair.load_state_dict(weights())
    assert seen.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_assign_takes_the_tensors_themselves():
    pair, given = Pair(), weights()
    pair.load_state_dict(given, assign=True)
    assert pair.a.array is given["a"].array and isinstance(pair.a, nn.Parameter)


def test_assigning_keeps_shared_parameters_shared():
    table, back = nn.Embedding(4, 3), nn.Linear(3, 4, bias=False)
    back.weight = table.weight
    model = nn.Sequential(table, back)
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    assert table.weight is back.weight


def test_mapped_weights_are_used_where_they_lie(tmp_path):
    pair, given = Pair(), weights()
    given["a"] = Tensor(mapped(given["a"].array, tmp_path / "a"))
    pair.load_state_dict(given)
    assert np.shares_memory(pair.a.array, given["a"].array)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.data.array.fill(7),
        lambda p: p.fill(lambda array: array.fill(7)),
        lambda p: p.fill_from(np.full((2, 3), 7, np.float32)),
        lambda p: (p.accumulate(np.ones((2, 3), np.float32)), p.array.fill(7)),
    ],
)
def test_mapped_weights_are_copied_before_a_change(tmp_path, change):
    pair, given = Pair(), weights()
    given["a"] = Tensor(mapped(given["a"].array, tmp_path / "a"))
    pair.load_state_dict(given)
    change(pair.a)
    assert (pair.a.array == 7).all() and given["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_other_float_widths_are_cast():
    pair, given = Pair(), weights()
    given["b"] = Tensor(np.array([0.5, 2], np.float16))
    pair.load_state_dict(given)
    assert pair.b.dtype.name == "float32" and pair.b.tolist() == [0.5, 2]


def test_everything_that_does_not_fit_is_said_at_once():
    given = weights()
    del given["b"], given["steps"]
    given["a"] = Tensor(np.zeros((3, 2), np.float32))
    given["c"] = given["d"] = Tensor(np.zeros(1))
    with pytest.raises(EngineError) as error:
        Pair().load_state_dict(given)
    assert str(error.value) == (
        "the state dict does not fit Pair:\n"
        "  missing keys: b, steps\n"
        "  unexpected keys: c, d\n"
        "  size mismatch for a: the checkpoint has [3, 2], the model [2, 3]"
    )
    assert isinstance(error.value, RuntimeError)


def test_not_strict_still_minds_shapes():
    given = weights()
    del given["b"]
    given["c"] = Tensor(np.zeros(1))
    result = Pair().load_state_dict(given, strict=False)
    assert (result.missing_keys, result.unexpected_keys) == (["b"], ["c"])
    given["a"] = Tensor(np.zeros(1, np.float32))
    with pytest.raises(EngineError, match="size mismatch for a"):
        Pair().load_state_dict(given, strict=False)


def test_a_parallel_prefix_gets_a_hint():
    with pytest.raises(EngineError, match=r"removeprefix\('module.'\)"):
        Pair().load_state_dict({f"module.{key}": value for key, value in weights().items()})


def test_a_wrapped_state_dict_gets_a_hint():
    with pytest.raises(EngineError, match=r"load state\['state_dict'\]"):
        Pair().load_state_dict({"state_dict": weights(), "epoch": 3})


def test_something_else_under_a_key_is_named():
    with pytest.raises(EngineError, match="b: expected a tensor, met float"):
        Pair().load_state_dict({**weights(), "b": 1.5})


def test_something_else_than_a_mapping_is_named():
    with pytest.raises(TypeError, match="met Pair"):
        Pair().load_state_dict(Pair())


def test_a_part_can_rename_old_keys():
    class Renamed(Pair):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            state_dict[prefix + "b"] = state_dict.pop(prefix + "old")
            super()._load_from_state_dict(state_dict, prefix, *rest)

    given = OrderedDict((f"0.{key}", value) for key, value in weights().items())
    given["0.old"] = given.pop("0.b")
    model = nn.Sequential(Renamed())
    model.load_state_dict(given)
    assert model[0].b.tolist() == [1, 1] and "0.old" in given


def test_a_blank_parameter_is_filled_at_first_use():
    calls = []
    blank = nn.Parameter.blank((2,))
    blank.fill(lambda array: calls.append(array.fill(3)))
    assert blank.shape == blank.size() == (2,) and blank.numel() == blank.size(0) == 2
    assert blank.dtype.name == "float32" and not calls
    assert blank.tolist() == [3, 3] and blank.tolist() == [3, 3] and len(calls) == 1


def test_a_blank_parameter_is_never_filled_when_a_checkpoint_follows():
    pair = Pair()
    pair.a.fill(lambda array: pytest.fail("filled although the values were there"))
    pair.load_state_dict(weights())
    assert pair.a.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_mapped_weights_can_be_changed_in_place(tmp_path):
    pair, given = Pair().requires_grad_(False), weights()
    given["a"] = Tensor(mapped(given["a"].array, tmp_path / "a"))
    pair.load_state_dict(given)
    pair.a.zero_()
    assert (pair.a.array == 0).all() and given["a"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_files_from_before_num_batches_tracked_load():
    model = nn.Sequential(nn.BatchNorm2d(3))
    given = model.state_dict()
    del given["0.num_batches_tracked"], given._metadata["0"]
    model[0].num_batches_tracked.array += 5
    assert model.load_state_dict(given).missing_keys == []
    assert model[0].num_batches_tracked.item() == 0


def test_files_since_then_must_have_it():
    model = nn.Sequential(nn.BatchNorm2d(3))
    given = model.state_dict()
    del given["0.num_batches_tracked"]
    with pytest.raises(EngineError, match="missing keys: 0.num_batches_tracked"):
        model.load_state_dict(given)


def test_batch_norm_statistics_follow_training():
    norm = nn.BatchNorm1d(2, momentum=None)
    for value in (1.0, 3.0):
        norm(Tensor(np.array([[value, 0.0], [value, 2.0]])))
    assert norm.num_batches_tracked.item() == 2
    assert norm.running_mean.tolist() == [2, 1] and norm.running_var.tolist() == [0, 2]
