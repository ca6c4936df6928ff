"""Corruptions: each equals an independent computation, grows with its strength and depends on nothing but its seed."""

from itertools import islice, product

import cv2
import numpy as np
import pytest
from scipy import ndimage
from sklearn.datasets import load_sample_images

from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted

EVERY = list(product(CORRUPTIONS, STRENGTHS))


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """40 pieces of scikit-learn's two photographs (a temple, a flower), 32 pixels each."""
    pieces = [
        cv2.resize(photograph[64 * row : 64 * row + 64, 128 * column : 128 * column + 64], (32, 32))
        for photograph in load_sample_images().images
        for row, column in product(range(1, 6), range(4))
    ]
    return np.stack(pieces)


def under(images: np.ndarray, name: str, strength: str, seed: int = 0) -> np.ndarray:
    return np.stack(list(corrupted(images, name, strength, seed)))


def amounts(name: str) -> list[tuple[str, float]]:
    return list(CORRUPTIONS[name].amounts.items())


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_shape_and_type_stay_and_the_original_is_left_alone(photographs: np.ndarray, name: str, strength: str) -> None:
    before = photographs.copy()
    after = under(photographs, name, strength)
    assert after.dtype == np.uint8
    assert after.shape == photographs.shape
    assert (after != photographs).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(photographs, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_stronger_is_farther_from_the_original(photographs: np.ndarray, name: str) -> None:
    distances = [np.abs(under(photographs, name, each).astype(int) - photographs).mean() for each in STRENGTHS]
    assert distances[0] > 0.5
    assert distances[1] > 1.2 * distances[0]
    assert distances[2] > 1.2 * distances[1]


def test_every_corruption_has_every_strength() -> None:
    assert [tuple(each.amounts) for each in CORRUPTIONS.values()] == [STRENGTHS] * 6


def test_no_order_and_no_other_corruption_changes_the_result(photographs: np.ndarray) -> None:
    first = {condition: under(photographs, *condition) for condition in EVERY}
    for condition in reversed(EVERY):
        np.testing.assert_array_equal(under(photographs, *condition), first[condition])
    part = list(islice(corrupted(photographs, "noise", "mild", 0), 3))  # taken a piece at a time
    np.testing.assert_array_equal(part, first["noise", "mild"][:3])


def test_noise_differs_between_images_strengths_and_seeds() -> None:
    grey = np.full((2, 32, 32, 3), 128, np.uint8)

    def pattern(strength: str, seed: int, place: int = 0) -> np.ndarray:
        return (under(grey, "noise", strength, seed)[place].astype(float) - 128).ravel()

    base = pattern("mild", 0)
    for other in (pattern("mild", 0, place=1), pattern("mild", 1), pattern("medium", 0), pattern("strong", 0)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.1  # 3,072 values: five standard errors are 0.09


@pytest.mark.parametrize(("strength", "deviation"), amounts("noise"))
def test_noise_on_mid_grey_has_its_deviation_in_every_channel_and_no_bias(strength: str, deviation: float) -> None:
    grey = np.full((100, 32, 32, 3), 128, np.uint8)
    noise = under(grey, "noise", strength).astype(float) - 128
    expected = np.sqrt(deviation**2 + 1 / 12)  # rounding adds the variance of a uniform level
    np.testing.assert_allclose(noise.std(axis=(0, 1, 2)), expected, rtol=0.015)
    np.testing.assert_allclose(noise.mean(axis=(0, 1, 2)), 0, atol=5 * deviation / np.sqrt(102_400))


def test_noise_beyond_black_and_white_is_cut_off_not_wrapped() -> None:
    black, white = np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32, 3), 255, np.uint8)
    assert under(black, "noise", "strong").max() < 128
    assert under(white, "noise", "strong").min() > 128


@pytest.mark.parametrize(("strength", "sigma"), amounts("blur"))
def test_blur_is_that_of_scipy(photographs: np.ndarray, strength: str, sigma: float) -> None:
    expected = [ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="mirror") for image in photographs]
    difference = np.abs(under(photographs, "blur", strength) - np.array(expected))
    assert difference.mean() < 0.5  # as rounding leaves it; OpenCV cuts the kernel at three deviations
    assert difference.max() < 3


@pytest.mark.parametrize(("strength", "quality"), amounts("jpeg"))
def test_jpeg_is_what_opencv_decodes_from_its_file(photographs: np.ndarray, tmp_path, strength: str, quality) -> None:
    for image, after in zip(photographs, under(photographs, "jpeg", strength), strict=True):
        cv2.imwrite(str(tmp_path / "image.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imread(str(tmp_path / "image.jpg"))
        assert decoded is not None
        np.testing.assert_array_equal(after, decoded[..., ::-1])


@pytest.mark.parametrize(("strength", "levels"), amounts("brightness"))
def test_brightness_is_a_sum_that_stops_at_white(photographs: np.ndarray, strength: str, levels: float) -> None:
    table = np.array([min(value + int(levels), 255) for value in range(256)], np.uint8)
    np.testing.assert_array_equal(under(photographs, "brightness", strength), table[photographs])


@pytest.mark.parametrize(("strength", "share"), amounts("contrast"))
def test_contrast_keeps_the_mean_and_shrinks_the_deviation(photographs: np.ndarray, strength: str, share) -> None:
    after = under(photographs, "contrast", strength)
    np.testing.assert_allclose(after.mean(axis=(1, 2)), photographs.mean(axis=(1, 2)), atol=0.3)
    # Rounding moves no pixel by more than half a level, so no deviation either.
    assert np.abs(after.std(axis=(1, 2)) - share * photographs.std(axis=(1, 2))).max() <= 0.5
    for before, pixel in zip(photographs[0, :, :, 2].ravel().tolist(), after[0, :, :, 2].ravel(), strict=True):
        mean = sum(photographs[0, :, :, 2].ravel().tolist()) / 1024
        assert abs(pixel - (mean + share * (before - mean))) <= 0.5


@pytest.mark.parametrize(("strength", "degrees"), amounts("rotation"))
def test_rotation_is_that_of_scipy_about_the_centre(photographs: np.ndarray, strength: str, degrees: float) -> None:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    # Where each pixel comes from: rows grow downwards, so this turns the image anticlockwise.
    source = np.array([[cosine, -sine], [sine, cosine]])
    offset = 15.5 - source.T @ [15.5, 15.5]
    for image, after in zip(photographs, under(photographs, "rotation", strength), strict=True):
        for channel in range(3):
            plane = image[..., channel].astype(float)
            expected = ndimage.affine_transform(plane, source.T, offset.tolist(), order=1, mode="mirror")
            assert np.abs(after[..., channel] - expected).mean() < 1.5  # OpenCV places pixels on 1/32 of a pixel


def test_rotation_turns_a_bar_on_the_right_upwards() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 15:17, 20:] = 255  # from the centre to the right
    (after,) = under(image, "rotation", "strong")
    rows = np.nonzero(after[:, 25, 0] > 60)[0]
    assert rows.max() < 15
