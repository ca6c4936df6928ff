"""grad_cam: the surest answers of classes and confused pairs are shown, sheets come out with no errors too."""

import cv2
import numpy as np
import pytest

from stages import grad_cam
from stages.grad_cam import confused_pairs, most_confident
from tests.stages.conftest import FILES, files_in
from transfer.runtime.files import open_arrays, write_arrays

OUTPUTS = {"plots": "maps"}


def read_picture(arena, name: str) -> np.ndarray:
    picture = cv2.imread(str(arena.file(name)))
    assert picture is not None
    return picture


def test_the_surest_come_first_and_gaps_last():
    chances = np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8]])
    assert most_confident(chances, np.array([0, 1, 2]), 2) == [1, 2]
    assert most_confident(chances, np.array([0, 3]), 3) == [3, 0, None]
    assert most_confident(chances, np.array([], dtype=int), 1) == [None]


def test_pairs_are_ranked_by_errors_in_both_directions():
    labels = np.array([0, 1, 2, 0, 2, 1, 2, 0], np.uint8)
    predicted = np.array([1, 0, 0, 1, 2, 2, 1, 0])
    ranked = confused_pairs(labels, predicted, 2)
    assert [pair for pair, _ in ranked] == [(0, 1), (1, 2)]
    np.testing.assert_array_equal(ranked[0][1], [0, 1, 3])
    np.testing.assert_array_equal(ranked[1][1], [5, 6])
    assert [pair for pair, _ in confused_pairs(labels, predicted, 9)] == [(0, 1), (1, 2), (0, 2)]
    assert confused_pairs(labels, labels, 5) == []


@pytest.mark.parametrize("all_right", [True, False])
def test_the_sheets_come_out_with_no_errors_and_with_nothing_but_errors(arena, all_right: bool):
    with open_arrays(arena.file("data/predictions.npz"), "labels") as arrays:
        labels = arrays["labels"]
    said = labels if all_right else (labels + 1) % 3
    write_arrays(arena.file("made.npz"), probabilities=0.1 + 0.7 * np.eye(3)[said])
    arena.run(grad_cam, **{**FILES[grad_cam], **OUTPUTS, "predictions": "made.npz"})
    picture = read_picture(arena, "maps/examples.png")
    half = picture.shape[1] // 2
    left, right = (part[150:].std() for part in (picture[:, :half], picture[:, half:]))
    assert (left > 3 * right) if all_right else (right > 3 * left)
    for name in ("maps/errors.png", "maps/pairs.png"):
        below = read_picture(arena, name)[110:]
        assert (below.std() < 20) if all_right else (below.std() > 60)


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(grad_cam, **{**FILES[grad_cam], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[grad_cam][option])), option


def test_another_method_gives_another_sheet(arena):
    changed = {**arena.parameters, "explain": {**arena.parameters["explain"], "method": "gradcam"}}
    arena.run(grad_cam, changed, **{**FILES[grad_cam], **OUTPUTS})
    assert (
        arena.file("maps/examples.png").read_bytes()
        != arena.file("metrics/grad_cam/pictures/examples.png").read_bytes()
    )


def test_maps_narrower_than_asked_for_are_shown_and_said(arena, capsys):
    changed = {**arena.parameters, "explain": {**arena.parameters["explain"], "min_map_px": 99}}
    arena.run(grad_cam, changed, **{**FILES[grad_cam], **OUTPUTS})
    said = "explaining backbone.layer1, maps of 10 × 10, the widest there are; explain.min_map_px = 99\n"
    assert capsys.readouterr().out == said
