"""download: which archives are taken, what the canonical file holds, what a wrong one gets."""

import gzip
import json
import re

import cv2
import numpy as np
import pytest

from stages import download
from tests.stages.conftest import CLASSES, Arena, tiny_images
from transfer.report.evidence import read_table
from transfer.runtime.errors import ArchiveError, DataError, DownloadError
from transfer.runtime.files import sha256_of
from transfer.sources.images import load_images


def settings(arena: Arena, **changes: object) -> dict:
    return {**arena.parameters, "download": {**arena.parameters["download"], **changes}}


def test_the_canonical_file_holds_the_images_labels_and_names(arena):
    written, _ = load_images(arena.file("data/raw/images.npz"))
    images = tiny_images()
    np.testing.assert_array_equal(written.images, images.images)
    np.testing.assert_array_equal(written.labels, images.labels)
    assert written.classes == CLASSES
    assert json.loads(arena.file("metrics/download.json").read_text()) == {
        "kind": "a CIFAR binary archive",
        "official_pixels": False,
        "images": 120,
        "test_images": 30,
        "train_images": 90,
        "classes": 3,
        "damaged_images": 0,
        "other_files": 0,
    }


def test_another_container_of_the_same_images_gives_the_same_bytes(arena):
    plain = arena.file("tiny.tar")
    plain.write_bytes(gzip.decompress(arena.archive.read_bytes()))
    changed = settings(arena, url=f"file://{plain}", sha256=sha256_of(plain))
    arena.run(download, changed, images="images_again.npz", damaged="damaged_again.tsv", metrics="download_again.json")
    assert arena.file("images_again.npz").read_bytes() == arena.file("data/raw/images.npz").read_bytes()
    assert arena.file("download_again.json").read_bytes() == arena.file("metrics/download.json").read_bytes()


def test_an_archive_of_another_digest_is_refused_with_both_digests(arena):
    actual, wanted = sha256_of(arena.archive), "0" * 64
    with pytest.raises(DownloadError, match=f"SHA-256 is {actual}, download.sha256 is {wanted}.*not CIFAR-10's"):
        arena.run(download, settings(arena, sha256=wanted), images="none.npz", damaged="none.tsv", metrics="none.json")
    assert not list(arena.folder.glob("*none*"))


def test_a_page_instead_of_an_archive_is_refused_with_both_digests(arena):
    page = arena.file("page.html")
    page.write_text("<html>Please log in</html>")
    with pytest.raises(DownloadError, match=f"SHA-256 is {sha256_of(page)}, download.sha256 is .*damaged, or no"):
        arena.run(download, settings(arena, url=str(page)), images="none.npz", damaged="none.tsv", metrics="none.json")
    assert not list(arena.folder.glob("*none*"))


def test_a_truncated_archive_is_named_even_where_its_digest_is_the_one_asked_for(arena):
    path = arena.file("short.tar.gz")
    path.write_bytes(arena.archive.read_bytes()[:-2000])
    with pytest.raises(ArchiveError, match=re.escape(str(path))):
        arena.run(
            download,
            settings(arena, url=str(path), sha256=sha256_of(path)),
            images="none.npz",
            damaged="none.tsv",
            metrics="n.json",
        )
    assert not list(arena.folder.glob("*none*"))


@pytest.mark.parametrize("on_damage", ["error", "skip"])
def test_damaged_images_are_refused_with_a_list_or_left_out(arena, capsys, on_damage: str):
    photos = arena.file(f"photos {on_damage}")
    for number, name in enumerate(["cat", "cat", "dog", "dog"]):
        (photos / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photos / name / f"{number}.png"), tiny_images().images[number])
    (photos / "dog/4.png").write_bytes(b"no image")
    before = arena.file(f"{on_damage}.npz")
    before.write_bytes(b"of the last run")
    outputs = {"images": before.name, "damaged": f"{on_damage}.tsv", "metrics": f"{on_damage}.json"}
    changed = settings(arena, url=str(photos), sha256=None, on_damage=on_damage)
    if on_damage == "error":
        with pytest.raises(DataError, match=r"damaged images: 1 of 5 \(.*damaged\.tsv has all\)"):
            arena.run(download, changed, **outputs)
        assert capsys.readouterr().err == "  dog/4.png: not an image that OpenCV reads\n"
        assert before.read_bytes() == b"of the last run"
        return
    arena.run(download, changed, **outputs)
    assert load_images(before)[0].names.tolist() == ["cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png"]
    assert arena.file("skip.tsv").read_text() == "image\treason\ndog/4.png\tnot an image that OpenCV reads\n"
    assert json.loads(arena.file("skip.json").read_text())["damaged_images"] == 1


def test_files_that_are_passed_over_are_told_by_their_endings(arena, capsys):
    photos = arena.file("with others")
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        cv2.imwrite(str(photos / name / "0.png"), tiny_images().images[0])
        (photos / name / "0.HEIC").write_bytes(b"")
    (photos / "LICENSE").write_text("MIT")
    changed = settings(arena, url=str(photos), sha256=None)
    arena.run(download, changed, images="others.npz", damaged="others.tsv", metrics="others.json")
    assert capsys.readouterr().err == "passed over 3 files that no image's ending has: .heic 2, no ending 1\n"
    assert json.loads(arena.file("others.json").read_text())["other_files"] == 3


def test_names_of_damaged_images_are_read_back_from_their_table_as_they_are(arena):
    names = ["dog/a  b, \"c\" 'd'.png", "dog/猫 #%$=.png", "dog/שלום.png", "dog/Käfer\u200d.png"]
    photos = arena.file("odd names")
    for name in ("cat/0.png", "dog/0.png", *names):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photos / name), tiny_images().images[0])
    for name in names:
        (photos / name).write_bytes(b"no image")
    changed = settings(arena, url=str(photos), sha256=None, on_damage="skip")
    arena.run(download, changed, images="odd.npz", damaged="odd.tsv", metrics="odd.json")
    assert sorted(row["image"] for row in read_table(arena.file("odd.tsv").read_text())) == sorted(names)
