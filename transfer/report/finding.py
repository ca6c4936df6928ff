"""What a finding is, from which thresholds on there is one, and the command that tries what it advises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transfer.report.evidence import Evidence

FEWEST_IMAGES = 100  # test images, below which nothing is concluded from single classes, groups or corruptions
OVERFITTING_GAP = 0.05  # training minus validation accuracy at the kept epoch
UNDERFITTING_ACCURACY = 0.85  # training and validation accuracy below it
STILL_RISING = 0.003  # validation accuracy gained in the last epoch, which was the best
SMALLEST_GAIN = 0.01  # validation accuracy that fine-tuning has to add
WEAK_CLASS_GAP = 0.05  # F1 of a class below the macro F1
LARGE_CLUSTER = 0.10  # share of all errors within one cluster
WELL_CALIBRATED_ECE = 0.03
FRAGILE_DROP = 0.10  # accuracy lost under a corruption of medium strength


@dataclass(frozen=True)
class Finding:
    """Something that a figure shows: what is seen, what it means, what to do, and the figures.

    `parameters` names those to change, the first one first; empty if none does it.
    """

    symptom: str
    diagnosis: str
    intervention: str
    parameters: tuple[str, ...]
    evidence: str


def _more(factor: float) -> Callable[[Any], Any]:
    """A number times a factor, whole if it was; two digits are enough for a try."""
    return lambda value: (
        max(round(factor * value), value + 1) if isinstance(value, int) else float(f"{factor * value:.2g}")
    )


# What to try instead of a parameter's value. The aim is a sensible next experiment, not the best value.
NEXT: dict[str, Callable[[Any], Any]] = {
    "backbone.name": lambda name: "resnet50" if name != "resnet50" else "resnet101",
    "explain.method": lambda method: "hirescam" if method != "hirescam" else "gradcam",
    "resize.size_px": lambda side: 32 * round(1.33 * side / 32 + 0.5),
    "subsample.train_size": _more(2),
    "subsample.val_size": _more(2),
    "train.augment.brightness": lambda value: value + 0.2,
    "train.augment.contrast": lambda value: value + 0.2,
    "train.augment.mix.cutmix_alpha": lambda alpha: 0.0 if alpha else 1.0,
    "train.augment.organic.degrees": lambda degrees: degrees + 15,
    "train.augment.rigid.degrees": lambda degrees: degrees + 15,
    "train.augment.shift_fraction": lambda share: min(share + 0.125, 0.5),
    "train.fine_tune.epochs": _more(1.5),
    "train.fine_tune.hard_examples.share": lambda share: share or 0.25,
    "train.fine_tune.label_smoothing": lambda value: 0.0 if value else 0.1,
    "train.fine_tune.weight_decay": _more(2),
    "train.head.dropout": lambda share: 0.3 if share < 0.3 else 0.5,
    "train.head.epochs": _more(2),
    "train.head.weight_decay": _more(2),
    "train.lr": _more(3),
}


def command(finding: Finding, evidence: Evidence) -> str:
    """`dvc exp run -S name=value` for the first parameter that the run has; empty if there is none."""
    for name in finding.parameters:
        value = evidence.parameter(*name.split("."))
        if value is not None and name in NEXT:
            return f"dvc exp run -S {name}={NEXT[name](value)}"
    return ""
