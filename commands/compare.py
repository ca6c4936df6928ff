"""Judge one run against another on the same images: `python -m commands.compare A B [--split val]`.

A and B are experiments, branches, tags, commits, or `workspace`. The answers come from
metrics/confusion.tsv, or val_confusion.tsv, which git keeps, so that no DVC remote is needed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from commands.ending import exit_with
from commands.revisions import read, resolve
from transfer.comparison.paired import Comparison, compare_names

ANSWERS = {"test": "metrics/confusion.tsv", "val": "metrics/val_confusion.tsv"}
SPLITS = "metrics/subsample.json"


def read_answers(root: Path, name: str, split: str) -> tuple[np.ndarray, np.ndarray, str]:
    """True and predicted class names (N,) of a run, and the digest of its choice of images."""
    revision = resolve(root, name)
    answers, splits = read(root, revision, ANSWERS[split]), read(root, revision, SPLITS)
    if answers is None or splits is None:
        missing = SPLITS if answers else ANSWERS[split]
        raise SystemExit(f"error: {name}: holds no {missing}; run `dvc repro` there and commit")
    rows = np.array([line.split("\t") for line in answers.splitlines()[1:]])
    return rows[:, 0], rows[:, 1], json.loads(splits)[split]["positions_sha256"]


def compare_runs(root: Path, first: str, second: str, split: str = "test") -> Comparison:
    """Compare two revisions. Exits with one line if they were not asked about the same images."""
    labels, before, chosen = read_answers(root, first, split)
    other_labels, after, other_chosen = read_answers(root, second, split)
    if chosen != other_chosen or not np.array_equal(labels, other_labels):
        raise SystemExit(
            f"error: {first} and {second} were asked about other images of the {split} split; "
            "seed and subsample must be equal"
        )
    return compare_names(labels, before, after)


def table(comparison: Comparison) -> str:
    """All changes as Markdown."""
    head = ["| % | A | B | change | 95 % interval |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in comparison.rows())])


def main(root: Path, first: str, second: str, split: str) -> int:
    comparison = compare_runs(root, first, second, split)
    print(f"A = {first}, B = {second}, {split} split: {comparison.sentence()}\n")
    print(table(comparison))
    print(f"\nOf {comparison.images} images B mended {comparison.fixed} errors of A and made {comparison.broken} new.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.compare", description=__doc__)
    parser.add_argument("a", metavar="A", help="experiment, revision or `workspace`")
    parser.add_argument("b", metavar="B", help="experiment, revision or `workspace`")
    parser.add_argument("--split", choices=ANSWERS, default="test", help="images to judge by (default %(default)s)")
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.a, arguments.b, arguments.split))
