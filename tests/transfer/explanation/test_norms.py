"""Norms with a fixed scale: what they give is torch's own, and their gradient that of a division by a constant."""

import pytest
import torch
from torch import nn

from transfer.explanation.norms import FixedNorms

CHANNELS = 6
NORMS = {
    "layer": nn.LayerNorm(CHANNELS),
    "layer of two dimensions": nn.LayerNorm([5, CHANNELS]),
    "layer, nothing learned": nn.LayerNorm(CHANNELS, elementwise_affine=False),
    "RMS": nn.RMSNorm(CHANNELS),
    "group": nn.GroupNorm(2, 4),
    "group, nothing learned": nn.GroupNorm(4, 4, affine=False),
}


@pytest.mark.parametrize("name", NORMS)
def test_only_the_gradient_of_a_norm_changes(name: str) -> None:
    torch.manual_seed(0)
    norm, x = NORMS[name], torch.randn(3, 4, 5, CHANNELS, requires_grad=True)
    for weight in norm.parameters():
        nn.init.normal_(weight)
    with FixedNorms():
        fixed = norm(x)
    torch.testing.assert_close(fixed, norm(x))
    wanted = torch.randn_like(fixed)
    found, own = (torch.autograd.grad((output * wanted).sum(), x)[0] for output in (fixed, norm(x)))
    # Of the length of its input a norm's own gradient knows nothing, and that with a fixed scale all: the output, less
    # what is added to it.
    offset = getattr(norm, "bias", None)
    if isinstance(norm, nn.GroupNorm) and offset is not None:
        offset = offset[:, None, None]
    learned = fixed if offset is None else fixed - offset
    assert float((own * x).sum().detach()) == pytest.approx(0, abs=1e-3)
    assert float((found * x).sum().detach()) == pytest.approx(float((learned * wanted).sum().detach()), rel=1e-4)
