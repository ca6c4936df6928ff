"""Show with class activation maps what right and wrong answers look at."""

from argparse import Namespace

import numpy as np
from pydantic import Field

from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.explanation.cam import TITLES, Explain, choose_layer, explain
from transfer.network.classifier import load_model
from transfer.network.images import Images
from transfer.pictures.sheets import Compared, Explained, heat_map_sheet
from transfer.runtime.files import open_arrays
from transfer.runtime.parameters import Group

PAIRS, ERRORS_A_PAIR = 5, 3


class GradCam(Group):
    examples: int = Field(ge=1, le=3)


class Parameters(Group):
    explain: Explain
    grad_cam: GradCam


def most_confident(probabilities: np.ndarray, among: np.ndarray, count: int) -> list[int | None]:
    """The `count` of the images `among` whose prediction is surest, then None for those that are not there."""
    ordered = among[np.argsort(-probabilities[among].max(1), kind="stable")]
    return [*map(int, ordered[:count]), *[None] * (count - len(ordered[:count]))]


def confused_pairs(labels: np.ndarray, predicted: np.ndarray, count: int) -> list[tuple[tuple[int, int], np.ndarray]]:
    """The pairs of classes with most errors, in either direction, and the places of these; ties in label order."""
    wrong = np.flatnonzero(labels != predicted)
    both = np.sort(np.stack([labels[wrong], predicted[wrong]], axis=1).astype(int), axis=1)
    pairs, of, errors = np.unique(both, axis=0, return_inverse=True, return_counts=True)
    ranked = np.argsort(-errors, kind="stable")[:count]
    return [((int(pairs[i, 0]), int(pairs[i, 1])), wrong[of.ravel() == i]) for i in ranked]


def main(parameters: Parameters, files: Namespace) -> None:
    config, count = parameters.explain, parameters.grad_cam.examples
    split = open_resized(files.test)
    pixels = split.pixels
    with open_arrays(files.predictions, "probabilities") as arrays:
        probabilities = arrays["probabilities"]
    model, card = load_model(files.model, split.classes, pixels.shape[1])
    images = Images(pixels, card.preprocessing, best_device())
    model = model.to(best_device())
    layer = choose_layer(model, images.plain(slice(0, 1)), config.layer, config.min_map_px)
    print(f"explaining {layer.description}")
    predicted = probabilities.argmax(1)

    by_class = []
    for label, name in enumerate(split.classes):
        own, right = split.labels == label, predicted == split.labels
        right_places = most_confident(probabilities, np.flatnonzero(own & right), count)
        wrong_places = most_confident(probabilities, np.flatnonzero(own & ~right), count)
        by_class.append((name, [*right_places, *wrong_places]))
    by_pair = [
        (f"{split.classes[one]} / {split.classes[other]}", most_confident(probabilities, places, ERRORS_A_PAIR))
        for (one, other), places in confused_pairs(split.labels, predicted, PAIRS)
    ] or [("no errors", [None] * ERRORS_A_PAIR)]

    shown = np.array(sorted({i for _, row in [*by_class, *by_pair] for i in row if i is not None}), dtype=np.int64)
    targets = np.concatenate([predicted[shown], split.labels[shown]])
    maps = explain(model, layer.module, images, np.tile(shown, 2), targets, config.method, config.batch_size)
    said, true = (dict(zip(map(int, shown), half, strict=True)) for half in np.split(maps, 2))

    def one_map(i: int | None) -> Explained | None:
        return None if i is None else Explained(pixels[i], said[i], int(split.labels[i]), probabilities[i])

    def two_maps(i: int | None) -> Compared | None:
        return None if i is None else Compared(pixels[i], (true[i], said[i]), int(split.labels[i]), probabilities[i])

    title, columns = TITLES[config.method], ["image, heat map, overlay"] * ERRORS_A_PAIR
    examples = ["right"] * count + ["wrong (truth → answer)"] * count
    rows = [(name, [one_map(i) for i in places]) for name, places in by_class]
    about = f"{title} for the predicted class, surest answers\n{layer.description}"
    heat_map_sheet(files.plots / "examples.png", rows, examples, split.classes, about)
    rows = [(name, [one_map(i) for i in places]) for name, places in by_pair]
    about = f"{title} of the surest errors in the most confused pairs (truth → answer)\n{layer.description}"
    heat_map_sheet(files.plots / "errors.png", rows, columns, split.classes, about)
    columns = ["image, map for the truth, for the answer"] * ERRORS_A_PAIR
    rows = [(name, [two_maps(i) for i in places]) for name, places in by_pair]
    about = f"{title} of the same errors for the true and for the predicted class\n{layer.description}"
    heat_map_sheet(files.plots / "pairs.png", rows, columns, split.classes, about)


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=["model", "test", "predictions"], outputs=["plots"])
