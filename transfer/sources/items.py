"""One labelled image on its way in, and the check of all of them."""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from transfer.runtime.errors import DataError, DownloadError
from transfer.runtime.files import write_tsv
from transfer.runtime.progress import Progress
from transfer.sources.decode import DamagedImageError, check_whole
from transfer.sources.images import image_writer, thumbnail_side

IMAGE_ENDINGS = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "jp2", "avif"),
    )
)
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
PART_OF = {name + plural: part for part, names in PARTS.items() for name in names for plural in ("", "s")}
AT_ONCE = 256
SHOWN_DAMAGED = 20
Refuse = Callable[[list[tuple[str, str]], int], None]  # (name, reason) of each damaged image, number of all images


@dataclass(frozen=True)
class Item:
    """An image by its name in the source; part is train, val, test or ""; group may be "".

    `read` gives the bytes of its file. An OSError, a ValueError or a DownloadError is damage to this image alone.
    """

    name: str
    label: str
    read: Callable[[], bytes]
    part: str = ""
    group: str = ""


@dataclass
class Listing:
    """Images of one source in their order, and its kind in words; `classes` where the source itself names them."""

    kind: str
    items: Iterable[Item]
    classes: tuple[str, ...] = ()
    total: int | None = None
    ignored: int = 0  # files that are no images


@dataclass
class Written:
    """What went into the canonical file: parts and labels of the images, and (name, reason) of each one left out."""

    classes: tuple[str, ...] = ()
    parts: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key under which 2 comes before 10."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces], text


def part_of(text: str) -> str | None:
    """train, val or test for a name that means it in any case, singular or plural; None for any other."""
    return PART_OF.get(text.strip().casefold())


def write_items(path: Path, listing: Listing, refuse: Refuse | None = None) -> Written:
    """Write the canonical file of all whole images, in order, each read and checked once, in flat memory.

    `refuse` is called with what is damaged, if anything is, and may raise: then nothing is written.
    Raises DataError if there are fewer than two classes.
    """
    written, rows = Written(), []

    def whole_ones() -> Iterator[bytes]:
        for item, data, size, reason in Progress(
            _checked(listing.items), desc="read", unit="image", total=listing.total, leave=False
        ):
            if reason or data is None:
                written.damaged.append((item.name, reason))
            else:
                rows.append((item, size))
                yield data

    with image_writer(path) as writer:
        writer.add_all(whole_ones())
        if written.damaged and refuse:
            refuse(written.damaged, len(rows) + len(written.damaged))
        labels = [item.label for item, _ in rows]
        written.classes = listing.classes or tuple(sorted(set(labels), key=natural))
        _check_classes(written.classes, listing.kind, len(written.damaged))
        index = {name: label for label, name in enumerate(written.classes)}
        if unknown := sorted(set(labels) - set(index)):
            raise DataError(f"{listing.kind}: label {unknown[0]!r} is none of the classes that the source names")
        written.parts = [item.part for item, _ in rows]
        sizes = np.array([size for _, size in rows], np.int32).reshape(-1, 2)
        writer.arrays.update(
            classes=np.array(written.classes),
            labels=np.array([index[label] for label in labels], np.int64),
            sizes=sizes,
            names=np.array([item.name for item, _ in rows], str),
            groups=np.array([item.group for item, _ in rows], str),
            parts=np.array(written.parts, str),
            thumbnail_px=np.array(thumbnail_side(sizes)),
        )
    return written


def _check_classes(classes: tuple[str, ...], kind: str, damaged: int) -> None:
    if len(classes) < 2:
        found = f"only class {classes[0]!r}" if classes else "no whole image"
        aside = f" beside {damaged} damaged" if damaged else ""
        raise DataError(f"{kind}: {found}{aside}; two or more classes are needed")


def _checked(items: Iterable[Item]) -> Iterator[tuple[Item, bytes | None, tuple[int, int], str]]:
    """Each item with its bytes and size, or the reason why it is damaged; in order, some ahead at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for block in _blocks(items):
            read = [(item, *_read(item)) for item in block]
            sizes = pool.map(_check, [data for _, data, _ in read])
            for (item, data, reason), (size, damage) in zip(read, sizes, strict=True):
                yield item, data, size, reason or damage


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    left = iter(items)
    while block := list(itertools.islice(left, AT_ONCE)):
        yield block


def _read(item: Item) -> tuple[bytes | None, str]:
    try:
        return item.read(), ""
    except (OSError, ValueError, DownloadError) as error:
        return None, getattr(error, "strerror", None) or str(error)


def _check(data: bytes | None) -> tuple[tuple[int, int], str]:
    if data is None:
        return (0, 0), ""
    try:
        return check_whole(data), ""
    except DamagedImageError as error:
        return (0, 0), str(error)


def write_damaged(path: Path, damaged: list[tuple[str, str]]) -> None:
    """One line per image that is left out."""
    rows = [{"image": " ".join(name.split()), "reason": reason} for name, reason in damaged]
    write_tsv(path, rows, ("image", "reason"))


def damage_list(damaged: list[tuple[str, str]]) -> str:
    """The first damaged images, one per line."""
    shown = [f"  {name}: {reason}" for name, reason in damaged[:SHOWN_DAMAGED]]
    more = len(damaged) - len(shown)
    return "\n".join(shown + ([f"  … and {more} more"] if more else []))
