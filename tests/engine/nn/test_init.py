import math

import numpy as np
import pytest
from numserve.engine import Tensor, manual_seed, nn
from numserve.engine.errors import EngineError, ShapeError
from numserve.engine.nn import init


def blank(*shape):
    return Tensor(np.full(shape, 7, np.float32))


BOUNDS = {
    "uniform_": (lambda t: init.uniform_(t, -2, 3), 3.0),
    "xavier_uniform_": (lambda t: init.xavier_uniform_(t, 2.0), 2 * math.sqrt(6 / 500)),
    "kaiming_uniform_": (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(200)),
    "trunc_normal_": (lambda t: init.trunc_normal_(t, std=2.0), 2.0),
    "trunc_normal_ to a small part": (lambda t: init.trunc_normal_(t, std=20.0, a=-1.0, b=1.5), 1.5),
}
DEVIATIONS = {
    "normal_": (lambda t: init.normal_(t, 1.0, 3.0), 3.0),
    "xavier_normal_": (lambda t: init.xavier_normal_(t), math.sqrt(2 / 500)),
    "kaiming_normal_ of inputs": (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), math.sqrt(2 / 200)),
    "kaiming_normal_ of outputs": (
        lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
        math.sqrt(2 / 300),
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_values_fill_their_range(name):
    fill, bound = BOUNDS[name]
    array = fill(blank(300, 200)).array
    assert 0.98 * bound < array.max() <= bound + 1e-6 and array.min() < 0


@pytest.mark.parametrize("name", DEVIATIONS)
def test_values_have_their_deviation(name):
    fill, deviation = DEVIATIONS[name]
    assert fill(blank(300, 200)).array.std() == pytest.approx(deviation, rel=0.02)


def test_constants():
    assert init.zeros_(blank(2)).tolist() == [0, 0]
    assert init.ones_(blank(2)).tolist() == [1, 1]
    assert init.constant_(blank(2), 5).tolist() == [5, 5]
    assert init.eye_(blank(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_orthogonal_rows_are_at_right_angles():
    rows = init.orthogonal_(blank(3, 5), gain=2).array
    np.testing.assert_allclose(rows @ rows.T, 4 * np.eye(3), atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_weights_keep_the_input(groups):
    x = Tensor(np.random.default_rng(0).standard_normal((1, 4, 5, 5)).astype(np.float32))
    weight = init.dirac_(blank(4, 4 // groups, 3, 3), groups)
    np.testing.assert_allclose(nn.functional.conv2d(x, weight, padding=1, groups=groups).array, x.array)


def test_sparse_columns_have_their_zeros():
    assert ((init.sparse_(blank(10, 4), 0.3).array == 0).sum(axis=0) == 3).all()


def test_the_same_seed_gives_the_same_model_however_late_its_values_are_asked_for():
    manual_seed(4)
    early = nn.Linear(3, 2)
    values = early.weight.tolist(), early.bias.tolist()
    manual_seed(4)
    late = nn.Linear(3, 2)
    manual_seed(5)
    assert (late.weight.tolist(), late.bias.tolist()) == values


def test_the_last_initialiser_counts():
    layer = nn.Linear(3, 2)
    init.constant_(layer.weight, 2)
    init.zeros_(layer.bias)
    assert layer.weight.tolist() == [[2, 2, 2], [2, 2, 2]] and layer.bias.tolist() == [0, 0]
    init.ones_(layer.bias)
    assert layer.bias.tolist() == [1, 1]


def test_gains():
    assert init.calculate_gain("relu") == math.sqrt(2) and init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 1) == 1
    with pytest.raises(EngineError, match="no gain for 'swish'"):
        init.calculate_gain("swish")


def test_fans_need_a_matrix():
    with pytest.raises(ShapeError, match="2 dims or more"):
        init.xavier_uniform_(blank(3))
    with pytest.raises(EngineError, match="mode 'sideways'"):
        init.kaiming_normal_(blank(3, 3), mode="sideways")
