"""Compare answers that a server has logged with those to the test split: `python -m commands.drift answers.jsonl`.

Shares have 95 % intervals (Wilson's; of a difference Newcombe's), a mean the normal one. The exit status is 1 if the
images have drifted: if more of them are unlike the training images or not answered surely enough, the model is less
sure on average, or the classes have other shares, than chance explains; each sign comes by chance in one of forty logs.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.entry_point import exit_with
from transfer.deployment.package import Package, read_package
from transfer.deployment.predictor import calibrated
from transfer.evaluation.scores import newcombe_interval, wilson_interval
from transfer.runtime.errors import DataError
from transfer.runtime.files import open_arrays

NORMAL = 1.959963984540054  # standard deviations of a 95 % interval
CHANCE = 0.025  # of each sign where nothing has drifted: one end of such an interval
DRAWS = 1999


@dataclass(frozen=True)
class Answered:
    """Answers of one source: the predicted label and its probability (N,), and how many of `images` were unlike the
    training images.
    """

    labels: np.ndarray
    confidence: np.ndarray
    unlike: int
    images: int


def read_log(path: Path, classes: Sequence[str]) -> Answered:
    """What a server wrote; blank lines are nothing, nor is a last line of which it has written a part.

    Raises DataError naming a line that it did not write.
    """
    labels, confidence, unlike = [], [], 0
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `make serve ARGS='--log {path}'` writes it") from None
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip() or (number == len(lines) and _is_cut(line)):
            continue
        try:
            answer = json.loads(line)
            labels.append(classes.index(answer["answer"]))
            confidence.append(float(answer["probability"]))
            unlike += answer["verdict"] == "unlike"
            if not 0 <= confidence[-1] <= 1:
                raise ValueError(f"a probability of {confidence[-1]}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: line {number} is no answer of this model ({error!r}); name its own log") from None
    if not labels:
        raise DataError(f"{path}: no answers in it yet")
    return Answered(np.array(labels), np.array(confidence), unlike, len(labels))


def _is_cut(line: str) -> bool:
    """Whether it is the beginning of an answer, but not a whole one."""
    try:
        json.loads(line)
    except ValueError:
        return line.startswith("{")
    return False


def read_test(predictions: Path, unknown: Path, package: Package) -> Answered:
    """The same of the test split."""
    with open_arrays(predictions, "probabilities") as arrays:
        probabilities = calibrated(arrays["probabilities"], package.temperature)
    try:
        figures: dict[str, Any] = json.loads(unknown.read_text(encoding="utf-8"))
        unlike, images = round(figures["unlike"] * figures["images"]), int(figures["images"])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{unknown}: not readable ({error!r}); run `dvc repro unknown`") from None
    return Answered(probabilities.argmax(1), probabilities.max(1), unlike, images)


def share(hits: int, total: int) -> str:
    """A share in percent with its interval."""
    low, high = wilson_interval(hits, total)
    return f"{100 * hits / total:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def mean(values: np.ndarray) -> str:
    """A mean of shares in percent, and how far its interval reaches."""
    half = NORMAL * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0
    return f"{100 * values.mean():.1f} % (± {100 * half:.1f})"


def confidence_change(now: np.ndarray, then: np.ndarray) -> tuple[float, float]:
    """95 % interval of the difference of two means."""
    half = NORMAL * np.sqrt(sum(values.var(ddof=1) / len(values) if len(values) > 1 else 0 for values in (now, then)))
    change = now.mean() - then.mean()
    return float(change - half), float(change + half)


def deviations(counts: np.ndarray) -> np.ndarray:
    """Of counts (..., 2, C) each cell's part of Pearson's chi-square: how far the two rows' shares are from one."""
    rows, columns = counts.sum(-1, keepdims=True), counts.sum(-2, keepdims=True)
    expected = rows * columns / rows.sum(-2, keepdims=True)
    return (counts - expected) ** 2 / np.maximum(expected, np.finfo(float).tiny)


def chance_of(counts: np.ndarray) -> float:
    """How often chance alone sets the shares of two rows of counts (2, C) so far apart: Pearson's chi-square, drawn
    from the shares of both, because its distribution is known for large counts alone.
    """
    random, shares = np.random.default_rng(0), counts.sum(0) / counts.sum()
    drawn = np.stack([random.multinomial(total, shares, DRAWS) for total in counts.sum(1)], axis=1)
    further = deviations(drawn).sum((-2, -1)) >= deviations(counts).sum() - 1e-9
    return float((1 + further.sum()) / (1 + DRAWS))


def compare(
    now: Answered, then: Answered, classes: Sequence[str], sure: float
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Rows (what, in the log, in the test split), and a sentence for each sign of a drift.

    An answer whose probability is below `sure` is not sure enough.
    """
    total, unsure = len(then.labels), [int((each.confidence < sure).sum()) for each in (now, then)]
    rows = [
        ("images", f"{now.images:,}", f"{total:,}"),
        ("unlike the training images", share(now.unlike, now.images), share(then.unlike, then.images)),
        ("not sure enough", share(unsure[0], now.images), share(unsure[1], total)),
        ("mean probability of the answer", mean(now.confidence), mean(then.confidence)),
    ]
    counts = np.array([np.bincount(each.labels, minlength=len(classes)) for each in (now, then)])
    shares = [(share(int(here), now.images), share(int(there), total)) for here, there in counts.T]
    rows += [(f"answered {name}", *both) for name, both in zip(classes, shares, strict=True)]
    signs = []
    for what, interval in (
        ("unlike the training images", newcombe_interval(now.unlike, now.images, then.unlike, then.images)),
        ("not answered surely enough", newcombe_interval(unsure[0], now.images, unsure[1], total)),
    ):
        if interval[0] > 0:
            signs.append(f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} points more images are {what}")
    if (chance := chance_of(counts)) < CHANCE:
        most = int(deviations(counts).sum(0).argmax())
        signs.append(
            f"classes have other shares (chi-square, p = {chance:.2g}), most of all {classes[most]}: "
            f"{shares[most][0]} instead of {shares[most][1]}"
        )
    low, high = confidence_change(now.confidence, then.confidence)
    if high < 0:
        signs.append(f"answers are {-100 * high:.1f} to {-100 * low:.1f} points less sure")
    return rows, signs


def main(options: argparse.Namespace) -> int:
    package = read_package(options.package)
    now = read_log(options.log, package.classes)
    then = read_test(options.predictions, options.unknown, package)
    rows, signs = compare(now, then, package.classes, package.rejection.min_confidence)
    table = [("", "log", "test split"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\nDrift: {'; '.join(signs)}." if signs else "\nNo drift beyond chance.")
    return 1 if signs else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.drift", description=__doc__)
    parser.add_argument("log", type=Path, help="what `make serve ARGS='--log FILE'` wrote")
    parser.add_argument("--package", type=Path, default=Path("models/classifier"), help="(default %(default)s)")
    parser.add_argument("--predictions", type=Path, default=Path("data/predictions.npz"), help="(default %(default)s)")
    parser.add_argument("--unknown", type=Path, default=Path("metrics/unknown.json"), help="(default %(default)s)")
    exit_with(lambda: main(parser.parse_args()))
