"""Changes between runs: values by name, the noise between seeds against simulated seeds, stages by their entries."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from transfer.comparison.changes import (
    MISSING,
    Changed,
    SeedSpread,
    StageChange,
    changes,
    not_run_with,
    recipe_of,
    stage_changes,
)
from transfer.runtime.files import ROOT
from transfer.runtime.parameters import read_mapping


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


def spread_of(stds: dict[str, float], seeds: list[int], **more: Any) -> SeedSpread:
    metrics = {name: {"mean": 0.9, "std": std} for name, std in stds.items()}
    return SeedSpread.model_validate({"metrics": metrics, "seeds": seeds, "parameters": {}, **more})


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize("figures", [1, 5])
def test_two_runs_of_other_seeds_are_within_the_noise_in_95_of_100_cases(count: int, figures: int) -> None:
    """The deviation too comes from a few seeds, anew in each case; of several figures none is beyond in 95 cases."""
    generator, alarms, cases = np.random.default_rng(count), 0, 2000
    for _ in range(cases):
        known = generator.normal(0.9, 0.004, (figures, count)).std(1, ddof=1)
        before, after = generator.normal(0.9, 0.004, (2, figures))
        spread = spread_of({str(i): std for i, std in enumerate(known)}, list(range(count)))
        said = {spread.judge(str(i), after[i] - before[i], figures) for i in range(figures)}
        assert said <= {"within", "beyond the noise between seeds"}
        alarms += "beyond the noise between seeds" in said
    assert 0.03 < alarms / cases < 0.065


def test_a_figure_that_was_not_recorded_and_one_that_no_seed_changes() -> None:
    spread = spread_of({"images": 0}, [0, 1])
    assert spread.judge("macro_f1", 0.5, 1) == "not recorded"
    assert spread.judge("images", -1, 1) == "the same for all seeds"
    assert not spread.scatters("images")


def test_a_spread_belongs_to_the_recipe_that_it_was_measured_with() -> None:
    params = read_mapping(ROOT / "params.yaml")
    spread = spread_of({}, [0, 1], parameters=recipe_of(params))
    moved = deepcopy(params)
    moved["seed"] += 1
    moved["download"].update(url="elsewhere", timeout_s=1)  # with the same digest
    moved["evaluate"]["pictures"] += 1
    assert spread.is_of(moved)
    deciding = ("train.lr", "resize.size_px", "backbone.name", "groups.rigid", "evaluate.mirror")
    for name in (*deciding, "download.sha256", "download.on_damage", "backbone.url", "backbone.sha256"):
        other = deepcopy(params)
        group, key = name.split(".")
        other[group][key] = "another"
        assert not spread.is_of(other), name
        assert spread.is_of(other, params)


@pytest.mark.parametrize("group", ["download", "backbone"])
def test_another_address_is_another_recipe_unless_a_digest_says_what_it_gives(group: str) -> None:
    params = read_mapping(ROOT / "params.yaml")
    for digest, same in ((None, False), ("ab" * 32, True)):
        params[group].update(url="/data/one", sha256=digest)
        spread = spread_of({}, [0, 1], parameters=recipe_of(params))
        assert spread.is_of({**params, group: {**params[group], "url": "/data/two"}}) is same


@pytest.mark.parametrize("std", [-0.1, float("nan"), None])
def test_an_impossible_spread_is_refused(std: float | None) -> None:
    with pytest.raises(ValidationError, match="std"):
        SeedSpread.model_validate(
            {"metrics": {"accuracy": {"mean": 0.9, "std": std}}, "seeds": [0, 1], "parameters": {}}
        )


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
