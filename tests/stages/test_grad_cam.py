"""grad_cam: the surest right and wrong answers are chosen, a class without errors still gets its row."""

import cv2
import numpy as np
import pytest

from stages import grad_cam
from stages.grad_cam import most_confident
from tests.stages.conftest import FILES
from transfer.files import open_arrays, write_arrays


def test_the_surest_come_first_and_gaps_last():
    chances = np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8]])
    assert most_confident(chances, np.array([0, 1, 2]), 2) == [1, 2]
    assert most_confident(chances, np.array([0, 3]), 3) == [3, 0, None]
    assert most_confident(chances, np.array([], dtype=int), 1) == [None]


@pytest.mark.parametrize("all_right", [True, False])
def test_the_sheet_comes_out_with_no_errors_and_with_nothing_but_errors(arena, all_right: bool):
    with open_arrays(arena.file("predictions.npz"), "labels") as arrays:
        labels = arrays["labels"]
    said = labels if all_right else (labels + 1) % 3
    write_arrays(arena.file("p_made.npz"), probabilities=0.1 + 0.7 * np.eye(3)[said])
    arena.run(grad_cam, **{**FILES[grad_cam], "predictions": "p_made.npz", "sheet": "s_made.png"})
    picture = cv2.imread(str(arena.file("s_made.png")))
    assert picture is not None
    half = picture.shape[1] // 2
    left, right = (part[150:].std() for part in (picture[:, :half], picture[:, half:]))
    assert (left > 3 * right) if all_right else (right > 3 * left)


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(grad_cam, **{**FILES[grad_cam], "sheet": "again.png"})
    assert arena.file("again.png").read_bytes() == arena.file("grad_cam.png").read_bytes()
