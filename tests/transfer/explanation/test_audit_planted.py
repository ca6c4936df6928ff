"""audit: a made model that sees only the object passes, and one that sees only the background does not."""

import numpy as np
import torch
from torch import nn

from transfer.explanation import audit
from transfer.explanation.cam import choose_layer, explain
from transfer.explanation.objects import TAKEN, counterfactuals, find_objects
from transfer.explanation.plain_maps import centre_map, edge_maps, random_maps
from transfer.explanation.verdict import faithful, model_verdict
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier
from transfer.network.images import Images

OBJECT_COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220))
SCENE_COLOURS = ((200, 200, 40), (40, 200, 200), (200, 40, 200))
CLASSES = ("airplane", "bird", "cat")


def coloured_images(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, labels and true masks of discs that lie anywhere but near the edge."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    y, x = np.mgrid[:64, :64]
    masks = np.stack([(y - a) ** 2 + (x - b) ** 2 < 12**2 for a, b in rng.integers(20, 44, (count, 2))])
    colours = np.where(
        masks[..., None],
        np.array(OBJECT_COLOURS)[labels][:, None, None],
        np.array(SCENE_COLOURS)[labels][:, None, None],
    )
    return (colours + rng.normal(0, 8, colours.shape)).clip(0, 255).astype(np.uint8), labels, masks


def colour_detector(looks_at: str) -> Classifier:
    """A network whose logits are how much there is of each class's object colour, or background colour."""
    conv = nn.Conv2d(3, 3, 8, stride=8)
    # A red pixel has more red than green and blue together; a yellow one much of red and green, little of blue.
    weights = {"object": 2 * torch.eye(3) - 1, "background": torch.tensor([[1.0, 1, -2], [-2, 1, 1], [1, -2, 1]])}
    head = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        conv.weight[:] = weights[looks_at][:, :, None, None] / 64
        conv.get_parameter("bias").fill_(0 if looks_at == "object" else -230)
        head.weight[:] = torch.eye(3)
    backbone = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(backbone, nn.Sequential(head)).eval()


def audited(model: Classifier) -> dict:
    """All that the stage does, for a network that is not one of torchvision's."""
    pixels, labels, true_masks = coloured_images(30)
    as_they_are = Preprocessing((0, 0, 0), (1 / 255, 1 / 255, 1 / 255))

    def images(shown: np.ndarray) -> Images:
        return Images(shown, as_they_are, torch.device("cpu"))

    def answer(shown: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(images(shown).plain(slice(None))).double().softmax(1).numpy()

    layer = choose_layer(model, images(pixels).plain(slice(0, 1)), None, 6)
    assert layer.width == 8
    everything, said = np.arange(30), answer(pixels).argmax(1)

    def maps_of(network: Classifier) -> np.ndarray:
        module = network.get_submodule(layer.name)
        return explain(network, module, images(pixels), everything, said, "gradcam", 16)

    np.testing.assert_array_equal(said, labels)
    maps = maps_of(model)
    masks, judged = find_objects(pixels, 0.05, 0.65, 0.5)
    assert (judged == TAKEN).all()
    assert ((masks & true_masks).sum((1, 2)) / (masks | true_masks).sum((1, 2))).min() > 0.8
    versions = {"original": pixels, **counterfactuals(pixels, masks, labels, 0)}
    table = audit.right_answers({name: answer(made) for name, made in versions.items()}, labels)
    table |= audit.localisation(pixels, maps, masks, layer.width, 0)
    noise = random_maps(30, layer.width, 64, np.random.default_rng(0))
    centre = np.broadcast_to(centre_map(64), noise.shape)
    kinds = {"cam": maps, "random": noise, "centre": centre, "edges": edge_maps(pixels, layer.width)}
    curves = audit.faithfulness_curves(answer, pixels, np.full(3, 127.0), kinds, said)
    figures = audit.summarise(table, 0) | {
        "faithfulness": audit.faithfulness(curves, 0),
        "sanity": audit.sanity(model, maps, maps_of, 0),
        "per_class": audit.per_class(table, labels, everything, CLASSES, 0),
    }
    return figures | {"model": model_verdict(figures, 0.142, CLASSES), "maps": faithful(figures["faithfulness"])}


def test_a_model_that_sees_only_the_object_passes():
    figures = audited(colour_detector("object"))
    assert figures["energy_inside"]["cam"] > 0.7 > 2 * figures["energy_inside"]["centre"]
    assert figures["pointing"]["cam"] == 1
    changed = figures["counterfactual"]
    assert changed["clean_accuracy"] == changed["background_blurred"] == changed["background_swapped"] == 1
    assert changed["foreground_swapped"] == 0
    assert changed["background_gap"] == 0
    assert changed["object_gap"] == changed["foreground_same_class"] == 1
    assert changed["mask_gain"] > 0.1
    assert figures["faithfulness"]["insertion_gain_ci_low"] > 0
    assert figures["energy_inside"]["normalised"] > 0.3
    assert figures["model"].word == figures["maps"].word == "confirmed"


def test_a_model_that_sees_only_the_background_does_not_pass():
    figures = audited(colour_detector("background"))
    assert figures["energy_inside"]["cam"] < 0.2 < figures["energy_inside"]["centre"]
    changed = figures["counterfactual"]
    assert changed["background_swapped"] == 0
    assert changed["foreground_blurred"] == changed["foreground_swapped"] == changed["background_same_class"] == 1
    assert (changed["background_gap"], changed["object_gap"]) == (1, 0)
    assert figures["model"].word == "refuted"
    assert figures["energy_inside"]["normalised"] < 0
