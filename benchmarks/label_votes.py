"""How many test labels that look wrong to a run's model look wrong to people: `python -m benchmarks.label_votes`.

Needs a finished run on CIFAR-10 and CIFAR-10H's data/cifar10h-counts.npy (Peterson et al. 2019, about 50 votes for each
of the 10,000 test images; github.com/jcpeterson/cifar-10h).
"""

import argparse
from pathlib import Path

import numpy as np

from commands.entry_point import exit_with
from transfer.evaluation.calibration import scale
from transfer.evaluation.label_errors import suspects
from transfer.evaluation.scores import wilson_interval
from transfer.runtime.files import open_arrays


def share(hits: int, total: int) -> str:
    low, high = wilson_interval(hits, total)
    return f"{hits} of {total}, {100 * hits / total:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main(run: Path, votes: Path) -> int:
    with open_arrays(run / "data/predictions.npz", "positions", "labels", "probabilities", "temperature") as arrays:
        positions, labels = arrays["positions"], arrays["labels"]
        probabilities = scale(arrays["probabilities"], float(arrays["temperature"]))
    counts = np.load(votes, allow_pickle=False)[positions]
    outvoted = counts.argmax(1) != labels
    listed, _ = suspects(probabilities, labels)
    print(f"most people against the label: {share(int(outvoted.sum()), len(labels))}")
    print(f"precision of the list: {share(int(outvoted[listed].sum()), len(listed))}")
    print(f"recall of the list: {share(int(outvoted[listed].sum()), int(outvoted.sum()))}")
    order = np.argsort(probabilities[np.arange(len(labels)), labels], kind="stable")
    for first in (20, 50, 100, 200):
        print(f"of the {first} least probable labels: {share(int(outvoted[order[:first]].sum()), first)}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.label_votes", description=__doc__, allow_abbrev=False)
    parser.add_argument("--run", type=Path, default=Path(), help="folder of the run (default: this one)")
    parser.add_argument("--votes", type=Path, required=True, help="cifar10h-counts.npy")
    given = parser.parse_args()
    exit_with(lambda: main(given.run, given.votes))
