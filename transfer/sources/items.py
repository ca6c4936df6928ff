"""One labelled image on its way in, and the check of all of them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from transfer.runtime.errors import DataError, DownloadError
from transfer.runtime.files import write_tsv
from transfer.runtime.progress import Progress
from transfer.sources.decode import DamagedImageError, taken_on
from transfer.sources.images import image_writer, thumbnail_side
from transfer.sources.seen import SeenImages, Size

IMAGE_ENDINGS = frozenset(
    (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "jp2", "avif"),
    )
)
PART_OF = {
    name + ending: part
    for part, names in {
        "train": ("train", "training"),
        "val": ("val", "valid", "validation", "dev", "eval"),
        "test": ("test", "testing"),
    }.items()
    for name in names
    for ending in ("", "s", "set")
}
BESIDE_A_PART = (
    "set",
    "data",
    "dataset",
    "split",
    "image",
    "images",
    "img",
    "imgs",
    "seg",
)  # as in test_set, seg_train
YEAR = re.compile(r"(19|20)\d\d$")
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
AT_ONCE = 256
BYTES_AT_ONCE = 1 << 28  # of encoded files, and at most one file more
SHOWN_DAMAGED = 20
SHOWN_ENDINGS = 5
Refuse = Callable[[list[tuple[str, str]], int], None]  # (name, reason) of each damaged image, number of all images


@dataclass(frozen=True, slots=True)
class Item:
    """An image by its name in the source; part is train, val, test or ""; group may be "".

    `read` gives the bytes of its file. An OSError, a ValueError or a DownloadError is damage to this image alone, which
    is listed by its `place` in the source, by default the name.
    Raises DataError for a text that no table of text can hold.
    """

    name: str
    label: str
    read: Callable[[], bytes]
    part: str = ""
    group: str = ""
    place: str = ""

    def __post_init__(self) -> None:
        for text in (self.name, self.label, self.group, self.place):
            if found := UNWRITABLE.search(text):
                wrong = "is not UTF-8" if found[0] >= "\ud800" else "holds a tab, a line break or a control character"
                raise DataError(f"{text!r}: a name that {wrong}; rename it")


@dataclass
class Listing:
    """Images of one source in their order, and its kind in words; `classes` where the source itself names them."""

    kind: str
    items: Iterable[Item]
    classes: tuple[str, ...] = ()
    total: int | None = None
    ignored: Counter[str] = field(default_factory=Counter)  # files that are no images, by their ending


@dataclass
class Written:
    """What went into the canonical file: parts of the images, and (name, reason) of each one left out.

    `newest` is the last day on which one of them was taken, as far as cameras say so.
    """

    classes: tuple[str, ...] = ()
    parts: list[str] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    newest: str = ""


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key under which 2 comes before 10."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces], text


def part_of(text: str) -> str | None:
    """train, val or test for a name that means it, as `Test`, `training_set` or `val2017`; None for any other."""
    words = [YEAR.sub("", word) for word in re.split(r"[\s_.-]+", text.strip().casefold())]
    words = [word for word in words if word and word not in BESIDE_A_PART]
    return PART_OF.get(words[0]) if len(words) == 1 else None


def endings(files: Counter[str]) -> str:
    """The most frequent endings of files, each with its number."""
    return ", ".join(f"{name or 'no ending'} {count:,}" for name, count in files.most_common(SHOWN_ENDINGS))


def write_items(path: Path, listing: Listing, refuse: Refuse | None = None, seen: SeenImages | None = None) -> Written:
    """Write the canonical file of all whole images, in order, each read and checked once, in flat memory.

    What `seen` knows is not checked again.

    `refuse` is called with what is damaged, if anything is, and may raise: then nothing is written.
    Raises DataError if there are fewer than two classes.
    """
    written, rows, seen = Written(), [], seen or SeenImages()

    def whole_ones() -> Iterator[bytes]:
        for item, data, size, reason in Progress(
            _checked(listing.items, seen), desc="read", unit="image", total=listing.total, leave=False
        ):
            if reason or data is None:
                written.damaged.append((item.place or item.name, reason))
            else:
                written.newest = max(written.newest, taken_on(data))
                rows.append((replace(item, read=bytes), size))  # its own may hold the file
                yield data

    with image_writer(path) as writer:
        writer.add_all(whole_ones())
        seen.remember()  # also if what is damaged has to be mended first
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


def _checked(items: Iterable[Item], seen: SeenImages) -> Iterator[tuple[Item, bytes | None, Size, str]]:
    """Each item with its bytes and size, or the reason why it is damaged; in order, some ahead at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for block in _blocks(items):
            sizes = pool.map(lambda one: _check(one[1], seen), block)
            for (item, data, reason), (size, damage) in zip(block, sizes, strict=True):
                yield item, data, size, reason or damage
            block.clear()  # before the next is read


def _blocks(items: Iterable[Item]) -> Iterator[list[tuple[Item, bytes | None, str]]]:
    block, held = [], 0
    for item in items:
        data, reason = _read(item)
        block.append((item, data, reason))
        held += len(data or b"")
        if len(block) == AT_ONCE or held >= BYTES_AT_ONCE:
            yield block
            block, held = [], 0
    if block:
        yield block


def _read(item: Item) -> tuple[bytes | None, str]:
    try:
        return item.read(), ""
    except (OSError, ValueError, DownloadError) as error:
        return None, getattr(error, "strerror", None) or str(error)


def _check(data: bytes | None, seen: SeenImages) -> tuple[Size, str]:
    if data is None:
        return (0, 0), ""
    try:
        return seen.check(data), ""
    except DamagedImageError as error:
        return (0, 0), str(error)


def write_damaged(path: Path, damaged: list[tuple[str, str]]) -> None:
    """One line per image that is left out."""
    rows = [{"image": name, "reason": " ".join(reason.split())} for name, reason in damaged]
    write_tsv(path, rows, ("image", "reason"))


def damage_list(damaged: list[tuple[str, str]]) -> str:
    """The first damaged images, one per line."""
    shown = [f"  {name}: {reason}" for name, reason in damaged[:SHOWN_DAMAGED]]
    more = len(damaged) - len(shown)
    return "\n".join(shown + ([f"  … and {more} more"] if more else []))
