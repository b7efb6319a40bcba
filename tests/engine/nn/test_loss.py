"""Losses: how they are reduced, weighed and refused; their values element by element are in the table of cases."""

from typing import Any

import numpy as np
import pytest
from numserve.engine import DtypeError, ShapeError, Tensor, nn, randn, tensor

F = nn.functional
SCORES = tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0], [2.0, 2.0, 2.0], [-1.0, 0.0, 1.0]])
CLASSES = tensor([1, 2, 0, -100])
LOGS = SCORES.log_softmax(1).array


def close(loss: Tensor, expected: Any) -> None:
    assert np.abs(loss.array - np.array(expected)).max() < 1e-6


def test_cross_entropy_is_the_mean_over_what_is_not_ignored() -> None:
    close(F.cross_entropy(SCORES, CLASSES), -(LOGS[0, 1] + LOGS[1, 2] + LOGS[2, 0]) / 3)


def test_weights_weigh_examples_and_the_mean() -> None:
    weight = tensor([1.0, 2.0, 4.0])
    total = -(2 * LOGS[0, 1] + 4 * LOGS[1, 2] + LOGS[2, 0])
    close(F.cross_entropy(SCORES, CLASSES, weight), total / 7)
    close(F.cross_entropy(SCORES, CLASSES, weight, reduction="sum"), total)
    close(F.nll_loss(Tensor(LOGS), CLASSES, weight), total / 7)


def test_no_reduction_gives_each_example_and_zero_for_the_ignored() -> None:
    close(F.cross_entropy(SCORES, CLASSES, reduction="none"), [-LOGS[0, 1], -LOGS[1, 2], -LOGS[2, 0], 0])


def test_smoothing_spreads_a_part_over_all_classes() -> None:
    smooth = [-(0.7 * LOGS[n, c] + 0.3 * LOGS[n].mean()) for n, c in ((0, 1), (1, 2), (2, 0))]
    close(F.cross_entropy(SCORES, CLASSES, label_smoothing=0.3), np.mean(smooth))


def test_chances_as_targets() -> None:
    chances = tensor([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.4, 0.3, 0.3]])
    each = -(LOGS * chances.array).sum(1)
    close(F.cross_entropy(SCORES, chances), each.mean())
    close(F.cross_entropy(SCORES, chances, reduction="none"), each)
    smooth = chances.array * 0.9 + 0.1 / 3
    close(F.cross_entropy(SCORES, chances, label_smoothing=0.1), -(LOGS * smooth).sum(1).mean())


def test_pictures_have_a_class_at_every_pixel() -> None:
    scores = randn(2, 3, 4, 5)
    classes = tensor(np.arange(40).reshape(2, 4, 5) % 3)
    flat = scores.permute(0, 2, 3, 1).reshape(-1, 3)
    close(F.cross_entropy(scores, classes), F.cross_entropy(flat, classes.reshape(-1)).array)


def test_one_example_needs_no_batch() -> None:
    close(F.cross_entropy(SCORES[0], tensor(1)), -LOGS[0, 1])
    assert F.cross_entropy(SCORES[0], tensor(1), reduction="none").shape == ()
    close(F.nll_loss(Tensor(LOGS[0]), tensor(1)), -LOGS[0, 1])


def test_nothing_to_take_the_mean_of_is_nan() -> None:
    assert np.isnan(F.cross_entropy(SCORES[:1], tensor([-100])).item())


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
def test_reductions_agree(name: str) -> None:
    x, y = randn(3, 4), randn(3, 4)
    each = getattr(F, name)(x, y, reduction="none")
    close(getattr(F, name)(x, y), each.array.mean())
    assert getattr(F, name)(x, y, reduction="sum").item() == pytest.approx(each.array.sum(), rel=1e-5)


def test_smooth_l1_is_huber_over_its_beta_and_l1_at_zero() -> None:
    x, y = randn(9), randn(9)
    close(F.smooth_l1_loss(x, y, beta=0.5), F.huber_loss(x, y, delta=0.5).array / 0.5)
    close(F.smooth_l1_loss(x, y, beta=0), F.l1_loss(x, y).array)


