"""Each rule fires on figures that call for it, stays silent on those just short of it, and needs none to be there."""

from typing import Any

import pytest
import yaml

from tests.transfer.report.healthy_run import METRICS, NOT_OFFICIAL, TABLES, TEN, changed, curve, healthy, scores
from transfer.report.evidence import Evidence, leaves
from transfer.report.finding import FEWEST_IMAGES, LESS, MORE, Finding, commands
from transfer.report.findings import ALWAYS, WITH_ENOUGH_IMAGES, diagnose
from transfer.report.gate import gate
from transfer.runtime.files import ROOT

RULES = (*ALWAYS, *WITH_ENOUGH_IMAGES)


def cluster(share: float) -> dict[str, list[dict[str, str]]]:
    return {"evaluate/clusters": [{**TABLES["evaluate/clusters"][0], "share_of_errors": f"{share}"}]}


def learned(share: float) -> dict[str, float]:
    """Accuracy on plain training images."""
    ends = {f"evaluate.train_accuracy_ci_{end}": share + by for end, by in (("low", -0.02), ("high", 0.02))}
    return {"evaluate.train_accuracy": share, **ends}


def both_phases(fixed: int, broken: int, images: int = 1000) -> dict[str, list[dict[str, str]]]:
    """Answers to validation images after either phase: so many right only after phase 2, only before it, and always."""
    kinds = [("dog", "cat")] * fixed + [("cat", "dog")] * broken + [("cat", "cat")] * (images - fixed - broken)
    return {
        "train_head/val_confusion": [{"actual": "cat", "predicted": before} for before, _ in kinds],
        "evaluate/val_confusion": [{"actual": "cat", "one_view": after} for _, after in kinds],
    }


def gap(low: float, high: float) -> dict[str, Any]:
    figures = {"rigid_accuracy": 0.9, "organic_accuracy": 0.8, "gap": (low + high) / 2}
    return {"evaluate.groups": {**figures, "gap_ci_low": low, "gap_ci_high": high}}


def rule_named(name: str):
    return next(rule for rule in RULES if rule.__name__ == name)


