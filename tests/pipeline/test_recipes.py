"""A recipe given to `dvc exp run -S` is the recipe: DVC reads every value, lists too, as the YAML file has it."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from recipes.overrides import as_set_params, merge, read_recipe, recipe_names
from tests.pipeline.workspace import ROOT, read_yaml

LISTS = {"groups": {"rigid": ["cat"]}, "evaluate": {"expected_pairs": [["cat", "dog"], ["bird", "cat"]]}}


def as_dvc_reads(overrides: dict, folder: Path) -> dict:
    path = folder / "params.yaml"
    shutil.copy2(ROOT / "params.yaml", path)
    apply_overrides(path, [argument for argument in as_set_params(overrides) if argument != "-S"])
    return read_yaml(path)


@pytest.mark.parametrize("recipe", recipe_names())
def test_recipes_arrive_as_they_are_written(recipe: str, tmp_path: Path) -> None:
    overrides = read_recipe(recipe)
    assert as_dvc_reads(overrides, tmp_path) == merge(read_yaml(ROOT / "params.yaml"), overrides)


@pytest.mark.parametrize("overrides", [LISTS, {"groups": {"rigid": []}, "evaluate": {"expected_pairs": []}}])
def test_lists_and_lists_of_lists_arrive(overrides: dict, tmp_path: Path) -> None:
    assert as_dvc_reads(overrides, tmp_path) == merge(read_yaml(ROOT / "params.yaml"), overrides)
