"""CIFAR-10's binary layout: round trips, the layout on a hand-built record, damaged, incomplete and hostile archives,
class lists, the canonical file, the official images where they are at hand, and arbitrary and mutated bytes.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.runtime.errors import ArchiveError
from transfer.runtime.files import sha256_of
from transfer.sources.cifar import (
    CLASSES,
    FOLDER,
    LARGEST_CLASS_LIST_BYTES,
    LARGEST_HEADERS_BYTES,
    LARGEST_MEMBER_BYTES,
    OFFICIAL_CLASSES,
    RECORD_BYTES,
    TEST,
    Archive,
    LabelledImages,
    load_images,
    read_archive,
    save_images,
    write_archive,
)

STANDIN = Path("/tmp/standin/cifar-10-binary.tar.gz")
NAMES = ("cat", "fire truck", "dog")


def some_images(count: int, seed: int) -> LabelledImages:
    rng = np.random.default_rng(seed)
    return LabelledImages(
        rng.integers(0, 256, (count, 32, 32, 3), np.uint8),
        rng.integers(0, len(NAMES), count).astype(np.uint8),
    )


BATCHES = [some_images(3, seed=1), some_images(2, seed=2)]
TEST_IMAGES = some_images(2, seed=3)


def records(part: LabelledImages) -> bytes:
    """The binary layout, spelled out byte by byte."""
    content = bytearray()
    for image, label in zip(part.images, part.labels, strict=True):
        content.append(int(label))
        for channel in range(3):
            content += image[:, :, channel].tobytes()
    return bytes(content)


def members() -> dict[str, bytes]:
    """A good archive's members by name."""
    return {
        CLASSES: ("\n".join(NAMES) + "\n").encode(),
        "data_batch_1.bin": records(BATCHES[0]),
        "data_batch_2.bin": records(BATCHES[1]),
        TEST: records(TEST_IMAGES),
    }


