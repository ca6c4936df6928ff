"""What a finding is, from which thresholds on there is one, and the command that tries what it advises."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transfer.report.evidence import Evidence

FEWEST_IMAGES = 100  # test images, below which nothing is concluded from single classes or groups
OVERFITTING_GAP = 0.05  # training minus validation accuracy at the kept epoch
UNDERFITTING_ACCURACY = 0.85  # training and validation accuracy below it
SMALLEST_GAIN = 0.02  # validation accuracy that fine-tuning has to add
WEAK_CLASS_GAP = 0.05  # F1 of a class below the macro F1
LARGE_CLUSTER = 0.10  # share of all errors within one cluster
WELL_CALIBRATED_ECE = 0.03
FRAGILE_DROP = 0.05  # accuracy lost under a corruption of medium strength


@dataclass(frozen=True)
class Finding:
    """Something that a figure shows: what is seen, what it means, what to do, and the figures.

    `parameters` names those to raise, the first one first, `less` those to lower; both are empty if none does it.
    """

    symptom: str
    diagnosis: str
    intervention: str
    parameters: tuple[str, ...]
    evidence: str
    less: tuple[str, ...] = ()


def _more(factor: float) -> Callable[[Any], Any]:
    """A number times a factor, whole if it was; two digits are enough for a try."""
    return lambda value: (
        max(round(factor * value), value + 1) if isinstance(value, int) else float(f"{factor * value:.2g}")
    )


def _up_to(most: float, step: float) -> Callable[[float], float]:
    return lambda value: max(value, min(round(value + step, 3), most))


def _more_images(most_share: float) -> Callable[[Any], Any]:
    """Twice as many; of a share no more than `most_share`."""
    return lambda value: _more(2)(value) if isinstance(value, int) else max(value, min(2 * value, most_share))


LARGER = {"resnet18": "resnet50", "resnet34": "resnet50", "resnet50": "resnet101", "resnet101": "resnet152"}
# What to try instead of a parameter's value. The aim is a sensible next experiment, not the best value; where a
# parameter leads no further, the value itself.
MORE: dict[str, Callable[[Any], Any]] = {
    "backbone.name": lambda name: LARGER.get(name, name),
    "explain.method": lambda method: "hirescam" if method != "hirescam" else "gradcam++",
    "resize.size_px": lambda side: max(side, min(32 * round(1.33 * side / 32 + 0.5), 1024)),
    "subsample.train_size": _more_images(1.0),
    "subsample.val_size": _more_images(0.5),
    "train.augment.brightness": _up_to(1.0, 0.2),
    "train.augment.contrast": _up_to(1.0, 0.2),
    "train.augment.mix.cutmix_alpha": lambda alpha: alpha or 1.0,
    "train.augment.organic.degrees": _up_to(180.0, 15.0),
    "train.augment.rigid.degrees": _up_to(180.0, 15.0),
    "train.augment.shift_fraction": _up_to(0.5, 0.125),
    "train.fine_tune.epochs": _more(1.5),
    "train.fine_tune.hard_examples.share": _up_to(0.5, 0.25),
    "train.fine_tune.label_smoothing": _up_to(0.2, 0.1),
    "train.fine_tune.weight_decay": lambda decay: _more(2)(decay) if decay else 0.01,
    "train.head.dropout": lambda share: max(share, 0.3 if share < 0.3 else 0.5),
    "train.head.epochs": _more(2),
    "train.head.weight_decay": lambda decay: _more(2)(decay) if decay else 0.01,
    "train.lr": _more(3),
}
LESS: dict[str, Callable[[Any], Any]] = {
    "train.fine_tune.label_smoothing": lambda value: 0.0,
    "train.lr": lambda value: float(f"{value / 3:.2g}"),
}


def commands(finding: Finding, evidence: Evidence) -> list[str]:
    """`dvc exp run -S name=value` for each parameter of the run that leads further, as far as there are images."""
    found = []
    for steps, names in ((MORE, finding.parameters), (LESS, finding.less)):
        for name in names:
            value = evidence.parameter(*name.split("."))
            if value is None or name not in steps:
                continue
            tried = steps[name](value)
            if name == "subsample.train_size" and isinstance(value, int):
                tried = min(tried, max(evidence.figure("download", "train_images") or value, value))
            if tried != value:
                found.append(f"dvc exp run -S {name}={tried}")
    return found
