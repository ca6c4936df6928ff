"""What the stages measured, by name, and how such figures are written for people."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from transfer.evaluation.scores import newcombe_interval
from transfer.runtime.errors import DataError

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
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            if path.suffix == ".json":
                metrics[name] = json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".tsv":
                tables[name] = read_table(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not readable ({error}); run the stage that writes it again") from None
    if "evaluate" not in metrics:
        raise DataError(f"{folder}: no evaluate.json in it, and without its verdict nothing can be reported")
    return Evidence(metrics, tables, parameters)


def read_table(text: str) -> list[dict[str, str]]:
    """Rows of a table (.tsv) by its columns, as a stage wrote it."""
    return list(csv.DictReader(StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings by their dotted names."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def percent(share: float) -> str:
    """A share with one decimal: `91.1 %`."""
    return f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points with its sign: `+6.3 points`."""
    return f"{_signed(difference, '+')} points"


def interval(low: float, high: float) -> str:
    """The ends of a 95 % interval of a share, in percent or percentage points."""
    return f"95 % interval {_signed(low)} to {_signed(high)}"


def _signed(share: float, sign: str = "-") -> str:
    rounded = round(100 * share, 1) + 0.0  # + 0.0: never a minus before a zero
    return f"{rounded:{sign}.1f}".replace("-", "−")


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 test image`, `2,000 test images`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def difference_interval(share: float, total: int, other: float, other_total: int) -> tuple[float, float]:
    """Newcombe's 95 % interval of `share` of `total` images minus `other` of `other_total`.

    For two answers to the same images it is wider than it need be, since these agree more than chance has it.
    """
    return newcombe_interval(round(share * total), total, round(other * other_total), other_total)


def shown(value: Any) -> str:
    """A figure or text of a table for people: numbers with three decimals, truth values as yes and no.

    A small number keeps three digits: a learning rate is never 0.000.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return value
    if isinstance(value, float):
        return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
    return str(value)


def estimate(figures: Mapping[str, Any], name: str) -> str:
    """A figure with its interval, if it has one: `0.911 (0.905 to 0.916)`; an end that is not finite is left out."""
    if name not in figures:
        return ""
    ends = [figures.get(f"{name}_ci_{end}") for end in ("low", "high")]
    if ends == [None, None]:
        return shown(figures[name])
    return f"{shown(figures[name])} ({' to '.join('no limit' if end is None else f'{end:.3f}' for end in ends)})"
