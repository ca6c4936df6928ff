"""What the pixels of a data set are like, and what each interpolation makes of them."""

from dataclasses import dataclass

import cv2
import numpy as np

from transfer.data.resize import resized
from transfer.evaluation.scores import wilson_interval

CHANNELS = ("red", "green", "blue")
COMPARED = ("nearest", "linear", "cubic", "lanczos4")  # area is for shrinking

# Detail: waves shorter than 4 original pixels. Those of less than 2 the original grid cannot hold.
DETAIL_FROM = 0.25
NYQUIST = 0.5


def luma_of(images: np.ndarray) -> np.ndarray:
    """Luma (N, H, W) uint8 of images (N, H, W, 3) uint8 RGB, with the weights of Rec. 601."""
    count, height, width, _ = images.shape
    return cv2.cvtColor(images.reshape(count * height, width, 3), cv2.COLOR_RGB2GRAY).reshape(count, height, width)


def brightness_and_contrast(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean luma and RMS contrast of each image, (N,) each, between 0 and 1.

    RMS contrast is the standard deviation of an image's luma (Peli 1990, doi:10.1364/JOSAA.7.002032).
    """
    moments = [cv2.meanStdDev(luma) for luma in luma_of(images)]
    mean, std = np.array(moments).reshape(-1, 2).T / 255
    return mean, std


def pixel_statistics(images: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of brightness and contrast over images (N, H, W, 3), of colours over all pixels.

    All between 0 and 1, named `brightness_mean`, `brightness_std`, `contrast_mean`, ..., `blue_std`.
    """
    brightness, contrast = brightness_and_contrast(images)
    mean, std = cv2.meanStdDev(images.reshape(-1, images.shape[2], 3))
    figures = {
        "brightness_mean": brightness.mean(),
        "brightness_std": brightness.std(),
        "contrast_mean": contrast.mean(),
        "contrast_std": contrast.std(),
    }
    for i, channel in enumerate(CHANNELS):
        figures |= {f"{channel}_mean": mean[i, 0] / 255, f"{channel}_std": std[i, 0] / 255}
    return {name: float(value) for name, value in figures.items()}


def colour_histograms(images: np.ndarray, bins: int) -> np.ndarray:
    """Share of pixels (3, bins) of images (N, H, W, 3) uint8 in each of equal ranges of a channel's value."""
    tall = images.reshape(-1, images.shape[2], 3)
    counts = [cv2.calcHist([tall], [channel], None, [bins], [0, 256]).ravel() for channel in range(3)]
    return np.array(counts) / (tall.shape[0] * tall.shape[1])


def enlarge(images: np.ndarray, size_px: int, interpolation: str) -> np.ndarray:
    """Images (N, H, W, 3) uint8 as the resize stage makes them: (N, size_px, size_px, 3) uint8."""
    return np.stack([resized(image, size_px, interpolation, "stretch") for image in images])


def sharpness(images: np.ndarray) -> float:
    """Variance of the Laplacian of the luma, a mean over images (N, H, W, 3) uint8.

    The measure is Pech-Pacheco et al.'s (2000, doi:10.1109/ICPR.2000.903548). It takes every edge for
    sharpness, whether the original had it or not.
    """
    return float(np.mean([cv2.Laplacian(luma, cv2.CV_64F).var() for luma in luma_of(images)]))


def power_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean power spectrum (S, S) of the luma of square images (N, S, S, 3), the mean of each taken away.

    A Hann window first, or the jump from one border to the opposite one would count as fine detail.
    The scale does not depend on S: an image and its perfect enlargement have the same power.
    """
    side = images.shape[1]
    window = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    window = np.outer(window, window)
    power = np.zeros((side, side))
    for luma in luma_of(images):
        centred = luma - luma.mean()  # first, or one colour all over would leave rounding errors
        centred -= np.average(centred, weights=window)
        power += np.abs(np.fft.fft2(centred * window)) ** 2
    return power / (len(images) * side**4)


def frequencies(side: int, original_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertical (S, 1) and horizontal (1, S) frequency of a spectrum's entries, in waves per original pixel."""
    waves = np.fft.fftfreq(side, d=original_side / side)
    return waves[:, None], waves[None, :]


def detail_shares(power: np.ndarray, original_side: int) -> tuple[float, float] | None:
    """Shares of a power spectrum (S, S) that are the original's detail, and that the original cannot have had.

    Kept: waves of at least DETAIL_FROM per original pixel, up to the NYQUIST frequency of the original grid.
    Invented: beyond it, along rows or columns; what an enlargement adds as steps, ringing or aliasing.
    None if there is no power at all.
    """
    if not (total := power.sum()):
        return None
    vertical, horizontal = frequencies(len(power), original_side)
    finest = np.maximum(np.abs(vertical), np.abs(horizontal))
    invented = finest > NYQUIST
    kept = (finest >= DETAIL_FROM) & ~invented
    return float(power[kept].sum() / total), float(power[invented].sum() / total)


def radial_average(power: np.ndarray, original_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean power on rings of a spectrum (S, S): frequencies in waves per original pixel, and powers.

    Rings are one wave per original image wide and end where a row's or column's frequencies do.
    """
    vertical, horizontal = frequencies(len(power), original_side)
    rings = np.rint(np.hypot(vertical, horizontal) * original_side).astype(int).ravel()
    averages = np.bincount(rings, power.ravel()) / np.maximum(np.bincount(rings), 1)
    last = len(power) // 2
    return np.arange(last + 1) / original_side, averages[: last + 1]


def round_trip_errors(images: np.ndarray, interpolation: str) -> np.ndarray:
    """Mean squared error (N,) of each image halved (a pixel is the mean of four) and enlarged again.

    images (N, S, S, 3) uint8, S even; the error is in squared grey levels of 0 to 255.
    """
    side = images.shape[1]
    halved = enlarge(images, side // 2, "area")
    difference = images.astype(np.float32) - enlarge(halved, side, interpolation)
    return (difference**2).reshape(len(images), -1).mean(1, dtype=np.float64)


@dataclass(frozen=True)
class Detail:
    """What images have of detail: figures by name, and their radial spectrum (frequencies, powers).

    Figures that the images do not have, such as shares of no power, are left out.
    """

    figures: dict[str, float]
    spectrum: tuple[np.ndarray, np.ndarray]


def measure_original(images: np.ndarray) -> Detail:
    """The detail of square images (N, S, S, 3) uint8 as they are: `kept_energy` is all that there is to keep."""
    power, side = power_spectrum(images), images.shape[1]
    shares = detail_shares(power, side)
    return Detail({"kept_energy": shares[0]} if shares else {}, radial_average(power, side))


def measure_enlarged(images: np.ndarray, size_px: int, interpolation: str) -> Detail:
    """The detail of square images (N, S, S, 3) uint8 enlarged to `size_px`.

    Figures: `sharpness`, `kept_energy` and `invented_energy` (see detail_shares), and `round_trip_psnr_db`, the
    peak signal-to-noise ratio of the error that `round_trip_errors` has over all images.
    """
    side, enlarged = images.shape[1], enlarge(images, size_px, interpolation)
    power = power_spectrum(enlarged)
    figures = {"sharpness": sharpness(enlarged)}
    if shares := detail_shares(power, side):
        figures["kept_energy"], figures["invented_energy"] = shares
    if error := round_trip_errors(images, interpolation).mean():
        figures["round_trip_psnr_db"] = float(10 * np.log10(255**2 / error))
    return Detail(figures, radial_average(power, side))


def share_closer(images: np.ndarray, first: str, second: str) -> dict[str, float]:
    """Share of images with a smaller round-trip error by the first interpolation, with Wilson's 95 % interval."""
    hits = int((round_trip_errors(images, first) < round_trip_errors(images, second)).sum())
    low, high = wilson_interval(hits, len(images))
    return {"share": hits / len(images), "ci_low": low, "ci_high": high}
