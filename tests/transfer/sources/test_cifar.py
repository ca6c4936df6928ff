"""The binary layout of CIFAR-10: written and read alike, however it is packed; the canonical file; the original."""

import bz2
import gzip
import hashlib
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.transfer.sources.archives import (
    BATCHES,
    NAMES,
    TEST_IMAGES,
    assert_is_the_data,
    assert_refused,
    in_folder,
    members,
    records,
    tar_of,
    written,
)
from transfer.runtime.files import sha256_of
from transfer.sources.cifar import (
    CLASSES,
    OFFICIAL_CLASSES,
    RECORD_BYTES,
    TEST,
    image_set,
    read_archive,
    write_archive,
)
from transfer.sources.images import load_images, save_images

ORIGINAL = Path(os.environ.get("CIFAR10_ARCHIVE", "not given"))


def test_a_written_archive_comes_back_the_same_and_is_not_official(tmp_path: Path) -> None:
    write_archive(tmp_path / "new" / "archive.tar.gz", BATCHES, TEST_IMAGES, NAMES)
    archive = read_archive(tmp_path / "new" / "archive.tar.gz")
    assert_is_the_data(archive)
    for part in (archive.train, archive.test):
        assert (part.images.dtype, part.labels.dtype) == (np.uint8, np.uint8)


def test_equal_data_give_an_equal_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / "first.tar.gz", BATCHES, TEST_IMAGES, NAMES)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_archive(tmp_path / "second.tar.gz", BATCHES, TEST_IMAGES, NAMES)
    assert sha256_of(tmp_path / "first.tar.gz") == sha256_of(tmp_path / "second.tar.gz")


def test_a_record_is_label_then_red_green_and_blue_planes_row_by_row(tmp_path: Path) -> None:
    planes = bytearray(3 * 1024)
    planes[5 * 32 + 7] = 11  # red, row 5, column 7
    planes[1024 + 31 * 32] = 22  # green, last row, first column
    planes[2048 + 31] = 33  # blue, first row, last column
    content = {**members(), "data_batch_1.bin": bytes([2]) + bytes(planes), TEST: bytes(RECORD_BYTES)}
    archive = read_archive(written(tmp_path, tar_of(in_folder(content))))
    expected = np.zeros((32, 32, 3), np.uint8)
    expected[5, 7, 0] = 11
    expected[31, 0, 1] = 22
    expected[0, 31, 2] = 33
    assert np.array_equal(archive.train.images[0], expected)
    assert archive.train.labels[0] == 2
    assert not archive.test.images.any()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"])
def test_an_archive_is_read_however_it_is_packed(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert_is_the_data(read_archive(written(tmp_path, pack(tar_of(in_folder(members()))))))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gz"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.7])
def test_a_truncated_archive_is_refused(tmp_path: Path, pack: Callable[[bytes], bytes], share: float) -> None:
    content = pack(tar_of(in_folder(members())))
    assert_refused(written(tmp_path, content[: int(share * len(content))]))


def test_a_gzip_file_that_lacks_only_its_checksum_is_refused(tmp_path: Path) -> None:
    content = gzip.compress(tar_of(in_folder(members())))
    assert_refused(written(tmp_path, content[:-8]), "damaged")


def test_pixels_that_do_not_match_the_gzip_checksum_are_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(tar_of(in_folder(members())), compresslevel=0))  # stored, so pixels lie open
    place = content.index(records(TEST_IMAGES)) + 100
    content[place] ^= 1
    assert_refused(written(tmp_path, bytes(content)), "damaged")


def test_a_damaged_header_does_not_pass_for_the_end_of_the_archive(tmp_path: Path) -> None:
    # With the last training batch at the end, an archive cut short there would look complete.
    order = [CLASSES, TEST, "data_batch_1.bin", "data_batch_2.bin"]
    content = bytearray(tar_of(in_folder({name: members()[name] for name in order})))
    content[content.index(b"data_batch_2.bin")] ^= 1
    assert_refused(written(tmp_path, bytes(content)), "damaged")


