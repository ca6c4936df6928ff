"""The report's sections: their order, what each says of its figures, what is left out where none were measured."""

import pytest

from tests.transfer.training.healthy_run import METRICS, TABLES, changed, healthy
from transfer.report.evidence import Evidence, estimate, shown
from transfer.report.findings import gate
from transfer.report.sections import Section, sections, whole_table

IN_ORDER = [
    *("Result", "Findings", "Claims, answered", "Strengths, weaknesses, opportunities, threats", "What was done"),
    *("Learning curves", "Classes and confusion", "Rigid against organic", "Calibration", "Robustness"),
    *("What the network looks at", "Clever Hans audit", "The data"),
]


def written(evidence: Evidence) -> dict[str, Section]:
    return {section.title: section for section in sections(evidence, gate(evidence), {"commit": "abc"})}


def everything(section: Section) -> str:
    """All words of a section."""
    listed = [text for title, items in section.lists for text in (title, *items)]
    tabled = [text for table in section.tables for row in (table.columns, *table.rows) for text in row]
    return "\n".join([*section.text, *listed, *tabled, *(chart.caption for chart in section.charts)])


def table_of(section: Section, title: str) -> list[list[str]]:
    (table,) = [table for table in section.tables if title in table.title]
    assert all(len(row) == len(table.columns) for row in table.rows)
    return [list(row) for row in table.rows]


def test_all_sections_are_there_in_their_order() -> None:
    assert list(written(healthy())) == IN_ORDER


def test_a_missed_gate_opens_the_report_with_what_failed_and_what_to_try() -> None:
    missed = changed({"evaluate.mva_met": False, "evaluate.macro_f1": 0.6, "fine_tune.train.accuracy": 0.99})
    first, second, *_ = written(missed).values()
    assert (first.title, second.title) == ("Why the gate was missed", "Result")
    assert first.text == ["Minimum viable accuracy missed: macro F1 0.6000, at least 0.65 wanted."]
    lists = dict(first.lists)
    assert "cat (F1 0.910)" in lists["Classes responsible"]
    assert lists["Clusters responsible"] == ("cat, dog (28 errors, 16.7 % of all)",)
    parameters = lists["Parameters to try, in the order of the findings"]
    assert parameters[:3] == ["subsample.train_size", "resize.size_px", "backbone.name"]
    assert "train.fine_tune.weight_decay" in parameters
    assert len(set(parameters)) == len(parameters)


def test_each_section_tells_its_figures() -> None:
    found = written(healthy())
    assert "Accuracy 91.2 % (95 % interval 89.9 to 92.4) on 2,000 test images." in found["Result"].text
    assert ["macro F1", "0.910 (0.900 to 0.920)"] in table_of(found["Result"], "Figures")
    assert found["Findings"].text == ["No rule found anything to mend."]
    assert ["Deformable classes are harder than rigid ones.", "undecided"] in [
        row[:2] for row in table_of(found["Claims, answered"], "")
    ]
    assert [title for title, _ in found["Strengths, weaknesses, opportunities, threats"].lists] == ["Strengths"]
    done = everything(found["What was done"])
    for text in (
        "resnet18",
        "hidden layers of 128",
        "8,000 for training",
        "96 × 96",
        "ab" * 32,
        "abc",
        "train.augment.mirror",
    ):
        assert text in done
    assert "stands at +7.0 points, the best of phase 2 at +11.0 points" in everything(found["Learning curves"])
    assert ["4", "0.001", "0.120", "0.880", "0.130", "0.870"] in table_of(found["Learning curves"], "Every epoch")
    assert len(found["Learning curves"].charts) == 2
    assert ["cat", "dog", "14", "8.3 %"] in table_of(found["Classes and confusion"], "Most frequent errors")
    assert ["cat, dog", "28", "16.7 %"] in table_of(found["Classes and confusion"], "Clusters")
    assert "+0.6 points (95 % interval −2.0 to 3.0)" in everything(found["Rigid against organic"])
    assert "by 1.0 with a temperature of 1.10" in everything(found["Calibration"])
    assert "Of the surest 80 % of answers 98.0 % are right." in found["Calibration"].text
    assert ["noise", "90.0 %", "87.0 %", "85.0 %"] in table_of(found["Robustness"], "under corruption")
    audit = found["Clever Hans audit"]
    assert audit.text[0] == "Passed: the object decides."
    assert ["background", "passed"] in table_of(audit, "Checks")
    assert ["share of the map inside the object", "0.700 (0.650 to 0.750)", "0.600", "0.400"] in table_of(
        audit, "point"
    )
    assert ["ratio", "0.200 (0.150 to 0.250)"] in table_of(audit, "replaced")
    assert table_of(audit, "Faithfulness") == [["insertion cam", "0.800"], ["insertion gain", "0.200 (0.100 to 0.300)"]]
    assert ["head", "0.400"] in table_of(audit, "Sanity")
    assert ["train and train", "0", "3"] in table_of(found["The data"], "twice")
    assert ["cubic", "0.069", "25.800"] in table_of(found["The data"], "interpolation")


