"""Points of accuracy over time, and ImageNet's photographs under the names of CIFAR-10's classes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.over_time import draw, points_of, read_run
from benchmarks.photographs import kind_of, read_photographs
from transfer.runtime.errors import DataError, ParameterError


def test_a_run_names_a_system_and_its_epochs() -> None:
    assert read_run("ours:20:6") == ("ours", 20, 6)
    assert read_run("timm_train:bfloat16:1:4") == ("timm_train:bfloat16", 1, 4)
    for wrong in ("ours", "ours:6", "ours:20:0", "nobody:1:2", "ours:x:2"):
        with pytest.raises(ParameterError, match="SYSTEM:EPOCHS:EPOCHS"):
            read_run(wrong)


def test_a_phase_ends_when_the_next_one_begins_and_the_last_with_the_process(tmp_path: Path) -> None:
    record = {
        "wall_s": 300.0,
        "phases": [{"seconds": 60.0, "val_accuracy": 0.8}, {"seconds": 180.0, "val_accuracy": 0.9}],
    }
    first, second = points_of(record, 2000)
    assert (first["minutes"], second["minutes"]) == (2.0, 5.0)
    assert first["val_accuracy_ci_low"] < first["val_accuracy"] == 0.8 < first["val_accuracy_ci_high"]
    picture = tmp_path / "over_time.png"
    draw(picture, [{"system": "ours", "head_epochs": 20, "epochs": 6, "points": [first, second]}], "a task")
    assert cv2.imread(str(picture)) is not None


def test_photographs_are_named_by_cifar_10_s_classes(tmp_path: Path) -> None:
    wanted = {2123045: "cat", 2123394: "cat", 2125311: None, 2085620: "dog", 2114367: None, 1518878: "bird"}
    assert {number: kind_of(number) for number in wanted} == wanted
    with pytest.raises(DataError, match="no photograph"):
        read_photographs(tmp_path)
    for name in ("n02123045_tabby.JPEG", "n07873807_pizza.JPEG", "README.JPEG"):
        cv2.imwrite(str(tmp_path / name.replace("JPEG", "jpg")), np.full((40, 60, 3), 90, np.uint8))
    ((kind, image),) = read_photographs(tmp_path)
    assert (kind, image.shape) == ("cat", (40, 60, 3))
