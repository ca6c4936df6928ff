"""resize: the cache of a split is cv2.resize of its images, in order; unknown settings are refused."""

import cv2
import numpy as np
import pytest

from stages import resize
from transfer.data.splits import load_split
from transfer.runtime.errors import ParameterError


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_cache_is_opencv_on_each_image(arena, split: str):
    images = load_split(arena.file(f"data/splits/{split}.npz")).images
    expected = [cv2.resize(image, (40, 40), interpolation=cv2.INTER_CUBIC) for image in images]
    np.testing.assert_array_equal(np.load(arena.file(f"data/resized/{split}/pixels.npy")), expected)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"interpolation": "bicubic"}, r"resize\.interpolation = 'bicubic': .*'nearest', 'linear', 'cubic'"),
        ({"size_px": 0}, r"resize\.size_px = 0: .*greater than or equal to 8"),
    ],
)
def test_settings_that_are_not_there_are_refused(arena, changes: dict, complaint: str):
    parameters = {**arena.parameters, "resize": {**arena.parameters["resize"], **changes}}
    with pytest.raises(ParameterError, match=complaint):
        arena.run(resize, parameters, split="data/splits/train.npz", resized="none")
