"""Read a recipe: a small YAML file of parameters that differ from params.yaml."""

from pathlib import Path
from typing import Any

import yaml

from transfer.report.evidence import leaves

FOLDER = Path(__file__).resolve().parent.parent / "experiments/recipes"


def recipe_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """The nested overrides of `recipes/<name>.yaml`. Exits with one line if there is no such recipe."""
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise SystemExit(f"error: no recipe {name!r}; there are {', '.join(recipe_names())}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def merge(parameters: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Parameters with overrides laid over them, group by group. Raises KeyError for an unknown key, or a group."""
    merged = dict(parameters)
    for key, value in overrides.items():
        old = parameters[key]
        if isinstance(old, dict) and not isinstance(value, dict):
            raise KeyError(key)
        merged[key] = merge(old, value) if isinstance(old, dict) else value
    return merged


def as_set_params(overrides: dict[str, Any]) -> list[str]:
    """Overrides as arguments for `dvc exp run`: ["-S", "train.lr=0.01", ...]."""
    arguments: list[str] = []
    for name, value in leaves(overrides):
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-S", f"{name}={text.replace(' ', '')}"]
    return arguments
