import numpy as np
import pytest
from numserve.engine import Tensor, nn
from numserve.engine.errors import EngineError, ShapeError
from numserve.engine.nn import utils


def parameters():
    made = [nn.Parameter(np.zeros((2, 2), np.float32)), nn.Parameter(np.zeros(2, np.float32))]
    made[0].grad, made[1].grad = Tensor(np.full((2, 2), 1.5, np.float32)), Tensor(np.full(2, 2.0, np.float32))
    return made


def test_gradients_are_clipped_together_by_their_norm():
    made = parameters()
    norm = utils.clip_grad_norm_(made, 1.0)
    assert norm.item() == pytest.approx(np.sqrt(17))
    assert made[0].grad.array[0, 0] == pytest.approx(1.5 / np.sqrt(17), rel=1e-4)


def test_small_gradients_are_left_alone():
    made = parameters()
    utils.clip_grad_norm_(iter(made), 100.0)
    assert made[1].grad.tolist() == [2, 2]


def test_the_largest_gradient_can_be_the_norm():
    assert utils.clip_grad_norm_(parameters(), 1.0, float("inf")).item() == 2


def test_a_norm_that_is_not_finite_can_be_refused():
    made = parameters()
    made[0].grad.array[0, 0] = np.nan
    with pytest.raises(EngineError, match="expected a finite one"):
        utils.clip_grad_norm_(made, 1.0, error_if_nonfinite=True)


def test_gradients_are_clipped_by_value():
    made = parameters()
    utils.clip_grad_value_(made, 1.75)
    assert made[0].grad.array.max() == 1.5 and made[1].grad.tolist() == [1.75, 1.75]


def test_parameters_go_into_a_vector_and_back():
    made = parameters()
    utils.vector_to_parameters(Tensor(np.arange(6, dtype=np.float32)), made)
    assert made[0].tolist() == [[0, 1], [2, 3]] and made[1].tolist() == [4, 5]
    assert utils.parameters_to_vector(made).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ShapeError, match="5 elements, too few"):
        utils.vector_to_parameters(Tensor(np.zeros(5)), made)