@pytest.mark.parametrize("missing", [CLASSES, "data_batch_1.bin", TEST])
def test_a_missing_member_is_named(tmp_path: Path, missing: str) -> None:
    content = {name: content for name, content in members().items() if name != missing}
    assert_refused(written(tmp_path, tar_of(in_folder(content))), f"{missing} is missing")


def test_batches_may_count_from_0(tmp_path: Path) -> None:
    content = members()
    content["data_batch_0.bin"] = content.pop("data_batch_2.bin")
    archive = read_archive(written(tmp_path, tar_of(in_folder(content))))
    expected = np.concatenate([BATCHES[1].labels, BATCHES[0].labels])
    np.testing.assert_array_equal(archive.train.labels, expected)


def test_a_mark_in_front_of_the_class_list_is_no_letter(tmp_path: Path) -> None:
    content = {**members(), CLASSES: b"\xef\xbb\xbf" + members()[CLASSES]}
    assert read_archive(written(tmp_path, tar_of(in_folder(content)))).classes == NAMES


def test_a_class_list_in_another_encoding_is_refused_naming_the_byte(tmp_path: Path) -> None:
    content = {**members(), CLASSES: "Käfer\nVogel\nHund\n".encode("latin-1")}
    assert_refused(written(tmp_path, tar_of(in_folder(content))), "batches.meta.txt is not UTF-8", "byte 2 is 0xe4")


def test_a_gap_between_training_batches_is_refused(tmp_path: Path) -> None:
    content = {**members(), "data_batch_4.bin": records(BATCHES[0])}
    assert_refused(written(tmp_path, tar_of(in_folder(content))), "data_batch_3.bin is missing")


@pytest.mark.parametrize("name", ["data_batch_2.bin", TEST])
@pytest.mark.parametrize("length", [0, 1, RECORD_BYTES - 1, 2 * RECORD_BYTES + 1])
def test_a_wrong_record_length_is_refused(tmp_path: Path, name: str, length: int) -> None:
    path = written(tmp_path, tar_of(in_folder({**members(), name: bytes(length)})))
    assert_refused(path, f"{name} has {length} bytes", "3073")


def test_a_label_without_a_class_is_refused_naming_its_record(tmp_path: Path) -> None:
    content = bytearray(records(BATCHES[0]))
    content[2 * RECORD_BYTES] = 3
    path = written(tmp_path, tar_of(in_folder({**members(), "data_batch_1.bin": bytes(content)})))
    assert_refused(path, "data_batch_1.bin, record 2 has label 3", "names 3 classes (0 to 2)")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"cat\n", b"cat\ndog\ncat\n", b"dog \ndog\ncat"])
def test_a_class_list_without_two_different_names_is_refused(tmp_path: Path, content: bytes) -> None:
    assert_refused(written(tmp_path, tar_of(in_folder({**members(), CLASSES: content}))), CLASSES, "different classes")


@pytest.mark.parametrize(
    "content", [b"cat\nfire truck\ndog", b"cat\r\nfire truck\r\ndog\r\n", b" cat\nfire truck \t\ndog\n\n"]
)
def test_a_class_list_has_one_name_a_line_whatever_the_line_ends(tmp_path: Path, content: bytes) -> None:
    assert read_archive(written(tmp_path, tar_of(in_folder({**members(), CLASSES: content})))).classes == NAMES


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\ncat\nfire truck\ndog", 1),
        (b"cat\n \nfire truck\ndog", 2),
        (b"cat\nfire\ttruck\ndog", 2),
        (b"cat\ndog\x1b[1m", 2),
    ],
)
def test_a_line_of_a_class_list_that_would_shift_or_change_names_is_refused(
    tmp_path: Path, content: bytes, line: int
) -> None:
    refused = written(tmp_path, tar_of(in_folder({**members(), CLASSES: content})))
    assert_refused(refused, f"{CLASSES}, line {line} ", "a class on each line")


def test_batches_may_be_numbered_with_zeros_in_front(tmp_path: Path) -> None:
    renamed = {name.replace("batch_", "batch_0") if name[-5].isdigit() else name: at for name, at in members().items()}
    assert "data_batch_01.bin" in renamed
    assert_is_the_data(read_archive(written(tmp_path, tar_of(in_folder(renamed)))))
    twice = {**members(), "data_batch_01.bin": members()["data_batch_1.bin"]}
    assert_refused(
        written(tmp_path, tar_of(in_folder(twice))), "data_batch_01.bin and data_batch_1.bin have one number"
    )


