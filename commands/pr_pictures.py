"""Draw the pictures of a report on a change, from what git and DVC keep of the two runs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from commands.cached_outputs import cache_folder, find_output, recorded_outputs
from transfer.comparison.pictures import View, heat_map_pairs, learning_curves, prediction_strip, sample
from transfer.comparison.sections import OTHER_IMAGES, PHASES, Run, same_images, true_and_predicted
from transfer.data.resize import Resized, read_resized
from transfer.devices.device import best_device
from transfer.explanation.cam import TITLES, Explain, choose_layer, explain
from transfer.network.classifier import load_model
from transfer.network.images import Images
from transfer.runtime.errors import DataError, PipelineError
from transfer.runtime.parameters import Group, check_parameters

RESIZED, MODEL = "data/resized/test", "models/model.safetensors"
FILES = ("curves_accuracy.svg", "curves_loss.svg", "newly_right.png", "newly_wrong.png", "heat_maps.png")
STRIP_IMAGES, HEAT_MAPS = 20, 6

Find = Callable[[Run, str], Path]


class Parameters(Group):
    explain: Explain


class Predictions(NamedTuple):
    """True class and both models' predictions by name (N,), and the indices that are newly right, and newly wrong."""

    true: np.ndarray
    before: np.ndarray
    after: np.ndarray
    newly_right: np.ndarray
    newly_wrong: np.ndarray


def draw(root: Path, folder: Path, before: Run, after: Run) -> tuple[dict[str, Path], dict[str, str]]:
    """Write what pictures there can be, and return them by name; of the others by name, a line that says why not."""
    cache = cache_folder(root)
    for name in FILES:  # of an earlier report
        (folder / name).unlink(missing_ok=True)

    def find(run: Run, path: str) -> Path:
        command = "dvc pull" if run is after else "dvc fetch --all-commits"
        return find_output(root, cache, run.stages, path, command)

    notes = {}
    for name, drawing in (("curves", draw_curves), ("newly_right", draw_predictions), ("heat_maps", draw_heat_maps)):
        try:
            if note := drawing(folder, before, after, find):
                notes[name] = note
        except PipelineError as error:
            notes[name] = f"Not drawn: {' '.join(str(error).split())}."
    return {Path(name).stem: folder / name for name in FILES if (folder / name).exists()}, notes


def draw_curves(folder: Path, before: Run, after: Run, _find: Find) -> str | None:
    old, new = (
        {name: run.evidence.rows(phase) for phase, name in PHASES.items() if run.evidence.rows(phase)}
        for run in (before, after)
    )
    if old == new:
        return "The curves are the same."
    for measure in ("accuracy", "loss"):
        learning_curves(folder / f"curves_{measure}.svg", old, new, measure)
    return None


def read_predictions(before: Run, after: Run) -> Predictions:
    """Raises DataError if the two runs were not tested on the same images."""
    old, new = true_and_predicted(before.evidence), true_and_predicted(after.evidence)
    if old is None or new is None:
        raise DataError("one of the runs was not evaluated")
    if not same_images(before.evidence, after.evidence):
        raise DataError(OTHER_IMAGES)
    was_right, is_right = old[1] == old[0], new[1] == new[0]
    newly_right, newly_wrong = np.flatnonzero(~was_right & is_right), np.flatnonzero(was_right & ~is_right)
    return Predictions(new[0], old[1], new[1], newly_right, newly_wrong)


def read_split(after: Run, find: Find, true: np.ndarray) -> Resized:
    """The test images. Raises DataError if they are not the ones that the predictions (N,) are for."""
    split = read_resized(lambda name: find(after, f"{RESIZED}/{name}"))
    if not np.array_equal(np.array(split.classes)[split.labels], true):
        raise DataError(f"{RESIZED}: not the images of metrics/evaluate/confusion.tsv; run dvc repro and commit both")
    return split


def draw_predictions(folder: Path, before: Run, after: Run, find: Find) -> None:
    names = read_predictions(before, after)
    split = read_split(after, find, names.true)
    for name, indices, wrong in (
        ("newly_right", names.newly_right, names.before),
        ("newly_wrong", names.newly_wrong, names.after),
    ):
        shown, path = sample(split.labels, indices, STRIP_IMAGES), folder / f"{name}.png"
        if len(shown):
            is_right = name == "newly_right"
            prediction_strip(path, split.images[shown], names.true[shown], wrong[shown], len(indices), is_right)


def draw_heat_maps(folder: Path, before: Run, after: Run, find: Find) -> str | None:
    names = read_predictions(before, after)
    models = [recorded_outputs(run.stages or {}).get(MODEL) for run in (before, after)]
    if all(models) and models[0] == models[1]:
        return "Both runs have the same model file."
    split = read_split(after, find, names.true)
    halves = [sample(split.labels, indices, HEAT_MAPS // 2) for indices in (names.newly_right, names.newly_wrong)]
    rest = np.setdiff1d(np.arange(len(split.labels)), np.concatenate(halves))
    shown = np.concatenate([*halves, sample(split.labels, rest, HEAT_MAPS - sum(map(len, halves)))])
    config = check_parameters(Parameters, dict(after.evidence.parameters)).explain
    (old, old_layer), (new, layer) = (
        views(run, config, split, shown, predicted[shown], find)
        for run, predicted in ((before, names.before), (after, names.after))
    )
    layers = layer if layer == old_layer else f"before: {old_layer}; after: {layer}"
    legend = "green: right, red: wrong, ∅: no evidence for it"
    title = f"{TITLES[config.method]} for each model's own prediction ({legend})\n{layers}"
    heat_map_pairs(folder / "heat_maps.png", list(zip(names.true[shown], old, new, strict=True)), title)
    return None


def views(
    run: Run, config: Explain, split: Resized, shown: np.ndarray, predicted: np.ndarray, find: Find
) -> tuple[list[View], str]:
    """What a run's model makes of the images at indices `shown` (N,), and the layer that is explained."""
    pixels = read_resized(lambda name: find(run, f"{RESIZED}/{name}")).pixels[shown]
    model, card = load_model(find(run, MODEL), split.classes, pixels.shape[1])
    images, model = Images(pixels, card.preprocessing, best_device()), model.to(best_device())
    layer = choose_layer(model, images.plain(slice(0, 1)), config.layer, config.min_map_px)
    targets = np.array([split.classes.index(name) for name in predicted])
    heats = explain(model, layer.module, images, np.arange(len(shown)), targets, config.method, config.batch_size)
    return [View(*view) for view in zip(pixels, heats, predicted, strict=True)], layer.description
