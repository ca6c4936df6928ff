"""The same images in five containers give the same splits, pixels, features and metrics, to the last digit."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.made_sources import CONTAINERS, Pictures, cifar_100_archive
from stages import backbone, download, embed, evaluate, fine_tune, label_errors, leakage, resize, subsample, train_head
from tests.stages.conftest import CLASSES, FILES, TRAIN_IMAGES, Arena, files_in, tiny_images
from transfer.data.resize import open_resized
from transfer.sources.cifar import LabelledImages
from transfer.sources.images import load_images

SAME = ("data/features", "metrics/train_head.json", "metrics/fine_tune.json", "metrics/evaluate.json")


def pictures() -> Pictures:
    images = tiny_images()
    train, test = (
        LabelledImages(images.images[part], images.labels[part])
        for part in (slice(TRAIN_IMAGES), slice(TRAIN_IMAGES, None))
    )
    return Pictures(train, test, CLASSES)


def run_up_to_evaluate(arena: Arena, source: Path) -> None:
    arena.parameters["download"].update(url=str(source), sha256=None)
    arena.parameters["resize"]["size_px"] = 32
    for stage in (download, backbone, subsample):
        arena.run(stage, **FILES[stage])
    for split in ("train", "val", "test"):
        arena.run(resize, split=f"data/splits/{split}.npz", resized=f"data/resized/{split}")
    for stage in (leakage, embed, label_errors, train_head, fine_tune, evaluate):
        arena.run(stage, **FILES[stage])


@pytest.mark.slow
def test_five_containers_of_the_same_images_give_the_same_metrics(tmp_path: Path) -> None:
    made: dict[str, Arena] = {}
    for name, write in CONTAINERS.items():
        (tmp_path / name / "source").mkdir(parents=True)
        made[name] = Arena(tmp_path / name)
        run_up_to_evaluate(made[name], write(tmp_path / name / "source", pictures()))
    first, *others = made.values()
    for arena in others:
        for split in ("train", "val", "test"):
            one, other = (open_resized(run.file(f"data/resized/{split}")) for run in (first, arena))
            for part in ("pixels", "images", "labels", "sizes", "classes"):
                np.testing.assert_array_equal(getattr(other, part), getattr(one, part), f"{arena.folder} {split}")
        for path in SAME:
            assert files_in(arena.file(path)) == files_in(first.file(path)), f"{arena.folder} {path}"


@pytest.mark.parametrize(("labels", "named"), [("fine", "fine 17"), ("coarse", "coarse 3")])
def test_a_made_cifar_100_archive_is_read_by_either_of_its_labels(tmp_path: Path, labels: str, named: str) -> None:
    arena = Arena(tmp_path)
    changed = {"url": str(cifar_100_archive(tmp_path, pictures())), "sha256": None, "cifar100_labels": labels}
    arena.parameters["download"].update(changed)
    arena.run(download, **FILES[download])
    images, _ = load_images(arena.file("data/raw/images.npz"))
    np.testing.assert_array_equal(images.images, tiny_images().images)
    of_class_1 = np.flatnonzero(tiny_images().labels == 1)
    row = next(row for row in of_class_1 if row % 10 == 7)
    assert images.classes[images.labels[row]] == named
