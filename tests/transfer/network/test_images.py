"""Images on the device: normalisation, mirror and reflection against references, and damaged caches."""

import cv2
import numpy as np
import pytest
import torch

from transfer.data.resize import open_pixels
from transfer.network.backbones import Preprocessing
from transfer.network.images import Images, reflect
from transfer.runtime.errors import DataError

UNCHANGED = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
SIDE = 12


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def as_pixels(batch: torch.Tensor) -> np.ndarray:
    return batch.permute(0, 2, 3, 1).round().to(torch.uint8).numpy()


def test_normalisation_is_that_of_torchvision():
    pixels = noise(2)
    wanted = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    batch = Images(pixels, wanted, torch.device("cpu")).plain(slice(None))
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    reference = (scaled - torch.tensor(wanted.mean)[:, None, None]) / torch.tensor(wanted.std)[:, None, None]
    torch.testing.assert_close(batch, reference)
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_mirrored_images_have_left_and_right_swapped():
    pixels = noise(3)
    batch = Images(pixels, UNCHANGED, torch.device("cpu")).plain(torch.tensor([2, 0]), mirrored=True)
    np.testing.assert_array_equal(as_pixels(batch), pixels[[2, 0], :, ::-1])


@pytest.mark.parametrize(("shift", "mirrored"), [(3, False), (-2, False), (2, True)])
def test_shifted_images_are_opencv_s_window_with_reflected_borders(shift: int, mirrored: bool):
    pixels = noise(2)
    batch = Images(pixels, UNCHANGED, torch.device("cpu")).plain(slice(None), mirrored, shift)
    for shown, image in zip(as_pixels(batch), pixels, strict=True):
        wide = cv2.copyMakeBorder(image, 4, 4, 4, 4, cv2.BORDER_REFLECT_101)
        window = wide[4 + shift : 4 + shift + SIDE, 4 + shift : 4 + shift + SIDE]
        np.testing.assert_array_equal(shown, window[:, ::-1] if mirrored else window)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_reflection_is_that_of_opencv(length: int):
    indices = list(range(-9, length + 9))
    expected = [cv2.borderInterpolate(i, length, cv2.BORDER_REFLECT_101) for i in indices]
    assert reflect(torch.tensor(indices), length).tolist() == expected


def test_a_cache_is_memory_mapped_and_training_cannot_write_to_it(tmp_path):
    path = tmp_path / "train.npy"
    np.save(path, noise(2))
    before = path.read_bytes()
    pixels = open_pixels(path, 2)
    assert isinstance(pixels, np.memmap)
    pixels[:] = 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (noise(3), r"uint8 \(3, 12, 12, 3\).*not uint8 of 2 images"),
        (noise(2).astype(np.float32), "float32"),
        (noise(2)[0], r"\(12, 12, 3\)"),
    ],
)
def test_a_cache_of_something_else_is_named(tmp_path, content: np.ndarray, complaint: str):
    path = tmp_path / "train.npy"
    np.save(path, content)
    with pytest.raises(DataError, match=complaint) as caught:
        open_pixels(path, 2)
    assert str(path) in str(caught.value)


def test_a_missing_or_truncated_cache_is_named(tmp_path):
    path = tmp_path / "train.npy"
    with pytest.raises(DataError, match="no such file"):
        open_pixels(path, 2)
    np.save(path, noise(2))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train\.npy: not a readable"):
        open_pixels(path, 2)
