"""evaluate: figures equal scikit-learn's on the saved predictions, files agree, misfits are refused, extremes work."""

import csv
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score

from stages import evaluate, resize
from tests.stages.conftest import CLASSES, FILES, files_in, outputs_in
from transfer.data.resize import open_resized
from transfer.data.splits import load_split, save_split
from transfer.network.classifier import ModelCard, load_model, save_model
from transfer.network.images import Images
from transfer.runtime.errors import ParameterError, WeightsError
from transfer.runtime.files import open_arrays

OUTPUTS = outputs_in("other", evaluate)
PLOTS = OUTPUTS["plots"]


def table_of(arena, name: str) -> list[dict[str, str]]:
    with arena.file(name).open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def metrics_of(arena, name: str = "metrics/evaluate.json") -> dict:
    return json.loads(arena.file(name).read_text())


def test_figures_are_those_of_scikit_learn_on_the_saved_predictions(arena):
    with np.load(arena.file("data/predictions.npz")) as saved:
        labels, chances, predicted = saved["labels"], saved["probabilities"], saved["predicted"]
        positions = saved["positions"]
    metrics = metrics_of(arena)
    np.testing.assert_array_equal(labels, load_split(arena.file("data/splits/test.npz")).labels)
    np.testing.assert_array_equal(positions, load_split(arena.file("data/splits/test.npz")).positions)
    np.testing.assert_array_equal(predicted, chances.argmax(1))
    np.testing.assert_allclose(chances.sum(1), 1)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics["loss"] == pytest.approx(log_loss(labels, chances))
    never: Any = 0  # typed as a string only
    for i, name in enumerate(CLASSES):
        ours = metrics["per_class"][name]
        assert ours["precision"] == pytest.approx(precision_score(labels == i, predicted == i, zero_division=never))
        assert ours["recall"] == pytest.approx(recall_score(labels == i, predicted == i))
    assert metrics["mva_met"] is (metrics["macro_f1"] >= 0.65)
    shown = {name: metrics[name] for name in ("accuracy", "macro_f1")} | {"ece": metrics["calibration"]["ece_scaled"]}
    assert metrics_of(arena, "metrics/headline.json") == shown