# Rule, figures and tables that call for it, what it then names, and figures and tables just short of it.
CASES: list[tuple[str, tuple, list[str], tuple]] = [
    ("gate_missed", ({"evaluate.mva_met": False},), ["0.9100", "cat"], ({},)),
    (
        "led_by_surroundings",
        ({"audit.model": {"word": "refuted", "why": "a misleading background costs 60 points"}},),
        ["by the surroundings", "train.augment.mix.cutmix_alpha", "costs 60 points"],
        ({"audit.model.word": "undecided", "audit.maps.word": "refuted"},),
    ),
    (
        "misleading_maps",
        ({"audit.maps": {"word": "refuted", "why": "insertion gains nothing"}},),
        ["maps do not show", "explain.method", "insertion gains nothing"],
        ({"audit.maps.word": "undecided", "audit.model.word": "refuted"},),
    ),
    (
        "leaking",
        ({"evaluate.duplicates.affected_test_images": 79},),
        ["79 test images are also training"],
        ({"evaluate.duplicates.affected_test_images": 0},),
    ),
    (
        "inputs_unconfirmed",
        ({"backbone.published": False},),
        ["wherever a figure is quoted"],
        ({"backbone.published": True},),
    ),
    ("inputs_unconfirmed", ({**NOT_OFFICIAL, **TEN},), ["no published figure"], (NOT_OFFICIAL,)),  # own cats and trucks
    (  # 2,000 images each: half the interval is about 0.019
        "validation_misleads",
        ({"evaluate.accuracy_single_view": 0.88},),
        ["3.0 points", "subsample.val_size"],
        ({"evaluate.accuracy_single_view": 0.895},),
    ),
    (
        "overfitting",
        ({"evaluate.train_accuracy": 0.98},),
        ["7.0 points above", "train.augment.mix.cutmix_alpha", "validation accuracy 91.0 %", "of 1,000 images"],
        ({"evaluate.train_accuracy": 0.97},),  # 6 points, 4.4 to 7.6
    ),
    (
        "underfitting",
        ({**learned(0.60), "fine_tune.val.accuracy": 0.61},),
        ["only 60.0 %", "train.lr"],
        ({**learned(0.95), "fine_tune.train.accuracy": 0.60, "fine_tune.val.accuracy": 0.61},),  # augmented images only
    ),
    (
        "fine_tuning_gave_little",
        ({}, both_phases(fixed=10, broken=5)),
        ["+0.5 points", "10 are right only after phase 2", "train.lr"],
        ({}, both_phases(fixed=25, broken=5)),
    ),
    ("fine_tuning_gave_little", ({}, both_phases(5, 105)), ["−10.0 points"], ({}, both_phases(3, 2, images=30))),
    (
        "still_rising",
        ({}, {"fine_tune": curve(4, (0.9, 0.86), (0.92, 0.88), (0.93, 0.91))}),
        ["3.0 points", "train.fine_tune.epochs"],
        ({}, {"fine_tune": curve(4, (0.9, 0.86), (0.92, 0.90), (0.93, 0.91))}),  # a rise of 1.0 points, −0.8 to 2.8
    ),
    (
        "still_rising",
        ({"train_head.best_epoch": 3}, {"train_head": curve(1, (0.5, 0.6), (0.7, 0.7), (0.8, 0.8))}),
        ["train.head.epochs"],
        ({"train_head.best_epoch": 3},),
    ),
    (
        "large_clusters",
        ({}, cluster(0.26)),
        ["26.0 %", "cat, dog", "28 errors, 4.4 (3.4 to 5.7) times as many"],
        ({}, cluster(0.09)),
    ),
    (
        "weak_classes",
        ({"evaluate.per_class.cat": {**scores(0.80, 0.77, 0.83), "recall": 0.75}},),
        ["cat: F1 0.800, 0.110 below", "Images of cat are taken for other classes"],
        ({"evaluate.per_class.cat": scores(0.80, 0.70, 0.92)},),  # its interval reaches the mean
    ),
    (
        "weak_classes",
        ({"evaluate.per_class.cat": {**scores(0.80, 0.77, 0.83), "precision": 0.75}},),
        ["Other classes are taken for cat"],
        ({"evaluate.per_class.cat": scores(0.87, 0.86, 0.88)},),
    ),
    ("uneven_groups", (gap(0.01, 0.05),), ["organic classes are harder"], (gap(-0.01, 0.05),)),
    ("uneven_groups", (gap(-0.05, -0.01),), ["rigid classes are harder"], (gap(-0.05, 0.0),)),
    (
        "fragile",
        ({"robustness.noise.medium": 0.80},),
        ["Medium noise costs 11.0 points", "Keep noise out"],
        ({"robustness.noise.medium": 0.84},),
    ),
    (
        "fragile",
        ({"robustness.noise.medium": 0.70, "robustness.images": 100},),
        ["of 100 images"],
        ({"robustness.noise.medium": 0.70, "robustness.images": 20},),
    ),
    (
        "miscalibrated",
        ({"evaluate.calibration": {"temperature": 0.6, "ece": 0.1, "ece_by_chance": 0.05, "ece_scaled": 0.01}},),
        ["10.0 points", "too unsure", "0.60", "with less label smoothing"],
        ({"evaluate.calibration": {"temperature": 0.6, "ece": 0.1, "ece_by_chance": 0.11, "ece_scaled": 0.01}},),
    ),
    (
        "miscalibrated",
        ({"evaluate.calibration": {"temperature": 2.0, "ece": 0.2, "ece_by_chance": 0.05, "ece_scaled": 0.1}},),
        ["too sure", "leaves 10.0 points", "with more label smoothing"],
        ({},),
    ),
    (
        "doubtful_labels",
        ({"evaluate.label_errors": {"suspected": 59}},),
        ["59 test images have", "many its own"],
        ({"evaluate.label_errors": {"suspected": 0}},),
    ),
]


def text_of(findings: list[Finding]) -> str:
    return "\n".join(str(finding) for finding in findings)


@pytest.mark.parametrize(
    ("name", "calling", "told", "short"), CASES, ids=lambda part: part if isinstance(part, str) else ""
)
def test_a_rule_fires_where_it_should_and_only_there(name: str, calling: tuple, told: list[str], short: tuple) -> None:
    rule = rule_named(name)
    found = list(rule(changed(*calling)))
    assert found
    assert [text for text in told if text not in text_of(found)] == []
    assert list(rule(changed(*short))) == []


def test_every_rule_has_a_case() -> None:
    assert {rule.__name__ for rule in RULES} == {name for name, *_ in CASES}


def test_nothing_is_wrong_with_a_healthy_run() -> None:
    assert diagnose(healthy()) == []


def test_nothing_is_concluded_from_few_validation_images() -> None:
    few = {"subsample.val.images": 4, "train_head.val.accuracy": 0.75, "fine_tune.val.accuracy": 0.75}
    rising = {"fine_tune": curve(4, (0.9, 0.5), (0.92, 0.5), (0.93, 0.75))}
    assert diagnose(changed({**few, "evaluate.train_accuracy": 1.0, **learned(0.6)}, rising)) == []


def test_nothing_is_concluded_from_few_test_images() -> None:
    weak = {"evaluate.per_class.cat": scores(0.5, 0.4, 0.6), "robustness.noise.medium": 0.5}
    assert len(diagnose(changed(weak))) == 2
    assert diagnose(changed({**weak, "subsample.test.images": FEWEST_IMAGES - 1})) == []


