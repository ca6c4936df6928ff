"""Augmentation against scipy's resampling and torchvision's colours; labels stay right."""

import dataclasses

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from scipy.ndimage import affine_transform
from torchvision.transforms.v2 import functional as reference

from tests.transfer.network.test_images import SIDE, UNCHANGED, as_pixels, noise
from transfer.network.images import Images
from transfer.training.augmentation import (
    Augmentation,
    Geometry,
    Motion,
    augment,
    build_mix,
    crop,
    draw_motion,
    recolour,
    scaled_down,
    warp,
)

STILL = Geometry(0.0, 0.0)
NOTHING = Augmentation(False, 0.0, 0.0, 0.0, 0.0, STILL, STILL)
COUNT, MARGIN = 6, 3
SHIFTED = dataclasses.replace(NOTHING, mirror=True, shift_fraction=MARGIN / SIDE)


def motion(down: int = 0, right: int = 0, mirrored: bool = False, degrees: float = 0.0, factor: float = 1.0) -> Motion:
    """The same motion for all images."""
    return Motion(
        torch.full((COUNT,), down),
        torch.full((COUNT,), right),
        torch.full((COUNT,), mirrored),
        torch.deg2rad(torch.full((COUNT,), degrees)),
        torch.full((COUNT,), factor),
    )


def by_scipy(image: np.ndarray, down: int, right: int, mirrored: bool, degrees: float, factor: float) -> np.ndarray:
    """The same, channel by channel: each output pixel's place in the source, about the centre of the image."""
    angle, centre = np.deg2rad(degrees), (np.array(image.shape[:2]) - 1) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / factor  # (row, column)
    matrix = turn @ np.diag([1, -1 if mirrored else 1])
    offset = centre + np.array([down, right]) - matrix @ centre
    planes = np.moveaxis(image.astype(float), -1, 0)
    channels = [affine_transform(plane, matrix, tuple(offset), order=1, mode="mirror") for plane in planes]  # type: ignore[arg-type]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize(
    ("down", "right", "mirrored", "degrees", "factor"),
    [
        (0, 0, False, 0.0, 1.0),
        (2, -1, False, 0.0, 1.0),
        (0, 1, True, 0.0, 1.0),
        (0, 0, False, 30.0, 1.0),
        (0, 0, False, 0.0, 1.4),
        (1, -2, True, -75.0, 0.8),
    ],
)
def test_one_resampling_is_scipys(down: int, right: int, mirrored: bool, degrees: float, factor: float):
    pixels = noise(COUNT)
    moved = warp(torch.from_numpy(pixels), motion(down, right, mirrored, degrees, factor)).numpy()
    for image, found in zip(pixels, moved, strict=True):
        np.testing.assert_allclose(found, by_scipy(image, down, right, mirrored, degrees, factor), atol=0.02)


def shifted(image: np.ndarray, down: int, right: int, mirrored: bool) -> np.ndarray:
    """The crop that starts `down` and `right` of the corner of an image padded by OpenCV's reflection."""
    padded = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REFLECT_101)
    crop = padded[MARGIN + down : MARGIN + down + SIDE, MARGIN + right : MARGIN + right + SIDE]
    return crop[:, ::-1] if mirrored else crop


def test_each_augmented_image_is_one_shift_of_itself_and_all_shifts_occur():
    pixels = noise(2)
    images = Images(pixels, UNCHANGED, torch.device("cpu"))
    torch.manual_seed(0)
    chosen = torch.arange(2).repeat(1500)
    results = as_pixels(augment(images, chosen, SHIFTED, chosen == 0))
    reach = range(-MARGIN, MARGIN + 1)
    for image in range(2):
        expected = {
            shifted(pixels[image], down, right, mirrored).tobytes(): (down, right, mirrored)
            for down in reach
            for right in reach
            for mirrored in (False, True)
        }
        drawn = [expected[result.tobytes()] for result in results[image::2]]  # KeyError: no shift gives this image
        assert set(drawn) == set(expected.values())


def test_a_positive_angle_turns_clockwise():
    image = np.zeros((COUNT, 11, 11, 3), np.uint8)
    image[:, 0, 5] = 255  # twelve o'clock
    turned = warp(torch.from_numpy(image), motion(degrees=90.0))
    assert turned[0, 5, 10, 0] == pytest.approx(255, abs=0.1)  # three o'clock


def test_crop_and_resampling_agree():
    pixels = torch.from_numpy(noise(COUNT))
    moving = motion(down=3, right=-2, mirrored=True)
    torch.testing.assert_close(
        crop(pixels, torch.arange(COUNT), moving).float(), warp(pixels, moving), atol=0.01, rtol=0
    )


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_colours_are_torchvisions(what: str):
    pixels = torch.from_numpy(noise(COUNT)).float()
    torch.manual_seed(3)
    changed = recolour(pixels, dataclasses.replace(NOTHING, **{what: 0.6}))
    torch.manual_seed(3)
    factors = 1 + 0.6 * (2 * torch.rand(COUNT) - 1)
    adjust = getattr(reference, f"adjust_{what}")
    for before, after, factor in zip(pixels, changed, factors, strict=True):
        expected = 255 * adjust(before.permute(2, 0, 1) / 255, float(factor)).permute(1, 2, 0)
        torch.testing.assert_close(after, expected, atol=0.02, rtol=0)


