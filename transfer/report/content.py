"""What the report's template asks for: rows of tables, summaries, charts. The sentences are the template's."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from transfer.evaluation.cues import CUES
from transfer.report import charts
from transfer.report.claims import answer_claims, confusion_from, distances
from transfer.report.cues import flip_table, known_by_colour
from transfer.report.evidence import (
    ESTIMATES,
    SPLITS,
    Evidence,
    Row,
    estimate,
    interval,
    leaves,
    points,
    shown,
    words,
)
from transfer.report.finding import FEWEST_IMAGES, commands
from transfer.report.findings import diagnose
from transfer.report.gate import Gate, leakage_text
from transfer.report.trust import calibrated
from transfer.runtime.wording import percent, plural

MOST_CONFUSIONS = 10
NUMBERED_CLASSES = 20  # a confusion matrix of more has no room for names and numbers
PHASES = {"train_head": "phase 1 (head only)", "fine_tune": "phase 2 (whole network)"}
ARCHIVE = r"\.(zip|tar|tgz|csv|tsv|parquet|tar\.\w+)$"
VIEWS = {"raw": "as it is", "scaled": "with temperature"}
ENDS = ("_ci_low", "_ci_high")
# Columns of class names and the like.
NAMES = {"class", "classes", "class_a", "class_b", "first", "second", "label", "suggested", "actual", "predicted"}
NAMES |= {"cue", "one_view", "step", "what", "shape", "type"}
HANDING_OVER = ("subsample", "embed", "fine_tune", "evaluate")

Rows = list[list[str]]


def cell(row: Row, column: str) -> str:
    """A cell of a table as a stage wrote it, with its interval; a class name as it is."""
    text = row[column]
    if column in NAMES or not text:
        return text
    if column in ("expected", "view"):
        return {"true": "yes", "false": "no", **VIEWS}.get(text, text)
    stem = "share" if column == "share_of_errors" else column
    keys = {column: column, f"{column}_ci_low": f"{stem}_ci_low", f"{column}_ci_high": f"{stem}_ci_high"}
    try:
        figures = {key: number(row[name]) for key, name in keys.items() if row.get(name)}
    except ValueError:
        return text
    return estimate(figures, column)


def number(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def table(rows: Sequence[Row]) -> tuple[list[str], Rows]:
    """Columns and cells of a table as a stage wrote it, in words."""
    columns = [name for name in rows[0] if name != "pair" and not name.endswith(ENDS)] if rows else []
    return [words(column) for column in columns], [[cell(row, column) for column in columns] for row in rows]


def figures_table(figures: Mapping[str, Any]) -> Rows:
    """Estimates of a group of metrics, each with its interval."""
    names = [name for name in figures if not name.endswith(ENDS)]
    return [[words(name), estimate(figures, name)] for name in names]


def result_rows(evidence: Evidence) -> Rows:
    scores = evidence.metrics["evaluate"]
    return [[what, estimate(scores, name)] for name, what in ESTIMATES.items() if name in scores]


def class_rows(evidence: Evidence) -> Rows:
    """Precision, recall and F1 of each class, the lowest F1 first."""
    classes = evidence.metrics["evaluate"]["per_class"]
    ranked = sorted(classes, key=lambda name: classes[name]["f1"])
    return [[name, *(estimate(classes[name], figure) for figure in ("precision", "recall", "f1"))] for name in ranked]


def confusion_rows(evidence: Evidence) -> Rows:
    """The most frequent errors: actual, predicted, images, share of all errors."""
    if not evidence.rows("evaluate/confusion"):
        return []
    names, counts = confusion_from(evidence)
    pairs = [(a, b) for a in range(len(names)) for b in range(len(names)) if a != b and counts[a, b]]
    total = sum(counts[pair] for pair in pairs)
    ranked = sorted(pairs, key=lambda pair: -counts[pair])[:MOST_CONFUSIONS]
    return [[names[a], names[b], str(counts[a, b]), percent(counts[a, b] / total)] for a, b in ranked]


def image_rows(evidence: Evidence) -> Rows:
    """Images of each class in each split, and all of them."""
    counts = evidence.metrics.get("subsample")
    if not counts:
        return []
    classes = counts["train"]["per_class"]
    rows = [[name, *(f"{counts[split]['per_class'][name]:,}" for split in SPLITS)] for name in classes]
    return [*rows, ["all", *(f"{counts[split]['images']:,}" for split in SPLITS)]]


def duplicate_rows(evidence: Evidence) -> Rows:
    """Images of one split that are copies of another's or its own, by kind."""
    rows = []
    for name, kinds in (evidence.figure("leakage", "copies") or {}).items():
        original, copy = (SPLITS[split] for split in name.split("-"))
        what = f"within {copy}" if copy == original else f"{copy} images of {original}"
        rows.append([what, *(shown(kinds[kind]) for kind in ("exact", "near", "other_class"))])
    return rows


