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


# Some have fewer stages than their family, by the patterns of which these are counted.
CONSECUTIVE = [
    *("resnet50", "regnet_y_400mf", "densenet121", "mnasnet0_5", "mobilenet_v3_small", "shufflenet_v2_x0_5", "vgg11"),
    *("efficientnet_b0", "efficientnet_v2_s", "googlenet", "maxvit_t", "squeezenet1_1", "swin_v2_t", "convnext_tiny"),
    *("timm/tf_efficientnetv2_s", "timm/tf_efficientnetv2_b0", "timm/efficientnetv2_rw_t", "timm/mixnet_s"),
    *("timm/efficientnet_es", "timm/test_efficientnet", "timm/mobilenetv1_100", "timm/rdnet_tiny", "timm/coat_tiny"),
    *(
        "timm/mobilenetv4_conv_small",
        "timm/hrnet_w18_small",
        "timm/cait_xxs24_224",
        "timm/mvitv2_tiny",
        "timm/pit_ti_224",
    ),
    *("timm/twins_pcpvt_small", "timm/nfnet_l0", "timm/levit_128s", "timm/xcit_nano_12_p16_224", "timm/hiera_tiny_224"),
    *(
        "timm/fastvit_t8",
        "timm/davit_tiny",
        "timm/gmlp_s16_224",
        "timm/volo_d1_224",
        "timm/repvgg_a0",
        "timm/edgenext_xx_small",
    ),
]


@pytest.mark.parametrize("architecture", CONSECUTIVE)
def test_stages_have_consecutive_numbers(architecture: str) -> None:
    network = outline(architecture)[0]
    numbers = stage_numbers(network)
    assert set(numbers) == {name for name, _ in network.named_parameters()}
    assert sorted(set(numbers.values())) == list(range(max(numbers.values()) + 1))


def test_the_last_stages_of_a_short_efficientnet_are_its_last() -> None:
    numbers = stage_numbers(outline("timm/tf_efficientnetv2_s")[0])
    assert (numbers["blocks.5.0.conv_pw.weight"], numbers["conv_head.weight"]) == (6, 7)