def file_entry(name: str, size: int, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = size, kind, link
    return entry


def tar_of(contents: Mapping[str, bytes], extra: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A plain tar of files by their whole names, then of entries without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in contents.items():
            archive.addfile(file_entry(name, len(content)), io.BytesIO(content))
        for entry in extra:
            archive.addfile(entry)
    return stream.getvalue()


def in_folder(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{FOLDER}/{name}": content for name, content in contents.items()}


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "archive.tar"
    path.write_bytes(content)
    return path


def assert_is_the_data(archive: Archive) -> None:
    assert np.array_equal(archive.train.images, np.concatenate([part.images for part in BATCHES]))
    assert np.array_equal(archive.train.labels, np.concatenate([part.labels for part in BATCHES]))
    assert np.array_equal(archive.test.images, TEST_IMAGES.images)
    assert np.array_equal(archive.test.labels, TEST_IMAGES.labels)
    assert archive.classes == NAMES
    assert not archive.official


def assert_one_line(error: ArchiveError) -> None:
    assert "\n" not in str(error)


def assert_refused(path: Path, *says: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        read_archive(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert_one_line(caught.value)
    for part in says:
        assert part in str(caught.value)


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


@pytest.mark.parametrize("content", [b"", b"\n\n", b"cat\n", b"cat\ndog\ncat\n", b"fire  truck\nfire truck\ndog\n"])
def test_a_class_list_without_two_different_names_is_refused(tmp_path: Path, content: bytes) -> None:
    assert_refused(written(tmp_path, tar_of(in_folder({**members(), CLASSES: content}))), CLASSES, "different classes")


@pytest.mark.parametrize(
    "content", [b"cat\nfire truck\ndog", b"cat\r\nfire truck\r\ndog\r\n", b"\n cat\nfire\ttruck\ndog\n\n"]
)
def test_a_class_list_has_one_name_a_line_whatever_the_line_ends(tmp_path: Path, content: bytes) -> None:
    assert read_archive(written(tmp_path, tar_of(in_folder({**members(), CLASSES: content})))).classes == NAMES


@pytest.mark.parametrize("prefix", ["../../", "{folder}/absolute/", "", "./a/../", "//"])
def test_names_in_the_archive_are_never_used_as_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    work = tmp_path / "outer" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    prefix = prefix.format(folder=tmp_path)
    content = {f"{prefix}{name}": content for name, content in {**members(), "evil.txt": b"planted"}.items()}
    path = written(tmp_path, tar_of(content))
    before = sorted(tmp_path.rglob("*"))
    assert_is_the_data(read_archive(path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_batch_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    content = {name: content for name, content in members().items() if name != TEST}
    secret = tmp_path / "secret"
    secret.write_bytes(records(TEST_IMAGES))
    entry = file_entry(f"{FOLDER}/{TEST}", 0, kind, link=str(secret))
    assert_refused(written(tmp_path, tar_of(in_folder(content), [entry])), f"{TEST} is no plain file")


def test_a_batch_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    content = {**in_folder(members()), f"elsewhere/{TEST}": members()[TEST]}
    assert_refused(written(tmp_path, tar_of(content)), f"{TEST} is no plain file or there twice")


@pytest.mark.parametrize("name", [f"{FOLDER}/{TEST}", "anything\nelse"])
def test_a_member_that_claims_too_much_is_refused_before_it_is_read(tmp_path: Path, name: str) -> None:
    claims = LARGEST_MEMBER_BYTES + 1
    header = file_entry(name, claims).tobuf(tarfile.GNU_FORMAT)
    # Plain members first: the header is met before the end of the file is.
    content = tar_of(in_folder({CLASSES: members()[CLASSES]}))[:1024] + header + bytes(1024)
    assert_refused(written(tmp_path, content), f"claims {claims} bytes")


def test_a_member_of_negative_size_is_refused(tmp_path: Path) -> None:
    header = file_entry(f"{FOLDER}/{TEST}", -1024).tobuf(tarfile.GNU_FORMAT)
    assert_refused(written(tmp_path, header + tar_of(in_folder(members()))))


MEGABYTE = gzip.compress(b"1" * (1 << 20))  # in a kilobyte
MEGABYTE_OF_LINES = gzip.compress((b"1" * 255 + b"\n") * 4096)
SPARSE_1_0 = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"  # pax attributes


def sparse_1_0() -> bytes:
    """The start of a member of which a map of any length says where its data lie."""
    extended = file_entry("x", len(SPARSE_1_0), tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    extended += SPARSE_1_0.ljust(512, b"\0")
    return extended + file_entry(TEST, 1 << 40).tobuf(tarfile.GNU_FORMAT) + b"1000000000\n".ljust(512, b"1")


def sparse_gnu() -> bytes:
    """The start of a member whose map goes on in the next block, and the next."""
    header = bytearray(file_entry(TEST, 512, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return bytes(header)


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        *(
            (file_entry("x", 1 << 30, kind).tobuf(tarfile.GNU_FORMAT), MEGABYTE)
            for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        ),
        (sparse_1_0(), MEGABYTE_OF_LINES),
        (sparse_gnu(), MEGABYTE),
        (tar_of({}), MEGABYTE),
    ],
    ids=["pax", "global pax", "long name", "long link", "sparse map", "GNU sparse map", "after the end"],
)
def test_a_gigabyte_that_is_no_file_is_refused_before_it_is_in_memory(
    tmp_path: Path, start: bytes, rest: bytes
) -> None:
    path = written(tmp_path, gzip.compress(start) + rest * 1024)
    assert path.stat().st_size < 8 << 20
    tracemalloc.start()
    try:
        assert_refused(path, f"more than {LARGEST_HEADERS_BYTES} bytes that belong to no file")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_headers_upon_headers_are_refused(tmp_path: Path) -> None:
    header = file_entry("x", 0, tarfile.XHDTYPE).tobuf(tarfile.GNU_FORMAT)
    assert_refused(written(tmp_path, header * (LARGEST_HEADERS_BYTES // 512 - 32)), "damaged or not a tar archive")


def test_members_that_are_too_much_together_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.sources.cifar.LARGEST_MEMBER_BYTES", 9 << 20)
    size = 2 << 20
    member = gzip.compress(file_entry("filler", size).tobuf(tarfile.GNU_FORMAT)) + MEGABYTE * 2
    path = written(tmp_path, member * 5)
    assert_refused(path, f"'filler' claims {size} bytes, more than {1 << 20}; refused")


def test_a_list_of_classes_that_is_too_long_is_refused(tmp_path: Path) -> None:
    claims = LARGEST_CLASS_LIST_BYTES + 1
    path = written(tmp_path, tar_of(in_folder({**members(), CLASSES: b"a" * claims})))
    assert_refused(path, f"'{CLASSES}' claims {claims} bytes, more than {LARGEST_CLASS_LIST_BYTES}; refused")


def test_a_batch_with_holes_is_refused(tmp_path: Path) -> None:
    content = {name: content for name, content in members().items() if name != TEST}
    header = file_entry(TEST, 0, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT)
    assert_refused(written(tmp_path, header + tar_of(in_folder(content))), f"{TEST} is no plain file")


def test_other_members_are_ignored(tmp_path: Path) -> None:
    others = {"readme.html": b"<html>", "._data_batch_1.bin": b"x", "data_batch_0.bin": b"x", "data_batch_01.bin": b"x"}
    entries = [file_entry(FOLDER, 0, tarfile.DIRTYPE), file_entry("link", 0, tarfile.SYMTYPE, link="/etc/passwd")]
    assert_is_the_data(read_archive(written(tmp_path, tar_of(in_folder({**others, **members()}), entries))))


@pytest.mark.parametrize(
    "content",
    [b"", b"no", b"<!DOCTYPE html>\n<html>moved</html>\n" * 400, bytes(20_480), gzip.compress(b"<html>" * 900)],
    ids=["empty", "short", "html", "zeros", "packed html"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    assert_refused(written(tmp_path, content))


def test_a_missing_archive_is_told_by_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none.tar.gz")


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
        save_images(tmp_path / "images.npz", read_archive(written(tmp_path, content)))
        digests.add(hashlib.sha256((tmp_path / "images.npz").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_the_canonical_file_is_another_for_another_pixel(tmp_path: Path) -> None:
    archive = read_archive(written(tmp_path, tar_of(in_folder(members()))))
    save_images(tmp_path / "first.npz", archive)
    archive.test.images[-1, -1, -1, -1] ^= 1
    save_images(tmp_path / "second.npz", archive)
    assert sha256_of(tmp_path / "first.npz") != sha256_of(tmp_path / "second.npz")


def test_the_canonical_file_comes_back_the_same(tmp_path: Path) -> None:
    save_images(tmp_path / "images.npz", read_archive(written(tmp_path, tar_of(in_folder(members())))))
    assert_is_the_data(Archive(*load_images(tmp_path / "images.npz"), official=False))


@pytest.mark.skipif(not STANDIN.exists(), reason=f"{STANDIN}, CIFAR-10 repacked by shared/standin, is not there")
def test_the_repacked_original_is_official() -> None:
    archive = read_archive(STANDIN)
    assert archive.official
    assert archive.classes == OFFICIAL_CLASSES
    assert archive.train.images.shape == (50_000, 32, 32, 3)
    assert archive.test.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(archive.train.labels).tolist() == [5000] * 10
    assert np.bincount(archive.test.labels).tolist() == [1000] * 10
    # Published means of the training images, as torchvision examples use them.
    assert archive.train.images[::5].mean((0, 1, 2)) / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.003)


GOOD_TAR = tar_of(in_folder(members()))
STARTS = [b"", b"\x1f\x8b\x08\0", gzip.compress(b"")[:10], b"BZh9", b"\xfd7zXZ\0", GOOD_TAR[:512], GOOD_TAR[:1100]]


def read_bytes(folder: Path, content: bytes) -> Archive | None:
    """Read an archive, or return None if it was refused."""
    path = folder / "hypothesis.tar"
    path.write_bytes(content)
    try:
        return read_archive(path)
    except ArchiveError as error:
        assert_one_line(error)
        return None


@settings(max_examples=100, deadline=None)
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=2000), pack=st.sampled_from([bytes, gzip.compress]))
def test_arbitrary_bytes_raise_nothing_but_an_archive_error(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, pack: Callable[[bytes], bytes]
) -> None:
    assert read_bytes(tmp_path_factory.getbasetemp(), pack(start + rest)) is None


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """`original` with one byte changed, or some cut out, repeated or put in."""
    start = draw(st.integers(0, len(original) - 1))
    end = min(start + draw(st.integers(1, 600)), len(original))
    kind = draw(st.sampled_from(["change", "cut", "repeat", "insert", "truncate"]))
    if kind == "change":
        changed = original[start] ^ draw(st.integers(1, 255))
        return original[:start] + bytes([changed]) + original[start + 1 :]
    if kind == "insert":
        return original[:start] + draw(st.binary(min_size=1, max_size=600)) + original[start:]
    if kind == "truncate":
        return original[:start]
    return original[: start if kind == "cut" else end] + original[end if kind == "cut" else start :]


@pytest.mark.parametrize("level", [0, 6], ids=["stored", "packed"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_mutated_packed_archive_gives_the_same_data_or_an_archive_error(
    tmp_path_factory: pytest.TempPathFactory, level: int, data: st.DataObject
) -> None:
    packed = gzip.compress(GOOD_TAR, level, mtime=0)
    archive = read_bytes(tmp_path_factory.getbasetemp(), data.draw(mutations(packed)))
    if archive is not None:
        assert_is_the_data(archive)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_mutated_plain_archive_gives_valid_data_or_an_archive_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = read_bytes(tmp_path_factory.getbasetemp(), data.draw(mutations(GOOD_TAR)))
    if archive is not None:
        assert archive.train.images.shape == (5, 32, 32, 3)
        assert archive.test.images.shape == (2, 32, 32, 3)
        assert archive.train.labels.shape == (5,)
        assert archive.test.labels.shape == (2,)
        assert max(archive.train.labels.max(), archive.test.labels.max()) < len(archive.classes)
        assert len(set(archive.classes)) == len(archive.classes) >= 2
