"""The rows of a table's file, CSV, TSV or Parquet, one by one, and what a file says of its columns."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfer.runtime.errors import DataError
from transfer.sources.fetch import file_name

ROWS_AT_ONCE = 16  # of Parquet, which may hold photographs


def column_names(address: str, path: Path) -> list[str]:
    """The names of a table's columns, in order. Raises DataError for a file that is no table."""
    if _is_parquet(address):
        import pyarrow.parquet as pq

        with _parquet_errors(address):
            return list(pq.read_schema(path).names)
    with _text_errors(address, path), path.open(encoding="utf-8-sig", newline="") as stream:
        return list(_reader(address, stream).fieldnames or ())


def read_rows(address: str, path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of a table with at least these columns, by name. Raises DataError for a file that is no table."""
    yield from _parquet_rows(address, path, columns) if _is_parquet(address) else _text_rows(address, path)


def holds_texts(address: str, path: Path, column: str) -> bool:
    """Whether a column holds texts, and not the bytes of files, which are not read for this."""
    if not _is_parquet(address):
        return True
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pq.read_schema(path).field(column).type
    return not (pa.types.is_struct(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def class_names(address: str, path: Path, column: str) -> tuple[str, ...]:
    """The names that a Hugging Face data set gives a column's numbered labels, or none."""
    if not _is_parquet(address):
        return ()
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    try:
        feature = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"][column]
        return tuple(map(str, feature["names"])) if feature["_type"] == "ClassLabel" else ()
    except (ValueError, KeyError, TypeError):
        return ()


def _is_parquet(address: str) -> bool:
    return file_name(address).lower().endswith(".parquet")


def _reader(address: str, stream: Any) -> csv.DictReader:
    return csv.DictReader(stream, delimiter="\t" if file_name(address).lower().endswith(".tsv") else ",", strict=True)


def _text_rows(address: str, path: Path) -> Iterator[dict[str, Any]]:
    with _text_errors(address, path), path.open(encoding="utf-8-sig", newline="") as stream:
        reader = _reader(address, stream)
        for row in reader:
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                raise DataError(f"{address}: line {reader.line_num} has not the {columns} columns of the first line")
            yield row


def _parquet_rows(address: str, path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with _parquet_errors(address), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
            yield from batch.to_pylist()


@contextmanager
def _text_errors(address: str, path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        try:
            path.read_bytes().decode()  # the first error's own place is one in a piece of the file
        except UnicodeDecodeError as error:
            wrong = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
            raise DataError(f"{address}: not UTF-8 ({wrong}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{address}: not readable as a table ({error}); save it as CSV again") from None


@contextmanager
def _parquet_errors(address: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = " ".join(str(error).split())
        raise DataError(f"{address}: not readable as Parquet ({why}); write or fetch it again") from None
