"""Ask a package of CIFAR-10's classes about ImageNet photographs: `python -m benchmarks.photographs FOLDER`.

FOLDER holds files named as ImageNet's, `n02123045_tabby.JPEG`. Each is answered after every kind of reduction: to the
size that the model was trained on, as the package does it, to others, and not at all. The same photographs, paired.
"""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.run import surroundings
from commands.entry_point import exit_with
from transfer.deployment.predictor import Predictor, load_predictor
from transfer.evaluation.scores import paired_difference, share_of, with_interval
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json
from transfer.sources.decode import decode

# WordNet numbers, or first and last, of what CIFAR-10 calls so. ImageNet has no deer, and CIFAR-10 leaves out pickups.
KINDS = {
    "airplane": ["2690373", "4552348"],
    "automobile": ["2814533", "2930766", "3100240", "3594945", "3670208", "3770679", "3777568", "4037443", "4285008"],
    "bird": ["1514668-1622779", "1795545-1860187", "2002556-2058221"],
    "cat": ["2123045-2124075"],
    "dog": ["2085620-2113978"],
    "frog": ["1641577-1644900"],
    "horse": ["2389026"],
    "ship": [
        "2687172",
        "2981792",
        "3095699",
        "3344393",
        "3673027",
        "3947888",
        "4147183",
        "4273569",
        "4483307",
        "4612504",
    ],
    "truck": ["3345487", "3417042", "3796401", "4461696", "4467665"],
}
SIDES = (32, 64, 128, 256)


def kind_of(number: int) -> str | None:
    """CIFAR-10's name for a WordNet number of ImageNet's, None for none."""
    for kind, spans in KINDS.items():
        if any(int(span.split("-")[0]) <= number <= int(span.split("-")[-1]) for span in spans):
            return kind
    return None


def read_photographs(folder: Path) -> list[tuple[str, np.ndarray]]:
    """Kinds and pixels (H, W, 3) of the photographs that show one. Raises DataError if there is none."""
    named = [(re.match(r"n(\d{8})_", path.name), path) for path in sorted(folder.iterdir())]
    kinds = [(kind_of(int(match[1])), path) for match, path in named if match]
    found = [(kind, decode(path.read_bytes())) for kind, path in kinds if kind]
    if not found:
        raise DataError(f"{folder}: no photograph named as ImageNet's, such as n02123045_tabby.JPEG")
    return found


def ask(predictor: Predictor, images: list[np.ndarray], original_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers (N,) and whether each is given (N,), images first reduced to `original_px` if they are larger."""
    preparation = predictor.package.preparation.model_copy(update={"original_px": original_px})
    answers = predictor.answer(np.stack([preparation.from_image(image) for image in images]))
    return answers.probabilities.argmax(1), np.array([verdict == "known" for verdict in answers.verdicts])


def main(folder: Path, package: Path, output: Path | None) -> int:
    photographs, predictor = read_photographs(folder), load_predictor(package)
    kinds, images = np.array([kind for kind, _ in photographs]), [image for _, image in photographs]
    trained_px, largest = predictor.package.preparation.original_px, max(max(image.shape) for image in images)
    names = np.array([predictor.package.classes[i] for i in range(len(predictor.package.classes))])
    right, figures = {}, {}
    for side in sorted({trained_px, *SIDES, largest}):
        answers, given = ask(predictor, images, side)
        right[side] = names[answers] == kinds
        change = paired_difference(right[trained_px], right[side]) if side != trained_px else (0.0, 0.0, 0.0)
        found: dict[str, Any] = share_of("accuracy", right[side]) | with_interval("change", change[0], change[1:])
        found["by_kind"] = {kind: share_of("accuracy", right[side][kinds == kind]) for kind in np.unique(kinds)}
        found |= share_of("given", given)
        if given.any():
            found["of_given"] = share_of("accuracy", right[side][given])
        figures["as they are" if side == largest else f"to {side} px"] = found
        print(f"{side} px: {found}")
    if output:
        counts = {kind: int((kinds == kind).sum()) for kind in np.unique(kinds)}
        write_json(output, surroundings(("torch", "opencv-python-headless")) | {"images": counts, "figures": figures})
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.photographs", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--package", type=Path, default=Path("models/classifier"), help="(default %(default)s)")
    parser.add_argument("--output", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    exit_with(lambda: main(arguments.folder, arguments.package, arguments.output))
