"""Measure how accuracy falls when the test images come from a bad camera."""

from argparse import Namespace
from collections.abc import Iterable
from itertools import islice, product

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from transfer.data.resize import open_resized, resized
from transfer.data.stratified import stratified_positions
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import autocast
from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from transfer.evaluation.scores import wilson_interval
from transfer.network.classifier import Classifier, ModelCard, load_model
from transfer.network.images import Images
from transfer.pictures.corruptions import Estimate, corruption_chart
from transfer.runtime.files import write_json, write_tsv
from transfer.runtime.parameters import Group


class Robustness(Group):
    images: int = Field(gt=0)
    batch_size: int = Field(gt=0)


class Parameters(Group):
    seed: int = Field(ge=0)
    robustness: Robustness


@torch.no_grad()
def hits(
    model: Classifier, card: ModelCard, pictures: Iterable[np.ndarray], labels: np.ndarray, batch_size: int
) -> int:
    """Right answers on pictures, which are brought to the network's size and held a batch at a time."""
    device, remaining = best_device(), iter(pictures)
    found = 0
    for start in range(0, len(labels), batch_size):
        large = [resized(each, card.size_px, card.interpolation, "stretch") for each in islice(remaining, batch_size)]
        batch = Images(np.stack(large), card.preprocessing, device).plain(slice(None))
        with autocast(device, card.precision):
            predicted = model(batch).argmax(1).cpu().numpy()
        found += int((predicted == labels[start : start + batch_size]).sum())
    return found


def main(parameters: Parameters, files: Namespace) -> None:
    split = open_resized(files.test)
    model, card = load_model(files.model, split.classes)
    model = model.to(best_device())
    count = min(parameters.robustness.images, len(split.labels))
    (chosen,) = stratified_positions(split.labels, [count], parameters.seed)
    # At their own size, or where that is not small and the same for all, at the network's.
    images, labels = (split.images if split.original else split.pixels)[chosen], split.labels[chosen]

    def accuracy(pictures: Iterable[np.ndarray]) -> Estimate:
        right = hits(model, card, pictures, labels, parameters.robustness.batch_size)
        return right / count, *wilson_interval(right, count)

    clean = accuracy(images)
    conditions = tqdm(list(product(CORRUPTIONS, STRENGTHS)), desc="robustness", unit="corruption", disable=None)
    found = {condition: accuracy(corrupted(images, *condition, parameters.seed)) for condition in conditions}
    mean = float(np.mean([share for share, _, _ in found.values()]))
    shares = {name: {strength: found[name, strength][0] for strength in STRENGTHS} for name in CORRUPTIONS}
    write_json(
        files.metrics,
        {"images": count, "clean_accuracy": clean[0], "mean_accuracy": mean, "mean_drop": clean[0] - mean, **shares},
    )
    columns: list[str] = ["corruption", "strength", "accuracy", "accuracy_ci_low", "accuracy_ci_high"]
    rows = [dict(zip(columns, (*condition, *estimate), strict=True)) for condition, estimate in found.items()]
    write_tsv(files.plots / "conditions.tsv", rows)
    said = f"accuracy {mean:.1%} on average under corruption, {clean[0]:.1%} without ({count} test images)"
    examples = images[[0, count // 2]]
    corruption_chart(
        files.plots / "pictures/conditions.png",
        clean,
        found,
        examples,
        f"One view, 95 % intervals: {said}",
        parameters.seed,
    )
    print(said)


if __name__ == "__main__":
    run_on_devices(main, Parameters, inputs=["model", "test"], outputs=["metrics", "plots"])