def corruption_table(evidence: Evidence) -> tuple[list[str], Rows]:
    """Accuracy under each corruption, by strength."""
    found = {
        name: values
        for name, values in evidence.metrics.get("robustness", {}).items()
        if isinstance(values, Mapping) and name not in ("cues", "other_group")
    }
    strengths = list(dict.fromkeys(strength for values in found.values() for strength in values))
    rows = [
        [words(name), *(percent(values[s]) if s in values else "" for s in strengths)] for name, values in found.items()
    ]
    return ["corruption", *strengths], rows


def interpolation_table(evidence: Evidence) -> tuple[list[str], Rows]:
    """What each interpolation keeps and invents."""
    found = evidence.figure("explore", "interpolation") or {}
    keys = list(dict.fromkeys(key for values in found.values() for key in values))
    rows = [[name, *(shown(values[key]) if key in values else "" for key in keys)] for name, values in found.items()]
    return ["interpolation", *map(words, keys)], rows


def map_rows(evidence: Evidence) -> Rows:
    """Where the heat maps point, against maps that know no model and the object's own mask."""
    audit = evidence.metrics.get("audit", {})
    kinds = ("cam", "centre", "random", "edges", "oracle")
    what = {"energy_inside": "share of the map inside the object", "pointing": "highest point inside the object"}
    return [
        [text, *(estimate(audit[key], kind, share=True) for kind in kinds), estimate(audit[key], "normalised")]
        for key, text in what.items()
        if key in audit
    ]


def jump(evidence: Evidence) -> dict[str, str] | None:
    """How validation accuracy and its distance from training changed over phase 2, if both phases ran."""
    if not all(evidence.ran(phase) for phase in PHASES):
        return None
    before, after = (evidence.figure(phase, "val", "accuracy") for phase in PHASES)
    first, gaps = float(evidence.epochs("fine_tune")[0]["val_accuracy"]), distances(evidence)
    return {
        "first": points(first - before),
        "best": points(after - before),
        "gap_first": points(gaps[0]),
        "gap_last": points(gaps[-1]),
    }


def best_epoch(evidence: Evidence, phase: str) -> str:
    """Which of a phase's own epochs was kept: `epoch 5 of 6`."""
    numbers = [int(row["epoch"]) for row in evidence.epochs(phase)]
    best = evidence.figure(phase, "best_epoch")
    return f"epoch {numbers.index(best) + 1} of {len(numbers)}" if best in numbers else "its start, before any epoch"


def origins(evidence: Evidence, model_sha256: str) -> Rows:
    """Digests that say which files the run was made of."""
    found = {
        "model file (SHA-256)": model_sha256,
        "archive asked for (SHA-256)": evidence.parameter("download", "sha256"),
        "the images are CIFAR-10's own": evidence.figure("download", "official_pixels") or None,
        "pretrained weights (SHA-256)": evidence.figure("backbone", "sha256"),
        "the weights are the published ones": evidence.figure("backbone", "published"),
        **{
            f"which {what} images (SHA-256)": evidence.figure("subsample", split, "positions_sha256")
            for split, what in SPLITS.items()
        },
    }
    return [[what, shown(value)] for what, value in found.items() if value is not None]


