"""Changes between runs: values by name, the noise between seeds against simulated seeds, stages by their entries."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from transfer.comparison.changes import MISSING, Changed, SeedSpread, StageChange, changes, not_run_with, stage_changes


def file(path: str, md5: str) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": md5, "size": 1}


STAGES: dict[str, Any] = {
    "draw": {"cmd": "python -m draw", "outs": [file("images.npz", "a1")]},
    "fit": {
        "cmd": "python -m fit",
        "deps": [file("images.npz", "a1"), file("fit.py", "b1")],
        "params": {"params.yaml": {"train.lr": 0.1, "train.head": {"hidden": [8]}}},
        "outs": [file("model.bin", "c1")],
    },
    "score": {"cmd": "python -m score", "deps": [file("model.bin", "c1")], "outs": [file("score.json", "d1")]},
}


def test_values_are_compared_by_their_dotted_names() -> None:
    before = {"same": 1, "a": {"b": 2, "gone": [1]}, "flag": True}
    after = {"same": 1, "a": {"new": "x", "b": 2.5}, "flag": False}
    found = changes(before, after)
    assert found == [
        Changed("a.new", MISSING, "x"),
        Changed("a.b", 2, 2.5),
        Changed("flag", True, False),
        Changed("a.gone", [1], MISSING),
    ]
    assert [change.difference for change in found] == [None, 0.5, None, None]
    assert changes(after, deepcopy(after)) == []


def test_two_runs_of_other_seeds_are_within_the_noise_in_95_of_100_cases() -> None:
    spread = SeedSpread.model_validate({"metrics": {"accuracy": {"mean": 0.9, "std": 0.004}}, "seeds": [0, 1, 2]})
    runs = np.random.default_rng(0).normal(0.9, 0.004, size=(20000, 2))
    said = [spread.judge("accuracy", after - before) for before, after in runs]
    assert said.count("within") / len(said) == pytest.approx(0.954, abs=0.01)
    assert set(said) == {"within", "beyond the noise between seeds"}
    assert spread.judge("macro_f1", 0.5) == "not recorded"


def test_a_figure_that_no_seed_changes_has_no_noise() -> None:
    spread = SeedSpread.model_validate(
        {"metrics": {"images": {"mean": 5, "std": 0}}, "seeds": [0, 1], "recipe": None, "more": []}
    )
    assert spread.judge("images", 0) == "within"
    assert spread.judge("images", -1) == "beyond the noise between seeds"


@pytest.mark.parametrize("std", [-0.1, float("nan"), None])
def test_an_impossible_spread_is_refused(std: float | None) -> None:
    with pytest.raises(ValidationError, match="std"):
        SeedSpread.model_validate({"metrics": {"accuracy": {"mean": 0.9, "std": std}}, "seeds": [0]})


def test_equal_entries_are_no_change() -> None:
    assert stage_changes(STAGES, deepcopy(STAGES)) == []


def test_a_stage_says_whether_parameters_code_data_or_command_differ() -> None:
    after = deepcopy(STAGES)
    after["draw"]["outs"] = [file("images.npz", "a2")]
    after["draw"]["cmd"] = "python -m draw --fast"
    after["fit"]["deps"] = [file("images.npz", "a2"), file("fit.py", "b2"), file("more.py", "b3")]
    after["fit"]["params"] = {"params.yaml": {"train.lr": 0.1, "train.head": {"hidden": [16]}, "seed": 0}}
    assert stage_changes(STAGES, after) == [
        StageChange("draw", "draw", (("command", ("",)),), ("images.npz",)),
        StageChange(
            "fit",
            "fit",
            (("parameters", ("train.head.hidden", "seed")), ("code", ("fit.py", "more.py")), ("data", ("images.npz",))),
        ),
    ]


def test_a_new_stage_and_one_that_is_gone() -> None:
    after = deepcopy(STAGES)
    del after["score"]
    after["plot"] = {"cmd": "python -m plot", "outs": [file("plot.png", "e1")]}
    assert stage_changes(STAGES, after) == [StageChange("plot", None), StageChange(None, "score")]
    assert [change.name for change in stage_changes({}, STAGES)] == list(STAGES)


def test_a_renamed_stage_is_known_by_its_outputs() -> None:
    after = {{"fit": "train"}.get(name, name): entry for name, entry in deepcopy(STAGES).items()}
    assert stage_changes(STAGES, after) == [StageChange("train", "fit")]
    after["train"]["params"]["params.yaml"]["train.lr"] = 0.2
    after["train"]["outs"] = [file("model.bin", "c2")]
    assert stage_changes(STAGES, after) == [
        StageChange("train", "fit", (("parameters", ("train.lr",)),), ("model.bin",))
    ]


def test_stages_without_outputs_are_never_taken_for_each_other() -> None:
    assert stage_changes({"a": {"cmd": "true"}}, {"b": {"cmd": "true"}}) == [
        StageChange("b", None),
        StageChange(None, "a"),
    ]


def test_parameters_that_no_stage_was_run_with_are_named() -> None:
    parameters = {"train": {"lr": 0.1, "head": {"hidden": [8]}}, "of no stage": 5}
    assert not_run_with(parameters, STAGES) == []
    parameters["train"] = {"lr": 0.2, "head": {"width": 8}}
    assert not_run_with(parameters, STAGES) == ["train.head.hidden", "train.lr"]
