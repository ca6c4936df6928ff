"""The chart: examples are shown at every strength, accuracies where they must be, equal content is equal files."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np

from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS
from transfer.pictures.corruptions import Estimate, corruption_chart

LINE_RGB, MAGENTA_RGB = (0x09, 0x69, 0xDA), (200, 30, 200)
CLEAN: Estimate = (0.9, 0.88, 0.92)


def chart(path: Path, accuracy: float, count: int = 2) -> np.ndarray:
    """The chart, as pixels, of `count` magenta images and the same accuracy everywhere."""
    examples = np.full((count, 32, 32, 3), MAGENTA_RGB, np.uint8)
    under = dict.fromkeys(product(CORRUPTIONS, STRENGTHS), (accuracy, accuracy - 0.02, accuracy + 0.02))
    corruption_chart(path, CLEAN, under, examples, "title", 0)
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture[..., ::-1]


def pixels_of(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


def test_each_example_is_shown_clean_and_at_each_strength(tmp_path):
    """One colour all over stays the same when blurred, turned or robbed of contrast: 6 + 3 × 3 times."""
    for count in (1, 2):
        shown = pixels_of(chart(tmp_path / "chart.png", 0.5, count), MAGENTA_RGB)
        assert 15 * count * 60**2 < shown < 15 * count * 100**2


def test_a_lower_accuracy_is_drawn_lower(tmp_path):
    heights = []
    for accuracy in (0.84, 0.80):
        picture = chart(tmp_path / "chart.png", accuracy)
        drawn = (picture == LINE_RGB).all(axis=-1)[: picture.shape[0] // 2, : picture.shape[1] // 3]
        heights.append(np.nonzero(drawn)[0].max())
    assert heights[1] > heights[0] + 5


def test_accuracies_of_nothing_and_of_everything_are_drawn(tmp_path):
    for accuracy in (0.02, 0.98):
        assert pixels_of(chart(tmp_path / "chart.png", accuracy), LINE_RGB) > 1000


def test_equal_content_gives_equal_files(tmp_path):
    for name in ("a.png", "b.png"):
        chart(tmp_path / name, 0.7)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
