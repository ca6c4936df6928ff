"""Small pictures as the sources that people bring: folders, archives and tables."""

import csv
import io
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

from transfer.sources.images import ImageSet, load_images
from transfer.sources.items import Listing, Written, write_items
from transfer.sources.reader import Source, open_source
from transfer.sources.table import Columns

CLASSES = ("digit 0", "digit 1", "digit 10")
NO_COLUMNS = Columns(image=None, label=None, part=None, group=None)


def pictures() -> list[tuple[str, str, np.ndarray]]:
    """(class, file name, picture) of handwritten digits, in the order in which a folder lists them."""
    images, labels = load_digits(n_class=3, return_X_y=True)
    rows = []
    for label, name in enumerate(CLASSES):
        for number, image in enumerate(images[labels == label][:4]):
            grey = np.rint(image.reshape(8, 8) * (255 / 16)).astype(np.uint8)
            rows.append((name, f"{number * 9}.png", np.repeat(grey[..., None], 3, axis=2)))
    return rows


def encoded(image: np.ndarray, ending: str = ".png") -> bytes:
    return bytes(cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def write_folder(folder: Path, above: str = "") -> Path:
    for label, name, image in pictures():
        path = folder / above / label / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    return folder


def write_zip(path: Path, above: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for label, name, image in reversed(pictures()):
            archive.writestr(f"{above}{label}/{name}", encoded(image))
            archive.writestr(f"__MACOSX/{above}{label}/._{name}", b"AppleDouble")
    return path


def write_tar(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for label, name, image in reversed(pictures()):
            entry = tarfile.TarInfo(f"./photos/{label}/{name}")
            entry.size = len(data := encoded(image))
            archive.addfile(entry, io.BytesIO(data))
    return path


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, images: list, **columns: list) -> Path:
    pq.write_table(pa.table({"image": images, **columns}), path)
    return path


def read(address: str | Path, tmp_path: Path, columns: Columns = NO_COLUMNS) -> tuple[ImageSet, Written, Listing]:
    source = Source(str(address), None, columns, "fine", tmp_path / "state", 5)
    with open_source(source) as found:
        assert isinstance(found, Listing)
        written = write_items(tmp_path / "images.npz", found)
    return load_images(tmp_path / "images.npz")[0], written, found


def address_of(kind: str, folder: Path) -> Path | str:
    """The same twelve pictures, as this kind of source."""
    rows = [{"File Name": f"in/{label}/{name}", "class": label} for label, name, _ in pictures()]
    match kind:
        case "folder" | "folder address":
            path = write_folder(folder / "my photos")
            return f"file://{path}" if kind == "folder address" else path
        case "folder in a folder":
            return write_folder(folder / "data", "deep/photos").parent / "data"
        case "zip":
            return write_zip(folder / "photos.zip")
        case "zip of a folder":
            return write_zip(folder / "photos.zip", "photos/")
        case "tar.gz":
            return write_tar(folder / "photos.tgz")
        case "csv" | "tsv":
            write_folder(folder / "in")
            return write_table(folder / f"table.{kind}", rows)
        case "parquet":
            images = [encoded(image) for _, _, image in pictures()]
            return write_parquet(folder / "table.parquet", images, label=[label for label, _, _ in pictures()])
        case _:  # as on Hugging Face: a record of bytes and path, numbered labels
            images = [{"bytes": encoded(image), "path": name} for _, name, image in pictures()]
            labels = [CLASSES.index(label) for label, _, _ in pictures()]
            features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
            table = pa.table({"image": images, "label": labels})
            metadata = {"huggingface": '{"info": {"features": %s}}' % str(features).replace("'", '"')}  # noqa: UP031
            for part in range(2):
                name = f"data-{part:05}-of-00002.parquet"
                pq.write_table(table.slice(part * 6, 6).replace_schema_metadata(metadata), folder / name)
            return folder if kind == "folder of parquet" else f"{folder}/*.parquet"
