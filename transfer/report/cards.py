"""What a model card and a data card say (Mitchell et al. 2019, Gebru et al. 2021), from the figures of a run.

The templates hold the sentences; here is what has to be counted or put into rows. A figure that was not
measured gives no row.
"""

from collections.abc import Mapping
from typing import Any

from transfer.network.classifier import ModelCard
from transfer.report.evidence import ESTIMATES, Evidence, estimate, interval, percent, shown
from transfer.report.findings import gate, leakage_text

SPLITS = {"train": "training", "val": "validation", "test": "test"}
STRENGTHS = ("mild", "medium", "strong")

Rows = list[list[str]]


def result_rows(evidence: Evidence) -> Rows:
    scores = evidence.metrics["evaluate"]
    return [[what, estimate(scores, name)] for name, what in ESTIMATES.items() if name in scores]


def class_rows(evidence: Evidence) -> Rows:
    """Precision, recall and F1 of each class, the lowest F1 first."""
    classes = evidence.metrics["evaluate"]["per_class"]
    ranked = sorted(classes, key=lambda name: classes[name]["f1"])
    return [[name, *(estimate(classes[name], figure) for figure in ("precision", "recall", "f1"))] for name in ranked]


def corruption_rows(evidence: Evidence) -> Rows:
    """Accuracy under each corruption, by strength."""
    return [
        [name, *(percent(figures[strength]) for strength in STRENGTHS)]
        for name, figures in evidence.metrics.get("robustness", {}).items()
        if isinstance(figures, Mapping)
    ]


def image_rows(evidence: Evidence) -> Rows:
    """Images of each class in each split, and all of them."""
    counts = evidence.metrics["subsample"]
    classes = counts["train"]["per_class"]
    rows = [[name, *(f"{counts[split]['per_class'][name]:,}" for split in SPLITS)] for name in classes]
    return [*rows, ["all", *(f"{counts[split]['images']:,}" for split in SPLITS)]]


def duplicate_rows(evidence: Evidence) -> Rows:
    pairs = evidence.figure("leakage", "pairs") or {}
    named = {name: " and ".join(SPLITS[split] for split in name.split("-")) for name in pairs}
    return [[named[name], shown(kinds["exact"]), shown(kinds["near"])] for name, kinds in pairs.items()]


def facts(evidence: Evidence, card: ModelCard, digest: str) -> dict[str, Any]:
    """All that the templates of both cards ask for; `digest` is the model file's.

    Raises KeyError if a figure is missing, and so does its `figure`.
    """

    def figure(*keys: str) -> Any:
        if (value := evidence.figure(*keys)) is None:
            raise KeyError(".".join(keys))
        return value

    scores, leakage = evidence.metrics["evaluate"], evidence.metrics["leakage"]
    ends = interval(scores["accuracy_ci_low"], scores["accuracy_ci_high"])
    return {
        "card": card,
        "digest": digest,
        "figure": figure,
        "parameter": evidence.parameter,
        "images": evidence.images,
        "percent": percent,
        "shown": shown,
        "verdict": gate(evidence).sentence,
        "accuracy": f"{percent(scores['accuracy'])} ({ends})",
        "results": result_rows(evidence),
        "classes": class_rows(evidence),
        "corruptions": corruption_rows(evidence),
        "counts": image_rows(evidence),
        "duplicates": duplicate_rows(evidence),
        "leakage": leakage_text(leakage) if "accuracy_without" in leakage else "",
        "train_suspects": len(evidence.rows("train_label_errors")),
    }
