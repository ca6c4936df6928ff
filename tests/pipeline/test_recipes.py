"""Every stage takes every recipe, and a recipe given to `dvc exp run -S` arrives as its YAML file has it."""

import importlib
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from commands.overrides import RECIPES, flat, merge, read_recipe, recipe_names, set_params
from tests.pipeline.workspace import ROOT
from transfer.runtime.parameters import check_parameters, read_mapping

PARAMETERS = read_mapping(ROOT / "params.yaml")


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipes_arrive_as_they_are_written(recipe: str, tmp_path: Path) -> None:
    overrides = read_recipe(recipe)
    path = tmp_path / "params.yaml"
    shutil.copy2(ROOT / "params.yaml", path)
    apply_overrides(path, [argument for argument in set_params(flat(PARAMETERS, overrides)) if argument != "-S"])
    assert read_mapping(path) == merge(PARAMETERS, overrides)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_stage_takes_the_values_of_a_recipe(recipe: str) -> None:
    scripts = list(read_mapping(ROOT / "dvc.yaml")["stages"])
    assert len(scripts) > 10
    for name in scripts:
        check_parameters(importlib.import_module(f"stages.{name}").Parameters, merge(PARAMETERS, read_recipe(recipe)))


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_opens_with_what_to_expect(recipe: str) -> None:
    lines = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    opening = [line.removeprefix("# ") for line in lines[: [line[:1] == "#" for line in lines].index(False)]]
    for label in ("Expected: ", "Time: ", "Run: make "):
        assert sum(line.startswith(label) for line in opening) == 1
