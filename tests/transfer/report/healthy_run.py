"""Figures of a made-up run in which nothing is wrong, and a way to change them one by one."""

from copy import deepcopy
from typing import Any

from transfer.report.evidence import Evidence
from transfer.sources.cifar import OFFICIAL_CLASSES

CLASSES = ("cat", "dog", "ship", "truck")
EACH = 500


def curve(first: int, *accuracies: tuple[float, float]) -> list[dict[str, str]]:
    """Epochs with (training, validation) accuracy, as a table's rows."""
    return [
        {
            **{"epoch": str(epoch), "lr": "0.001"},
            **{"train_loss": f"{1 - train}", "train_accuracy": f"{train}"},
            **{"val_loss": f"{1 - val}", "val_accuracy": f"{val}"},
        }
        for epoch, (train, val) in enumerate(accuracies, first)
    ]


def answers(errors: dict[tuple[str, str], int]) -> list[dict[str, str]]:
    """Rows of a confusion table: EACH images a class, with so many errors of each kind (actual, predicted)."""
    rows = [pair for pair, count in errors.items() for _ in range(count)]
    for name in CLASSES:
        rows += [(name, name)] * (EACH - sum(actual == name for actual, _ in rows))
    return [{"actual": actual, "predicted": said} for actual, said in rows]


def scores(f1: float, low: float, high: float) -> dict[str, float]:
    return {"precision": f1, "recall": f1, "f1": f1, "f1_ci_low": low, "f1_ci_high": high}


