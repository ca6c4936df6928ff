"""robustness: clean accuracy is that on the resized cache, the corrupted ones are recomputed, odd splits are taken."""

import csv
import json
from itertools import product

import cv2
import numpy as np
import pytest
import torch

from stages import robustness
from tests.splits import split_of
from tests.stages.conftest import CLASSES, FILES, files_in, outputs_in
from transfer.data.resize import open_resized
from transfer.data.resizing import save_resized
from transfer.data.splits import load_split
from transfer.data.stratified import stratified_positions
from transfer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted
from transfer.evaluation.turned import turned
from transfer.network.classifier import ModelCard, load_model, save_model
from transfer.network.images import Images
from transfer.runtime.errors import DataError, ParameterError, WeightsError
from transfer.runtime.files import write_arrays
from transfer.runtime.parameters import check_parameters

OUTPUTS = {"metrics": "rm.json", "plots": "rm"}


def metrics_of(arena, name: str = "metrics/robustness.json") -> dict:
    return json.loads(arena.file(name).read_text())


def with_robustness(arena, **changes: object) -> dict:
    return {**arena.parameters, "robustness": {**arena.parameters["robustness"], **changes}}


def accuracy_on(arena, pixels: np.ndarray, labels: np.ndarray) -> float:
    """Share of right answers, all images in one batch."""
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES)
    images = Images(pixels, card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        return float((model(images.plain(slice(None))).argmax(1).numpy() == labels).mean())


def chosen_of(arena, count: int) -> np.ndarray:
    return stratified_positions(load_split(arena.file("data/splits/test.npz")).labels, [count], 0)[0]


def test_clean_accuracy_is_that_on_the_resized_cache_of_the_same_images(arena):
    chosen = chosen_of(arena, 20)
    labels = load_split(arena.file("data/splits/test.npz")).labels[chosen]
    cache = open_resized(arena.file("data/resized/test")).pixels[chosen]
    metrics = metrics_of(arena)
    assert metrics["images"] == 20
    assert metrics["clean_accuracy"] == pytest.approx(accuracy_on(arena, cache, labels))


def test_every_accuracy_is_that_of_the_corrupted_then_upscaled_images(arena):
    split, chosen, metrics = open_resized(arena.file("data/resized/test")), chosen_of(arena, 20), metrics_of(arena)
    found = []
    for name, strength in product(CORRUPTIONS, STRENGTHS):
        small = corrupted(split.images[chosen], name, strength, 0)
        large = np.stack([cv2.resize(image, (40, 40), interpolation=cv2.INTER_CUBIC) for image in small])
        found.append(accuracy_on(arena, large, split.labels[chosen]))
        assert metrics[name][strength] == pytest.approx(found[-1]), (name, strength)
    assert len(set(found)) > 3  # or the model would be beyond harm, and the test with it
    assert metrics["mean_accuracy"] == pytest.approx(sum(found) / 18)
    assert metrics["mean_drop"] == pytest.approx(metrics["clean_accuracy"] - sum(found) / 18)


def test_turned_rigid_things_that_are_taken_for_organic_ones_are_counted(arena):
    split, chosen = open_resized(arena.file("data/resized/test")), chosen_of(arena, 20)
    rigid = [CLASSES.index("airplane")]
    own = chosen[np.isin(split.labels[chosen], rigid)]
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES)
    large = np.stack([cv2.resize(turned(each), (40, 40), interpolation=cv2.INTER_CUBIC) for each in split.images[own]])
    with torch.no_grad():
        found = model(Images(large, card.preprocessing, torch.device("cpu")).plain(slice(None))).argmax(1).numpy()
    assert metrics_of(arena)["other_group"]["turned"]["rigid"] == pytest.approx((~np.isin(found, rigid)).mean())


def test_the_table_has_every_condition_with_wilsons_interval(arena):
    metrics = metrics_of(arena)
    with arena.file("metrics/robustness/conditions.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [(row["corruption"], row["strength"]) for row in rows] == list(product(CORRUPTIONS, STRENGTHS))
    for row in rows:
        share, low, high = (float(row[key]) for key in ("accuracy", "accuracy_ci_low", "accuracy_ci_high"))
        assert share == metrics[row["corruption"]][row["strength"]]
        assert low <= share <= high
        for end in (low, high):  # the ends are the proportions that the score test just does not reject
            assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / 20, abs=1e-6)


def test_the_same_inputs_give_the_same_bytes_and_other_batches_the_same_figures(arena):
    arena.run(robustness, **{**FILES[robustness], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[robustness][option])), option
    arena.run(robustness, with_robustness(arena, batch_size=7), **{**FILES[robustness], **OUTPUTS})
    assert metrics_of(arena, "rm.json") == metrics_of(arena)


