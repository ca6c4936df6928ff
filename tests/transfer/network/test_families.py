"""A small network of each of torchvision's and timm's families, with random weights at its smallest size: weights file,
backbone, features as the library's own, both phases of training, and the classifier back from its file.
docs/results/backbones.tsv lists them.
"""

from pathlib import Path

import pytest
import timm
import torch
import torchvision

from transfer.network.architectures import check_size, is_sized, published_weights
from transfer.network.backbones import Backbone, load_backbone, save_backbone
from transfer.network.classifier import (
    Head,
    HeadShape,
    ModelCard,
    build_classifier,
    build_feature_extractor,
    build_head,
    load_model,
    save_model,
)
from transfer.network.torchvision_models import last_layer
from transfer.network.weights import read_state_dict
from transfer.runtime.errors import WeightsError
from transfer.runtime.files import ROOT
from transfer.training.unfreezing import Unfreezing

CLASSES = ("bird", "cat")
series = pytest.mark.series
LEAST_PX = 8  # that params.yaml may set
FAMILIES = [  # architecture, smallest side in pixels
    pytest.param("alexnet", 63, marks=series),
    pytest.param("convnext_tiny", 32, marks=series),
    pytest.param("densenet121", 29, marks=series),
    pytest.param("efficientnet_b0", 8, marks=series),
    pytest.param("efficientnet_v2_s", 8, marks=series),
    pytest.param("googlenet", 15, marks=series),
    pytest.param("inception_v3", 75, marks=series),
    pytest.param("maxvit_t", 221, marks=series),
    pytest.param("mnasnet0_5", 8, marks=series),
    pytest.param("mobilenet_v2", 8, marks=series),
    ("mobilenet_v3_small", 8),
    pytest.param("regnet_x_400mf", 8, marks=series),
    pytest.param("regnet_y_400mf", 8, marks=series),
    ("resnet18", 8),
    pytest.param("resnext50_32x4d", 8, marks=series),
    ("shufflenet_v2_x0_5", 8),
    pytest.param("squeezenet1_0", 21, marks=series),
    pytest.param("squeezenet1_1", 17, marks=series),
    ("swin_t", 8),
    pytest.param("swin_v2_t", 8, marks=series),
    pytest.param("vgg11", 32, marks=series),
    pytest.param("vgg11_bn", 32, marks=series),
    pytest.param("vit_b_32", 32, marks=series),
    pytest.param("vit_b_32", 224, marks=series),
    pytest.param("wide_resnet50_2", 8, marks=series),
]


TIMM_FAMILIES = [  # timm's names, smallest side in pixels that is a multiple of 8, or of the patches
    pytest.param("timm/beit_base_patch16_224", 224, marks=series),
    pytest.param("timm/cait_xxs24_224", 224, marks=series),
    ("timm/convnext_atto", 32),
    pytest.param("timm/deit_tiny_distilled_patch16_224", 32, marks=series),
    pytest.param("timm/densenet121", 32, marks=series),
    pytest.param("timm/efficientnet_lite0", 8, marks=series),
    pytest.param("timm/eva02_tiny_patch14_224", 14, marks=series),
    pytest.param("timm/levit_128s", 224, marks=series),
    pytest.param("timm/mixer_s32_224", 224, marks=series),
    pytest.param("timm/mobilenetv4_conv_small", 8, marks=series),
    pytest.param("timm/nfnet_l0", 8, marks=series),
    pytest.param("timm/pvt_v2_b0", 32, marks=series),
    pytest.param("timm/regnetx_002", 8, marks=series),
    pytest.param("timm/repvgg_a0", 8, marks=series),
    ("timm/resnet10t", 8),
    pytest.param("timm/resnetv2_50x1_bit.goog_in21k", 8, marks=series),
    pytest.param("timm/swin_tiny_patch4_window7_224", 32, marks=series),
    pytest.param("timm/vit_small_patch14_dinov2.lvd142m", 42, marks=series),
    pytest.param("timm/vit_small_patch16_dinov3", 32, marks=series),
    ("timm/vit_tiny_patch16_224", 32),
    pytest.param("timm/xcit_nano_12_p16_224", 32, marks=series),
]


