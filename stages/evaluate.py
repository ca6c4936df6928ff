"""Score the model on the test split, which no stage before this one sees."""

from argparse import Namespace

import numpy as np
import torch
from pydantic import Field

from stages.run import Group, run
from transfer.device import best_device
from transfer.files import write_arrays, write_json, write_tsv
from transfer.images import Images, open_pixels
from transfer.inference import run_over
from transfer.network import load_model
from transfer.pictures import prediction_grid
from transfer.scores import score
from transfer.splits import load_split


class Evaluate(Group):
    elsewhere = ("robustness_images",)
    minimum_macro_f1: float = Field(ge=0, le=1)
    mirror: bool
    batch_size: int = Field(gt=0)
    pictures: int = Field(gt=0)


class Parameters(Group):
    evaluate: Evaluate


def spread(labels: np.ndarray, classes: int, count: int) -> np.ndarray:
    """Places of the first images of each class, about `count` in all, class after class."""
    each = max(count // classes, 1)
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in range(classes)])


def main(parameters: Parameters, files: Namespace) -> None:
    wanted = parameters.evaluate
    split = load_split(files.test_split)
    pixels = open_pixels(files.test_pixels, len(split.labels))
    model, card = load_model(files.model, split.classes, pixels.shape[1])
    images = Images(pixels, card.preprocessing, best_device())
    model = model.to(best_device())
    views = [run_over(model, images, wanted.batch_size, label="test")]
    if wanted.mirror:
        views.append(run_over(model, images, wanted.batch_size, mirrored=True, label="test mirrored"))
    # Softmax in double precision, so that rows sum to one as closely as scikit-learn checks.
    chances = [torch.softmax(logits.cpu().double(), dim=1).numpy() for logits in views]
    probabilities = np.mean(chances, axis=0)
    scores = score(probabilities, split.labels, split.classes)
    met = scores["macro_f1"] >= wanted.minimum_macro_f1
    single_view = float((chances[0].argmax(1) == split.labels).mean())
    write_json(files.metrics, {**scores, "accuracy_single_view": single_view, "mva_met": met})
    write_arrays(
        files.predictions,
        labels=split.labels,
        positions=split.positions,
        predicted=probabilities.argmax(1).astype(np.uint8),
        probabilities=probabilities,
    )
    named = np.array(split.classes)
    pairs = zip(named[split.labels], named[probabilities.argmax(1)], strict=True)
    write_tsv(files.confusion, [{"actual": actual, "predicted": predicted} for actual, predicted in pairs])
    write_tsv(files.per_class, [{"class": name, **values} for name, values in scores["per_class"].items()])
    shown = spread(split.labels, len(split.classes), wanted.pictures)
    prediction_grid(files.grid, split.images[shown], split.labels[shown], probabilities[shown], split.classes)
    verdict = "met" if met else "missed"
    print(
        f"accuracy {scores['accuracy']:.4f} (95 % interval {scores['accuracy_ci_low']:.4f} to "
        f"{scores['accuracy_ci_high']:.4f}), macro F1 {scores['macro_f1']:.4f}: "
        f"minimum viable accuracy ({wanted.minimum_macro_f1}) {verdict}"
    )


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["model", "test_split", "test_pixels"],
        outputs=["predictions", "metrics", "confusion", "per_class", "grid"],
    )
