"""Search a space of parameters for the best validation accuracy: `python -m commands.sweep experiments/sweep.yaml`.

Every trial is a DVC experiment, NAME-0, NAME-1 and so on, and the experiments are all the memory that the search
has: the same command goes on where it stopped, and a larger --trials goes further.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Literal, Self

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from pydantic import BaseModel, ConfigDict, Field, model_validator

from commands.entry_point import exit_with
from commands.overrides import Search, flat, read_search, unknown_parameter
from commands.revisions import experiments, read
from commands.trials import Trial, add_options, run_trials, shared_parameters
from transfer.report.evidence import leaves
from transfer.runtime.errors import DataError, ParameterError
from transfer.runtime.parameters import parse_yaml, read_mapping
from transfer.runtime.wording import percent

METRICS = "metrics/fine_tune.json"


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; whole ones if both are; `log`: drawn evenly over magnitudes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 with log")
        return self

    def distribution(self) -> BaseDistribution:
        """What Optuna draws from."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, self.log)
        return FloatDistribution(self.low, self.high, self.log)


class Sweep(Search):
    """`space` maps dotted names of parameters to a range or to a list of values."""

    sampler: Literal["tpe", "random"]
    seed: int = Field(ge=0)
    space: dict[str, Range | list[str | bool | int | float | None]] = Field(min_length=1)

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws each parameter of the space from."""
        return {
            name: CategoricalDistribution(values) if isinstance(values, list) else values.distribution()
            for name, values in self.space.items()
        }


def result_of(root: Path, revision: str, space: dict[str, BaseDistribution]) -> tuple[dict[str, Any], float]:
    """Parameters of the space and validation accuracy of an experiment."""
    parameters = dict(leaves(parse_yaml(read(root, revision, "params.yaml") or "{}")))
    metrics = json.loads(read(root, revision, METRICS) or "{}")
    if "val" not in metrics:
        raise DataError(f"{revision}: {METRICS} has no validation accuracy; train.fine_tune.epochs must be above 0")
    return {name: parameters[name] for name in space}, metrics["val"]["accuracy"]


def study_of(sweep: Sweep, number: int) -> optuna.Study:
    """An empty study whose next proposal depends on the seed, the number of the trial and what it is told, only."""
    seed = sweep.seed * 1_000_003 + number
    sampler = (
        optuna.samplers.RandomSampler(seed)
        if sweep.sampler == "random"
        else optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    )
    return optuna.create_study(direction="maximize", sampler=sampler)


def propose(root: Path, sweep: Sweep, number: int) -> dict[str, Any]:
    """Parameters of trial `number`, by dotted name, from what all earlier trials that are there found."""
    space, there = sweep.distributions(), experiments(root)
    study = study_of(sweep, number)
    for earlier in range(number):
        if revision := there.get(f"{sweep.name}-{earlier}"):
            found, accuracy = result_of(root, revision, space)
            study.add_trial(create_trial(params=found, distributions=space, value=accuracy, state=TrialState.COMPLETE))
    return study.ask(space).params


def table(results: dict[str, tuple[dict[str, Any], float]]) -> str:
    """Trials as Markdown, the best first."""
    columns = list(next(iter(results.values()))[0])
    lines = [f"| trial | validation accuracy | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for name, (found, accuracy) in sorted(results.items(), key=lambda item: -item[1][1]):
        shown = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in found.values()]
        lines.append(f"| {name} | {percent(accuracy)} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main(root: Path, path: Path, trials: int, jobs: int, more: tuple[str, ...]) -> int:
    """Run the trials that are not there yet and print the table; 1 if one failed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweep = read_search(Sweep, path)
    parameters = read_mapping(root / "params.yaml")
    values = sweep.values(parameters)
    if unknown := [name for name in sweep.space if name not in flat(parameters, parameters)]:
        raise ParameterError(f"{path}: {unknown_parameter(unknown[0], parameters)}")
    failed = False
    for first in range(0, trials, jobs):
        batch = range(first, min(first + jobs, trials))
        proposed = {f"{sweep.name}-{number}": values | propose(root, sweep, number) for number in batch}
        todo = [Trial(name, found, (*more, sweep.stage)) for name, found in proposed.items()]
        failed |= bool(run_trials(root, todo, jobs))
    there, space = experiments(root), sweep.distributions()
    names = [f"{sweep.name}-{number}" for number in range(trials)]
    results = {name: result_of(root, there[name], space) for name in names if name in there}
    if not results:
        raise DataError("no trial was completed")
    print(f"\n{table(results)}\n\n`dvc exp apply NAME` brings one here; the test split has not been looked at.")
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.sweep", description=__doc__)
    parser.add_argument("file", type=Path, help="YAML file of the search, such as experiments/sweep.yaml")
    parser.add_argument("--trials", type=int, default=20, help="in all, those that are there included (default 20)")
    add_options(parser)
    arguments = parser.parse_args()
    exit_with(lambda: main(Path(), arguments.file, arguments.trials, arguments.jobs, shared_parameters(arguments)))