def test_logits_are_chances_before_the_sigmoid() -> None:
    x, y, weight = randn(3, 4), tensor([[0.0, 1.0, 1.0, 0.5]] * 3), tensor([1.0, 2.0, 0.5, 3.0])
    close(F.binary_cross_entropy_with_logits(x, y, weight), F.binary_cross_entropy(x.sigmoid(), y, weight).array)


def test_kl_div_by_the_batch() -> None:
    logs, target = randn(4, 3).log_softmax(1), randn(4, 3).softmax(1)
    close(F.kl_div(logs, target, reduction="batchmean"), F.kl_div(logs, target, reduction="sum").array / 4)
    close(F.kl_div(logs, target.log(), log_target=True), F.kl_div(logs, target).array)


MODULES = [
    (nn.CrossEntropyLoss(tensor([1.0, 2.0, 3.0]), label_smoothing=0.1), F.cross_entropy,
     {"weight": tensor([1.0, 2.0, 3.0]), "label_smoothing": 0.1}, (SCORES, CLASSES)),
    (nn.NLLLoss(ignore_index=2), F.nll_loss, {"ignore_index": 2}, (SCORES[:3], CLASSES[:3])),
    (nn.MSELoss(reduction="sum"), F.mse_loss, {"reduction": "sum"}, (SCORES, SCORES * 2)),
    (nn.L1Loss(), F.l1_loss, {}, (SCORES, SCORES * 2)),
    (nn.SmoothL1Loss(beta=0.5), F.smooth_l1_loss, {"beta": 0.5}, (SCORES, SCORES * 2)),
    (nn.HuberLoss(delta=0.5), F.huber_loss, {"delta": 0.5}, (SCORES, SCORES * 2)),
    (nn.BCELoss(), F.binary_cross_entropy, {}, (SCORES.sigmoid(), SCORES.softmax(1))),
    (nn.BCEWithLogitsLoss(pos_weight=tensor([2.0, 1.0, 1.0])), F.binary_cross_entropy_with_logits,
     {"pos_weight": tensor([2.0, 1.0, 1.0])}, (SCORES, SCORES.softmax(1))),
    (nn.KLDivLoss(reduction="batchmean"), F.kl_div, {"reduction": "batchmean"}, (SCORES, SCORES.softmax(1))),
]  # fmt: skip


@pytest.mark.parametrize(("module", "function", "options", "operands"), MODULES, ids=lambda x: type(x).__name__)
def test_a_module_forwards_to_its_function(module: Any, function: Any, options: dict, operands: Any) -> None:
    assert module(*operands).item() == function(*operands, **options).item()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match="class numbers from 0 to 3; expected 0 to 2"):
        F.cross_entropy(SCORES, tensor([0, 1, 2, 3]))
    with pytest.raises(ShapeError, match=r"target of shape \(3,\); expected \(4,\)"):
        F.cross_entropy(SCORES, tensor([0, 1, 2]))
    with pytest.raises(DtypeError, match="must be integers; met float32"):
        F.nll_loss(SCORES, tensor([0.0, 1.0, 2.0, 0.0]))
    with pytest.raises(ShapeError, match=r"mse_loss: input \(4, 3\) and target \(3,\)"):
        F.mse_loss(SCORES, SCORES[0])
    with pytest.raises(ValueError, match="expected 0 to 1: apply sigmoid"):
        F.binary_cross_entropy(SCORES, SCORES)
    with pytest.raises(ValueError, match="reduction 'max'; expected 'none', 'mean' or 'sum'"):
        F.mse_loss(SCORES, SCORES, reduction="max")
    with pytest.raises(ValueError, match="delta"):
        F.huber_loss(SCORES, SCORES, delta=0)
    with pytest.raises(ValueError, match="beta"):
        F.smooth_l1_loss(SCORES, SCORES, beta=-1)
