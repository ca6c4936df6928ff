"""Answer images with the trained model: `python -m commands.predict photo.jpg folder/ list.csv https://…`.

The list's column `file`, `image`, `path`, `url` or the like, or else its first, names images beside it. What cannot be
read is a row with its reason, and the exit status is 1 at the end.
"""

import argparse
import csv
import re
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commands.entry_point import exit_with
from commands.packages import PACKAGE, fetched_package
from transfer.deployment.occlusion import occlusion_map
from transfer.deployment.predictor import VERDICTS, Predictor, load_predictor
from transfer.pictures.sheets import RIGHT, WRONG, overlay, percent, picture_sheet
from transfer.runtime.errors import DownloadError
from transfer.runtime.files import whole, write_json
from transfer.runtime.progress import Progress
from transfer.sources.decode import DamagedImageError
from transfer.sources.fetch import fetch
from transfer.sources.items import IMAGE_ENDINGS
from transfer.sources.table import USUAL

ENDINGS = tuple(sorted(f".{ending}" for ending in IMAGE_ENDINGS))
LISTS = (".csv", ".tsv")
TEXTS = ("file", "reason")
COLUMNS = ("file", "answer", "probability", "second", "second_probability", "distance", "verdict", "reason")
BATCH = 32
TIMEOUT_S = 30
SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Row:
    """An image by its address, and its answer, or the reason why there is none."""

    file: str
    answer: str = ""
    probability: float | None = None
    second: str = ""
    second_probability: float | None = None
    distance: float | None = None
    verdict: str = ""
    reason: str = ""
    pixels: np.ndarray | None = None
    heat: np.ndarray | None = None

    def figures(self) -> dict[str, Any]:
        """What is written of it; bytes of a file's name that are not UTF-8 are as \\udce9."""
        texts = {column: getattr(self, column).encode("utf-8", "backslashreplace").decode() for column in TEXTS}
        return {column: getattr(self, column) for column in COLUMNS} | texts


def rows_of(name: str) -> list[Row]:
    """The images that an argument stands for: itself, those of a folder at any depth, or those of a list.

    A folder or a list that gives none is a row with its reason.
    """
    path = Path(name)
    try:
        if "://" in name or not path.is_dir():
            return _listed(path) if "://" not in name and path.suffix.lower() in LISTS else [Row(name)]
    except OSError as error:  # a name that is too long
        return [Row(name, reason=error.strerror or str(error))]
    inside = (each for each in path.rglob("*") if each.is_file() or each.is_symlink())  # or a link to nothing
    found = sorted(str(each) for each in inside if each.suffix.lower() in ENDINGS)
    return [Row(each) for each in found] or [Row(name, reason="no image in this folder")]


