"""The verdict on the minimum viable accuracy, and figures that findings and claims share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transfer.report.evidence import Evidence, difference_interval, interval
from transfer.runtime.wording import percent, plural

SHOWN_CLASSES = 3  # the lowest, where none is by itself below the minimum


@dataclass(frozen=True)
class Gate:
    """Whether the minimum viable accuracy is met and, if not, the classes and clusters responsible."""

    met: bool
    sentence: str
    classes: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()


def gate(evidence: Evidence) -> Gate:
    """The verdict on macro F1, as the evaluation gave it."""
    scores, minimum = evidence.metrics["evaluate"], evidence.parameter("evaluate", "minimum_macro_f1")
    said = f"macro F1 {scores['macro_f1']:.4f}" + (f", at least {minimum} required" if minimum is not None else "")
    if scores["mva_met"]:
        return Gate(True, f"Minimum viable accuracy met: {said}.")
    f1 = {name: values["f1"] for name, values in scores["per_class"].items()}
    ranked = sorted(f1, key=lambda name: f1[name])
    below = [name for name in ranked if minimum is not None and f1[name] < minimum] or ranked[:SHOWN_CLASSES]
    return Gate(
        False,
        f"Minimum viable accuracy missed: {said}.",
        tuple(f"{name} (F1 {f1[name]:.3f})" for name in below),
        tuple(cluster_text(row) for row in evidence.rows("evaluate/clusters")[:SHOWN_CLASSES]),
    )


def cluster_text(row: Mapping[str, str]) -> str:
    """`cat, dog (166 errors, 18.6 % of all)`."""
    return f"{row['classes']} ({row['errors']} errors, {percent(float(row['share_of_errors']))} of all)"


def last_phase(evidence: Evidence) -> str:
    """The training phase that made the model; empty if that is not known."""
    if evidence.figure("fine_tune", "epochs") == 0:
        return "train_head"
    return "fine_tune" if evidence.ran("fine_tune") else ""


def training_minus_validation(evidence: Evidence) -> tuple[float, float, float] | None:
    """Accuracy on plain training images less that on validation images, with its 95 % interval."""
    scores, total = evidence.metrics["evaluate"], evidence.images("val")
    val = evidence.figure(last_phase(evidence), "val", "accuracy")
    if "train_accuracy" not in scores or val is None or not total:
        return None
    train = scores["train_accuracy"]
    return train - val, *difference_interval(train, scores["train_images"], val, total)


def validation_minus_test(evidence: Evidence) -> tuple[float, float, float] | None:
    """Validation minus test accuracy of one view of each image, with its interval."""
    val = evidence.figure(last_phase(evidence), "val", "accuracy")
    test = evidence.figure("evaluate", "accuracy_single_view")
    counts = evidence.images("val"), evidence.images("test")
    if val is None or test is None or not all(counts):
        return None
    return val - test, *difference_interval(val, counts[0], test, counts[1])


def leakage_text(figures: Mapping[str, Any]) -> str:
    """`without 120 test images that are copies, accuracy is 91.0 % (95 % interval ...), with them 91.1 %`."""
    ends = interval(figures["accuracy_without_ci_low"], figures["accuracy_without_ci_high"])
    copies = plural(figures["affected_test_images"], "test image that is a copy", "test images that are copies")
    return (
        f"without {copies}, accuracy is {percent(figures['accuracy_without'])} ({ends}), with "
        f"{'it' if figures['affected_test_images'] == 1 else 'them'} {percent(figures['accuracy'])}"
    )
