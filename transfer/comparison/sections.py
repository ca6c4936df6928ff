"""What the report on a change shows, as data; templates/change.md.j2 holds the sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from transfer.comparison.changes import MISSING, Changed, SeedSpread, changes, not_run_with, stage_changes
from transfer.comparison.paired import Comparison, compare_names
from transfer.report.evidence import Evidence, difference_interval, interval, leaves, points
from transfer.runtime.wording import percent, plural

TEMPLATE = Path(__file__).parent / "templates/change.md.j2"
OTHER_IMAGES = "the two runs were tested on different images, which cannot be paired"
PHASES = {"train_head": "phase 1 (head only)", "fine_tune": "phase 2 (whole network)"}

ENDS = ("_ci_low", "_ci_high")

Rows = list[list[str]]


@dataclass(frozen=True)
class Run:
    """The figures, tables and parameters of a run, and its stages' entries of dvc.lock; None if there is no lock."""

    evidence: Evidence
    stages: Mapping[str, Any] | None


def true_and_predicted(evidence: Evidence) -> np.ndarray | None:
    """Names of the true and of the predicted class (2, N) of each test image; None if nothing was evaluated."""
    rows = evidence.rows("evaluate/confusion")
    return np.array([[row["actual"], row["predicted"]] for row in rows]).T if rows else None


def same_images(before: Evidence, after: Evidence) -> bool:
    """Whether both runs were tested, and on the same images."""
    old, new = true_and_predicted(before), true_and_predicted(after)
    chosen = [evidence.figure("subsample", "test", "positions_sha256") for evidence in (before, after)]
    return old is not None and new is not None and np.array_equal(old[0], new[0]) and chosen[0] == chosen[1]


def paired(before: Evidence, after: Evidence) -> Comparison | None:
    """The comparison over the same test images; None if there are none."""
    old, new = true_and_predicted(before), true_and_predicted(after)
    if old is None or new is None or not same_images(before, after):
        return None
    return compare_names(new[0], old[1], new[1])


class Accuracy(NamedTuple):
    """Test accuracy of two runs, None if not evaluated, and the interval of its change if images are not paired."""

    before: float | None
    after: float | None
    ci_low: float | None = None
    ci_high: float | None = None


def accuracies(before: Evidence, after: Evidence) -> Accuracy:
    found = [true_and_predicted(evidence) for evidence in (before, after)]
    old, new = (None if names is None else float((names[0] == names[1]).mean()) for names in found)
    if found[0] is None or found[1] is None or old is None or new is None:
        return Accuracy(old, new)
    return Accuracy(old, new, *difference_interval(new, found[1].shape[1], old, found[0].shape[1]))


def minimum(before: Evidence, after: Evidence) -> dict[str, Any] | None:
    """Whether the minimum viable accuracy is met, and whether it was before; None if nothing was evaluated."""
    if (scores := after.metrics.get("evaluate")) is None:
        return None
    return {
        "met": scores["mva_met"],
        "was_met": before.figure("evaluate", "mva_met"),
        "macro_f1": scores["macro_f1"],
        "required": after.parameter("evaluate", "minimum_macro_f1"),
    }


def shown(value: Any) -> str:
    """A figure for people: four decimals, or three digits of a very small one."""
    if value is MISSING:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 0.001 or value == 0 else f"{value:.2e}"
    return str(value)


def _row(change: Changed) -> list[str]:
    """Name, before, after, and the difference with its sign, or that the value is new or gone."""
    step = "" if change.difference is None else f"{'+' * (change.difference >= 0)}{shown(change.difference)}"
    if MISSING in (change.before, change.after):
        step = "new" if change.before is MISSING else "gone"
    return [change.name, shown(change.before), shown(change.after), step]


def metrics(before: Evidence, after: Evidence, spread: SeedSpread | None) -> dict[str, Any]:
    """Whether there were any figures, how many changed, and rows of them: of the test split, and all others.

    If a spread between seeds of one of the two recipes is recorded, `judged` says of how many figures it decides, and
    each row ends in what it says.
    """
    found = changes(before.metrics, after.metrics)
    fits = spread is not None and spread.is_of(before.parameters, after.parameters)
    judged = [change for change in found if spread and spread.scatters(_spread_name(change))]
    headline: Rows = []
    others: Rows = []
    for change in found:
        if change.name.endswith(ENDS):
            continue
        noise = ["not recorded"] if fits else []
        if spread and fits and (name := _spread_name(change)) and change.difference is not None:
            noise = [spread.judge(name, change.difference, max(len(judged), 1))]
        stage, _, name = change.name.partition(".")
        table = headline if stage == "evaluate" and not name.startswith("per_class.") else others
        table.append([*_row(change), *noise])
    total = {name for evidence in (before, after) for name, _ in leaves(evidence.metrics)}
    return {
        "before": bool(before.metrics),
        "after": bool(after.metrics),
        "changed": len(found),
        "total": len(total),
        "judged": len(judged) if fits else 0,
        "noise": fits,
        "headline": headline,
        "others": others,
    }


def _spread_name(change: Changed) -> str:
    """What a figure is called where its spread between seeds is recorded; empty for one that never is."""
    stage, _, name = change.name.partition(".")
    return name if stage in ("evaluate", "fine_tune") and not name.endswith(ENDS) else ""


def parameters(before: Evidence, after: Evidence) -> Rows:
    """Name, before and after of each parameter that changed, as params.yaml has them."""
    found = changes(before.parameters, after.parameters)
    return [
        [change.name, *("none" if value is MISSING else str(value) for value in (change.before, change.after))]
        for change in found
    ]


def classes(before: Evidence, after: Evidence) -> Rows:
    """F1 of each class that changed, largest change first."""
    figures = [evidence.figure("evaluate", "per_class") or {} for evidence in (before, after)]
    found = [change for change in changes(*figures) if change.name.endswith(".f1")]
    ranked = sorted(found, key=lambda change: -abs(change.difference or 0))
    return [[name.removesuffix(".f1"), *rest] for name, *rest in map(_row, ranked)]


def curves(before: Evidence, after: Evidence) -> Rows:
    """Each training phase that one of the runs had, and the best validation accuracy in both."""
    rows = []
    for phase, name in PHASES.items():
        best = [evidence.figure(phase, "val", "accuracy") for evidence in (before, after)]
        if best != [None, None]:
            rows.append([name, *("none" if accuracy is None else percent(accuracy) for accuracy in best)])
    return rows


def facts(before: Run, after: Run, comparison: Comparison | None, spread: SeedSpread | None) -> dict[str, Any]:
    """All figures that the template asks for."""
    old, new = before.evidence, after.evidence
    return {
        "comparison": comparison,
        "accuracy": accuracies(old, new),
        "minimum": minimum(old, new),
        "spread": spread,
        "metrics": metrics(old, new, spread),
        "parameters": parameters(old, new),
        "stale": not_run_with(new.parameters, after.stages or {}),
        "has_lock": {"before": before.stages is not None, "after": after.stages is not None},
        "stages": stage_changes(before.stages or {}, after.stages or {}),
        "classes": classes(old, new),
        "curves": curves(old, new),
        "other_images": OTHER_IMAGES,
        "percent": percent,
        "plural": plural,
        "points": points,
        "interval": interval,
    }
