"""Every stage takes every recipe, and a recipe given to `dvc exp run -S` arrives as its YAML file has it, lists too."""

import importlib
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import load_yaml

from commands.overrides import as_set_params, merge, read_recipe, recipe_names
from tests.pipeline.workspace import ROOT, read_yaml
from transfer.runtime.parameters import check_parameters

LISTS = {"groups": {"rigid": ["cat"]}, "evaluate": {"expected_pairs": [["cat", "dog"], ["bird", "cat"]]}}


def as_dvc_reads(overrides: dict, folder: Path) -> dict:
    path = folder / "params.yaml"
    shutil.copy2(ROOT / "params.yaml", path)
    apply_overrides(path, [argument for argument in as_set_params(overrides) if argument != "-S"])
    return load_yaml(str(path))  # as DVC reads it: to PyYAML 1e-05 is text, which the stages take as a number


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipes_arrive_as_they_are_written(recipe: str, tmp_path: Path) -> None:
    overrides = read_recipe(recipe)
    assert as_dvc_reads(overrides, tmp_path) == merge(read_yaml(ROOT / "params.yaml"), overrides)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_stage_takes_the_values_of_a_recipe(recipe: str) -> None:
    parameters = merge(read_yaml(ROOT / "params.yaml"), read_recipe(recipe))
    scripts = list(read_yaml(ROOT / "dvc.yaml")["stages"])
    assert len(scripts) > 10
    for name in scripts:
        check_parameters(importlib.import_module(f"stages.{name}").Parameters, parameters)


@pytest.mark.parametrize("overrides", [LISTS, {"groups": {"rigid": []}, "evaluate": {"expected_pairs": []}}])
def test_lists_and_lists_of_lists_arrive(overrides: dict, tmp_path: Path) -> None:
    assert as_dvc_reads(overrides, tmp_path) == merge(read_yaml(ROOT / "params.yaml"), overrides)
