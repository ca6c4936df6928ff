"""What turns a wrong answer right: the background, the colour or the fine detail taken away."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from transfer.data.classes import confusion_counts, without_hits
from transfer.evaluation.cues import with_cue
from transfer.explanation.objects import TAKEN, blur_background, find_objects

MOST_CONFUSIONS = 12
MOST_IMAGES = 25  # of a confusion
FLIP_COLUMNS = ("actual", "predicted", "errors", "tried", "unchanged", "grey", "low_pass", "with_object", "background")
Answer = Callable[[Iterable[np.ndarray]], np.ndarray]


def commonest(labels: np.ndarray, predicted: np.ndarray, classes: int) -> list[tuple[int, int]]:
    """The commonest kinds of error, (actual, predicted), most first; kinds without an error are left out."""
    errors = without_hits(confusion_counts(labels, predicted, classes))
    order = np.argsort(-errors, axis=None, kind="stable")[:MOST_CONFUSIONS]
    return [(int(a), int(b)) for a, b in zip(*np.unravel_index(order, errors.shape), strict=True) if errors[a, b]]


def flip_rows(
    images: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str], answer: Answer, limits: tuple
) -> list[dict[str, Any]]:
    """A row for each of the commonest errors: how many answers are right after each change.

    images (N, H, W, 3) uint8, of which the first MOST_IMAGES of an error are `tried`. `unchanged` are right as they
    are, where the error was one of several views. The background is blurred, where GrabCut finds an object within
    `limits` (least and most share, agreement of masks); `with_object` are those. Few flips are no cause.
    """
    rows = []
    for actual, wrong in commonest(labels, predicted, len(classes)):
        every = np.flatnonzero((labels == actual) & (predicted == wrong))
        some = images[every[:MOST_IMAGES]]
        masks, judged = find_objects(some, *limits)
        known = np.flatnonzero(judged == TAKEN)
        changed = {
            "unchanged": some,
            "grey": with_cue(some, "grey", 0),
            "low_pass": with_cue(some, "low_pass", 0),
            "background": (blur_background(some[i], masks[i]) for i in known),
        }
        right = {name: int((answer(pictures) == actual).sum()) for name, pictures in changed.items()}
        about = {"errors": len(every), "tried": len(some), "with_object": len(known)}
        rows.append({"actual": classes[actual], "predicted": classes[wrong], **about, **right})
    return rows
