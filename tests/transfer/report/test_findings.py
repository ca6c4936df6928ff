"""Each rule fires on figures that call for it, stays silent on those just short of it, and needs none to be there."""

from typing import Any

import pytest
import yaml

from tests.transfer.report.healthy_run import METRICS, TABLES, changed, curve, healthy, scores
from transfer.report.evidence import Evidence, leaves
from transfer.report.finding import FEWEST_IMAGES, NEXT, Finding, command
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
    ("inputs_unconfirmed", ({"download.official_pixels": False},), ["no published figure"], ({},)),
    (  # 2,000 images each: half the interval is about 0.019
        "validation_misleads",
        ({"evaluate.accuracy_single_view": 0.88},),
        ["3.0 points", "subsample.val_size"],
        ({"evaluate.accuracy_single_view": 0.895},),
    ),
    (
        "overfitting",
        ({"evaluate.train_accuracy": 0.97, "evaluate.train_accuracy_ci_low": 0.965},),
        ["6.0 points above", "train.augment.mix.cutmix_alpha", "val.accuracy 91.0 %", "of 1,000 images"],
        ({"evaluate.train_accuracy": 0.97, "evaluate.train_accuracy_ci_low": 0.955},),
    ),
    (
        "underfitting",
        ({**learned(0.60), "fine_tune.val.accuracy": 0.61},),
        ["only 60.0 %", "train.lr"],
        ({**learned(0.95), "fine_tune.train.accuracy": 0.60, "fine_tune.val.accuracy": 0.61},),  # augmented images only
    ),
    (
        "fine_tuning_gave_little",
        ({"fine_tune.val.accuracy": 0.805},),
        ["+0.5 points", "train.lr"],
        ({"fine_tune.val.accuracy": 0.815},),
    ),
    ("fine_tuning_gave_little", ({"fine_tune.val.accuracy": 0.7},), ["−10.0 points"], ({},)),
    (
        "still_rising",
        ({}, {"fine_tune": curve(4, (0.9, 0.88), (0.92, 0.90), (0.93, 0.91))}),
        ["1.0 points", "train.fine_tune.epochs"],
        ({"fine_tune.best_epoch": 5}, {"fine_tune": curve(4, (0.9, 0.88), (0.92, 0.90), (0.93, 0.91))}),
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
        ["26.0 %", "cat, dog", "28 errors, 4.400 (3.400 to 5.700) times as many"],
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
        ({"robustness.noise.medium": 0.82},),
    ),
    (
        "miscalibrated",
        ({"evaluate.calibration": {"temperature": 0.6, "ece": 0.1, "ece_scaled": 0.01}},),
        ["10.0 points", "too unsure", "0.60"],
        ({"evaluate.calibration": {"temperature": 0.6, "ece": 0.03, "ece_scaled": 0.01}},),
    ),
    (
        "miscalibrated",
        ({"evaluate.calibration": {"temperature": 2.0, "ece": 0.2, "ece_scaled": 0.1}},),
        ["too sure", "leaves 10.0 points"],
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


def test_nothing_is_concluded_from_few_test_images() -> None:
    weak = {"evaluate.per_class.cat": scores(0.5, 0.4, 0.6), "robustness.noise.medium": 0.5}
    assert len(diagnose(changed(weak))) == 2
    assert diagnose(changed({**weak, "subsample.test.images": FEWEST_IMAGES - 1})) == []


def test_each_suggestion_changes_a_parameter_that_there_is() -> None:
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    evidence = Evidence({}, {}, parameters)
    for name in NEXT:
        finding = Finding("", "", "", (name,), "")
        before = evidence.parameter(*name.split("."))
        assert before is not None, name
        told = command(finding, evidence)
        assert told.startswith(f"dvc exp run -S {name}=")
        assert told.removeprefix(f"dvc exp run -S {name}=") != str(before)
    assert command(Finding("", "", "", ("no.such",), ""), evidence) == ""


def test_every_parameter_that_a_rule_names_is_one_of_params_yaml() -> None:
    named = {
        name
        for rule, calling, *_ in CASES
        for found in rule_named(rule)(changed(*calling))
        for name in found.parameters
    }
    assert named - set(dict(leaves(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))))) == set()


def test_findings_come_in_the_order_of_their_gravity() -> None:
    many = changed({"evaluate.mva_met": False, "audit.maps.word": "refuted", "evaluate.label_errors": {"suspected": 3}})
    missed, audit, labels = diagnose(many)
    assert [part in found.symptom for found, part in ((missed, "missed"), (audit, "heat maps"), (labels, "label"))] == [
        True
    ] * 3


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