def test_more_images_than_there_are_means_all_of_them(arena):
    arena.run(robustness, with_robustness(arena, images=1000), **{**FILES[robustness], **OUTPUTS})
    metrics = metrics_of(arena, "rm.json")
    assert metrics["images"] == 30
    assert metrics["clean_accuracy"] == pytest.approx(
        metrics_of(arena, "metrics/evaluate.json")["accuracy_single_view"]
    )


@pytest.mark.parametrize("images", [1, 2, 9])
def test_a_class_with_one_image_or_none_is_no_obstacle(arena, images: int):
    split = open_resized(arena.file("data/resized/test"))
    kept = np.concatenate([np.flatnonzero(split.labels == 0), np.flatnonzero(split.labels == 2)[:1]])
    few = split_of(split.images[kept], split.labels[kept], split.classes)
    save_resized(arena.file("few"), few, 40, "cubic", "crop")
    write_arrays(arena.file("few.npz"), positions=few.positions, predicted=few.labels)
    parameters = with_robustness(arena, images=images)
    arena.run(robustness, parameters, **{**FILES[robustness], **OUTPUTS, "test": "few", "predictions": "few.npz"})
    metrics = metrics_of(arena, "rm.json")
    assert metrics["images"] == images
    assert metrics["clean_accuracy"] * images == pytest.approx(round(metrics["clean_accuracy"] * images))


def test_cues_and_flips_are_of_the_same_images_and_answers(arena):
    metrics = metrics_of(arena)
    assert metrics["cues"]["unchanged"]["accuracy"] == metrics["clean_accuracy"]
    for name, values in metrics["cues"].items():
        own = [row for row in table_of(arena, "metrics/robustness/cues.tsv") if row["cue"] == name]
        assert sum(int(row["images"]) for row in own) == metrics["images"]
        right = sum(int(row["images"]) * float(row["accuracy"]) for row in own)
        assert right / metrics["images"] == pytest.approx(values["accuracy"])
    with np.load(arena.file("data/predictions.npz")) as saved:
        wrong = int((saved["labels"] != saved["predicted"]).sum())
    rows = table_of(arena, "metrics/robustness/flips.tsv")
    assert sum(int(row["errors"]) for row in rows) == wrong  # six kinds of error, all of them shown


def test_answers_to_other_images_are_refused(arena):
    with np.load(arena.file("data/predictions.npz")) as saved:
        write_arrays(arena.file("moved.npz"), positions=saved["positions"] + 1, predicted=saved["predicted"])
    with pytest.raises(DataError, match=r"moved\.npz: answers for other images .* run evaluate again"):
        arena.run(robustness, **{**FILES[robustness], **OUTPUTS, "predictions": "moved.npz"})


def table_of(arena, name: str) -> list[dict[str, str]]:
    with arena.file(name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_the_size_is_the_models_whatever_the_parameters_say(arena):
    parameters = {**arena.parameters, "resize": {**arena.parameters["resize"], "size_px": 64}}
    arena.run(robustness, parameters, **{**FILES[robustness], **OUTPUTS})
    assert arena.file("rm.json").read_bytes() == arena.file("metrics/robustness.json").read_bytes()


def test_another_seed_is_another_choice_of_images_and_noise(arena):
    arena.run(robustness, {**arena.parameters, "seed": 1}, **{**FILES[robustness], **OUTPUTS})
    assert (
        arena.file("rm/pictures/conditions.png").read_bytes()
        != arena.file("metrics/robustness/pictures/conditions.png").read_bytes()
    )


@pytest.mark.parametrize("images", [0, -5, 2.5, None])
def test_a_number_of_images_that_is_none_is_named(arena, images: object):
    with pytest.raises(ParameterError, match=r"^robustness\.images = "):
        check_parameters(robustness.Parameters, with_robustness(arena, images=images))


def test_a_model_of_other_classes_is_refused_and_nothing_is_written(arena):
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES)
    other = ModelCard(card.architecture, card.head, ("x", "y", "z"), card.preprocessing, 40, "cubic", "float32")
    save_model(arena.file("other_classes.safetensors"), model, other)
    outputs = outputs_in("none", robustness)
    with pytest.raises(WeightsError, match=r"trained for classes \['x', 'y', 'z'\]"):
        arena.run(robustness, **{**FILES[robustness], **outputs, "model": "other_classes.safetensors"})
    assert not list(arena.folder.glob("*none*"))
