"""What changed from one run to another: figures, parameters, and the stages' entries of dvc.lock."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import t

from transfer.data.classes import CONFIDENCE
from transfer.report.evidence import leaves

Nested = Mapping[str, Any]
MISSING = object()


@dataclass(frozen=True)
class Changed:
    """A figure or parameter by its dotted name, before and after; MISSING where it was not there."""

    name: str
    before: Any
    after: Any

    @property
    def difference(self) -> float | None:
        """After minus before; None unless both are numbers."""
        both = (self.before, self.after)
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in both)
        return self.after - self.before if numbers else None


def changes(before: Nested, after: Nested) -> list[Changed]:
    """All values that differ, in the order of `after`, then those that are gone."""
    old, new = dict(leaves(before)), dict(leaves(after))
    found = (Changed(name, old.get(name, MISSING), new.get(name, MISSING)) for name in {**new, **old})
    return [change for change in found if change.before != change.after]


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Spread(_Recorded):
    """Mean and standard deviation of a figure over runs that differ in the seed alone."""

    mean: float
    std: float = Field(ge=0)


# What decides a figure of the evaluation, besides the seed; not how long to wait for files, or how many are shown.
RECIPE = (
    *("download.", "backbone.", "groups.", "subsample.", "resize.", "label_errors.folds", "train."),
    *("evaluate.mirror", "evaluate.shift_fraction"),
)


def recipe_of(parameters: Nested) -> dict[str, Any]:
    """The parameters that decide the figures of a run, by dotted name, as JSON has them.

    Where a file comes from counts as long as no digest says what it is.
    """
    known = [group for group in ("download", "backbone") if parameters.get(group, {}).get("sha256")]
    left_out = {"download.timeout_s", "backbone.timeout_s", *(f"{group}.url" for group in known)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in leaves(parameters)
        if name.startswith(RECIPE) and name not in left_out
    }


class SeedSpread(_Recorded):
    """How far figures of evaluate.json, and `val.…` of fine_tune.json, scatter between `seeds` of one recipe.

    `parameters` is that recipe as `recipe_of` gives it, `recipe` its name.
    """

    metrics: dict[str, Spread]
    seeds: list[int] = Field(min_length=2)
    parameters: dict[str, Any]
    recipe: str | None = None

    def is_of(self, *runs: Nested) -> bool:
        """Whether it was measured with the parameters of one of these runs."""
        return any(recipe_of(parameters) == self.parameters for parameters in runs)

    def scatters(self, name: str) -> bool:
        """Whether the seeds gave a figure different values; a constant, such as a count, has no noise to be beyond."""
        return name in self.metrics and self.metrics[name].std > 0

    def judge(self, name: str, difference: float, comparisons: int) -> str:
        """Whether a difference of two runs is larger than those of two seeds are.

        The quantile is Student's t for as many degrees of freedom as the deviation was estimated with, at
        Bonferroni's share of 5 % for each of `comparisons`, so that of all of them together one is larger by chance
        in 5 of 100 cases at most.
        """
        if name not in self.metrics:
            return "not recorded"
        if not self.scatters(name):
            return "the same for all seeds"
        quantile = t.isf((1 - CONFIDENCE) / comparisons / 2, len(self.seeds) - 1)
        beyond = abs(difference) > quantile * math.sqrt(2) * self.metrics[name].std
        return "beyond the noise between seeds" if beyond else "within"


@dataclass(frozen=True)
class StageChange:
    """A stage whose entry in dvc.lock differs: its name, what it was called before, and what differs in it.

    `was` is None for a new stage, `name` is None for one that is gone; `because` holds (kind, names) of the
    parameters, code and data it read, `outputs` the files that it wrote otherwise.
    """

    name: str | None
    was: str | None
    because: Sequence[tuple[str, Sequence[str]]] = ()
    outputs: Sequence[str] = ()


def stage_changes(before: Nested, after: Nested) -> list[StageChange]:
    """The stages whose entries differ, in the order of `after`, then those that are gone.

    A stage of a new name is an old one renamed if it writes the same paths as one that is gone.
    """
    gone = {paths(entry, "outs"): name for name, entry in before.items() if name not in after}
    written = {path for stages in (before, after) for entry in stages.values() for path in paths(entry, "outs")}
    found = []
    for name, entry in after.items():
        was = name if name in before else gone.pop(paths(entry, "outs"), None) if paths(entry, "outs") else None
        if was is None:
            found.append(StageChange(name, None))
        elif was != name or before[was] != entry:
            found.append(_difference(name, was, before[was], entry, written))
    return [*found, *(StageChange(None, name) for name in gone.values())]


def _difference(name: str, was: str, old: Nested, new: Nested, written: set[str]) -> StageChange:
    inputs = _other_files(old, new, "deps")
    because = {
        "parameters": [change.name for change in changes(_parameters(old), _parameters(new))],
        "code": [path for path in inputs if path not in written],
        "data": [path for path in inputs if path in written],
        "command": [""] if old.get("cmd") != new.get("cmd") else [],
    }
    given = tuple((kind, tuple(names)) for kind, names in because.items() if names)
    return StageChange(name, was, given, tuple(_other_files(old, new, "outs")))


def _parameters(entry: Nested) -> dict[str, Any]:
    """What a stage was run with; dvc.lock has it for each parameter file."""
    return {name: value for values in entry.get("params", {}).values() for name, value in leaves(values)}


def paths(entry: Nested, kind: str) -> frozenset[str]:
    """Paths of a stage's `deps` or `outs`."""
    return frozenset(file["path"] for file in entry.get(kind, []))


def _other_files(old: Nested, new: Nested, kind: str) -> list[str]:
    """Paths whose content differs, or that only one of them has."""
    before, after = ({file["path"]: file for file in entry.get(kind, [])} for entry in (old, new))
    return [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]


def recorded_parameters(stages: Nested) -> dict[str, Any]:
    """Every parameter that a stage was run with, by its dotted name."""
    return {name: value for entry in stages.values() for name, value in _parameters(entry).items()}


def not_run_with(parameters: Nested, stages: Nested) -> list[str]:
    """Names of parameters that have another value now than dvc.lock says that some stage was run with."""
    now = dict(leaves(parameters))
    used = [leaf for entry in stages.values() for leaf in _parameters(entry).items()]
    return sorted({name for name, value in used if now.get(name, MISSING) != value})
