"""Show with Grad-CAM what right and wrong answers look at."""

from argparse import Namespace

import numpy as np
from pydantic import Field
from tqdm import tqdm

from stages.run import Group, run
from transfer.cam import grad_cam, last_feature_map
from transfer.device import best_device
from transfer.files import open_arrays
from transfer.images import Images, open_pixels
from transfer.network import load_model
from transfer.pictures import Explained, heat_map_sheet
from transfer.splits import load_split


class GradCam(Group):
    examples: int = Field(ge=1, le=3)


class Parameters(Group):
    grad_cam: GradCam


def most_confident(probabilities: np.ndarray, among: np.ndarray, count: int) -> list[int | None]:
    """The `count` of the images `among` whose prediction is surest, then None for those that are not there."""
    ordered = among[np.argsort(-probabilities[among].max(1), kind="stable")]
    return [*map(int, ordered[:count]), *[None] * (count - len(ordered[:count]))]


def main(parameters: Parameters, files: Namespace) -> None:
    count = parameters.grad_cam.examples
    split = load_split(files.test_split)
    with open_arrays(files.predictions, "probabilities") as arrays:
        probabilities = arrays["probabilities"]
    pixels = open_pixels(files.test_pixels, len(split.labels))
    model, card = load_model(files.model, split.classes, pixels.shape[1])
    images = Images(pixels, card.preprocessing, best_device())
    model = model.to(best_device())
    layer, map_px = last_feature_map(model, images.plain(slice(0, 1)))
    predicted = probabilities.argmax(1)

    def explain(place: int | None) -> Explained | None:
        if place is None:
            return None
        (heat,) = grad_cam(model, layer, images.plain(slice(place, place + 1)), predicted[[place]])
        return Explained(pixels[place], heat, int(split.labels[place]), probabilities[place])

    rows = []
    for label, name in enumerate(tqdm(split.classes, desc="grad_cam", unit="class", disable=None)):
        own, right = split.labels == label, predicted == split.labels
        right_places = most_confident(probabilities, np.flatnonzero(own & right), count)
        wrong_places = most_confident(probabilities, np.flatnonzero(own & ~right), count)
        rows.append((name, [explain(place) for place in [*right_places, *wrong_places]]))
    title = f"Grad-CAM for the predicted class, surest answers, maps of {map_px} × {map_px}"
    columns = ["right: image, heat map, overlay"] * count + ["wrong (truth → answer)"] * count
    heat_map_sheet(files.sheet, rows, columns, split.classes, title)


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["model", "test_split", "test_pixels", "predictions"],
        outputs=["sheet"],
    )
