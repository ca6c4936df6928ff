"""The tables of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer.data.classes import CLUSTER_COLUMNS, cluster_rows, confusion_counts
from transfer.data.resize import Resized
from transfer.evaluation.calibration import reliability, risk_coverage, risks, scale
from transfer.evaluation.pairs import PAIR_COLUMNS, pairs
from transfer.evaluation.scores import CLASS_COLUMNS
from transfer.runtime.files import write_tsv


def write_confusion(path: Path, split: Resized, views: np.ndarray) -> None:
    """Write the actual and the predicted class of every image, in the split's order, from all views and from one.

    views (V, N, classes) are probabilities, the image as it is first.
    """
    named = np.array(split.classes)
    columns = named[split.labels], named[views.mean(0).argmax(1)], named[views[0].argmax(1)]
    names = "actual", "predicted", "one_view"
    write_tsv(path, [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)])


def write_tables(
    plots: Path, split: Resized, views: np.ndarray, temperature: float, expected: Sequence[Sequence[int]]
) -> None:
    """Confusion, clusters, pairs, reliability, and risk against coverage, of probabilities (V, N, classes)."""
    probabilities = views.mean(0)
    write_confusion(plots / "confusion.tsv", split, views)
    counts = confusion_counts(split.labels, probabilities.argmax(1), len(split.classes))
    write_tsv(plots / "clusters.tsv", cluster_rows(counts, split.classes), CLUSTER_COLUMNS)
    write_tsv(plots / "pairs.tsv", pairs(counts, split.classes, expected), PAIR_COLUMNS)
    write_tsv(plots / "risk_coverage.tsv", risk_coverage(risks(probabilities, split.labels)))
    scaled = scale(probabilities, temperature)
    write_tsv(plots / "reliability.tsv", reliability(split.labels, raw=probabilities, scaled=scaled))


def write_class_scores(path: Path, scores: Mapping[str, Any]) -> None:
    """A row for each class of what `score` gives, empty where a figure is missing."""
    empty = dict.fromkeys(CLASS_COLUMNS, "")
    write_tsv(path, [{"class": name, **empty, **values} for name, values in scores["per_class"].items()])


def steps_of(split: Resized, model: nn.Module, batch: Tensor, views: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What becomes of the test images, for `write_hand_overs`: as drawn, resized, as the model gets them, its answers.

    batch are the first images as the model gets them, views (V, N, classes) probabilities.
    """
    weights = torch.cat([each.detach().reshape(-1) for each in model.parameters()]).cpu().numpy()
    images = {"test images or thumbnails": split.images, "test images": split.pixels, "test labels": split.labels}
    answers = {"probabilities of each view": views, "probabilities": views.mean(0), "their sums": views.mean(0).sum(1)}
    return {
        "resize → evaluate": images,
        "fine_tune → evaluate": {"weights": weights},
        "evaluate → network": {"a batch of test images": batch.cpu().numpy()},
        "network → evaluate": answers,
        "evaluate → unknown, export": {"predicted classes": views.mean(0).argmax(1)},
    }