def original(architecture: str) -> torch.nn.Module:
    """The library's own network with random weights and its classifier, as it makes it for its pretrained ones."""
    if architecture.startswith("timm/"):
        return timm.create_model(architecture.removeprefix("timm/"), pretrained=False).eval()
    options = {"init_weights": False, "transform_input": True} if architecture in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(architecture, weights=None, **options).eval()


def original_features(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the library's own network gives its classifier."""
    if hasattr(model, "reset_classifier"):
        model.reset_classifier(0)  # type: ignore[operator]
    else:
        model.set_submodule(last_layer(model), torch.nn.Identity())
    with torch.no_grad():
        return model(images)


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for rounding, however small random weights have made the features."""
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize(("architecture", "size_px"), FAMILIES)
def test_a_smaller_size_is_refused_naming_the_smallest(architecture: str, size_px: int) -> None:
    check_size(architecture, size_px)
    if size_px > LEAST_PX:
        with pytest.raises(WeightsError, match=f"set {size_px}$"):
            check_size(architecture, size_px - 1)


@pytest.mark.parametrize(("architecture", "size_px"), [*FAMILIES, *TIMM_FAMILIES])
def test_a_network_of_each_family_goes_all_the_way(tmp_path: Path, architecture: str, size_px: int) -> None:
    torch.manual_seed(0)
    check_size(architecture, size_px)
    published = published_weights(architecture, "DEFAULT")
    model = original(architecture)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    state = read_state_dict(tmp_path / "weights.pth", published.architecture, size_px)
    sized = size_px if is_sized(architecture) else None
    save_backbone(tmp_path / "backbone", Backbone(published.architecture, state, published.preprocessing, sized))
    backbone = load_backbone(tmp_path / "backbone")
    extractor, features = build_feature_extractor(backbone)
    images = torch.randn(4, 3, size_px, size_px)
    with torch.no_grad():
        found = extractor.eval()(images)
    assert found.shape == (4, features)
    if sized is None or size_px == published.size_px:
        assert_near(found, original_features(model, images))
    shape = HeadShape(features, (), batch_norm=False, dropout=0.0, classes=len(CLASSES))
    labels = torch.tensor([0, 1, 0, 1])
    head = build_head(shape)
    torch.nn.functional.cross_entropy(head(found), labels).backward()
    classifier = build_classifier(backbone, Head(shape, head.state_dict(), CLASSES, 1)).train()
    unfreezing = Unfreezing(classifier.backbone, [], stage_lr_decay=0.5, frozen_statistics=True)
    groups = unfreezing.groups(0.01, 0.1)
    assert sum(len(group["params"]) for group in groups) == len(list(classifier.backbone.parameters()))
    unfreezing.begin_epoch(1)
    torch.nn.functional.cross_entropy(classifier(images), labels).backward()
    assert [name for name, weight in classifier.named_parameters() if weight.grad is None] == []
    torch.optim.SGD(groups).step()
    card = ModelCard(published.architecture, shape, CLASSES, published.preprocessing, size_px, "area", "float32")
    save_model(tmp_path / "model", classifier, card)
    loaded, _ = load_model(tmp_path / "model", CLASSES, size_px)
    with torch.no_grad():
        assert_near(loaded.backbone(images), classifier.eval().backbone(images))


def test_the_list_has_every_family_that_is_tested() -> None:
    listed = (ROOT / "docs/results/backbones.tsv").read_text(encoding="utf-8").splitlines()
    tested = [getattr(family, "values", family) for family in [*FAMILIES, *TIMM_FAMILIES]]
    assert [name for name, size_px in tested if not any(row.startswith(f"{name}\t{size_px}\t") for row in listed)] == []
