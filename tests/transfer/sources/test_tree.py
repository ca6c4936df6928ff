"""Trees of folders: splits are never classes in silence, and a container's own folders change no byte."""

import io
import os
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.transfer.sources.photos import address_of, encoded, pictures, read, write_folder
from transfer.runtime.errors import DataError
from transfer.sources.items import part_of

PICTURE = encoded(pictures()[0][2])
TRAINED = [f"train/{name}/{number}.png" for name in ("ant", "bee") for number in range(2)]


def write_files(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURE)
    return folder


@pytest.mark.parametrize(
    ("others", "named"),
    [
        (["test/0.png"], "test/0.png"),
        (["train/overview.png"], "train/overview.png"),
        (["unlabeled/1.png", "unlabeled/2.png"], "unlabeled/1.png, unlabeled/2.png"),
        (["seg_pred/seg_pred/1.png"], "seg_pred/seg_pred/1.png"),
        (["cover.png"], "cover.png"),
        ([f"test/{number}.png" for number in range(9)], "test/0.png, test/1.png, test/2.png and 6 more"),
        (["ant/1.png", "bee/1.png"], "ant/1.png, bee/1.png"),
    ],
)
@pytest.mark.parametrize("above", ["", "data/photos/"])
def test_images_beside_the_classes_of_a_split_are_refused_by_name(
    tmp_path: Path, others: list[str], named: str, above: str
) -> None:
    write_files(tmp_path / "data", [above + name for name in [*TRAINED, *others]])
    with pytest.raises(DataError) as caught:
        read(tmp_path / "data", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'data'}: no class's folder in a split (")
    assert f"train) holds {named}; move or delete these, or rename" in str(caught.value).replace("test, train", "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (["a/1.heic", "b/2.HEIC", "c/notes"], r"holds no image (.heic 2, no ending 1); a folder"),
        (
            ["1.png", "labels.csv"],
            "1.png lies in no class's folder; put each image into its class's; if labels.csv has",
        ),
        (["im/1.png", "im/2.png", "labels.tsv"], "only class 'im'; two or more classes are needed; if labels.tsv has"),
    ],
)
def test_a_folder_that_is_none_of_classes_is_told_with_what_else_it_holds(
    tmp_path: Path, files: list[str], complaint: str
) -> None:
    write_files(tmp_path / "data", files)
    with pytest.raises(DataError) as caught:
        read(tmp_path / "data", tmp_path)
    assert complaint in str(caught.value)


def test_a_zip_with_backslashes_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for label, name, image in pictures():
            member = zipfile.ZipInfo("a name with / would keep it")
            member.filename = f"photos\\{label}\\{name}"
            archive.writestr(member, encoded(image))
    images, _, _ = read(tmp_path / "windows.zip", tmp_path)
    assert (images.classes, len(images.labels)) == (("digit 0", "digit 1", "digit 10"), 12)


def test_splits_without_classes_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path / "data", ["train/cat.1.png", "train/dog.1.png", "test/1.png"])
    with pytest.raises(DataError, match=r"no class's folder in a split \(test, train\) holds test/1.png"):
        read(tmp_path / "data", tmp_path)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("Train Images", "Test-Images"),
        ("trainset", "testset"),
        ("train", "test/Test"),
        ("train2017", "test_2017"),
    ],
)
def test_splits_are_known_by_their_usual_names(tmp_path: Path, train: str, test: str) -> None:
    write_folder(write_folder(tmp_path / "data", train), test)
    images, _, _ = read(tmp_path / "data", tmp_path)
    assert images.classes == ("digit 0", "digit 1", "digit 10")
    assert images.parts.tolist() == ["test", "train"] * 12, "by class and name, which both have"


@pytest.mark.parametrize(
    "name", ["a train", "test bench", "trainer", "set", "training shoes", "train_val", "validator"]
)
def test_names_that_only_hold_such_a_word_are_no_splits(name: str) -> None:
    assert part_of(name) is None


def test_classes_called_as_a_split_beside_others_are_classes(tmp_path: Path) -> None:
    write_files(tmp_path / "data", ["valid/1.png", "invalid/1.png"])
    assert read(tmp_path / "data", tmp_path)[0].classes == ("invalid", "valid")


def test_an_image_beside_the_classes_below_a_common_folder_is_named(tmp_path: Path) -> None:
    write_files(tmp_path / "data", ["photos/ant/1.png", "photos/bee/1.png", "photos/cover.png"])
    with pytest.raises(DataError, match=r"photos/cover\.png lies in no class's folder"):
        read(tmp_path / "data", tmp_path)


def test_the_canonical_file_is_the_same_whatever_contains_the_images(tmp_path: Path) -> None:
    written = {}
    for kind in ("folder", "folder address", "folder in a folder", "zip", "zip of a folder", "tar.gz"):
        (tmp_path / kind).mkdir()
        read(address_of(kind, tmp_path / kind), tmp_path)
        written[kind] = (tmp_path / "images.npz").read_bytes()
    assert [kind for kind, content in written.items() if content != written["folder"]] == []


def test_links_in_a_tar_are_damage_and_not_left_out_in_silence(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        for label, name, image in pictures():
            entry = tarfile.TarInfo(f"{label}/{name}")
            entry.size = len(data := encoded(image))
            archive.addfile(entry, io.BytesIO(data))
        for name, kind in (("digit 0/soft.png", tarfile.SYMTYPE), ("digit 0/hard.png", tarfile.LNKTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "digit 0/0.png"
            archive.addfile(entry)
    _, written, _ = read(tmp_path / "photos.tar", tmp_path)
    assert len(written.parts) == 12
    assert {name: reason.split(";")[0] for name, reason in written.damaged} == {
        "digit 0/hard.png": "a link or no plain file",
        "digit 0/soft.png": "a link or no plain file",
    }


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "a\x85b", "a\u2028b", "a\x1bb"])
@pytest.mark.parametrize("place", ["{}/1.png", "cat/{}.png", "cat/{}/1.png"])
def test_names_that_a_table_cannot_hold_are_refused(tmp_path: Path, name: str, place: str) -> None:
    write_files(tmp_path / "data", ["cat/0.png", "dog/0.png", place.format(name)])
    with pytest.raises(
        DataError, match="a name that holds a tab, a line break or a control character; rename it"
    ) as caught:
        read(tmp_path / "data", tmp_path)
    assert str(caught.value).startswith(repr(place.format(name)))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", [b"K\xe4fer/1.png", b"cat/K\xe4fer.png"])
def test_names_that_are_not_utf_8_are_refused(tmp_path: Path, place: bytes) -> None:
    write_files(tmp_path / "data", ["cat/0.png", "dog/0.png", os.fsdecode(place)])
    with pytest.raises(DataError, match="a name that is not UTF-8; rename it") as caught:
        read(tmp_path / "data", tmp_path)
    assert "K\\udce4fer" in str(caught.value)


def test_names_of_any_letters_are_kept(tmp_path: Path) -> None:
    names = ["猫/ä $#%'\",.png", "שלום/a  b\u200f.png", "Käfer/\u200dx.png"]
    write_files(tmp_path / "data", names)
    assert sorted(read(tmp_path / "data", tmp_path)[0].names) == sorted(names)
