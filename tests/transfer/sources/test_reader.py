"""Own images: folders, archives and tables give the same canonical images; damage is listed, never silent."""

import io
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.transfer.sources.photos import (
    CLASSES,
    NO_COLUMNS,
    address_of,
    encoded,
    pictures,
    read,
    write_folder,
    write_tar,
    write_zip,
)
from transfer.runtime.errors import ArchiveError, DataError, DownloadError
from transfer.sources.items import natural
from transfer.sources.reader import Source, open_source

KINDS = ["folder", "folder address", "folder in a folder", "zip", "zip of a folder", "tar.gz", "csv", "tsv", "parquet"]


@pytest.mark.parametrize("kind", [*KINDS, "folder of parquet", "pattern of parquet"])
def test_every_kind_of_source_gives_the_same_images_in_the_same_order(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    images, written, _ = read(address_of(kind, folder), tmp_path)
    assert images.classes == CLASSES, "10 comes after 1"
    assert [images.classes[label] for label in images.labels] == [label for label, _, _ in pictures()]
    for index, (_, _, expected) in enumerate(pictures()):
        np.testing.assert_array_equal(images.images[index], expected)
    assert (set(images.parts), written.damaged, images.thumbnail_px) == ({""}, [], 8)
    assert images.sizes.tolist() == [[8, 8]] * 12


@pytest.mark.parametrize(
    ("folders", "parts"),
    [
        (("train", "val", "test"), ["train", "val", "test"]),
        (("Training", "Validation", "Tests"), ["train", "val", "test"]),
        (("TRAIN", "valid"), ["train", "val"]),
        (("train",), ["train"]),
    ],
)
def test_splits_of_folders_are_kept_in_any_spelling(tmp_path: Path, folders: tuple[str, ...], parts: list[str]) -> None:
    for name in folders:
        write_folder(tmp_path / "data", name)
    images, _, _ = read(tmp_path / "data", tmp_path)
    assert sorted(set(images.parts)) == sorted(parts)
    assert images.classes == CLASSES


def test_classes_that_are_called_as_splits_are_classes(tmp_path: Path) -> None:
    for name in ("train", "bus"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_bytes(encoded(pictures()[0][2]))
    assert read(tmp_path / "data", tmp_path)[0].classes == ("bus", "train")


def test_deeper_folders_belong_to_their_class_and_other_files_are_counted(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "digit 1/more/of it").mkdir(parents=True)
    (folder / "digit 1/more/of it/x.PNG").write_bytes(encoded(pictures()[0][2]))
    for name in ("notes.txt", "digit 0/Thumbs.db", "digit 0/.DS_Store", ".hidden.png"):
        (folder / name).write_bytes(b"no image")
    images, written, listing = read(folder, tmp_path)
    assert (len(images.labels), listing.ignored, written.damaged) == (13, {".txt": 1, ".db": 1}, [])
    assert np.bincount(images.labels).tolist() == [4, 5, 4]


def damaged_files() -> dict[str, bytes]:
    """Each kind of damage, and the reason that is given."""
    jpeg = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), ".jpg")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    return {"cut.jpg": jpeg[:-800], "empty.png": b"", "text.jpg": b"hello", "bomb.png": bomb.getvalue()}


def test_all_damage_is_found_and_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    for name, content in damaged_files().items():
        (folder / "digit 0" / name).write_bytes(content)
    (folder / "digit 1/gone.png").symlink_to("nowhere.png")
    _, written, _ = read(folder, tmp_path)
    reasons = dict(written.damaged)
    assert set(reasons) == {*(f"digit 0/{name}" for name in damaged_files()), "digit 1/gone.png"}
    for name, part in {
        "digit 0/cut.jpg": "truncated",
        "digit 0/empty.png": "empty file",
        "digit 0/text.jpg": "not an image",
        "digit 0/bomb.png": "bomb",
        "digit 1/gone.png": "a link to a file that is not there",
    }.items():
        assert part in reasons[name]
    assert len(written.parts) == 12


