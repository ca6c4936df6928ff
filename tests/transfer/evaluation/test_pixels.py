"""Figures of images and of interpolations: numpy, OpenCV and waves of known frequency say the same."""

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from transfer.evaluation.pixels import (
    COMPARED,
    brightness_and_contrast,
    colour_histograms,
    detail_shares,
    enlarge,
    measure_enlarged,
    measure_original,
    pixel_statistics,
    power_spectrum,
    radial_average,
    round_trip_errors,
    share_closer,
    sharpness,
)

REC_601 = (0.299, 0.587, 0.114)


def photographs(count: int = 60, side: int = 32) -> np.ndarray:
    """Pieces of scikit-learn's photograph of a temple, made small as CIFAR-10's were."""
    whole = cv2.resize(load_sample_image("china.jpg"), (320, 213), interpolation=cv2.INTER_AREA)
    places = [(y, x) for y in range(0, 213 - side, side) for x in range(0, 320 - side, side)]
    return np.stack([whole[y : y + side, x : x + side] for y, x in places])[:count]


def wave(frequency: float, side: int = 32) -> np.ndarray:
    """One grey image (1, S, S, 3) of `frequency` waves per pixel from left to right."""
    row = 127.5 + 100 * np.cos(2 * np.pi * frequency * np.arange(side))
    return np.broadcast_to(row[None, None, :, None], (1, side, side, 3)).round().astype(np.uint8)


def test_brightness_and_contrast_are_mean_and_spread_of_luma():
    images = photographs()
    luma = images @ np.array(REC_601) / 255
    brightness, contrast = brightness_and_contrast(images)
    np.testing.assert_allclose(brightness, luma.mean((1, 2)), atol=1e-3)  # OpenCV rounds luma to whole levels
    np.testing.assert_allclose(contrast, luma.std((1, 2)), atol=1e-3)


def test_statistics_are_those_of_numpy():
    images = photographs()
    figures = pixel_statistics(images)
    brightness, contrast = brightness_and_contrast(images)
    for name, values in (("brightness", brightness), ("contrast", contrast)):
        assert figures[f"{name}_mean"] == pytest.approx(values.mean())
        assert figures[f"{name}_std"] == pytest.approx(values.std())
    for i, name in enumerate(("red", "green", "blue")):
        assert figures[f"{name}_mean"] == pytest.approx(images[..., i].mean() / 255)
        assert figures[f"{name}_std"] == pytest.approx(images[..., i].std() / 255)


def test_one_grey_image_has_no_contrast_and_no_spread():
    figures = pixel_statistics(np.full((1, 32, 32, 3), 51, np.uint8))
    assert figures["brightness_mean"] == pytest.approx(0.2)
    assert {name: value for name, value in figures.items() if value and not name.endswith("_mean")} == {}
    assert figures["contrast_mean"] == 0


def test_histograms_are_those_of_numpy():
    images = photographs()
    shares = colour_histograms(images, 32)
    for i in range(3):
        counts, _ = np.histogram(images[..., i], bins=32, range=(0, 256))
        np.testing.assert_allclose(shares[i], counts / counts.sum(), rtol=1e-6)


def test_sharpness_is_the_variance_of_the_laplacian():
    images = photographs(5)
    expected = []
    for image in images:
        luma = np.pad(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float), 1, mode="reflect")
        around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
        expected.append((around - 4 * luma[1:-1, 1:-1]).var())
    assert sharpness(images) == pytest.approx(np.mean(expected))


def test_blur_takes_sharpness_away():
    images = photographs(10)
    blurred = np.stack([cv2.GaussianBlur(image, (5, 5), 1.0) for image in images])
    assert sharpness(blurred) < sharpness(images) / 2


@pytest.mark.parametrize(("frequency", "kept"), [(3 / 32, 0), (6 / 32, 0), (10 / 32, 1), (14 / 32, 1)])
def test_a_wave_is_detail_from_a_quarter_per_pixel_on(frequency: float, kept: float):
    shares = detail_shares(power_spectrum(wave(frequency)), 32)
    assert shares is not None
    assert shares[0] == pytest.approx(kept, abs=1e-3)
    assert shares[1] == 0  # an original has nothing beyond its own grid


