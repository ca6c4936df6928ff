"""Systems take turns, each another one first, and parameters reach the task."""

from pathlib import Path

import pytest

from benchmarks.run import SYSTEMS, command_of, goals, in_turn
from benchmarks.task import Size, parameters_for, read_overrides
from transfer.runtime.errors import ParameterError

SIZE = Size(images=128, val_images=64, size_px=32, batch_size=64, head_epochs=3, epochs=2, threads=1)


def test_each_repetition_has_all_systems_and_another_one_first() -> None:
    order = list(in_turn(["a", "b", "c"], 4))
    assert [system for _, system in order] == [*"abc", *"bca", *"cab", *"abc"]
    assert [number for number, _ in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_assignments_are_nested_and_typed() -> None:
    assert read_overrides(["download.url=/x.tar.gz", "train.lr=0.01", "train.fine_tune.epochs=2", "seed=3"]) == {
        "download": {"url": "/x.tar.gz"},
        "train": {"lr": 0.01, "fine_tune": {"epochs": 2}},
        "seed": 3,
    }
    assert read_overrides(["train.lr=1e-5", "seed=010", "groups.rigid=[no, yes]"]) == {  # as DVC reads them
        "train": {"lr": 1e-5},
        "seed": 10,
        "groups": {"rigid": ["no", "yes"]},
    }


@pytest.mark.parametrize(
    ("assignment", "told"),
    [("train.lr", "-S"), ("train.speed=3", "no parameter train.speed"), ("download=3", "is a group of parameters")],
)
def test_a_wrong_assignment_is_one_clear_line(assignment: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        parameters_for(SIZE, [assignment])


def test_the_task_is_what_all_systems_are_told() -> None:
    parameters = parameters_for(SIZE, ["resize.interpolation=linear"])
    assert parameters["subsample"]["train_size"] == 192
    assert parameters["train"]["head"]["batch_size"] == parameters["train"]["batch_size"] == 64
    assert parameters["resize"] == {"size_px": 32, "interpolation": "linear", "aspect": "crop"}


def test_a_peer_runs_with_its_own_switch_to_bfloat16() -> None:
    settings, result = Path("settings.json"), Path("result.json")
    plain, mixed = (command_of(f"timm_train{switch}", settings, result, evaluate=True) for switch in ("", ":bfloat16"))
    assert plain[1:] == ["-m", "benchmarks.peers.timm_train", "settings.json", "result.json"]
    assert mixed[1:] == [*plain[1:], "bfloat16"]
    assert {"fastai_fine_tune:bfloat16", "keras_two_phase:bfloat16"}.isdisjoint(SYSTEMS)


def test_a_goal_is_judged_by_the_fastest_peer_of_its_kind() -> None:
    def peer(phase_1: float, image: float) -> dict[str, dict[str, dict[str, float]]]:
        return {"times_as_long": {"phase_1": {"median": phase_1}, "image": {"median": image}}}

    summary = {
        "ours": {},
        "timm_train": peer(9, 1.5),
        "fastai_fine_tune": peer(8, 2),
        "timm_train:bfloat16": peer(3, 1),
    }
    assert goals(summary) == [
        "- phase 1, fastest peer in float32 (fastai `fine_tune`): 8.00 times as long as ours; goal 8: met.",
        "- an image of phase 2, fastest peer in float32 (timm): 1.50 times as long as ours; goal 1.6: **missed**.",
        "- an image of phase 2, fastest peer in bfloat16 (timm, bfloat16): 1.00 times as long as ours; goal 1: met.",
    ]
    assert len(goals({"ours": {}, "timm_train": peer(9, 1.5)})) == 2
