"""What the stages measured, by name, and how such figures are written for people."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Never

from transfer.evaluation.scores import newcombe_interval
from transfer.runtime.errors import DataError
from transfer.runtime.wording import number

Row = Mapping[str, str]

# Figures of an evaluation, and what they are.
ESTIMATES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "top2_accuracy": "top-2 accuracy",
    "accuracy_single_view": "accuracy without test-time augmentation",
    "loss": "log loss",
    "brier": "Brier score",
}
SHARES = ("accuracy", "share", "drop", "background_", "foreground_", "energy_inside", "pointing", "confidence")
SHARES += ("masks_permuted", "refused", "fpr95")
# Differences of shares, in percentage points.
DIFFERENCES = ("background_gap", "object_gap", "object_minus_background", "cut_cost", "mask_gain")
DIFFERENCES += ("kept_minus_rejected", "grey_cost", "hue_cost", "colour_alone")
WORDS = {  # of keys that are no words
    "cam": "heat map",
    "auc": "area",
    "psnr": "PSNR",
    "db": "in dB",
    "f1": "F1",
    "jpeg": "JPEG",
    "auroc": "AUROC",
    "fpr95": "false positives at 95 %,",
    "oracle": "mask",
    "train": "training",
    "val": "validation",
    "lr": "learning rate",
}
SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Evidence:
    """The stages' metrics by stage, their tables by path under metrics/ (`evaluate/confusion`), and the parameters.

    A stage that was not run leaves its names out.
    """

    metrics: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def figure(self, *keys: str) -> Any:
        """The value at metrics[keys[0]][keys[1]]..., None if it was not measured."""
        value: Any = self.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def parameter(self, *keys: str) -> Any:
        """The value at parameters[keys[0]][keys[1]]..., None if there is no such parameter."""
        return Evidence(self.parameters).figure(*keys)

    def rows(self, table: str) -> Sequence[Row]:
        return self.tables.get(table, ())

    def epochs(self, phase: str) -> Sequence[Row]:
        """The epochs of a phase that trained something; a start that was only validated is no epoch."""
        return [row for row in self.rows(phase) if row["train_accuracy"]]

    def ran(self, phase: str) -> bool:
        """Whether a training phase had an epoch at all."""
        return self.figure(phase, "val", "accuracy") is not None and len(self.epochs(phase)) > 0

    def images(self, split: str) -> int:
        return self.figure("subsample", split, "images") or 0


def read_evidence(folder: Path, parameters: Mapping[str, Any]) -> Evidence:
    """Read all metrics (.json) and tables (.tsv) of metrics/. Raises DataError naming a file that is damaged."""
    metrics: dict[str, Any] = {}
    tables: dict[str, list[dict[str, str]]] = {}
    for path in sorted(folder.rglob("*")):
        if path.name == "headline.json":  # evaluate's figures once more, for DVC's own tables
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            if path.suffix == ".json":
                metrics[name] = read_figures(path.read_text(encoding="utf-8"))
            elif path.suffix == ".tsv":
                tables[name] = read_table(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, csv.Error) as error:
            raise DataError(f"{path}: not readable ({error}); run the stage that writes it again") from None
    if "evaluate" not in metrics:
        raise DataError(f"{folder}: no evaluate.json in it, and without its verdict nothing can be reported")
    return Evidence(metrics, tables, parameters)


def read_figures(text: str) -> dict[str, Any]:
    """Figures by name, of strict JSON. Raises ValueError for anything else."""

    def refuse(constant: str) -> Never:
        raise ValueError(f"{constant} is no figure")

    figures = json.loads(text, parse_constant=refuse)
    if not isinstance(figures, dict):
        raise ValueError("no figures by name")
    return figures


def read_table(text: str) -> list[dict[str, str]]:
    """Rows of a table (.tsv) by its columns, as a stage wrote it. Raises ValueError if one has other columns."""
    rows = list(csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
    for line, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"line {line} has more or fewer cells than the first")
    return rows


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings by their dotted names."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def points(difference: float) -> str:
    """A difference of two shares, in percentage points with its sign: `+6.3 points`."""
    return f"{number(100 * difference, 1, '+')} points"


def interval(low: float, high: float) -> str:
    """The ends of a 95 % interval of a share, in percent or percentage points."""
    return f"95 % interval {number(100 * low, 1)} to {number(100 * high, 1)}"


def difference_interval(share: float, total: int, other: float, other_total: int) -> tuple[float, float]:
    """Newcombe's 95 % interval of `share` of `total` images minus `other` of `other_total`.

    For two answers to the same images it is wider than it need be, since these agree more than chance has it.
    """
    return newcombe_interval(round(share * total), total, round(other * other_total), other_total)


def words(key: str) -> str:
    """A key of a metrics file or a column of a table for people: `insertion_cam` is `insertion heat map`."""
    return " ".join(WORDS.get(part, part) for part in key.split("_"))


def is_share(name: str) -> bool:
    """Whether a figure of this name is a share, which is shown in percent."""
    return any(part in name for part in SHARES) and name not in DIFFERENCES and not name.startswith("auroc")


def shown(value: Any) -> str:
    """A figure for people: numbers with three decimals, truth values as yes and no, and text as it is.

    A small number keeps three digits: a learning rate is never 0.000.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}".replace("-", "−", value < 0) if 0 < abs(value) < 0.01 else number(value, 3)
    return str(value)


def estimate(figures: Mapping[str, Any], name: str, share: bool | None = None) -> str:
    """A figure with its interval, if it has one: `0.911 (0.905 to 0.916)`; an end that is not finite is left out.

    A share is in percent: `91.1 % (90.5 to 91.6)`, a difference of two in points. By default its name decides.
    """
    if name not in figures:
        return ""
    in_percent = is_share(name) if share is None else share
    factor, decimals, unit = (
        (100, 1, " %") if in_percent else (100, 1, " points") if name in DIFFERENCES else (1, 3, "")
    )
    ends = [figures.get(f"{name}_ci_{end}") for end in ("low", "high")]
    if ends == [None, None]:
        return f"{number(factor * figures[name], decimals)}{unit}" if unit else shown(figures[name])
    low, high = ("no limit" if end is None else number(factor * end, decimals) for end in ends)
    return f"{number(factor * figures[name], decimals)}{unit} ({low} to {high})"