def drawings(evidence: Evidence) -> dict[str, str]:
    """The charts that there are figures for, as SVG."""
    drawn: dict[str, str] = {}
    if phases := {PHASES[phase].split(" (")[0]: evidence.rows(phase) for phase in PHASES if evidence.ran(phase)}:
        drawn |= {measure: charts.learning_curves(phases, measure) for measure in ("accuracy", "loss")}
        drawn["thumbnail"] = charts.learning_curves(phases, "accuracy", name="thumbnail")
    if evidence.rows("evaluate/confusion"):
        names, counts = confusion_from(evidence)
        if len(names) <= NUMBERED_CLASSES:
            drawn["confusion"] = charts.confusion_matrix(counts, names)
    named: dict[str, list[tuple[float, float, int]]] = {}
    for row in evidence.rows("evaluate/reliability"):
        bins = named.setdefault(VIEWS.get(row["view"], row["view"]), [])
        bins.append((float(row["confidence"]), float(row["accuracy"]), int(row["images"])))
    if named:
        drawn["reliability"] = charts.reliability_diagram(named)
    if curve := evidence.rows("evaluate/risk_coverage"):
        drawn["risk"] = charts.risk_coverage_curve([(float(row["coverage"]), float(row["risk"])) for row in curve])
    return drawn


def title(evidence: Evidence) -> str:
    """Network, data and their date, as `ResNet-50 on photos: 3 classes, up to 2026-11-20`."""
    network = evidence.figure("backbone", "name") or "A classifier"
    network = re.sub(r"^resnet(\d+)$", r"ResNet-\1", network)
    if evidence.figure("download", "official_pixels"):
        return f"{network} on CIFAR-10 (2009)"
    address = urlsplit(evidence.parameter("download", "url") or "").path
    data = re.sub(ARCHIVE, "", unquote(PurePosixPath(address).name)) or "images"
    classes = plural(len(evidence.metrics["evaluate"]["per_class"]), "class", "classes")
    newest = evidence.figure("download", "newest_image")
    return f"{network} on {data}: {classes}" + (f", up to {newest}" if newest else "")


def report_content(evidence: Evidence, verdict: Gate, model_sha256: str) -> dict[str, Any]:
    """All that the template asks for. Raises KeyError and the like if metrics lack or garble a figure."""
    helpers: dict[str, Callable[..., Any]] = {
        **{each.__name__: each for each in (estimate, interval, percent, plural, points, shown, table, words)},
        "figures_table": figures_table,
        "leakage_text": leakage_text,
    }
    findings = diagnose(evidence)
    return {
        **helpers,
        "evidence": evidence,
        "figure": evidence.figure,
        "parameter": evidence.parameter,
        "scores": evidence.metrics["evaluate"],
        "verdict": verdict,
        "title": title(evidence),
        "findings": (tries := [(finding, commands(finding, evidence)) for finding in findings]),
        "next": [(finding, lines[0]) for finding, lines in tries if lines][:3],
        "calibrated": calibrated,
        "fewest_images": FEWEST_IMAGES,
        "to_try": list(dict.fromkeys(name for finding in findings for name in finding.parameters)),
        "claims": answer_claims(evidence),
        "phases": {phase: what for phase, what in PHASES.items() if evidence.ran(phase)},
        "best_epochs": {phase: best_epoch(evidence, phase) for phase in PHASES if evidence.ran(phase)},
        "jump": jump(evidence),
        "results": result_rows(evidence),
        "classes": class_rows(evidence),
        "confusions": confusion_rows(evidence),
        "counts": image_rows(evidence),
        "duplicates": duplicate_rows(evidence),
        "corruptions": corruption_table(evidence),
        "cues": {name: cue.leaves for name, cue in CUES.items()},
        "known_by_colour": known_by_colour(evidence),
        "flips": flip_table(evidence),
        "hand_overs": table([row for stage in HANDING_OVER for row in evidence.rows(f"{stage}/hand_overs")]),
        "interpolations": interpolation_table(evidence),
        "maps": map_rows(evidence),
        "origins": origins(evidence, model_sha256),
        "parameters": [[name, "null" if value is None else str(value)] for name, value in leaves(evidence.parameters)],
        "drawings": drawings(evidence),
    }
