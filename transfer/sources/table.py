"""Tables of images: CSV, TSV or Parquet with a column of paths, addresses or bytes and a column of labels."""

import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from transfer.runtime.errors import DataError
from transfer.runtime.parameters import Group
from transfer.sources.fetch import file_name, local_path
from transfer.sources.items import IMAGE_ENDINGS, Item, Listing, part_of
from transfer.sources.rows import class_names, column_names, holds_texts, read_rows

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
SHOWN_COLUMNS = 12
# Column names by which a column is recognised if none is set, first match first; compared without case and signs.
USUAL = {
    "image": ("image", "img", "bytes", "imagebytes", "path", "imagepath", "file", "filename", "filepath", "imagefile",
              "imagename", "url", "imageurl"),
    "label": ("label", "labels", "class", "classname", "category", "target", "finelabel", "labelname"),
    "part": ("split", "set", "subset", "partition", "part"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid", "camera", "cameraid", "session",
              "sessionid", "site"),
}  # fmt: skip


class Columns(Group):
    """The names of a table's columns; null: recognised by a usual name."""

    image: str | None
    label: str | None
    part: str | None
    group: str | None


@dataclass(frozen=True)
class _Table:
    """A table's address and local file, its columns by what they are for, and the part that its name gives all rows."""

    address: str
    path: Path
    columns: Mapping[str, str]
    part: str

    def rows(self, *purposes: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows, numbered as a spreadsheet does, with the cells of these purposes, by default all, by purpose."""
        columns = {purpose: name for purpose, name in self.columns.items() if purpose in purposes or not purposes}
        for number, row in enumerate(read_rows(self.address, self.path, [*columns.values()]), 2):
            yield number, {purpose: row[name] for purpose, name in columns.items()}


def is_table(address: str) -> bool:
    """Whether an address ends as a table's does."""
    return file_name(address).lower().endswith(TABLE_ENDINGS)


def list_tables(tables: Sequence[tuple[str, Path]], wanted: Columns, fetch: Callable[[str], Path]) -> Listing:
    """Images of tables by their addresses and local files, in the order of their rows.

    A path is taken from the folder that its table lies in; `fetch` brings what an address names to a local file.
    Without a column of parts, a table whose name begins with train, val or test gives its own rows that part.
    Raises DataError for a table that cannot be read, a column that is missing, or a label that is none.
    """
    opened, classes = [], ()
    for address, path in tables:
        columns = _columns(address, column_names(address, path), wanted)
        part = part_of(re.split(r"[-_.]", file_name(address))[0]) or ""
        opened.append(_Table(address, path, columns, part))
        named = class_names(address, path, columns["label"])
        if classes and named and named != classes:
            raise DataError(f"{address}: names other classes than {tables[0][0]}; give tables of one data set")
        classes = classes or named
    return Listing("a table of images", _items(opened, fetch, classes), classes)


def _items(tables: Sequence[_Table], fetch: Callable[[str], Path], classes: Sequence[str]) -> Iterator[Item]:
    contested = _contested(tables, classes)
    for table in tables:
        for number, row in table.rows():
            where = f"{file_name(table.address)} row {number}"
            label = _label(row["label"], classes, f"{table.address}: row {number}: {table.columns['label']}")
            part = table.part
            if "part" in row:
                part = _part(_text(row["part"]), f"{table.address}: row {number}: {table.columns['part']}")
            name, place, data = _image(row["image"], table.address)
            if not label:
                read = _refused(f"{where}: {table.columns['label']} is empty")
            elif place in contested:
                read = _refused(contested[place])
            else:
                read = _reader(data, place, fetch)
            listed = f"{where} ({name})" if name and not place else ""
            yield Item(name or where, label, read, part, _text(row.get("group")), listed)


def _contested(tables: Sequence[_Table], classes: Sequence[str]) -> dict[str, str]:
    """The places of images that are listed with several labels, and with which."""
    first: dict[str, str] = {}
    several: dict[str, dict[str, None]] = {}
    for table in tables:
        if not holds_texts(table.address, table.path, table.columns["image"]):
            continue
        for number, row in table.rows("image", "label"):
            label = _label(row["label"], classes, f"{table.address}: row {number}: {table.columns['label']}")
            place = _image(row["image"], table.address)[1]
            if place and label and (other := first.setdefault(place, label)) != label:
                several.setdefault(place, {other: None})[label] = None
    return {place: f"listed as {' and as '.join(map(repr, labels))}" for place, labels in several.items()}


def _columns(address: str, there: list[str], wanted: Columns) -> dict[str, str]:
    """The columns in use by what they are for."""
    if not there:
        raise DataError(f"{address}: is empty; its first line must name the columns")
    if data := next((name for name in there if PurePosixPath(name).suffix[1:].lower() in IMAGE_ENDINGS), None):
        raise DataError(f"{address}: {data!r} is no column's name; put a first line that names the columns above it")
    if len(there) == 1 and (signs := [sign for sign in ";\t|," if sign in there[0]]):
        raise DataError(f"{address}: its columns are separated by {signs[0]!r}; save it with commas, or tabs as .tsv")
    plain = {re.sub(r"[^a-z0-9]", "", name.casefold()): name for name in reversed(there)}
    more = f" and {len(there) - SHOWN_COLUMNS} more" if len(there) > SHOWN_COLUMNS else ""
    all_names = ", ".join(there[:SHOWN_COLUMNS]) + more
    found = {}
    for purpose, usual in USUAL.items():
        chosen = getattr(wanted, purpose)
        if chosen is not None and chosen not in there:
            raise DataError(f"{address}: download.columns.{purpose} = {chosen!r}: the columns are {all_names}")
        name = chosen or next((plain[key] for key in usual if key in plain), None)
        if name is not None and there.count(name) > 1:
            raise DataError(f"{address}: column {name!r} is there {there.count(name)} times; keep one of them")
        if name is not None:
            found[purpose] = name
        elif purpose in ("image", "label"):
            one_hot = ", or give one column of class names instead of a column for each class"
            raise DataError(
                f"{address}: no column has a usual name for the {purpose}; set download.columns.{purpose} "
                f"to one of {all_names}{one_hot if purpose == 'label' else ''}"
            )
    return found


def _label(cell: Any, classes: Sequence[str], where: str) -> str:
    """A label's name, "" where there is none."""
    text = "" if isinstance(cell, list | dict) else _text(cell)
    if isinstance(cell, list | dict) or re.fullmatch(r"\[.+,.+\]", text):
        raise DataError(f"{where} holds several labels; one label per image is what this pipeline learns")
    if classes and isinstance(cell, int | float) and re.fullmatch(r"-?\d+", text):
        if not 0 <= int(text) < len(classes):
            raise DataError(f"{where} = {text}: the table names {len(classes)} classes, 0 to {len(classes) - 1}")
        return classes[int(text)]
    return text


def _text(cell: Any) -> str:
    """A cell's text, "" where there is none; a whole number is the same however it is written: 1.0 is 1."""
    text = "" if cell is None else str(cell).strip()
    if re.fullmatch(r"-?\d+\.0+", text):
        return text.split(".")[0]
    return "" if text in ("nan", "NaN") else text


def _part(text: str, where: str) -> str:
    part = part_of(text)
    if part is None and text:
        raise DataError(f"{where} = {text!r}: not train, val or test")
    return part or ""


def _image(cell: Any, address: str) -> tuple[str, str, bytes | None]:
    """The name of a row's image, "" for none, and where its file lies or the bytes themselves."""
    name = ""
    if isinstance(cell, Mapping):  # as Hugging Face's data sets have it
        name, cell = cell.get("path") or "", cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if isinstance(cell, bytes):
        return name, "", cell
    text = str(cell or "").strip()
    return text, text and _beside(address, text), None


def _beside(address: str, text: str) -> str:
    """Where a path in a table leads, from the folder that the table lies in; an address is one already."""
    if "://" in text:
        return text
    local = local_path(address)
    if local is not None:
        if "\\" in text and not (local.parent / text).exists():  # a table that was made on Windows
            text = text.replace("\\", "/")
        return os.path.normpath(local.parent / text)
    if urlsplit(address).scheme in ("http", "https"):  # which alone are percent-encoded
        site = urlsplit(address)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(site.path), quote(text)))
        return site._replace(path=path, query="", fragment="").geturl()
    scheme, path = address.split("://", 1)
    return f"{scheme}://{posixpath.normpath(posixpath.join(posixpath.dirname(path), text.lstrip('/')))}"


def _reader(data: bytes | None, place: str, fetch: Callable[[str], Path]) -> Callable[[], bytes]:
    if data is not None:
        return lambda: data
    return (lambda: fetch(place).read_bytes()) if place else _refused("no image")


def _refused(reason: str) -> Callable[[], bytes]:
    def read() -> bytes:
        raise ValueError(reason)

    return read
