"""Archives made to harm, links, bombs, holes and false sizes, and arbitrary and mutated bytes: one line each."""

import gzip
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transfer.sources.archives import (
    TEST_IMAGES,
    assert_is_the_data,
    assert_one_line,
    assert_refused,
    file_entry,
    in_folder,
    members,
    records,
    tar_of,
    written,
)
from transfer.runtime.errors import ArchiveError
from transfer.sources.cifar import (
    CLASSES,
    FOLDER,
    LARGEST_CLASS_LIST_BYTES,
    LARGEST_MEMBER_BYTES,
    TEST,
    Archive,
    read_archive,
)
from transfer.sources.tars import LARGEST_HEADERS_BYTES


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
    assert_refused(written(tmp_path, header * (LARGEST_HEADERS_BYTES // 512 - 32)), "damaged, or no archive")


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
    others = {
        "readme.html": b"<html>",
        "._data_batch_1.bin": b"x",
        "data_batch_a.bin": b"x",
    }
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
