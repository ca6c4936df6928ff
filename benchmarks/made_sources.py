"""One set of images in the containers that people bring, and made sets of other kinds."""

import csv
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from transfer.sources.cifar import LabelledImages, write_archive

PHOTO_SIDES = ((1536, 2048), (1944, 2592), (2448, 3264), (3000, 4000))  # 3 to 12 megapixels


@dataclass(frozen=True)
class Pictures:
    """Images (N, 32, 32, 3) of two splits, with the names of their classes."""

    train: LabelledImages
    test: LabelledImages
    classes: Sequence[str]

    def files(self, convert: Callable[[np.ndarray], np.ndarray] | None = None) -> Iterator[tuple[str, str, str, bytes]]:
        """(split, class, file name, PNG) of each, in the archive's order, as BGR or what `convert` makes of RGB."""
        for part, of in (("train", self.train), ("test", self.test)):
            for number, (image, label) in enumerate(zip(of.images, of.labels, strict=True)):
                pixels = convert(image) if convert else image[..., ::-1]
                yield part, self.classes[int(label)], f"{number:05}.png", bytes(cv2.imencode(".png", pixels)[1])


def binary_archive(folder: Path, pictures: Pictures) -> Path:
    write_archive(folder / "images.tar.gz", [pictures.train], pictures.test, tuple(pictures.classes))
    return folder / "images.tar.gz"


def folder_of_png(folder: Path, pictures: Pictures) -> Path:
    for part, name, file, content in pictures.files():
        write_file(folder / "images" / part / name / file, content)
    return folder / "images"


def grey_folder(folder: Path, pictures: Pictures) -> Path:
    for part, name, file, content in pictures.files(lambda image: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)):
        write_file(folder / "images" / part / name / file, content)
    return folder / "images"


def zip_of_png(folder: Path, pictures: Pictures) -> Path:
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for part, name, file, content in pictures.files():
            archive.writestr(f"{part}/{name}/{file}", content)
    return folder / "images.zip"


def csv_with_paths(folder: Path, pictures: Pictures) -> Path:
    folder_of_png(folder, pictures)
    with (folder / "images.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "label", "split"])
        table.writerows((f"images/{part}/{name}/{file}", name, part) for part, name, file, _ in pictures.files())
    return folder / "images.csv"


def parquet_with_bytes(folder: Path, pictures: Pictures) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts, names, files, contents = zip(*pictures.files(), strict=True)
    images = [{"bytes": content, "path": file} for content, file in zip(contents, files, strict=True)]
    pq.write_table(pa.table({"image": images, "label": names, "split": parts}), folder / "images.parquet")
    return folder / "images.parquet"


def cifar_100_archive(folder: Path, pictures: Pictures) -> Path:
    """Each class becomes two coarse ones, of five fine ones each."""
    contents = {
        f"{kind}_label_names.txt": "\n".join(f"{kind} {number}" for number in range(count)).encode()
        for kind, count in (("coarse", 2 * len(pictures.classes)), ("fine", 10 * len(pictures.classes)))
    }
    for name, of in (("train.bin", pictures.train), ("test.bin", pictures.test)):
        fine = of.labels.astype(np.uint8) * 10 + np.arange(len(of.labels), dtype=np.int64) % 10
        planes = of.images.transpose(0, 3, 1, 2).reshape(len(fine), -1)
        contents[name] = np.column_stack([fine // 5, fine, planes]).astype(np.uint8).tobytes()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"cifar-100-binary/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    (folder / "cifar-100-binary.tar.gz").write_bytes(gzip.compress(stream.getvalue(), 1))
    return folder / "cifar-100-binary.tar.gz"


CONTAINERS: dict[str, Callable[[Path, Pictures], Path]] = {
    "binary archive": binary_archive,
    "folder of PNG": folder_of_png,
    "zip of PNG": zip_of_png,
    "CSV with paths": csv_with_paths,
    "Parquet with bytes": parquet_with_bytes,
}


def photographs(folder: Path, pictures: Pictures, count: int) -> Path:
    """JPEG files of 3 to 12 megapixels: an image enlarged, with a sensor's noise."""
    rng = np.random.default_rng(0)
    largest = max(PHOTO_SIDES)
    noise = rng.normal(0, 6, (largest[0] + 99, largest[1] + 99, 1)).astype(np.int8).repeat(3, axis=2)
    for number in range(count):
        height, width = PHOTO_SIDES[number % len(PHOTO_SIDES)]
        large = cv2.resize(pictures.train.images[number, ..., ::-1], (width, height), interpolation=cv2.INTER_CUBIC)
        top, left = rng.integers(0, 99, 2)
        grained = cv2.add(large, noise[top : top + height, left : left + width], dtype=cv2.CV_8U)
        path = folder / "images" / pictures.classes[int(pictures.train.labels[number])] / f"{number:04}.jpg"
        write_file(path, bytes(cv2.imencode(".jpg", grained)[1]))
    return folder / "images"


def small_files(folder: Path, pictures: Pictures, count: int) -> Path:
    """JPEG files of 64 pixels, each its own: the images again and again with another row of pixels shifted."""
    images, labels = pictures.train.images, pictures.train.labels
    for number in range(count):
        image = np.roll(images[number % len(images)], number // len(images), axis=1)[..., ::-1]
        large = cv2.resize(image, (64, 64), interpolation=cv2.INTER_CUBIC)
        path = folder / "images" / pictures.classes[int(labels[number % len(images)])] / f"{number:06}.jpg"
        write_file(path, bytes(cv2.imencode(".jpg", large)[1]))
    return folder / "images"


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
