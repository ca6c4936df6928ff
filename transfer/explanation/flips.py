"""What turns a wrong answer right: the background, the colour or the fine detail taken away."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from transfer.data.classes import CONFIDENCE, confusion_counts, without_hits
from transfer.evaluation.cues import with_cue
from transfer.evaluation.scores import newcombe_interval
from transfer.explanation.objects import TAKEN, blur_background, find_objects

MOST_CONFUSIONS = 12
MOST_IMAGES = 25  # of a confusion, and as many to compare it with
CHANGES = ("grey", "low_pass", "background")
COUNTS = ("tried", *CHANGES, "with_object")
FLIP_COLUMNS = ("actual", "predicted", "errors", *COUNTS, *(f"control_{name}" for name in COUNTS), "flipped_by")
Answer = Callable[[Iterable[np.ndarray]], np.ndarray]


def commonest(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[tuple[int, int]]:
    """The commonest kinds of error, (actual, predicted), most first; kinds without an error are left out."""
    errors = without_hits(confusion_counts(labels, predicted, classes))
    order = np.argsort(-errors, axis=None, kind="stable")[:MOST_CONFUSIONS]
    return [(int(a), int(b)) for a, b in zip(*np.unravel_index(order, errors.shape), strict=True) if errors[a, b]]


def flip_rows(
    images: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str], answer: Answer, limits: tuple
) -> list[dict[str, Any]]:
    """A row for each of the commonest errors: how many answers are the actual class after each change.

    images (N, H, W, 3) uint8, of which the first MOST_IMAGES whose single view is taken for the predicted class too are
    `tried`. The control are images that are of the predicted class: a change that has these taken for the actual class
    as well explains no error. Of both, the background is blurred where GrabCut finds an object within `limits` (least
    and most share, agreement of masks), in `with_object`. `flipped_by` names the changes that turn more errors than
    controls, by the whole of Newcombe's interval, 95 % for all rows and changes together.
    """
    rows, kinds = [], commonest(labels, predicted, len(classes))
    confidence = 1 - (1 - CONFIDENCE) / max(len(kinds) * len(CHANGES), 1)
    for actual, wrong in kinds:
        every, alike = (np.flatnonzero((labels == label) & (predicted == wrong)) for label in (actual, wrong))
        turned, control = (_turned(images[own], (actual, wrong), answer, limits) for own in (every, alike))
        flipped = []
        for name in CHANGES:
            group = "with_object" if name == "background" else "tried"
            if turned[group] and control[group]:
                ends = newcombe_interval(turned[name], turned[group], control[name], control[group], confidence)
                flipped += [name] if ends[0] > 0 else []
        row = {"actual": classes[actual], "predicted": classes[wrong], "errors": len(every), **turned}
        rows.append(row | {f"control_{name}": control[name] for name in COUNTS} | {"flipped_by": ", ".join(flipped)})
    return rows


def _turned(images: np.ndarray, kind: tuple[int, int], answer: Answer, limits: tuple) -> dict[str, int]:
    """Of images (N, H, W, 3), those taken for the second class of `kind`, and how many a change turns to the first."""
    actual, wrong = kind
    some = images[: 2 * MOST_IMAGES]
    some = some[answer(some) == wrong][:MOST_IMAGES]
    masks, judged = find_objects(some, *limits) if len(some) else (some, np.empty(0, str))
    known = np.flatnonzero(judged == TAKEN)
    changed = {
        "grey": with_cue(some, "grey", 0),
        "low_pass": with_cue(some, "low_pass", 0),
        "background": (blur_background(some[i], masks[i]) for i in known),
    }
    turned = {name: int((answer(pictures) == actual).sum()) for name, pictures in changed.items()}
    return {"tried": len(some), **turned, "with_object": len(known)}
