"""Integrated gradients against what is known of them."""

import numpy as np
import pytest
from numserve import engine
from numserve.engine import nn
from numserve.handlers import PredictionException
from numserve.handlers.explaining import integrated_gradients


def test_a_linear_model_is_explained_by_its_weights():
    model = nn.Linear(3, 2)
    inputs = engine.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    explained = integrated_gradients(model, inputs, 1)
    np.testing.assert_allclose(explained.numpy(), (model.weight[1] * inputs).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_parts_add_up_to_the_difference_of_the_scores():
    engine.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5)).eval()
    inputs = engine.randn(2, 3, 8, 8)
    with engine.inference_mode():
        explained = integrated_gradients(model, inputs, 3, steps=200)
        expected = model(inputs)[:, 3] - model(engine.zeros_like(inputs))[:, 3]
    np.testing.assert_allclose(explained.numpy().sum((1, 2, 3)), expected.numpy(), rtol=0.02)


@pytest.mark.parametrize("target", [0, "0", bytearray(b"0")])
def test_a_target_may_come_from_a_form(target):
    model = nn.Linear(2, 1)
    assert integrated_gradients(model, engine.ones(1, 2), target).shape == (1, 2)


@pytest.mark.parametrize("target", [-1, 2, "cat", None, [1]])
def test_a_target_that_is_no_class_is_the_clients_mistake(target):
    with pytest.raises(PredictionException) as caught:
        integrated_gradients(nn.Linear(2, 2), engine.ones(1, 2), target)
    assert caught.value.error_code == 400


def test_a_model_with_one_number_a_row_needs_no_target():
    model = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    assert integrated_gradients(model, engine.ones(3, 2), "nonsense").shape == (3, 2)


@pytest.mark.oracle
def test_it_gives_what_the_same_sum_gives_in_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    ours.load_state_dict({name: engine.from_numpy(value.numpy()) for name, value in theirs.state_dict().items()})
    inputs = torch.randn(2, 4)
    expected = integrated_gradients(theirs, inputs, 2).numpy()
    np.testing.assert_allclose(
        integrated_gradients(ours, engine.from_numpy(inputs.numpy()), 2).numpy(), expected, rtol=1e-4, atol=1e-6
    )
