"""embed: features are torchvision's own, for images and their mirror images, in the splits' order."""

import json

import numpy as np
import pytest
import torch
import torchvision

from transfer.data.features import load_features
from transfer.data.splits import load_split


@pytest.mark.parametrize("split", ["train", "val"])
def test_features_are_those_of_torchvision_without_its_last_layer(arena, split: str):
    model = torchvision.models.resnet18()
    model.load_state_dict(torch.load(arena.weights, weights_only=True))
    model.set_submodule("fc", torch.nn.Identity())
    pixels = torch.from_numpy(np.load(arena.file(f"data/resized/{split}/pixels.npy"))).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = (pixels - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        plain, mirrored = (model.eval()(view).numpy() for view in (inputs, inputs.flip(3)))
    features = load_features(arena.file(f"data/features/{split}.npz"))
    np.testing.assert_allclose(features.plain, plain, atol=1e-4, rtol=1e-3)
    np.testing.assert_allclose(features.mirrored, mirrored, atol=1e-4, rtol=1e-3)
    np.testing.assert_array_equal(features.labels, load_split(arena.file(f"data/splits/{split}.npz")).labels)


def test_what_the_features_are_worth_is_said(arena):
    figures = json.loads(arena.file("metrics/embed.json").read_text())
    assert figures["features"] == 512
    for baseline in figures["val"].values():
        assert 0.5 < baseline["accuracy"] <= 1  # digits of three kinds, by a random network
