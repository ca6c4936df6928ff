"""Run a recipe as a named DVC experiment: `python -m commands.recipe NAME [-S key=value ...]`.

Whatever follows the name goes to `dvc exp run` after the recipe's own overrides, so that it wins.
The experiment runs in a workspace of its own: params.yaml and the files of the last run stay as
they are until `dvc exp apply NAME`.
"""

import argparse
import itertools
import json
from pathlib import Path

from commands.entry_point import exit_with
from commands.overrides import flat, read_recipe, recipe_names, users_set_params
from commands.revisions import experiments, read
from commands.summary import SHOWN_STAGES, metrics_table, times_table
from commands.trials import Trial, add_set_param, start
from transfer.runtime.errors import ParameterError
from transfer.runtime.parameters import read_mapping

ROOT = Path(__file__).resolve().parent.parent


def free_name(recipe: str) -> str:
    """The recipe's name, or with a number where an experiment of that name is there already."""
    taken = experiments(ROOT)
    names = itertools.chain([recipe], (f"{recipe}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def passed_on(set_param: list[str], others: list[str]) -> list[str]:
    """What follows the recipe's own overrides. Raises ParameterError for a change without its -S."""
    if bare := [other for other in others if "=" in other and not other.startswith("-")]:
        raise ParameterError(f'{bare[0]}: each change needs its own -S; in make: ARGS="-S {" -S ".join(bare)}"')
    return [*users_set_params(set_param, read_mapping(ROOT / "params.yaml")), *others]


def main(recipe: str, more: list[str]) -> int:
    name = free_name(recipe)
    timings = ROOT / "state" / name / "timings.tsv"
    timings.unlink(missing_ok=True)
    process = start(ROOT, Trial(name, flat(read_mapping(ROOT / "params.yaml"), read_recipe(recipe)), tuple(more)))
    try:
        returncode = process.wait()
    except KeyboardInterrupt:  # the experiment was interrupted too, and cleans up
        returncode = process.wait()
    if returncode:
        return returncode
    texts = {stage: read(ROOT, experiments(ROOT)[name], f"metrics/{stage}.json") for stage in SHOWN_STAGES}
    metrics = {stage: json.loads(text) for stage, text in texts.items() if text}
    table = metrics_table(metrics) if len(metrics) == len(SHOWN_STAGES) else "  stopped before `evaluate`"
    print(f"\nExperiment {name}:\n{table}")
    if timings.exists():
        print(f"Time of each stage that ran:\n{times_table(timings.read_text(encoding='utf-8').splitlines())}")
    print(f"`dvc exp show --all-commits` lists it, `dvc exp apply {name}` brings its files here.")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.recipe", description=__doc__, allow_abbrev=False)
    parser.add_argument("recipe", help=", ".join(recipe_names()))
    add_set_param(parser, "a parameter that differs from the recipe's")
    arguments, others = parser.parse_known_args()
    exit_with(lambda: main(arguments.recipe, passed_on(arguments.set_param, others)))
