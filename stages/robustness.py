"""Measure how accuracy falls when the test images come from a bad camera or lack a cue, and what flips errors."""

from argparse import Namespace
from collections.abc import Iterable
from itertools import product

import numpy as np
from pydantic import Field

from transfer.data.classes import Groups, known_labels
from transfer.data.resize import open_resized
from transfer.data.stratified import some_of
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.evaluation.answers import answers
from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from transfer.evaluation.cues import COLOUR_COLUMNS, CUES, accuracy_of, colour_rows, cue_rows, with_cue
from transfer.evaluation.scores import wilson_interval
from transfer.evaluation.turned import taken_for_the_other_group, turned
from transfer.explanation.flips import FLIP_COLUMNS, flip_rows
from transfer.network.classifier import load_model
from transfer.pictures.corruptions import Estimate, corruption_chart
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays, write_json, write_tsv
from transfer.runtime.parameters import Group
from transfer.runtime.progress import Progress
from transfer.runtime.wording import percent, plural

OBJECTS = (0.05, 0.65, 0.5)  # least and most share of the image, agreement of masks: as in the audit


class Robustness(Group):
    images: int = Field(gt=0)
    batch_size: int | None = Field(gt=0)


class Parameters(Group):
    seed: int = Field(ge=0)
    groups: Groups
    robustness: Robustness


def estimate(right: np.ndarray) -> Estimate:
    """Accuracy and its interval, of right (N,) bool."""
    return float(right.mean()), *wilson_interval(int(right.sum()), len(right))


def main(parameters: Parameters, files: Namespace) -> None:
    config, seed, split = parameters.robustness, parameters.seed, open_resized(files.test)
    with open_arrays(files.predictions, "positions", "predicted") as arrays:
        if not np.array_equal(arrays["positions"], split.positions):
            raise DataError(f"{files.predictions}: answers for other images than the test split's; run evaluate again")
        predicted = arrays["predicted"].astype(np.int64)
    model, card = load_model(files.model, split.classes)
    model = model.to(best_device())
    chosen = some_of(split.labels, config.images, seed)
    count = len(chosen)
    # At their own size, or where that is not small and the same for all, at the network's.
    images, labels = (split.images if split.original else split.pixels)[chosen], split.labels[chosen]

    def answer(pictures: Iterable[np.ndarray]) -> np.ndarray:
        return answers(model, card, pictures, config.batch_size)

    def right(pictures: Iterable[np.ndarray]) -> np.ndarray:
        return answer(pictures) == labels

    upright = answer(images)
    unchanged = upright == labels
    clean = estimate(unchanged)
    conditions = Progress(list(product(CORRUPTIONS, STRENGTHS)), desc="robustness", unit="corruption")
    found = {(name, how): estimate(right(corrupted(images, name, how, seed))) for name, how in conditions}
    by_cue = {"unchanged": upright, **{name: answer(with_cue(images, name, seed)) for name in CUES}}
    mean = float(np.mean([share for share, _, _ in found.values()]))
    shares = {name: {strength: found[name, strength][0] for strength in STRENGTHS} for name in CORRUPTIONS}
    figures = {"images": count, "clean_accuracy": clean[0], "mean_accuracy": mean, "mean_drop": clean[0] - mean}
    right_by_cue = {name: found == labels for name, found in by_cue.items()}
    cues = {name: accuracy_of(own) for name, own in right_by_cue.items()}
    rigid = known_labels(parameters.groups.rigid, split.classes, "groups.rigid")
    by_turn = {"upright": upright, "turned": answer(map(turned, images))}
    other_group = taken_for_the_other_group(labels, by_turn, rigid)
    write_json(files.metrics, {**figures, **shares, "cues": cues, "other_group": other_group})
    columns: list[str] = ["corruption", "strength", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
    rows = [dict(zip(columns, (*condition, *estimate), strict=True)) for condition, estimate in found.items()]
    write_tsv(files.plots / "conditions.tsv", rows)
    write_tsv(files.plots / "cues.tsv", cue_rows(right_by_cue, labels, split.classes))
    write_tsv(files.plots / "colour.tsv", colour_rows(by_cue, labels, split.classes), COLOUR_COLUMNS)

    flips = flip_rows(split.images, split.labels, predicted, split.classes, answer, OBJECTS)
    write_tsv(files.plots / "flips.tsv", flips, FLIP_COLUMNS)
    said = f"accuracy {percent(mean)} on average under corruption, {percent(clean[0])} without"
    said += f" ({plural(count, 'test image')})"
    chart, examples = files.plots / "pictures/conditions.png", images[[0, count // 2]]
    corruption_chart(chart, clean, found, examples, f"One view, 95 % intervals: {said}", seed)
    print(said)


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=["model", "test", "predictions"], outputs=["metrics", "plots"])
