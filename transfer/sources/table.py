"""Tables of images: CSV, TSV or Parquet with a column of paths, addresses or bytes and a column of labels."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

from transfer.runtime.errors import DataError
from transfer.runtime.parameters import Group
from transfer.sources.items import Item, Listing, part_of

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
ROWS_AT_ONCE = 64
# Column names by which a column is recognised if none is set, first match first; compared without case and signs.
USUAL = {
    "image": ("image", "img", "bytes", "imagebytes", "path", "imagepath", "file", "filename", "filepath", "imagefile",
              "imagename", "url", "imageurl"),
    "label": ("label", "labels", "class", "classname", "category", "target", "finelabel", "labelname"),
    "part": ("split", "set", "subset", "partition", "part"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid", "camera", "cameraid", "session",
              "sessionid", "site"),
}  # fmt: skip
Read = Callable[[str], bytes]


class Columns(Group):
    """The names of a table's columns; null: recognised by a usual name."""

    image: str | None
    label: str | None
    part: str | None
    group: str | None


def is_table(address: str) -> bool:
    """Whether an address ends as a table's does."""
    return urlsplit(address).path.lower().endswith(TABLE_ENDINGS)


def list_tables(tables: Sequence[tuple[str, Path]], wanted: Columns, fetch: Callable[[str], Path]) -> Listing:
    """Images of tables by their addresses and local files, in the order of their rows.

    A path is taken from the folder that its table lies in; `fetch` brings what an address names to a local file.
    Without a column of parts, a Parquet file whose name begins with train, val or test gives its own rows that part.
    Raises DataError for a table that cannot be read, a column that is missing, or rows that contradict each other.
    """
    classes: tuple[str, ...] = ()
    for address, path in tables:
        classes = classes or _class_names(address, path)
    return Listing("a table of images", _items(tables, wanted, fetch, classes), classes)


def _items(
    tables: Sequence[tuple[str, Path]], wanted: Columns, fetch: Callable[[str], Path], classes: Sequence[str]
) -> Iterator[Item]:
    labels: dict[str, str] = {}
    for address, path in tables:
        of_file = part_of(re.split(r"[-_.]", PurePosixPath(urlsplit(address).path).name)[0]) or ""
        names: dict[str, str] = {}
        for number, row in enumerate(_rows(address, path), 2):
            names = names or _columns(address, list(row), wanted)
            cell = row[names["image"]]
            label = _label(row[names["label"]], classes, f"{address}: row {number}: {names['label']}")
            part = of_file
            if "part" in names:
                part = _part(str(row[names["part"]] or ""), f"{address}: row {number}: {names['part']}")
            group = str(row[names["group"]] if row[names["group"]] is not None else "") if "group" in names else ""
            name, read = _image(cell, f"row {number}", address, fetch)
            if not isinstance(cell, bytes | Mapping) and (other := labels.setdefault(name, label)) != label:
                read = _refused(f"listed as {other!r} and as {label!r}")
            yield Item(name, label, read, part, group)


def _columns(address: str, there: list[str], wanted: Columns) -> dict[str, str]:
    """The columns in use by what they are for."""
    plain = {re.sub(r"[^a-z0-9]", "", name.casefold()): name for name in reversed(there)}
    found = {}
    for purpose, usual in USUAL.items():
        chosen = getattr(wanted, purpose)
        if chosen is not None and chosen not in there:
            raise DataError(f"{address}: download.columns.{purpose} = {chosen!r}: the columns are {', '.join(there)}")
        name = chosen or next((plain[key] for key in usual if key in plain), None)
        if name is not None:
            found[purpose] = name
        elif purpose in ("image", "label"):
            raise DataError(
                f"{address}: no column is named as one of {purpose}s is; set download.columns.{purpose} "
                f"to one of {', '.join(there)}"
            )
    return found


def _label(cell: Any, classes: Sequence[str], where: str) -> str:
    if isinstance(cell, list | dict):
        raise DataError(f"{where} holds several labels; one label per image is what this pipeline learns")
    if cell is None or (text := str(cell).strip()) == "":
        raise DataError(f"{where} is empty; give each image a label, or leave its row out")
    if classes and isinstance(cell, int):
        if not 0 <= cell < len(classes):
            raise DataError(f"{where} = {cell}: the table names {len(classes)} classes, 0 to {len(classes) - 1}")
        return classes[cell]
    return text


def _part(text: str, where: str) -> str:
    part = part_of(text)
    if part is None and text.strip():
        raise DataError(f"{where} = {text!r}: not train, val or test")
    return part or ""


def _image(cell: Any, row: str, address: str, fetch: Callable[[str], Path]) -> tuple[str, Callable[[], bytes]]:
    """The name of a row's image and how its bytes are read."""
    if isinstance(cell, Mapping):  # as Hugging Face's data sets have it
        data, path = cell.get("bytes"), cell.get("path")
        if data is None and path:
            return _image(path, row, address, fetch)
        cell = data
        row = path or row
    if isinstance(cell, bytes):
        return row, lambda: cell
    text = str(cell or "").strip()
    if not text:
        return row, _refused("no image")
    if "://" in address:
        place = urljoin(address, text) if "://" not in text else text
    else:
        place = text if "://" in text or Path(text).is_absolute() else str(Path(address).expanduser().parent / text)
    return text, lambda: fetch(place).read_bytes()


def _refused(reason: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise ValueError(reason)

    return read


def _rows(address: str, path: Path) -> Iterator[dict[str, Any]]:
    kind = PurePosixPath(urlsplit(address).path).suffix.lower()
    yield from _parquet_rows(address, path) if kind == ".parquet" else _text_rows(address, path, kind)


def _text_rows(address: str, path: Path, kind: str) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t" if kind == ".tsv" else ",", strict=True)
            for row in reader:
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or ())
                    raise DataError(
                        f"{address}: line {reader.line_num} has not the {columns} columns of the first line"
                    )
                yield row
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise DataError(f"{address}: not UTF-8 ({wrong}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{address}: not readable as a table ({error})") from None


def _parquet_rows(address: str, path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{address}: not readable as Parquet ({' '.join(str(error).split())})") from None


def _class_names(address: str, path: Path) -> tuple[str, ...]:
    """The names that a Hugging Face data set gives its numbered labels, or none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not urlsplit(address).path.lower().endswith(".parquet"):
        return ()
    try:
        metadata = pq.read_schema(path).metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    except (pa.ArrowException, OSError, ValueError, AttributeError):
        return ()
    for feature in features.values():
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
            return tuple(map(str, feature["names"]))
    return ()
