"""Run the same parameters with several seeds and record the mean and standard deviation of every figure:
`python -m commands.seeds`.

Every seed is a DVC experiment; one that is there already is not run again. What is written, by default
experiments/seed_spread.json, says how much of a change could be chance: see `make pr-report`.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from commands.entry_point import exit_with
from commands.overrides import flat, read_recipe
from commands.revisions import experiments, read
from commands.trials import Trial, add_options, run_trials, shared_parameters
from transfer.comparison.changes import recipe_of
from transfer.report.evidence import leaves
from transfer.runtime.files import write_json
from transfer.runtime.parameters import parse_yaml, read_mapping
from transfer.runtime.wording import number, percent

FIGURES = ("metrics/fine_tune.json", "metrics/evaluate.json")


def figures_of(root: Path, name: str) -> dict[str, float]:
    """The numbers of an experiment's evaluation by dotted name, with its validation figures under `val.`."""
    revision = experiments(root)[name]
    tune, scores = (dict(leaves(json.loads(read(root, revision, path) or "{}"))) for path in FIGURES)
    found = {**{key: value for key, value in tune.items() if key.startswith("val.")}, **scores}
    return {key: float(value) for key, value in found.items() if not isinstance(value, bool)}


def mean_and_std(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (of a sample: N - 1) of each figure that all runs have."""
    shared = [name for name in runs[0] if all(name in run for run in runs)]
    values = {name: np.array([run[name] for run in runs]) for name in shared}
    return {name: {"mean": float(found.mean()), "std": float(found.std(ddof=1))} for name, found in values.items()}


def main(root: Path, arguments: argparse.Namespace) -> int:
    recipe, seeds, more = arguments.recipe, arguments.seeds, shared_parameters(arguments)
    values = flat(read_mapping(root / "params.yaml"), read_recipe(recipe)) if recipe else {}
    names = {seed: f"{recipe or 'params'}-seed-{seed}" for seed in seeds}
    trials = [Trial(name, {**values, "seed": seed}, (*more, "evaluate")) for seed, name in names.items()]
    if run_trials(root, trials, arguments.jobs):
        return 1
    found = mean_and_std([figures_of(root, trial.name) for trial in trials])
    used = recipe_of(parse_yaml(read(root, experiments(root)[trials[0].name], "params.yaml") or ""))
    write_json(arguments.output, {"recipe": recipe, "seeds": seeds, "parameters": used, "metrics": found})
    for name in ("val.accuracy", "accuracy", "macro_f1"):
        mean, std = found[name]["mean"], found[name]["std"]
        shown = f"{mean:.4f} ± {std:.4f}" if name == "macro_f1" else f"{percent(mean)} ± {number(100 * std, 1)} points"
        print(f"{name}: {shown} (standard deviation of {len(seeds)} seeds)")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.seeds", description=__doc__)
    parser.add_argument("--recipe", help="of experiments/recipes/; without it, params.yaml as it is")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="two or more (default 0 1 2)")
    parser.add_argument(
        "--output", type=Path, default=Path("experiments/seed_spread.json"), help="(default %(default)s)"
    )
    add_options(parser)
    arguments = parser.parse_args()
    if len(set(arguments.seeds)) < 2:
        parser.error("--seeds: a standard deviation needs two different seeds or more")
    exit_with(lambda: main(Path(), arguments))