def test_each_group_turns_and_scales_within_its_own_bounds():
    how = dataclasses.replace(NOTHING, rigid=Geometry(15, 0.1), organic=Geometry(90, 0.4))
    organic = torch.arange(4000) % 2 == 1
    torch.manual_seed(0)
    drawn = draw_motion(how, organic, 32)
    for group, degrees, scale in ((~organic, 15, 0.1), (organic, 90, 0.4)):
        angles, factors = torch.rad2deg(drawn.angle[group]), drawn.factor[group]
        assert 0.98 * degrees < angles.abs().max() <= degrees * 1.0001
        assert angles.abs().mean() == pytest.approx(degrees / 2, rel=0.05)
        assert 1 / (1 + scale) * 0.999 <= factors.min() < factors.max() <= (1 + scale) * 1.001
        assert factors.log().mean() == pytest.approx(0, abs=0.02)


def test_without_any_change_images_come_out_as_they_are():
    pixels = noise(COUNT)
    images = Images(pixels, UNCHANGED, torch.device("cpu"))
    for how in (NOTHING, dataclasses.replace(NOTHING, rigid=Geometry(15, 0.5))):
        chosen = torch.tensor([4, 0])
        batch = augment(images, chosen, how, organic=torch.tensor([True, True]))
        torch.testing.assert_close(batch, images.plain(chosen), atol=0.01, rtol=0)


def test_a_seed_gives_the_same_batch_again():
    images = Images(noise(COUNT), UNCHANGED, torch.device("cpu"))
    how = Augmentation(True, 0.125, 0.2, 0.2, 0.2, Geometry(15, 0.1), Geometry(90, 0.3))

    def batch(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return augment(images, torch.arange(COUNT), how, torch.arange(COUNT) % 2 == 0)

    assert torch.equal(batch(1), batch(1))
    assert not torch.equal(batch(1), batch(2))


@pytest.mark.parametrize("how", [NOTHING, SHIFTED, dataclasses.replace(SHIFTED, rigid=Geometry(20.0, 0.1))])
def test_images_that_do_not_fit_on_the_device_give_the_same_batches(monkeypatch, how: Augmentation):
    batches = []
    for resident in (True, False):
        monkeypatch.setattr("transfer.network.images.fits", lambda _bytes, _device, fit=resident: fit)
        images, chosen = Images(noise(COUNT), UNCHANGED, torch.device("cpu")), torch.tensor([4, 0, 4, 2])
        torch.manual_seed(0)
        found = [augment(images, chosen, how, torch.tensor([True, False, False, True]))]
        found += [images.plain(chosen, True, 2), images.plain(slice(1, 3))]
        batches.append(found)
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first, second)


def test_mixup_labels_are_the_shares_of_the_images():
    """Image k is the constant k, so that its share of a mixed one can be read off it."""
    images, labels = torch.arange(1.0, 5.0).view(4, 1, 1, 1).expand(4, 3, 8, 8), torch.arange(4)
    mix = build_mix(0.8, 0.0, 1.0, classes=4)
    assert mix is not None
    torch.manual_seed(1)
    mixed, targets = mix(images.clone(), labels)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ torch.arange(1.0, 5.0))


def test_cutmix_labels_are_the_shares_of_the_area():
    images, labels = torch.arange(1.0, 5.0).view(4, 1, 1, 1).expand(4, 3, 16, 16), torch.arange(4)
    mix = build_mix(0.0, 1.0, 1.0, classes=4)
    assert mix is not None
    torch.manual_seed(2)
    mixed, targets = mix(images.clone(), labels)
    for image, target in zip(mixed, targets, strict=True):
        for label in range(4):
            assert float((image[0] == label + 1).float().mean()) == pytest.approx(float(target[label]), abs=1e-6)


def test_mixing_happens_as_often_as_asked_and_not_at_all_without_alphas():
    assert build_mix(0.0, 0.0, 1.0, classes=4) is None
    mix = build_mix(0.4, 1.0, 0.3, classes=4)
    assert mix is not None
    torch.manual_seed(0)
    labels = [mix(torch.zeros(4, 3, 8, 8), torch.arange(4))[1] for _ in range(600)]
    assert sum(each.ndim == 2 for each in labels) / 600 == pytest.approx(0.3, abs=0.06)


def test_images_are_scaled_down_as_pillow_does_it():
    """Pillow's bilinear reduction filters what would alias; a chessboard of single pixels turns grey."""
    rows, columns = np.indices((SIDE, SIDE))
    chessboard = np.repeat(255 * ((rows + columns) % 2).astype(np.uint8)[..., None], 3, axis=2)
    pixels = np.stack([*noise(2), chessboard])
    small = scaled_down(Images(pixels, UNCHANGED, torch.device("cpu")).plain(slice(None)), 7)
    assert small.is_contiguous(memory_format=torch.channels_last)
    for shown, image in zip(as_pixels(small), pixels, strict=True):
        expected = np.asarray(PIL.Image.fromarray(image).resize((7, 7), PIL.Image.Resampling.BILINEAR))
        np.testing.assert_allclose(shown.astype(int), expected.astype(int), atol=1)
    middle = as_pixels(small)[2, 1:-1, 1:-1].astype(int)
    assert abs(middle - 127.5).max() < 30