def test_probabilities_are_the_mean_of_both_views(arena):
    split = load_split(arena.file("data/splits/test.npz"))
    model, card = load_model(arena.file("models/model.safetensors"), split.classes, 40)
    images = Images(open_resized(arena.file("data/resized/test")).pixels, card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        views = [model(images.plain(slice(None), mirrored)).softmax(1) for mirrored in (False, True)]
    with np.load(arena.file("data/predictions.npz")) as saved:
        np.testing.assert_allclose(saved["probabilities"], torch.stack(views).mean(0), atol=1e-4)
    plain = (views[0].argmax(1).numpy() == split.labels).mean()
    assert metrics_of(arena)["accuracy_single_view"] == pytest.approx(plain)


def test_shifts_add_two_views_of_both_sides_and_validation_is_answered_alike(arena):
    changed = {**arena.parameters["evaluate"], "shift_fraction": 0.05}
    arena.run(evaluate, {**arena.parameters, "evaluate": changed}, **{**FILES[evaluate], **OUTPUTS})
    for split_name in ("test", "val"):
        split = open_resized(arena.file(f"data/resized/{split_name}"))
        model, card = load_model(arena.file("models/model.safetensors"), split.classes, 40)
        images = Images(split.pixels, card.preprocessing, torch.device("cpu"))
        with torch.no_grad():
            views = [
                model(images.plain(slice(None), mirrored, shift)).softmax(1)
                for mirrored in (False, True)
                for shift in (0, 2, -2)
            ]
        expected = torch.stack(views).mean(0).numpy()
        accuracy = (expected.argmax(1) == split.labels).mean()
        if split_name == "test":
            with np.load(arena.file(OUTPUTS["predictions"])) as saved:
                np.testing.assert_allclose(saved["probabilities"], expected, atol=1e-4)
            continue
        assert metrics_of(arena, OUTPUTS["metrics"])["val_accuracy"] == pytest.approx(accuracy)
        rows = table_of(arena, f"{PLOTS}/val_confusion.tsv")
        assert [row["predicted"] for row in rows] == [CLASSES[place] for place in expected.argmax(1)]
        assert [row["actual"] for row in rows] == [CLASSES[label] for label in split.labels]


def test_the_tables_say_what_the_metrics_say(arena):
    rows = table_of(arena, "metrics/evaluate/confusion.tsv")
    hits = sum(row["actual"] == row["predicted"] for row in rows)
    assert len(rows) == 30
    assert hits / 30 == pytest.approx(metrics_of(arena)["accuracy"])
    per_class = {row["class"]: float(row["f1"]) for row in table_of(arena, "metrics/evaluate/per_class.tsv")}
    assert per_class == {name: values["f1"] for name, values in metrics_of(arena)["per_class"].items()}


def test_the_temperature_is_fitted_on_validation_images_and_not_on_test_images(arena):
    split = load_split(arena.file("data/splits/val.npz"))
    model, card = load_model(arena.file("models/model.safetensors"), split.classes, 40)
    images = Images(open_resized(arena.file("data/resized/val")).pixels, card.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        views = [model(images.plain(slice(None), mirrored)).double().softmax(1) for mirrored in (False, True)]
    logs = torch.stack(views).mean(0).log().numpy()

    def loss(temperature: float) -> float:
        return log_loss(split.labels, softmax(logs / temperature, axis=1))

    found = metrics_of(arena)["calibration"]["temperature"]
    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01))
    arena.run(evaluate, **{**FILES[evaluate], **OUTPUTS, "resized": resized_with(arena, "twice", val="test")})
    assert metrics_of(arena, OUTPUTS["metrics"])["calibration"]["temperature"] != found
    with np.load(arena.file(OUTPUTS["predictions"])) as other, np.load(arena.file("data/predictions.npz")) as saved:
        np.testing.assert_array_equal(other["probabilities"], saved["probabilities"])


def test_groups_and_pairs_are_those_of_the_saved_predictions(arena):
    with np.load(arena.file("data/predictions.npz")) as saved:
        labels, predicted = saved["labels"], saved["predicted"]
    groups = metrics_of(arena)["groups"]
    assert groups["rigid_accuracy"] == pytest.approx((predicted == labels)[labels == 0].mean())
    assert groups["organic_accuracy"] == pytest.approx((predicted == labels)[labels != 0].mean())
    assert groups["gap"] == pytest.approx(groups["rigid_accuracy"] - groups["organic_accuracy"])
    rows = {row["pair"]: row for row in table_of(arena, "metrics/evaluate/pairs.tsv")}
    assert [name for name, row in rows.items() if row["expected"] == "true"] == ["airplane / bird"]
    errors = [(min(pair), max(pair)) for pair in zip(labels, predicted, strict=True) if pair[0] != pair[1]]
    assert int(rows["airplane / bird"]["errors"]) == errors.count((0, 1))
    assert sum(int(row["errors"]) for row in rows.values()) == len(errors)
    for row in table_of(arena, "metrics/evaluate/clusters.tsv"):
        names = row["classes"].split(", ")
        inside = [pair for pair in errors if CLASSES[pair[0]] in names and CLASSES[pair[1]] in names]
        assert int(row["errors"]) == len(inside)


def relabelled(arena, name: str, labels: np.ndarray) -> dict[str, str]:
    """The test split with other labels, at its own size and resized: changed options."""
    split = replace(load_split(arena.file("data/splits/test.npz")), labels=labels)
    save_split(arena.file(f"{name}.npz"), split)
    arena.run(resize, split=f"{name}.npz", resized=name)
    return {"resized": resized_with(arena, f"{name}_all", test=f"../../{name}")}


def resized_with(arena, name: str, **others: str) -> str:
    """A folder like data/resized in which some splits are others, which are paths from there."""
    folder = arena.file(name)
    folder.mkdir(exist_ok=True)
    for split in ("train", "val", "test"):
        (folder / split).unlink(missing_ok=True)
        (folder / split).symlink_to((arena.file("data/resized") / others.get(split, split)).resolve())
    return name


