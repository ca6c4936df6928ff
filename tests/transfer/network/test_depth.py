"""Stages of networks, counted as in their papers, alike in torchvision and timm."""

import pytest

from transfer.network.architectures import outline
from transfer.network.depth import stage_numbers

# How many stages, one parameter of the first, of the second and of the last.
FAMILIES = {
    "resnet18": (5, "conv1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias"),
    "timm/resnet18d": (5, "conv1.0.weight", "layer1.0.conv1.weight", "layer4.1.bn2.bias"),
    "convnext_tiny": (5, "features.0.0.weight", "features.1.0.block.0.weight", "classifier.0.weight"),
    "timm/convnext_atto": (5, "stem.0.weight", "stages.0.blocks.0.conv_dw.weight", "head.norm.weight"),
    "swin_t": (5, "features.0.0.weight", "features.1.0.norm1.weight", "norm.weight"),
    "swin_v2_t": (5, "features.0.0.weight", "features.1.0.norm1.weight", "norm.weight"),
    "timm/swin_tiny_patch4_window7_224": (
        5,
        "patch_embed.proj.weight",
        "layers.0.blocks.0.norm1.weight",
        "norm.weight",
    ),
    "efficientnet_b0": (9, "features.0.0.weight", "features.1.0.block.0.0.weight", "features.8.0.weight"),
    "timm/efficientnet_lite0": (9, "bn1.weight", "blocks.0.0.conv_dw.weight", "conv_head.weight"),
    "vit_b_16": (
        13,
        "class_token",
        "encoder.layers.encoder_layer_0.ln_1.weight",
        "encoder.ln.weight",
    ),
    "timm/vit_tiny_patch16_224": (13, "pos_embed", "blocks.0.norm1.weight", "norm.weight"),
    "timm/deit_tiny_distilled_patch16_224": (13, "dist_token", "blocks.0.norm1.weight", "norm.weight"),
    "timm/beit_base_patch16_224": (13, "cls_token", "blocks.0.norm1.weight", "fc_norm.weight"),
    "timm/regnetx_002": (5, "stem.conv.weight", "s1.b1.conv1.conv.weight", "s4.b1.conv1.conv.weight"),
    "mobilenet_v2": (19, "features.0.0.weight", "features.1.conv.0.0.weight", "features.18.0.weight"),
}


@pytest.mark.parametrize("architecture", FAMILIES)
def test_stages_are_counted_as_in_the_paper(architecture: str) -> None:
    count, *places = FAMILIES[architecture]
    network = outline(architecture)[0]
    numbers = stage_numbers(network)
    assert set(numbers) == {name for name, _ in network.named_parameters()}
    assert sorted(set(numbers.values())) == list(range(count))
    assert [numbers[name] for name in places] == [0, 1, count - 1]


def test_a_stage_begins_where_the_image_is_scaled_down() -> None:
    numbers = stage_numbers(outline("convnext_tiny")[0])
    assert numbers["features.2.1.weight"] == numbers["features.3.0.block.0.weight"] == 2
    numbers = stage_numbers(outline("swin_t")[0])
    assert numbers["features.2.reduction.weight"] == numbers["features.3.0.norm1.weight"] == 2