NOT_OFFICIAL = {"download.official_pixels": False}
TEN = {"evaluate.per_class": {name: scores(0.91, 0.89, 0.93) for name in OFFICIAL_CLASSES}}  # all of CIFAR-10's
METRICS: dict[str, Any] = {
    "download": {
        "kind": "a CIFAR binary archive",
        "official_pixels": True,
        "images": 60000,
        "train_images": 50000,
        "test_images": 10000,
        "classes": 4,
        "damaged_images": 0,
    },
    "backbone": {"name": "resnet18", "weights": "IMAGENET1K_V1", "published": True, "sha256": "ab" * 32},
    "subsample": {
        split: {"images": images, "per_class": dict.fromkeys(CLASSES, images // 4), "positions_sha256": digit * 64}
        for split, images, digit in (("train", 8000, "1"), ("val", 2000, "2"), ("test", 2000, "3"))
    },
    "embed": {
        "val": {"knn": {"accuracy": 0.7, "neighbours": 10}, "linear_probe": {"accuracy": 0.79, "penalty": 0.001}},
        "features": 512,
        "precision": "float32",
    },
    "train_head": {
        "train": {"loss": 0.2, "accuracy": 0.82},
        "val": {"loss": 0.2, "accuracy": 0.80},
        "epochs": 3,
        "best_epoch": 2,
    },
    "fine_tune": {
        "train": {"loss": 0.1, "accuracy": 0.93},
        "val": {"loss": 0.1, "accuracy": 0.91},
        "epochs": 3,
        "best_epoch": 6,
    },
    "evaluate": {
        **{"accuracy": 0.912, "accuracy_ci_low": 0.899, "accuracy_ci_high": 0.924},
        **{"macro_f1": 0.91, "macro_f1_ci_low": 0.90, "macro_f1_ci_high": 0.92},
        **{"top2_accuracy": 0.97, "loss": 0.3, "brier": 0.15, "accuracy_single_view": 0.905, "mva_met": True},
        "per_class": {name: scores(0.91, 0.89, 0.93) for name in CLASSES},
        "calibration": {
            **{"temperature": 1.1, "ece": 0.02, "ece_by_chance": 0.02, "ece_scaled": 0.01, "ece_scaled_by_chance": 0.02}
        },
        "risk_coverage": {"aurc": 0.02, "accuracy_at_80": 0.98},
        "groups": {
            **{"rigid_accuracy": 0.915, "organic_accuracy": 0.909},
            **{"gap": 0.006, "gap_ci_low": -0.02, "gap_ci_high": 0.03},
        },
        **{"train_images": 1000, "train_accuracy": 0.94, "train_accuracy_ci_low": 0.93, "train_accuracy_ci_high": 0.95},
        "label_errors": {"suspected": 0},
        "duplicates": {
            **{"affected_test_images": 0, "accuracy": 0.912, "accuracy_without": 0.912},
            **{"accuracy_without_ci_low": 0.899, "accuracy_without_ci_high": 0.924},
        },
    },
    "robustness": {
        **{"images": 1000, "clean_accuracy": 0.91, "mean_accuracy": 0.88, "mean_drop": 0.03},
        "noise": {"mild": 0.90, "medium": 0.87, "strong": 0.85},
        "other_group": {
            "upright": {"rigid": 0.01, "rigid_ci_low": 0.005, "rigid_ci_high": 0.02, "organic": 0.02},
            "turned": {"rigid": 0.04, "rigid_ci_low": 0.02, "rigid_ci_high": 0.06, "organic": 0.03},
        },
    },
    "explore": {
        "interpolation": {
            "linear": {"kept_energy": 0.048, "round_trip_psnr_db": 24.4},
            "cubic": {"kept_energy": 0.069, "round_trip_psnr_db": 25.8},
        },
        "enlarged": {"images": 500},
        "cubic_closer_than_linear": {"share": 0.9, "ci_low": 0.87, "ci_high": 0.92},
    },
    "leakage": {
        "copies": {
            "train-train": {"exact": 0, "near": 3, "other_class": 0},
            "train-test": {"exact": 0, "near": 0, "other_class": 0},
        },
        **{"affected_test_images": 0, "groups": 3, "largest_group": 2, "rows_left_out": 0},
        "thresholds": {"min_correlation": 0.75},
    },
    "audit": {
        **{"images": 500, "coverage": 0.8},
        "model": {"word": "confirmed", "why": "the object decides"},
        "maps": {"word": "confirmed", "why": "they follow the weights"},
        "energy_inside": {
            **{"cam": 0.7, "cam_ci_low": 0.65, "cam_ci_high": 0.75, "centre": 0.6, "random": 0.4, "oracle": 0.9},
            **{"normalised": 0.33, "normalised_ci_low": 0.2, "normalised_ci_high": 0.4},
        },
        "counterfactual": {
            "clean_accuracy": 0.91,
            **{"background_gap": 0.05, "background_gap_ci_low": 0.02, "background_gap_ci_high": 0.08},
        },
        "faithfulness": {
            "insertion_cam": 0.8,
            "insertion_gain": 0.2,
            "insertion_gain_ci_low": 0.1,
            "insertion_gain_ci_high": 0.3,
        },
        "sanity": {"head": {"rank_correlation": 0.4}},
    },
}
TABLES = {
    "train_head": curve(1, (0.5, 0.6), (0.82, 0.80), (0.82, 0.80)),
    "fine_tune": curve(4, (0.88, 0.87), (0.92, 0.909), (0.93, 0.91)),
    "evaluate/confusion": answers({(a, b): 14 for a in CLASSES for b in CLASSES if a != b}),
    "evaluate/clusters": [
        {
            **{"classes": "cat, dog", "size": "2", "errors": "28", "share_of_errors": "0.09"},
            **{"excess": "4.4", "excess_ci_low": "3.4", "excess_ci_high": "5.7"},
        }
    ],
    "evaluate/pairs": [
        {
            **{"pair": "cat / dog", "first": "cat", "second": "dog", "rank": "1", "errors": "28"},
            **{"share_of_errors": "0.1667", "median_share": "0.1667"},
            **{"share_ci_low": "0.1177", "share_ci_high": "0.2306", "expected": "true", "verdict": "undecided"},
        }
    ],
    "evaluate/reliability": [{"view": "raw", "confidence": "0.6", "accuracy": "0.5", "images": "30"}],
    "evaluate/risk_coverage": [{"coverage": "0.5", "risk": "0.01"}, {"coverage": "1.0", "risk": "0.09"}],
}
PARAMETERS: dict[str, Any] = {
    "seed": 0,
    "evaluate": {"minimum_macro_f1": 0.65},
    "resize": {"size_px": 96, "interpolation": "cubic"},
    "train": {"head": {"hidden": [128]}, "augment": {"mirror": True, "shift_fraction": 0.125}},
}


def healthy() -> Evidence:
    return Evidence(deepcopy(METRICS), deepcopy(TABLES), deepcopy(PARAMETERS))


def changed(figures: dict[str, Any], tables: dict[str, list[dict[str, str]]] | None = None) -> Evidence:
    """The healthy run with other figures, by dotted names, and other tables."""
    evidence = healthy()
    metrics: Any = evidence.metrics
    for name, value in figures.items():
        *groups, last = name.split(".")
        place = metrics
        for group in groups:
            place = place[group]
        place[last] = value
    return Evidence(metrics, {**evidence.tables, **(tables or {})}, evidence.parameters)
