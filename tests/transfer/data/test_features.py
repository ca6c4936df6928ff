"""Features and inference: order, batches and mirror images against single images; both views are drawn."""

import numpy as np
import torch
import torchvision

from transfer.data.features import Features, draw_views, load_features, save_features
from transfer.network.backbones import Preprocessing
from transfer.network.images import Images
from transfer.network.inference import run_over

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_outputs_are_those_of_each_image_alone_in_order_and_mirrored():
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=4).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    images = Images(pixels, IMAGENET, torch.device("cpu"))
    mirrored = Images(np.ascontiguousarray(pixels[:, :, ::-1]), IMAGENET, torch.device("cpu"))
    with torch.no_grad():
        alone = torch.cat([model(images.plain(slice(i, i + 1))) for i in range(5)])
        alone_mirrored = torch.cat([model(mirrored.plain(slice(i, i + 1))) for i in range(5)])
    torch.testing.assert_close(run_over(model, images, 2), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(run_over(model, images, 3, mirrored=True), alone_mirrored, atol=1e-5, rtol=1e-4)


def test_features_come_back_as_they_were_saved(tmp_path):
    generator = np.random.default_rng(0)
    plain, mirrored = generator.random((2, 6, 4), np.float32)
    features = Features(plain, mirrored, np.array([0, 1, 1, 0, 1, 0]), ("cat", "dog"))
    save_features(tmp_path / "train.npz", features)
    loaded = load_features(tmp_path / "train.npz")
    assert loaded.classes == features.classes
    for name in ("plain", "mirrored", "labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(features, name))


def test_both_views_of_the_chosen_images_are_drawn_about_equally_often():
    plain = torch.arange(10.0)[:, None]
    chosen = torch.arange(10).repeat(200)
    drawn = draw_views(plain, -plain - 1, chosen)[:, 0]
    turned = drawn < 0
    assert torch.equal(torch.where(turned, -drawn - 1, drawn), chosen.float())
    assert 0.45 < turned.float().mean() < 0.55