def test_suspected_label_errors_are_counted_and_listed(arena):
    """The labels of the first five test images are turned; whoever is suspected is listed by position."""
    split = load_split(arena.file("data/splits/test.npz"))
    labels = split.labels.copy()
    labels[:5] = (labels[:5] + 1) % 3
    arena.run(evaluate, **{**FILES[evaluate], **OUTPUTS, **relabelled(arena, "turned", labels)})
    rows, metrics = table_of(arena, f"{PLOTS}/label_errors.tsv"), metrics_of(arena, OUTPUTS["metrics"])
    assert metrics["label_errors"]["suspected"] == len(rows)
    with np.load(arena.file(OUTPUTS["predictions"])) as saved:
        logs = np.log(saved["probabilities"]) / metrics["calibration"]["temperature"]
    places = [split.positions.tolist().index(int(row["position"])) for row in rows]
    for row, place in zip(rows, places, strict=True):
        chances = softmax(logs[place])
        assert row["label"] == CLASSES[labels[place]]
        assert float(row["given_probability"]) == pytest.approx(chances[labels[place]], rel=1e-6)
        assert float(row["given_probability"]) < 0.01
        assert float(row["suggested_probability"]) == pytest.approx(chances[CLASSES.index(row["suggested"])])


def change(arena, group: str, **changes) -> dict:
    return {**arena.parameters, group: {**arena.parameters[group], **changes}}


@pytest.mark.parametrize(("rigid", "pairs"), [([], []), (list(CLASSES), []), (["ship", "truck"], [["cat", "dog"]])])
def test_an_empty_group_and_no_expectations_leave_their_figures_out(arena, rigid: list[str], pairs: list[list[str]]):
    parameters = {**change(arena, "evaluate", expected_pairs=pairs), "groups": {"rigid": rigid}}
    arena.run(evaluate, parameters, **{**FILES[evaluate], **OUTPUTS})
    assert "groups" not in metrics_of(arena, OUTPUTS["metrics"])
    assert all(row["expected"] == "false" for row in table_of(arena, f"{PLOTS}/pairs.tsv"))


@pytest.mark.parametrize(
    ("group", "changes", "told"),
    [
        ("groups", {"rigid": ["airplan"]}, r"groups\.rigid: no class 'airplan'; did you mean 'airplane'\?"),
        (
            "evaluate",
            {"expected_pairs": [["cat", "brid"]]},
            r"evaluate\.expected_pairs: no class 'brid'; did you mean 'bird'\?",
        ),
        ("evaluate", {"expected_pairs": [["cat", "cat"]]}, r"evaluate\.expected_pairs: 'cat' is named twice"),
        ("evaluate", {"expected_pairs": [["cat"]]}, r"evaluate\.expected_pairs\.0\.1: missing"),
        ("evaluate", {"expected_pairs": [["cat", "bird", "airplane"]]}, r"evaluate\.expected_pairs\.0"),
    ],
)
def test_names_that_are_no_classes_are_refused_before_anything_is_written(arena, group: str, changes, told: str):
    outputs = outputs_in("none", evaluate)
    with pytest.raises(ParameterError, match=told):
        arena.run(evaluate, change(arena, group, **changes), **{**FILES[evaluate], **outputs})
    assert not list(arena.folder.glob("*none*"))


def change_bias(arena, name: str, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
    """Write the model with another last bias, made from the one it has and its logits of the test images."""
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES, 40)
    images = Images(open_resized(arena.file("data/resized/test")).pixels, card.preprocessing, torch.device("cpu"))
    bias = list(model.parameters())[-1]
    with torch.no_grad():
        bias.copy_(change(bias, model(images.plain(slice(None)))))
    save_model(arena.file(name), model, card)