@pytest.mark.parametrize("left_out", [name for name in [*METRICS, *TABLES] if name != "evaluate"])
def test_what_was_not_measured_is_left_out_without_an_error(left_out: str) -> None:
    whole = healthy()
    metrics = {name: content for name, content in whole.metrics.items() if name != left_out}
    tables = {name: rows for name, rows in whole.tables.items() if name != left_out}
    found = written(Evidence(metrics, tables, whole.parameters))
    assert set(found) <= set(IN_ORDER)
    assert ("Learning curves" in found) is True  # one phase is enough
    assert ("Robustness" in found) is (left_out != "robustness")
    if left_out == "audit":
        assert "No audit was run" in everything(found["Clever Hans audit"])
    if left_out == "confusion":
        assert found["Classes and confusion"].charts == []


def test_an_evaluation_alone_makes_a_report() -> None:
    bare = {"accuracy": 0.9, "accuracy_ci_low": 0.8, "accuracy_ci_high": 0.95, "macro_f1": 0.9, "mva_met": True}
    per_class = {"cat": {"precision": 0.9, "recall": 0.9, "f1": 0.9}}
    found = written(Evidence({"evaluate": {**bare, "per_class": per_class}}))
    assert found["Result"].text == ["Accuracy 90.0 % (95 % interval 80.0 to 95.0)."]
    assert "Not compared" in everything(found["Rigid against organic"])
    assert not {"Learning curves", "Calibration", "Robustness"} & found.keys()


def test_many_classes_have_no_matrix_but_their_most_frequent_errors() -> None:
    names = [f"class {number}" for number in range(25)]
    answers = [{"actual": name, "predicted": names[0]} for name in names]
    scores = {name: {"precision": 0.0, "recall": 0.0, "f1": 0.0} for name in names}
    found = written(changed({"evaluate.per_class": scores}, {"confusion": answers}))["Classes and confusion"]
    assert found.charts == []
    assert len(table_of(found, "Most frequent errors")) == 10


def test_no_errors_at_all_is_a_report_too() -> None:
    right = [row for row in TABLES["confusion"] if row["actual"] == row["predicted"]]
    found = written(changed({}, {"confusion": right, "clusters": [], "pairs": []}))["Classes and confusion"]
    assert len(found.charts) == 1
    assert [table.title for table in found.tables] == ["Each class, with 95 % intervals"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (3, "3"),
        (0.12345, "0.123"),
        ("7", "7"),
        ("0.98765", "0.988"),
        ("cat", "cat"),
        ("", ""),
    ],
)
def test_values_of_tables_are_shown_for_people(value: object, text: str) -> None:
    assert shown(value) == text


def test_an_estimate_has_its_interval_if_there_is_one() -> None:
    assert estimate({"f1": 0.5, "f1_ci_low": 0.4, "f1_ci_high": 0.6}, "f1") == "0.500 (0.400 to 0.600)"
    assert estimate({"f1": 0.5}, "f1") == "0.500"
    assert estimate({}, "f1") == ""
    # The audit's ratio of two drops, of which the second may be nothing.
    assert estimate({"ratio": 1.5, "ratio_ci_low": 0.5}, "ratio") == "1.500 (0.500 to no limit)"


def test_a_table_without_rows_is_no_table() -> None:
    assert whole_table("t", []) == []
