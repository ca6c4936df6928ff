"""What the stages measured, by name, and how such figures are written for people."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from transfer.evaluation.scores import newcombe_interval

Row = Mapping[str, str]

# Figures of an evaluation, and what they are.
ESTIMATES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "top2_accuracy": "accuracy of the two best guesses",
    "accuracy_single_view": "accuracy in one view",
    "loss": "log loss",
    "brier": "Brier score",
}


@dataclass(frozen=True)
class Evidence:
    """Contents of the stages' metrics and tables, each by its file's stem, and the parameters of the run.

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

    def ran(self, phase: str) -> bool:
        """Whether a training phase had an epoch at all."""
        return self.figure(phase, "val", "accuracy") is not None and len(self.rows(phase)) > 0

    def images(self, split: str) -> int:
        return self.figure("subsample", split, "images") or 0


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


def difference_interval(share: float, total: int, other: float, other_total: int) -> tuple[float, float]:
    """Newcombe's 95 % interval of `share` of `total` images minus `other` of `other_total`.

    For two answers to the same images it is wider than it need be, since these agree more than chance has it.
    """
    return newcombe_interval(round(share * total), total, round(other * other_total), other_total)


def shown(value: Any) -> str:
    """A figure or text of a table for people: numbers with three decimals, truth values as yes and no."""
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
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def estimate(figures: Mapping[str, Any], name: str) -> str:
    """A figure with its interval, if it has one: `0.911 (0.905 to 0.916)`; an end that is not finite is left out."""
    if name not in figures:
        return ""
    ends = [figures.get(f"{name}_ci_{end}") for end in ("low", "high")]
    if ends == [None, None]:
        return shown(figures[name])
    return f"{shown(figures[name])} ({' to '.join('no limit' if end is None else f'{end:.3f}' for end in ends)})"
