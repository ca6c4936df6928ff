"""Lists of classes in the parameters: spelled as this data set does, or written for another one."""

import pytest
import yaml

from transfer.data.classes import known_labels, known_pairs
from transfer.runtime.errors import ParameterError
from transfer.runtime.files import ROOT

DEFAULTS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
RIGID, PAIRS = DEFAULTS["groups"]["rigid"], DEFAULTS["evaluate"]["expected_pairs"]


@pytest.mark.parametrize(
    "classes",
    [("cats", "dogs"), ("car", "sheep"), ("Cat", "Dog"), ("boat", "bird house"), ("truffle", "auto"), ("a", "b")],
)
def test_the_lists_of_params_yaml_stop_no_other_data_set(classes: tuple[str, ...]) -> None:
    assert known_labels(RIGID, classes, "groups.rigid") == []
    assert known_pairs(PAIRS, classes, "evaluate.expected_pairs") == []


def test_names_that_are_no_classes_and_resemble_none_are_left_out() -> None:
    classes = ("cat", "dog", "truck")
    assert known_labels(RIGID, classes, "groups.rigid") == [2]
    assert known_pairs(PAIRS, classes, "evaluate.expected_pairs") == [(0, 1)]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["truck", "shp"], "no class 'shp'; did you mean 'ship'? Name it so, or take 'shp' off the list"),
        (["shp", "truck"], "no class 'shp'; did you mean 'ship'?"),
        (["trucks", "ships"], "no class 'trucks'; did you mean 'truck'?"),
        (["ship", "ship"], "'ship' is named twice"),
    ],
)
def test_a_list_for_this_data_set_is_spelled_as_it_is(names: list[str], told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        known_labels(names, ("ship", "truck", "cat"), "groups.rigid")
    assert str(caught.value).startswith("groups.rigid: ")
    assert told in str(caught.value)


def test_the_default_list_stops_nobody_whose_classes_resemble_its_own() -> None:
    assert known_labels(["airplane", "ship", "truck"], ("ships", "truck", "cat"), "groups.rigid") == [1]
    assert known_pairs([["cat", "dog"]], ("cat", "dogs"), "evaluate.expected_pairs") == []


def test_a_pair_is_spelled_as_the_classes_of_the_other_pairs_are() -> None:
    with pytest.raises(ParameterError, match=r"evaluate\.expected_pairs: no class 'trukc'; did you mean 'truck'"):
        known_pairs([["cat", "ship"], ["trukc", "shp"]], ("ship", "truck", "cat"), "evaluate.expected_pairs")