def test_each_suggestion_changes_a_parameter_that_there_is() -> None:
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    evidence = Evidence({}, {}, parameters)
    evidence = Evidence({"download": {"train_images": 50_000}}, {}, parameters)
    for name in MORE:
        before = evidence.parameter(*name.split("."))
        assert before is not None, name
        (told,) = commands(Finding("", "", "", (name,), ""), evidence)
        assert told.startswith(f"dvc exp run -S {name}=")
        assert told.removeprefix(f"dvc exp run -S {name}=") != str(before)
    assert commands(Finding("", "", "", ("no.such",), ""), evidence) == []


@pytest.mark.parametrize(
    ("name", "value", "steps", "tried"),
    [
        ("train.fine_tune.label_smoothing", 0.0, LESS, []),
        ("train.fine_tune.label_smoothing", 0.1, LESS, [0.0]),
        ("train.fine_tune.label_smoothing", 0.1, MORE, [0.2]),
        ("train.fine_tune.label_smoothing", 0.2, MORE, []),
        ("train.augment.mix.cutmix_alpha", 1.0, MORE, []),
        ("train.augment.shift_fraction", 0.5, MORE, []),
        ("train.fine_tune.hard_examples.share", 0.25, MORE, [0.5]),
        ("train.fine_tune.weight_decay", 0.0, MORE, [0.01]),
        ("train.head.dropout", 0.8, MORE, []),
        ("subsample.val_size", 0.6, MORE, []),
        ("subsample.train_size", 1000, MORE, [1500]),
        ("subsample.train_size", 1500, MORE, []),
        ("backbone.name", "resnet101", MORE, ["resnet152"]),
        ("backbone.name", "vit_l_16", MORE, []),
        ("resize.size_px", 1024, MORE, []),
    ],
)
def test_what_is_tried_leads_further_in_the_right_direction_or_is_left_out(
    name: str, value: object, steps: dict, tried: list
) -> None:
    parameters: object = value
    for part in reversed(name.split(".")):
        parameters = {part: parameters}
    assert isinstance(parameters, dict)
    up, down = ((name,), ()) if steps is MORE else ((), (name,))
    told = commands(
        Finding("", "", "", up, "", less=down), Evidence({"download": {"train_images": 1500}}, {}, parameters)
    )
    assert told == [f"dvc exp run -S {name}={value}" for value in tried]


def test_every_parameter_that_a_rule_names_is_one_of_params_yaml() -> None:
    named = {
        name
        for rule, calling, *_ in CASES
        for found in rule_named(rule)(changed(*calling))
        for name in (*found.parameters, *found.less)
    }
    assert named - set(dict(leaves(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))))) == set()


def test_findings_come_in_the_order_of_their_gravity() -> None:
    many = changed({"evaluate.mva_met": False, "audit.maps.word": "refuted", "evaluate.label_errors": {"suspected": 3}})
    missed, audit, labels = diagnose(many)
    assert all(part in found.symptom for found, part in ((missed, "missed"), (audit, "heat maps"), (labels, "label")))


@pytest.mark.parametrize("left_out", [name for name in [*METRICS, *TABLES] if name != "evaluate"])
def test_a_stage_that_was_not_run_is_no_finding_and_no_error(left_out: str) -> None:
    whole = healthy()
    metrics = {name: content for name, content in whole.metrics.items() if name != left_out}
    tables = {name: rows for name, rows in whole.tables.items() if name != left_out}
    partial = Evidence(metrics, tables, whole.parameters)
    assert diagnose(partial) == []
    assert gate(partial).met


def test_the_bare_evaluation_is_enough() -> None:
    """What the first version of the evaluation wrote."""
    bare = {"accuracy": 0.9, "macro_f1": 0.9, "per_class": {"cat": {"f1": 0.9, "precision": 0.9, "recall": 0.9}}}
    assert diagnose(Evidence({"evaluate": {**bare, "mva_met": True}})) == []
    (finding,) = diagnose(Evidence({"evaluate": {**bare, "mva_met": False}}))
    assert "cat (F1 0.900)" in finding.diagnosis


def test_fine_tuning_left_out_is_judged_by_phase_1() -> None:
    frozen = changed({"fine_tune": {"epochs": 0, "best_epoch": 3}, "train_head.train.accuracy": 0.9}, {"fine_tune": []})
    (finding,) = [finding for finding in diagnose(frozen) if "Overfitting" in finding.diagnosis]
    assert finding.parameters[0] == "train.head.dropout"
    assert "train_head: " in finding.evidence


def test_the_gate_names_classes_below_the_minimum_and_the_first_clusters() -> None:
    missed = changed(
        {
            "evaluate.mva_met": False,
            "evaluate.macro_f1": 0.62,
            "evaluate.per_class.cat": scores(0.40, 0.3, 0.5),
            "evaluate.per_class.dog": scores(0.30, 0.2, 0.4),
        }
    )
    verdict = gate(missed)
    assert not verdict.met
    assert verdict.sentence == "Minimum viable accuracy missed: macro F1 0.6200, at least 0.65 required."
    assert verdict.classes == ("dog (F1 0.300)", "cat (F1 0.400)")
    assert verdict.clusters == ("cat, dog (28 errors, 9.0 % of all)",)