def test_cifar_10_and_cifar_100_in_one_archive_are_refused(tmp_path: Path) -> None:
    both = {**members(), "fine_label_names.txt": b"cat\ndog\n", "train.bin": b"x", "test.bin": b"x"}
    assert_refused(written(tmp_path, tar_of(in_folder(both))), "CIFAR-100, and ", "of CIFAR-10 too")


def test_the_canonical_file_is_the_same_for_every_packing_and_order(tmp_path: Path) -> None:
    backwards = dict(reversed(members().items()))
    contents = [
        tar_of(in_folder(members())),
        gzip.compress(tar_of(in_folder(members())), 9, mtime=0),
        gzip.compress(tar_of(in_folder(backwards)), 1, mtime=1e9),
        tar_of({**members(), "readme.html": b"hello"}),
    ]
    digests = set()
    for content in contents:
        save_images(tmp_path / "images.npz", image_set(read_archive(written(tmp_path, content))))
        digests.add(hashlib.sha256((tmp_path / "images.npz").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_canonical_file_is_another_for_another_pixel(tmp_path: Path) -> None:
    archive = read_archive(written(tmp_path, tar_of(in_folder(members()))))
    save_images(tmp_path / "first.npz", image_set(archive))
    archive.test.images[-1, -1, -1, -1] ^= 1
    save_images(tmp_path / "second.npz", image_set(archive))
    assert sha256_of(tmp_path / "first.npz") != sha256_of(tmp_path / "second.npz")


def test_the_canonical_file_comes_back_the_same(tmp_path: Path) -> None:
    images = image_set(read_archive(written(tmp_path, tar_of(in_folder(members())))))
    save_images(tmp_path / "images.npz", images)
    loaded, _ = load_images(tmp_path / "images.npz")
    for name, value in vars(images).items():
        np.testing.assert_array_equal(value, getattr(loaded, name), name)
    assert loaded.parts.tolist() == ["train"] * 5 + ["test"] * 2
    assert loaded.thumbnail_px == 32


@pytest.mark.parametrize(("labels", "classes", "expected"), [("fine", 3, [2, 0, 1]), ("coarse", 2, [1, 0, 0])])
def test_cifar_100_has_two_labels_per_record(tmp_path: Path, labels: str, classes: int, expected: list[int]) -> None:
    pixels = [bytes(range(shade, shade + 4)) * 768 for shade in range(3)]
    train = b"".join(bytes(pair) + each for pair, each in zip([(1, 2), (0, 0), (0, 1)], pixels, strict=True))
    content = {
        "train.bin": train,
        "test.bin": bytes([0, 1]) + pixels[0],
        "fine_label_names.txt": b"bee\nbeetle\ntulip\n",
        "coarse_label_names.txt": b"insects\nflowers\n",
    }
    archive = read_archive(written(tmp_path, tar_of(in_folder(content))), labels)
    assert (archive.train.labels.tolist(), len(archive.classes)) == (expected, classes)
    assert archive.train.images[:, 0, 0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_extracted_folder_and_a_zip_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in in_folder(members()).items():
                archive.writestr(name, content)
    else:
        for name, content in in_folder(members()).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    assert_is_the_data(read_archive(path))


@pytest.mark.skipif(not ORIGINAL.exists(), reason="CIFAR10_ARCHIVE names no archive of CIFAR-10")
def test_the_repacked_original_is_official() -> None:
    archive = read_archive(ORIGINAL)
    assert archive.official
    assert archive.classes == OFFICIAL_CLASSES
    assert archive.train.images.shape == (50_000, 32, 32, 3)
    assert archive.test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(archive.train.labels).tolist() == [5000] * 10
    assert np.bincount(archive.test.labels).tolist() == [1000] * 10
    # Published means of the training images, as torchvision examples use them.
    assert archive.train.images[::5].mean((0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.003)
