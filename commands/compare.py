"""Judge one run against another on the same images: `python -m commands.compare A B [--split val]`.

A and B are experiments, branches, tags, commits, or `workspace`. The predictions come from
metrics/evaluate/confusion.tsv, or val_confusion.tsv, which git keeps, so that no DVC remote is needed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from commands.entry_point import exit_with
from commands.revisions import read, resolve
from transfer.comparison.paired import Comparison, compare_names
from transfer.report.evidence import read_table
from transfer.runtime.errors import DataError
from transfer.runtime.wording import plural

PREDICTIONS = {"test": "metrics/evaluate/confusion.tsv", "val": "metrics/evaluate/val_confusion.tsv"}
SPLITS = "metrics/subsample.json"


def read_predictions(root: Path, name: str, split: str) -> tuple[np.ndarray, np.ndarray, str]:
    """True and predicted class names (N,) of a run, and the digest of its choice of images."""
    revision = resolve(root, name)
    texts = {path: read(root, revision, path) for path in (PREDICTIONS[split], SPLITS)}
    if missing := [path for path, text in texts.items() if text is None]:
        raise DataError(f"{name}: holds no {missing[0]}; run `dvc repro` there and commit")
    try:
        rows = read_table(texts[PREDICTIONS[split]] or "")
        chosen = json.loads(texts[SPLITS] or "")[split]["positions_sha256"]
        return np.array([row["actual"] for row in rows]), np.array([row["predicted"] for row in rows]), chosen
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{name}: {' or '.join(texts)} is not readable ({error!r}); run `dvc repro` there") from None


def compare_runs(root: Path, first: str, second: str, split: str = "test") -> Comparison:
    """Compare two revisions. Raises DataError if they did not predict the same images."""
    labels, before, chosen = read_predictions(root, first, split)
    other_labels, after, other_chosen = read_predictions(root, second, split)
    if chosen != other_chosen or not np.array_equal(labels, other_labels):
        raise DataError(
            f"{first} and {second} predicted different images of the {split} split; seed and subsample must be equal"
        )
    return compare_names(labels, before, after)


def table(comparison: Comparison) -> str:
    """All changes as Markdown."""
    head = ["| % | A | B | change | 95 % interval |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in comparison.rows())])


def main(root: Path, first: str, second: str, split: str) -> int:
    comparison = compare_runs(root, first, second, split)
    name = "validation" if split == "val" else split
    print(f"A = {first}, B = {second}, {name} split: {comparison.sentence()}\n")
    print(table(comparison))
    fixed, images = plural(comparison.fixed, "error"), plural(comparison.images, "image")
    print(f"\nOf {images}, B fixes {fixed} of A and makes {comparison.broken:,} new.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.compare", description=__doc__)
    parser.add_argument("a", metavar="A", help="experiment, revision or `workspace`")
    parser.add_argument("b", metavar="B", help="experiment, revision or `workspace`")
    parser.add_argument("--split", choices=PREDICTIONS, default="test", help="images to judge by (default %(default)s)")
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.a, arguments.b, arguments.split))
