"""Tars, packed or not, as a stream, with limits on what a hostile one can claim."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from pathlib import Path

DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, RecursionError, OSError)
LARGEST_HEADERS_BYTES = 1 << 18  # all that belongs to no member: headers, names, padding


class BoundedStream(io.RawIOBase):
    """A stream of which `left` more bytes can be read.

    tarfile takes headers of any length into memory, and gigabytes of them pack into a megabyte.
    """

    def __init__(self, stream: io.BufferedIOBase, left: int = LARGEST_HEADERS_BYTES) -> None:
        self._stream = stream
        self.left = left

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"more than {LARGEST_HEADERS_BYTES} bytes that belong to no file")
        return content


def open_tar(path: Path) -> io.BufferedIOBase:
    """The tar itself. Unlike tarfile's own streams, these notice what does not match a checksum."""
    with path.open("rb") as stream:
        start = stream.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    return lzma.open(path) if start == b"\xfd7zXZ\0" else path.open("rb")


def why(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
