"""From an image's bytes to the pixels that were evaluated, where the images of a data set have many sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transfer.sources.photos import encoded
from transfer.data.preparation import Preparation
from transfer.data.resize import Aspect, Resized, open_resized, resized
from transfer.data.resizing import save_resized
from transfer.data.splits import Split
from transfer.sources.images import EncodedImages

TRAIN = [(30, 20), (45, 60), (12, 12), (100, 150), (33, 200)]
TEST = [(30, 20), (101, 90), (160, 180), (7, 300), (64, 64)]  # the largest one is in no training split


def files_of(sizes: list[tuple[int, int]]) -> list[bytes]:
    random = np.random.default_rng(0)
    return [encoded(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


def resized_split(folder: Path, files: list[bytes], sizes: list[tuple[int, int]], size_px: int, aspect: str) -> Resized:
    """What the resize stage makes of these files."""
    ends, count = np.cumsum([len(one) for one in files]), len(files)
    images = EncodedImages(np.frombuffer(b"".join(files), np.uint8), np.array([0, *ends[:-1]]), ends)
    texts: dict[str, Any] = {name: np.full(count, "") for name in ("names", "groups", "parts")}
    known: dict[str, Any] = {"sizes": np.array(sizes, np.int32), "thumbnail_px": 96, "positions": np.arange(count)}
    split = Split(images=images, labels=np.arange(count) % 2, classes=("a", "b"), **known, **texts)
    save_resized(folder, split, size_px, "cubic", aspect)
    return open_resized(folder)


@pytest.mark.parametrize("size_px", [16, 48, 224])
@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_every_image_gets_the_pixels_that_were_evaluated(tmp_path: Path, size_px: int, aspect: str) -> None:
    train = resized_split(tmp_path / "train", files_of(TRAIN), TRAIN, size_px, aspect)
    test = resized_split(tmp_path / "test", files_of(TEST), TEST, size_px, aspect)
    preparation = Preparation.of(train, test)
    for split, sizes in ((train, TRAIN), (test, TEST)):
        for content, expected in zip(files_of(sizes), split.pixels, strict=True):
            np.testing.assert_array_equal(preparation.from_bytes(content), expected)


@pytest.mark.parametrize(("aspect", "largest"), [("crop", 100), ("pad", 200), ("stretch", 100)])
def test_what_is_larger_than_all_of_them_is_reduced_to_the_largest_first(
    tmp_path: Path, aspect: Aspect, largest: int
) -> None:
    preparation = Preparation.of(resized_split(tmp_path / "train", files_of(TRAIN), TRAIN, 224, aspect))
    assert preparation.original_px == largest
    photograph = np.random.default_rng(1).integers(0, 256, (500, 400, 3), np.uint8)
    small = resized(photograph, largest, "cubic", aspect)
    np.testing.assert_array_equal(preparation.from_image(photograph), resized(small, 224, "cubic", aspect))