def balanced(bias: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """A bias with which a third of the answers are birds and the rest are of both other classes."""
    centred = logits - logits.mean(0)
    lead = centred[:, [0, 2]].amax(1) - centred[:, 1]
    return bias - logits.mean(0) + torch.tensor([0, 1, 0]) * lead.quantile(1 / 3)


@pytest.mark.parametrize("shift", [0, 1])
def test_no_errors_and_nothing_but_errors_still_give_every_file(arena, shift: int):
    """Labels that are what a model says, or never are."""
    change_bias(arena, "balanced.safetensors", balanced)
    changed = {**FILES[evaluate], **OUTPUTS, "model": "balanced.safetensors"}
    arena.run(evaluate, **changed)
    with open_arrays(arena.file(OUTPUTS["predictions"]), "predicted") as arrays:
        labels = (arrays["predicted"] + shift) % 3
    made = relabelled(arena, "made", labels.astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        arena.run(evaluate, **{**changed, **made})
    metrics = metrics_of(arena, OUTPUTS["metrics"])
    assert metrics["accuracy"] == metrics["macro_f1"] == 1 - shift
    (expected,) = [row for row in table_of(arena, f"{PLOTS}/pairs.tsv") if row["expected"] == "true"]
    if not shift:
        assert expected["share_of_errors"] == ""
        assert expected["verdict"] == "undecided"
        assert table_of(arena, f"{PLOTS}/clusters.tsv") == table_of(arena, f"{PLOTS}/label_errors.tsv") == []
    for name in ("errors", "label_errors", "predictions"):
        picture = cv2.imread(str(arena.file(f"{PLOTS}/pictures/{name}.png")))
        assert picture is not None
        assert name != "predictions" or picture.std() > 10  # not an empty page


def test_a_model_that_knows_one_class_only_gives_figures_without_warnings(arena):
    change_bias(arena, "one_class.safetensors", lambda bias, _logits: bias + torch.tensor([99.0, 0, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        arena.run(evaluate, **{**FILES[evaluate], **OUTPUTS, "model": "one_class.safetensors"})
    metrics = metrics_of(arena, OUTPUTS["metrics"])
    airplanes = (load_split(arena.file("data/splits/test.npz")).labels == 0).mean()
    assert metrics["accuracy"] == metrics["groups"]["rigid_accuracy"] * airplanes == airplanes
    assert metrics["groups"]["organic_accuracy"] == metrics["per_class"]["bird"]["f1"] == 0
    assert "precision_ci_low" not in metrics["per_class"]["bird"]
    rows = {row["class"]: row for row in table_of(arena, f"{PLOTS}/per_class.tsv")}
    assert rows["bird"]["precision_ci_low"] == ""
    assert float(rows["airplane"]["precision_ci_low"]) < airplanes


def test_the_verdict_can_be_missed_and_one_view_is_one_view(arena):
    changed = {**arena.parameters["evaluate"], "minimum_macro_f1": 1.0, "mirror": False}
    arena.run(evaluate, {**arena.parameters, "evaluate": changed}, **{**FILES[evaluate], **OUTPUTS})
    metrics = metrics_of(arena, OUTPUTS["metrics"])
    assert metrics["mva_met"] is (metrics["macro_f1"] == 1.0)
    assert metrics["accuracy"] == metrics["accuracy_single_view"]


def test_the_same_inputs_give_the_same_bytes(arena):
    arena.run(evaluate, **{**FILES[evaluate], **OUTPUTS})
    for option, name in OUTPUTS.items():
        assert files_in(arena.file(name)) == files_in(arena.file(FILES[evaluate][option])), option


def test_a_model_of_other_classes_is_refused_and_nothing_is_written(arena):
    model, card = load_model(arena.file("models/model.safetensors"), CLASSES, 40)
    other = ModelCard(card.architecture, card.head, ("x", "y", "z"), card.preprocessing, 40, "cubic", "float32")
    save_model(arena.file("strange_model.safetensors"), model, other)
    outputs = outputs_in("none", evaluate)
    with pytest.raises(WeightsError, match=r"trained for classes \['x', 'y', 'z'\]"):
        arena.run(evaluate, **{**FILES[evaluate], **outputs, "model": "strange_model.safetensors"})
    assert not list(arena.folder.glob("*none*"))