def _listed(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    except OSError as error:
        return [Row(str(path), reason=error.strerror or str(error))]
    except (UnicodeDecodeError, csv.Error) as error:
        return [Row(str(path), reason=f"not a list in UTF-8 with a line per image ({error})")]
    header = [re.sub(r"[^a-z0-9]", "", cell.casefold()) for cell in rows[0]] if rows else []
    place = next((header.index(column) for column in USUAL["image"] if column in header), None)
    named = [row[place or 0].strip() for row in rows[0 if place is None else 1 :] if len(row) > (place or 0)]
    found = [Row(each if "://" in each else str(path.parent / each)) for each in named if each]
    return found or [Row(str(path), reason="no image in this list")]


def predict(predictor: Predictor, asked: Sequence[Row], pictures: bool = False, heat: bool = False) -> Iterator[Row]:
    """The rows with their answers, in order; with the prepared pixels, and the heat map, if a sheet is to show them."""
    progress = Progress(total=len(asked), desc="predict", unit="image")
    with tempfile.TemporaryDirectory() as keep, progress:
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            read = [row.reason or _read(predictor, row.file, Path(keep)) for row in batch]
            pixels = [each for each in read if isinstance(each, np.ndarray)]
            answered = iter(_answered(predictor, pixels, pictures, heat) if pixels else ())
            for row, each in zip(batch, read, strict=True):
                yield replace(row, reason=each) if isinstance(each, str) else replace(row, **next(answered))
                progress.update()


def _read(predictor: Predictor, name: str, keep: Path) -> np.ndarray | str:
    """The prepared pixels, or why there are none."""
    try:
        return predictor.package.preparation.from_bytes(fetch(name, keep, TIMEOUT_S).read_bytes())
    except (DamagedImageError, DownloadError) as error:
        return " ".join(str(error).split())
    except OSError as error:
        return error.strerror or str(error)


def _answered(predictor: Predictor, pixels: list[np.ndarray], pictures: bool, heat: bool) -> Iterator[dict[str, Any]]:
    answers = predictor.answer(np.stack(pixels))
    classes = predictor.package.classes
    each = zip(pixels, answers.probabilities, answers.distances, answers.verdicts, strict=True)
    for image, probabilities, distance, verdict in each:
        first, *rest = np.argsort(-probabilities, kind="stable").tolist()
        yield {
            "answer": classes[first],
            "probability": float(probabilities[first]),
            **({"second": classes[rest[0]], "second_probability": float(probabilities[rest[0]])} if rest else {}),
            "distance": float(distance),
            "verdict": VERDICTS[verdict],
            "pixels": image if pictures else None,
            "heat": occlusion_map(predictor.network, image, first) if pictures and heat else None,
        }


def _shown(text: str) -> str:
    """A name with what steers the terminal or is not seen, such as a line break, spelt out: as \\n or \\u202e."""
    steering = "Cc", "Cf", "Zl", "Zp"
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in steering else each for each in text
    )


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns of a terminal: wide letters, such as 猫, take two, combining ones none."""
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "WF") for each in text)


def table(rows: Sequence[Row]) -> str:
    """The rows for the terminal, in columns."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f} %"

    lines = [("file", "answer", "probability", "second best", "", "verdict")]
    for row in rows:
        file, reason = (_shown(row.figures()[column]) for column in TEXTS)
        answer = (row.answer, share(row.probability), row.second, share(row.second_probability), row.verdict)
        lines.append((file, "–", "", "", "", reason) if reason else (file, *answer))
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    padded = ([_padded(cell, width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write all figures of the rows under a header."""
    with whole(path) as partial, partial.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *(row.figures().values() for row in rows)])


def draw_sheet(path: Path, rows: Sequence[Row]) -> None:
    """The prepared pictures, framed by verdict, each followed by its heat map if it has one."""
    shown = [(row.pixels, row.heat, row) for row in rows if row.pixels is not None]
    pictures, captions, colours = [], [], []
    for pixels, heat, row in shown:
        pictures.append(pixels)
        captions.append(f"{row.answer} {percent(row.probability or 0)}")
        colours.append(RIGHT if row.verdict == VERDICTS["known"] else WRONG)
        if heat is not None:
            pictures.append(overlay(pixels, heat))
            captions.append("")
            colours.append(None)
    unknown = sum(colour == WRONG for colour in colours)
    title = f"{len(shown)} images; {unknown} of them the model does not know (red)"
    picture_sheet(path, pictures, captions, colours, title, SHEET_COLUMNS)


def main(options: argparse.Namespace) -> int:
    asked = [row for name in options.images for row in rows_of(name)]
    with tempfile.TemporaryDirectory() as keep:
        folder = fetched_package(options.rev, Path(keep)) if options.rev else options.package
        predictor = load_predictor(folder, options.network)
        rows = list(predict(predictor, asked, options.sheet is not None, options.heat))
    print(table(rows))
    if options.csv:
        write_csv(options.csv, rows)
    if options.json:
        write_json(options.json, {"images": [row.figures() for row in rows]})
    if options.sheet:
        draw_sheet(options.sheet, rows)
    if failed := sum(bool(row.reason) for row in rows):
        print(f"error: not answered: {failed} of {len(rows)} images", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.predict", description=__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="file, folder, list (.csv, .tsv) or address")
    parser.add_argument("--csv", type=Path, help="write all rows here too")
    parser.add_argument("--json", type=Path, help="write all rows here too")
    parser.add_argument("--sheet", type=Path, help="draw the images and their answers into this .png")
    parser.add_argument("--heat", action="store_true", help="beside each image of the sheet, what its answer rests on")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--rev", help="the model of an experiment, tag or commit, such as classifier@v1.0.0")
    source.add_argument("--package", type=Path, default=PACKAGE, help="its folder (default %(default)s)")
    parser.add_argument("--network", help="its file to run, such as model_int8.onnx (default: model.onnx)")
    chosen = parser.parse_args()
    if chosen.heat and not chosen.sheet:
        parser.error("--heat draws into a sheet; name its file with --sheet")
    exit_with(lambda: main(chosen))
