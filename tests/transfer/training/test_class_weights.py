"""Weights of the loss by class: from recall, by name, and what they do to the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from transfer.runtime.errors import ParameterError
from transfer.training.hard_examples import weights_by_name, weights_from_recall

CLASSES = ("cat", "dog", "ship")


def test_weights_are_inverse_to_recall_and_one_on_average():
    counts = np.array([[50, 50, 0], [20, 80, 0], [0, 0, 100]])
    weights = weights_from_recall(counts)
    np.testing.assert_allclose(weights * np.array([0.5, 0.8, 1.0]), weights[2])
    assert weights.mean() == pytest.approx(1)


def test_a_class_that_is_never_found_or_not_there_has_a_finite_weight():
    weights = weights_from_recall(np.array([[0, 10, 0], [0, 10, 0], [0, 0, 0]]))
    assert np.isfinite(weights).all()
    assert weights[0] == weights[2] == pytest.approx(10 * weights[1])


def test_weights_by_name_leave_the_others_at_one():
    assert weights_by_name({"dog": 1.5}, CLASSES, "weights").tolist() == [1.0, 1.5, 1.0]
    with pytest.raises(ParameterError, match=r"weights: no class 'zebra'; the classes are cat, dog, ship"):
        weights_by_name({"zebra": 2.0}, CLASSES, "weights")


def test_an_error_on_a_heavier_class_costs_more():
    weights = torch.tensor(weights_by_name({"cat": 3.0}, CLASSES, "weights"), dtype=torch.float32)
    logits = torch.zeros(2, 3, requires_grad=True)
    nn.CrossEntropyLoss(weights)(logits, torch.tensor([0, 1])).backward()
    assert logits.grad is not None
    pull = logits.grad.abs().sum(1)
    assert float(pull[0] / pull[1]) == pytest.approx(3.0)
