"""Run a recipe as a named DVC experiment: `python -m recipes NAME [-S key=value ...]`.

Whatever follows the name goes to `dvc exp run` after the recipe's own overrides, so that it wins.
The experiment runs in a workspace of its own: params.yaml and the files of the last run stay as
they are until `dvc exp apply NAME`.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from recipes.overrides import as_set_params, read_recipe, recipe_names
from recipes.summary import metrics_table, times_table

ROOT = Path(__file__).resolve().parent.parent


def experiment_name(recipe: str, extra: list[str]) -> str:
    """The recipe's name, with a few digits that stand for further arguments if there are any."""
    return f"{recipe}-{hashlib.sha256(' '.join(extra).encode()).hexdigest()[:6]}" if extra else recipe


def main(recipe: str, extra: list[str]) -> int:
    name = experiment_name(recipe, extra)
    state = ROOT / "state" / name
    timings = state / "timings.tsv"
    timings.unlink(missing_ok=True)
    command = ["dvc", "exp", "run", "--temp", "--force", "--name", name, *as_set_params(read_recipe(recipe)), *extra]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TRANSFER_STATE": str(state)}, check=False)
    if done.returncode:
        return done.returncode
    import dvc.api

    metrics = {
        stage: dvc.api.metrics_show(f"metrics/{stage}.json", repo=str(ROOT), rev=name)
        for stage in ("train_head", "fine_tune", "evaluate")
    }
    print(f"\nExperiment {name}:\n{metrics_table(metrics)}")
    if timings.exists():
        print(f"Time a stage that ran:\n{times_table(timings.read_text(encoding='utf-8').splitlines())}")
    print(f"`dvc exp show` lists it, `dvc exp apply {name}` brings its files here.")
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: python -m recipes NAME [-S key=value ...]; recipes: {', '.join(recipe_names())}")
    sys.exit(main(sys.argv[1], sys.argv[2:]))
