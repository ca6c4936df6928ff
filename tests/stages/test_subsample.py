"""subsample: exact counts, disjoint splits, an untouched test split, the same bytes for the same seed."""

import json

import numpy as np
import pytest

from stages import subsample
from tests.stages.conftest import FILES, Arena
from transfer.data.splits import load_split
from transfer.runtime.errors import DataError, ParameterError
from transfer.sources.images import EncodedImages, ImageSet, load_images


def again(arena: Arena, name: str, seed: int = 0, **changes: object) -> None:
    parameters = {**arena.parameters, "seed": seed, "subsample": {**arena.parameters["subsample"], **changes}}
    outputs = {option: f"{name}_{option}" for option in ("train", "val", "test", "metrics", "plots")}
    arena.run(subsample, parameters, **{**FILES[subsample], **outputs})


def test_splits_have_the_sizes_asked_for_with_every_class_in_proportion(arena):
    metrics = json.loads(arena.file("metrics/subsample.json").read_text())
    assert [metrics[name]["images"] for name in ("train", "val", "test")] == [45, 15, 30]
    whole, _ = load_images(arena.file("data/raw/images.npz"))
    available = np.bincount(whole.labels[whole.parts == "train"])
    for split in ("train", "val"):
        counts = np.array(list(metrics[split]["per_class"].values()))
        proportion = counts.sum() * available / available.sum()
        assert np.abs(counts - proportion).max() < 1.5, split


def test_images_are_those_at_the_positions_and_no_image_is_in_two_splits(arena):
    images, _ = load_images(arena.file("data/raw/images.npz"))
    whole, test_images = (images.take(np.flatnonzero(images.parts == part)) for part in ("train", "test"))
    train, val = load_split(arena.file("data/splits/train.npz")), load_split(arena.file("data/splits/val.npz"))
    assert isinstance(whole.images, np.ndarray)
    assert isinstance(test_images.images, np.ndarray)
    for split in (train, val):
        np.testing.assert_array_equal(split.images, whole.images[split.positions])
        np.testing.assert_array_equal(split.labels, whole.labels[split.positions])
        assert split.classes == images.classes
    assert not set(train.positions) & set(val.positions)
    test = load_split(arena.file("data/splits/test.npz"))
    np.testing.assert_array_equal(test.images, test_images.images[test.positions])
    np.testing.assert_array_equal(np.sort(test.positions), np.arange(30))
    for split in (train, val, test):
        order = list(zip(split.labels, split.positions, strict=True))
        assert order == sorted(order), "by class, then in the source's order"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_images(arena):
    again(arena, "same")
    again(arena, "other", seed=1)
    for split in ("train", "val", "test"):
        assert arena.file(f"same_{split}").read_bytes() == arena.file(f"data/splits/{split}.npz").read_bytes()
    assert arena.file("other_train").read_bytes() != arena.file("data/splits/train.npz").read_bytes()
    assert arena.file("other_test").read_bytes() == arena.file("data/splits/test.npz").read_bytes()


def test_more_training_images_leave_the_validation_images_as_they_are(arena):
    again(arena, "more", train_size=90)
    assert arena.file("more_val").read_bytes() == arena.file("data/splits/val.npz").read_bytes()


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"train_size": 91}, DataError, r"subsample\.train_size = 91: 91 images asked of 90"),
        ({"test_size": 31}, DataError, r"subsample\.test_size = 31: 31 images asked of 30"),
        ({"val_size": 60}, ParameterError, "val_size must be below train_size"),
    ],
)
def test_more_images_than_there_are_is_refused(arena, changes: dict, error: type[Exception], complaint: str):
    with pytest.raises(error, match=complaint):
        again(arena, "none", **changes)
    assert not list(arena.folder.glob("*none*"))


def test_classes_that_are_left_out_are_told(arena, capsys):
    again(arena, "few", train_size=40, val_size=10, test_size=2, rare_classes="leave_out")
    (left_out,) = set(load_images(arena.file("data/raw/images.npz"))[0].classes) - set(
        load_split(arena.file("few_train")).classes
    )
    assert capsys.readouterr().err == f"left out as too rare: 1 class, {left_out}\n"


def test_of_encoded_images_each_ones_length_is_handed_over_and_not_all_bytes() -> None:
    starts, ends, texts = np.array([0, 10]), np.array([10, 25]), np.array(["", ""])
    pixels, sizes = EncodedImages(np.zeros(99, np.uint8), starts, ends), np.array([[4, 5], [6, 7]])
    handed = subsample.handed(ImageSet(pixels, np.array([0, 1]), ("a", "b"), sizes, texts, texts, texts, 32))
    assert handed.keys() == {"bytes of each file", "heights and widths", "labels"}
    assert handed["bytes of each file"].tolist() == [10, 15]
