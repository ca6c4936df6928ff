"""Draw the pictures of a report on a change, from what git and DVC keep of the two runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from commands.kept import cache_folder, digest_of, kept
from stages.grad_cam import Parameters
from transfer.comparison.pictures import View, answer_strip, heat_map_pairs, learning_curves, sample
from transfer.comparison.sections import (
    BROKEN,
    CURVES,
    GRAD_CAM,
    MENDED,
    OTHER_IMAGES,
    PICTURES,
    Run,
    answers,
    same_images,
)
from transfer.data.splits import Split, load_split
from transfer.devices.device import best_device
from transfer.explanation.cam import TITLES, choose_layer, explain
from transfer.network.classifier import load_model
from transfer.network.images import Images, open_pixels
from transfer.report.sections import PHASES
from transfer.runtime.errors import DataError, PipelineError
from transfer.runtime.parameters import check_parameters

SPLIT, PIXELS, MODEL = "data/splits/test.npz", "data/resized/test.npy", "models/model.safetensors"
STRIP_IMAGES, HEAT_MAPS = 20, 6

Find = Callable[[Run, str], Path]


def draw(root: Path, folder: Path, before: Run, after: Run) -> dict[str, str]:
    """Write what pictures there can be, as FOLDER/<name>.png; of the others by name, a line that says why not."""
    cache = cache_folder(root)
    for name in PICTURES:  # of an earlier report
        (folder / f"{name}.png").unlink(missing_ok=True)

    def find(run: Run, path: str) -> Path:
        command = "dvc pull" if run is after else "dvc fetch --all-commits"
        return kept(root, cache, run.stages, path, command)

    notes = {}
    for name, drawing in ((CURVES, draw_curves), (MENDED, draw_answers), (GRAD_CAM, draw_heat_maps)):
        try:
            if note := drawing(folder, before, after, find):
                notes[name] = note
        except PipelineError as error:
            notes[name] = f"Not drawn: {' '.join(str(error).split())}."
    return notes


def draw_curves(folder: Path, before: Run, after: Run, _find: Find) -> str | None:
    old, new = (
        {name: run.evidence.rows(phase) for phase, name in PHASES.items() if run.evidence.rows(phase)}
        for run in (before, after)
    )
    if old == new:
        return "The curves are the same."
    learning_curves(folder / f"{CURVES}.png", old, new)
    return None


def changed_answers(before: Run, after: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Names (3, N): the truth and both models' answers; and the places that are newly right, and newly wrong."""
    old, new = answers(before.evidence), answers(after.evidence)
    if old is None or new is None or not same_images(before.evidence, after.evidence):
        raise DataError(OTHER_IMAGES if old is not None and new is not None else "one of the runs was not tested")
    was_right, is_right = old[1] == old[0], new[1] == new[0]
    named = np.stack([new[0], old[1], new[1]])
    return named, np.flatnonzero(~was_right & is_right), np.flatnonzero(was_right & ~is_right)


def read_split(after: Run, find: Find, labels: np.ndarray) -> Split:
    """The test images. Raises DataError if they are not the ones that the answers (N,) are about."""
    split = load_split(find(after, SPLIT))
    if not np.array_equal(np.array(split.classes)[split.labels], labels):
        raise DataError(f"{SPLIT}: not the images of metrics/confusion.tsv; run dvc repro and commit both")
    return split


def draw_answers(folder: Path, before: Run, after: Run, find: Find) -> str | None:
    named, mended, broken = changed_answers(before, after)
    split = read_split(after, find, named[0])
    for name, places, wrong in ((MENDED, mended, named[1]), (BROKEN, broken, named[2])):
        shown, path = sample(split.labels, places, STRIP_IMAGES), folder / f"{name}.png"
        if len(shown):
            answer_strip(path, split.images[shown], named[0][shown], wrong[shown], len(places), name == MENDED)
    return None


def draw_heat_maps(folder: Path, before: Run, after: Run, find: Find) -> str | None:
    named, mended, broken = changed_answers(before, after)
    if digest_of(before.stages, MODEL) == digest_of(after.stages, MODEL) is not None:
        return "Both runs have the same model file."
    split = read_split(after, find, named[0])
    halves = [sample(split.labels, places, HEAT_MAPS // 2) for places in (mended, broken)]
    rest = np.setdiff1d(np.arange(len(split.labels)), np.concatenate(halves))
    shown = np.concatenate([*halves, sample(split.labels, rest, HEAT_MAPS - sum(map(len, halves)))])
    (old, old_layer), (new, layer) = (
        views(run, after, split, shown, said[shown], find) for run, said in ((before, named[1]), (after, named[2]))
    )
    method = TITLES[check_parameters(Parameters, dict(after.evidence.parameters)).grad_cam.method]
    layers = layer if layer == old_layer else f"before: {old_layer}; after: {layer}"
    title = f"{method} for each model's own answer (green: right, red: wrong, ∅: no evidence for it)\n{layers}"
    heat_map_pairs(folder / f"{GRAD_CAM}.png", list(zip(named[0][shown], old, new, strict=True)), title)
    return None


def views(
    run: Run, after: Run, split: Split, shown: np.ndarray, said: Sequence[str], find: Find
) -> tuple[list[View], str]:
    """What a run's model makes of the images at `shown`, explained as the change's parameters say; and the layer."""
    wanted = check_parameters(Parameters, dict(after.evidence.parameters)).grad_cam
    pixels = open_pixels(find(run, PIXELS), len(split.labels))[shown]
    model, card = load_model(find(run, MODEL), split.classes, pixels.shape[1])
    images, model = Images(pixels, card.preprocessing, best_device()), model.to(best_device())
    layer = choose_layer(model, images.plain(slice(0, 1)), wanted.layer, wanted.min_map_px)
    targets = np.array([split.classes.index(name) for name in said])
    heats = explain(model, layer.module, images, np.arange(len(shown)), targets, wanted.method, wanted.batch_size)
    return [View(*view) for view in zip(pixels, heats, said, strict=True)], layer.description
