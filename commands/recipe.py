"""Run a recipe as a named DVC experiment: `python -m commands.recipe NAME [-S key=value ...]`.

Whatever follows the name goes to `dvc exp run` after the recipe's own overrides, so that it wins.
The experiment runs in a workspace of its own: params.yaml and the files of the last run stay as
they are until `dvc exp apply NAME`.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands.overrides import read_recipe, recipe_names
from commands.revisions import experiments, read
from commands.summary import SHOWN_STAGES, metrics_table, times_table
from commands.trials import Trial, experiment_command, experiment_environment

ROOT = Path(__file__).resolve().parent.parent


def free_name(recipe: str) -> str:
    """The recipe's name, or with a number where an experiment of that name is there already."""
    taken = experiments(ROOT)
    names = itertools.chain([recipe], (f"{recipe}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def experiment_metrics(name: str) -> dict[str, dict[str, Any]]:
    """What metrics/ holds in an experiment; DVC keeps experiments as git references."""
    revision = experiments(ROOT)[name]
    return {stage: json.loads(read(ROOT, revision, f"metrics/{stage}.json") or "{}") for stage in SHOWN_STAGES}


def main(recipe: str, extra: list[str]) -> int:
    name = free_name(recipe)
    timings = ROOT / "state" / name / "timings.tsv"
    timings.unlink(missing_ok=True)
    command = experiment_command(Trial(name, read_recipe(recipe), tuple(extra)))
    done = subprocess.run(command, cwd=ROOT, env=experiment_environment(ROOT, name), check=False)
    if done.returncode:
        return done.returncode
    print(f"\nExperiment {name}:\n{metrics_table(experiment_metrics(name))}")
    if timings.exists():
        print(f"Time a stage that ran:\n{times_table(timings.read_text(encoding='utf-8').splitlines())}")
    print(f"`dvc exp show` lists it, `dvc exp apply {name}` brings its files here.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: python -m commands.recipe NAME [-S key=value ...]; recipes: {', '.join(recipe_names())}")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