def test_a_wave_beyond_the_original_grid_is_invented():
    drawn = wave(0.25, side=96)  # 0.75 per original pixel of 32
    shares = detail_shares(power_spectrum(drawn), 32)
    assert shares is not None
    assert shares[1] == pytest.approx(1, abs=1e-3)


def test_a_wave_is_found_on_its_ring_with_the_same_power_at_any_size():
    """Power does not depend on the size, so that spectra can be drawn into one chart."""
    powers = []
    for side in (32, 96):
        waves, averages = radial_average(power_spectrum(wave(8 / side, side)), 32)
        assert waves[averages.argmax()] == pytest.approx(8 / 32)
        powers.append(averages.max())
    assert powers[0] == pytest.approx(powers[1], rel=0.01)


def test_rings_are_means_over_a_slow_loop():
    power = power_spectrum(photographs(3))
    waves, averages = radial_average(power, 32)
    rings: dict[int, list[float]] = {}
    for y in range(32):
        for x in range(32):
            distance = np.hypot(min(y, 32 - y), min(x, 32 - x))
            rings.setdefault(round(distance), []).append(power[y, x])
    np.testing.assert_allclose(averages, [np.mean(rings[ring]) for ring in range(17)])
    np.testing.assert_allclose(waves, np.arange(17) / 32)


def test_power_adds_up_to_the_windowed_variance():
    """Parseval's theorem."""
    (image,) = photographs(1)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(32) + 0.5) / 32)
    window = np.outer(hann, hann)
    centred = (luma - (luma * window).sum() / window.sum()) * window
    assert power_spectrum(image[None]).sum() == pytest.approx((centred**2).mean())


@pytest.mark.parametrize("interpolation", COMPARED)
def test_round_trip_error_is_that_of_opencv(interpolation: str):
    images = photographs(8)
    flag = getattr(cv2, f"INTER_{interpolation.upper()}")
    for image, error in zip(images, round_trip_errors(images, interpolation), strict=True):
        halved = image.astype(float).reshape(16, 2, 16, 2, 3).mean((1, 3))
        halved = np.floor(halved + 0.5).astype(np.uint8)
        back = cv2.resize(halved, (32, 32), interpolation=flag)
        assert error == pytest.approx(((image.astype(float) - back) ** 2).mean(), rel=0.02)
    figures = measure_enlarged(images, 96, interpolation).figures
    psnr = 10 * np.log10(255**2 / round_trip_errors(images, interpolation).mean())
    assert figures["round_trip_psnr_db"] == pytest.approx(psnr)


def test_linear_keeps_the_least_detail_and_nearest_invents_the_most():
    images = photographs()
    figures = {name: measure_enlarged(images, 96, name).figures for name in COMPARED}
    original = measure_original(images).figures["kept_energy"]
    kept = {name: values["kept_energy"] for name, values in figures.items()}
    assert kept["linear"] < kept["cubic"] < kept["lanczos4"] < original
    assert max(figures, key=lambda name: figures[name]["invented_energy"]) == "nearest"
    assert max(figures, key=lambda name: figures[name]["sharpness"]) == "nearest"  # steps count as sharp


def test_the_share_that_comes_back_closer_is_counted():
    images = photographs(20)
    errors = [((image - enlarge_back(image, flag)) ** 2).mean() for image in images for flag in (2, 1)]
    cubic, linear = errors[::2], errors[1::2]
    share = share_closer(images, "cubic", "linear")
    assert share["share"] == np.mean(np.array(cubic) < np.array(linear))
    assert share["ci_low"] < share["share"] <= share["ci_high"]


def enlarge_back(image: np.ndarray, flag: int) -> np.ndarray:
    halved = cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA)
    return cv2.resize(halved, (32, 32), interpolation=flag).astype(float)


def test_images_of_one_colour_have_no_shares_and_no_ratio():
    grey = np.full((3, 32, 32, 3), 90, np.uint8)
    measured = measure_enlarged(grey, 96, "cubic")
    assert measured.figures == {"sharpness": 0.0}
    assert measure_original(grey).figures == {}
    assert np.isfinite(measured.spectrum[1]).all()


def test_enlarging_to_the_same_size_changes_nothing():
    images = photographs(4)
    for name in COMPARED:
        np.testing.assert_array_equal(enlarge(images, 32, name), images)
        assert measure_enlarged(images, 32, name).figures["invented_energy"] == 0
