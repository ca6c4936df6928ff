"""Archives in CIFAR-10's binary layout, whole and damaged, and what a refusal looks like."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from transfer.runtime.errors import ArchiveError
from transfer.sources.cifar import (
    CLASSES,
    FOLDER,
    TEST,
    Archive,
    LabelledImages,
    read_archive,
)

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