def odd_pictures() -> dict[str, bytes]:
    """One picture, red at the left and blue at the right, as files of many kinds."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30, 0] = picture[:, 30:, 2] = 200
    image = Image.fromarray(picture)

    def saved(kind: str, one: Image.Image = image, **options: object) -> bytes:
        stream = io.BytesIO()
        one.save(stream, kind, **options)
        return stream.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    turned = Image.fromarray(np.rot90(picture).copy())
    return {
        "a.png": saved("PNG"),
        "b.webp": saved("WEBP", lossless=True),
        "c.bmp": saved("BMP"),
        "d.tiff": saved("TIFF"),
        "e.GIF": saved(
            "GIF", image.quantize(), save_all=True, append_images=[image.transpose(Image.Transpose.ROTATE_180)]
        ),
        "f.jpg": saved("JPEG", quality=95, subsampling=0),
        "g.JPEG": saved("JPEG", turned, exif=exif, quality=95, subsampling=0),
        "h.jpg": saved("JPEG", image.convert("CMYK"), quality=95),
        "i.png": saved("PNG", image.convert("RGBA")),
        "j.png": saved("PNG", image.quantize()),
    }


@pytest.mark.parametrize("name", list(odd_pictures()))
def test_colour_turn_and_frame_are_right_whatever_the_format(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "digit 0/odd").mkdir()
    (folder / "digit 0/odd" / name).write_bytes(odd_pictures()[name])
    images, written, _ = read(folder, tmp_path)
    assert not written.damaged
    index = images.names.tolist().index(f"digit 0/odd/{name}")
    picture = images.images[index]
    assert picture.shape == (40, 60, 3)
    assert images.sizes[index].tolist() == [40, 60]
    left, right = picture[5:35, 5:25].mean((0, 1)), picture[5:35, 35:55].mean((0, 1))
    np.testing.assert_allclose(left, [200, 0, 0], atol=8)
    np.testing.assert_allclose(right, [0, 0, 200], atol=8)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    ramp = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(np.uint16)
    (folder / "digit 0/deep.png").write_bytes(bytes(cv2.imencode(".png", ramp)[1]))
    images, _, _ = read(folder, tmp_path)
    picture = images.images[images.names.tolist().index("digit 0/deep.png")]
    np.testing.assert_allclose(picture[..., 0], ramp / 257, atol=1)


@pytest.mark.parametrize(
    ("files", "error", "complaint"),
    [
        ([], DataError, "holds no image; a folder of images for each class is needed"),
        (["a/1.png"], DataError, "only class 'a'; two or more classes are needed"),
        (["1.png", "a/1.png", "b/1.png"], DataError, "1.png lies in no class's folder"),
    ],
)
def test_a_folder_without_classes_is_one_line(tmp_path: Path, files: list[str], error: type, complaint: str) -> None:
    (tmp_path / "data").mkdir()
    for name in files:
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes(encoded(pictures()[0][2]))
    with pytest.raises(error, match=complaint):
        read(tmp_path / "data", tmp_path)
    assert not (tmp_path / "images.npz").exists()


@pytest.mark.parametrize("name", ["photo.heic", "notes.txt"])
def test_a_tar_without_images_is_not_called_a_cifar_archive(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(f"ant/{name}"))
    with pytest.raises(DataError, match="holds no image"):
        read(tmp_path / "some.tar", tmp_path)


def test_what_is_no_archive_is_told_what_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(encoded(pictures()[0][2], ".jpg"))
    with pytest.raises(ArchiveError, match=r"no archive that can be read .* or give a folder, a tar or zip of images"):
        read(tmp_path / "photo.jpg", tmp_path)


def test_a_damaged_zip_member_is_damage_and_a_damaged_tar_an_error(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "photos.zip")
    content = bytearray(path.read_bytes())
    content[content.index(encoded(pictures()[5][2])) + 40] ^= 0xFF
    path.write_bytes(content)
    assert [name for name, _ in read(path, tmp_path)[1].damaged] == ["digit 1/9.png"]
    tar = write_tar(tmp_path / "photos.tgz")
    tar.write_bytes(tar.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match=r"photos\.tgz: damaged"):
        read(tar, tmp_path)


@pytest.mark.parametrize("kind", ["folder", "pattern of parquet"])
def test_a_digest_of_what_has_none_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "source").mkdir()
    address = str(address_of(kind, tmp_path / "source"))
    source = Source(address, "0" * 64, NO_COLUMNS, "fine", tmp_path / "state", 5)
    with pytest.raises(DownloadError, match=r"no one digest; set download\.sha256 to null"), open_source(source):
        pass


def test_a_folder_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    os.symlink("..", folder / "digit 0/loop")  # noqa: PTH211
    with pytest.raises(ArchiveError, match="more than 20 deep"):
        read(folder, tmp_path)


def test_numbers_in_names_count() -> None:
    assert sorted(["10", "9", "a10", "a9", "b", "²"], key=natural) == ["9", "10", "a9", "a10", "b", "²"]
