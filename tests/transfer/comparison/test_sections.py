"""The report's sections on runs made for each case: what the verdict says, and what is left out where it cannot be."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from transfer.report.sections import Section, Table

from tests.transfer.report.healthy_run import TABLES, changed, healthy
from transfer.comparison.changes import SeedSpread
from transfer.comparison.sections import Run, answers, judged, paired, sections, shortened, verdict
from transfer.report.evidence import Evidence


def with_errors(count: int, **figures: Any) -> Evidence:
    """The healthy run with so many of its errors mended (from the first on), or new ones made if it is negative."""
    rows = [dict(row) for row in healthy().tables["confusion"]]
    for row in [row for row in rows if row["actual"] != row["predicted"]][: max(count, 0)]:
        row["predicted"] = row["actual"]
    for row in [row for row in rows if row["actual"] == row["predicted"] == "cat"][: max(-count, 0)]:
        row["predicted"] = "dog"
    return changed({name.replace("__", "."): value for name, value in figures.items()}, {"confusion": rows})


def written(before: Evidence, after: Evidence, spread: SeedSpread | None = None, **more: Any) -> dict[str, Section]:
    lock = more.pop("lock", ({}, {}))
    runs = [Run(evidence, stages) for evidence, stages in zip((before, after), lock, strict=True)]
    found = sections(runs[0], runs[1], paired(before, after), spread, more.pop("notes", None))
    return {section.title: section for section in found}


def said(before: Evidence, after: Evidence) -> str:
    return verdict(before, after, paired(before, after))


def test_the_verdict_is_the_comparisons_sentence() -> None:
    before, after = healthy(), with_errors(60)
    now, was = answers(after), answers(before)
    assert now is not None
    assert was is not None
    old, new = (100 * accuracy_score(given[0], given[1]) for given in (was, now))
    assert said(before, after).startswith(f"Accuracy {old:.1f} → {new:.1f}, +{new - old:.1f} points, 95 % interval ")
    assert said(before, after).endswith(", McNemar p < 0.001: better.")
    assert said(after, before).endswith(": worse.")
    assert said(before, healthy()).endswith("p = 1.000: no difference is shown.")


def test_without_a_baseline_the_verdict_says_so() -> None:
    nothing = Evidence({})
    assert said(nothing, healthy()) == "No baseline yet: accuracy 91.6 %, and nothing before it to compare with."
    assert said(healthy(), nothing).startswith("No verdict: the change holds no confusion.tsv; run dvc repro")
    assert judged(healthy(), nothing) is None
    found = written(nothing, healthy(), lock=(None, {"fit": {}}))
    assert {row[3] for table in found["Metrics"].tables for row in table.rows} == {"new"}
    assert found["Stages that ran"].text == ["There was no dvc.lock before."]
    assert "Answers that changed" not in found
    assert written(healthy(), nothing, lock=({}, None))["Stages that ran"].text[0].startswith("The change holds no dvc")


def test_other_test_images_are_not_paired_and_the_rest_is_still_told() -> None:
    before = changed({"evaluate.per_class.cat.f1": 0.8, "evaluate.per_class.dog.f1": 0.93})
    after = with_errors(60, subsample__test__positions_sha256="4" * 64)
    assert paired(before, after) is None
    assert said(before, after).startswith("Accuracy 91.6 → 94.6, +3.0 points, 95 % interval ")
    assert "which cannot be paired; seed and subsample.test_size must be equal" in said(before, after)
    found = written(before, after)
    assert [row[0] for row in found["Classes"].tables[0].rows] == ["cat", "dog"]
    assert "Learning curves" in found
    fewer = changed({}, {"confusion": list(TABLES["confusion"])[:100]})
    assert paired(before, fewer) is None


def test_the_interval_of_images_that_are_not_paired_is_wider() -> None:
    """Newcombe's for two shares of 2,000 against the normal approximation by hand."""
    text = said(healthy(), with_errors(60, subsample__test__positions_sha256="4" * 64))
    low, high = (float(text.split("interval ")[1].split(":")[0].split(" to ")[i]) for i in (0, 1))
    half = 196 * np.sqrt(0.916 * 0.084 / 2000 + 0.946 * 0.054 / 2000)
    assert (low, high) == pytest.approx((3.0 - half, 3.0 + half), abs=0.1)


def test_the_gate_says_what_it_was_before() -> None:
    missed = changed({"evaluate.mva_met": False})
    for before, ends in ((healthy(), "met."), (missed, "missed.")):
        gate = judged(before, healthy())
        assert gate is not None
        assert gate.met
        assert (
            gate.sentence
            == f"Minimum viable accuracy met: macro F1 0.9100, at least 0.65 wanted. Before the change: {ends}"
        )
    alone = judged(Evidence({}), healthy())
    assert alone is not None
    assert "Before" not in alone.sentence


def test_equal_figures_are_told_in_one_line() -> None:
    found = written(healthy(), healthy())
    (line,) = found["Metrics"].text
    assert line.startswith("Nothing changed: all ")
    assert found["Metrics"].tables == ()
    assert found["Parameters"].text == ["No parameter changed."]
    assert found["Stages that ran"].text == ["None: dvc.lock says of every stage what it said before."]
    assert found["Answers that changed"].text == ["Of 2,000 test images 0 are newly right and 0 newly wrong."]


def test_figures_are_judged_by_the_noise_that_was_recorded() -> None:
    recorded = {
        "metrics": {"accuracy": {"mean": 0.91, "std": 0.002}, "loss": {"mean": 0.3, "std": 0.1}},
        "seeds": [0, 1, 2],
    }
    spread = SeedSpread.model_validate({**recorded, "recipe": "laptop"})
    after = changed(
        {"evaluate.accuracy": 0.92, "evaluate.loss": 0.4, "evaluate.brier": 0.00012, "evaluate.mva_met": False}
    )
    section = written(healthy(), after, spread)["Metrics"]
    (table,) = section.tables
    assert table.rows == [
        ["evaluate.accuracy", "0.9120", "0.9200", "+0.0080", "beyond the noise between seeds"],
        ["evaluate.loss", "0.3000", "0.4000", "+0.1000", "within"],
        ["evaluate.brier", "0.1500", "1.20e-04", "-0.1499", "not recorded"],
        ["evaluate.mva_met", "yes", "no", "", "not recorded"],
    ]
    validated = changed({"fine_tune.val.loss": 0.2, "fine_tune.val.accuracy": 0.95})
    known = SeedSpread.model_validate({"metrics": {"val.accuracy": {"mean": 0.9, "std": 0.01}}, "seeds": [0, 1]})
    (others,) = written(healthy(), validated, known)["Metrics"].tables
    assert [row[4] for row in others.rows] == ["not recorded", "beyond the noise between seeds"]
    assert "(measured with 3 seeds of recipe laptop)" in section.text[1]
    assert written(healthy(), after)["Metrics"].text[1].endswith("make seeds measures it.")


def test_figures_appear_vanish_and_lie_apart_by_where_they_are_from() -> None:
    before, after = (
        healthy(),
        changed({"evaluate.top1": 0.9, "robustness.mean_drop": 0.05, "evaluate.accuracy_ci_low": 0}),
    )
    del before.metrics["robustness"]["noise"]["mild"]  # type: ignore[union-attr]
    del after.metrics["audit"]["verdict"]  # type: ignore[union-attr]
    split, others = written(before, after)["Metrics"].tables
    assert split.rows == [["evaluate.top1", "none", "0.9000", "new", "not recorded"]]
    assert [(row[0], row[3]) for row in others.rows] == [
        ("robustness.mean_drop", "+0.0200"),
        ("robustness.noise.mild", "new"),
        ("audit.verdict", "gone"),
    ]
    assert (split.folded, others.folded) == (False, True)


def test_parameters_before_and_after_and_those_that_nobody_ran() -> None:
    before = healthy()
    train = {"head": {"hidden": [128]}, "augment": {"shift_fraction": 0.125}}
    resize = {**before.parameters["resize"], "size_px": 128}
    after = Evidence({}, {}, {**before.parameters, "resize": resize, "train": train, "new": {"a": None}})
    lock = {"resize": {"params": {"params.yaml": {"resize": {"size_px": 96, "interpolation": "cubic"}}}}}
    section = written(before, after, lock=(lock, lock))["Parameters"]
    assert section.tables[0].rows == [
        ["resize.size_px", "96", "128"],
        ["new.a", "none", "None"],
        ["train.augment.mirror", "True", "none"],
    ]
    assert section.text == ["Not run with the values of params.yaml: resize.size_px; run dvc repro."]


def test_stages_say_why_they_ran() -> None:
    def entry(code: str, md5: str) -> dict[str, Any]:
        files = [{"path": f"transfer/{letter}.py", "md5": code} for letter in "abcdef"]
        return {"cmd": "x", "deps": files, "outs": [{"path": "model", "md5": md5}]}

    lock = {"fit": entry("1", "1"), "old": {"cmd": "x"}}, {"train": entry("2", "2"), "plot": {"cmd": "x"}}
    assert written(healthy(), healthy(), lock=lock)["Stages that ran"].tables[0].rows == [
        [
            "train",
            "renamed, was fit; code: transfer/a.py, transfer/b.py, transfer/c.py, transfer/d.py and 2 more",
            "model",
        ],
        ["plot", "new", ""],
        ["old", "gone", ""],
    ]


def test_classes_with_the_largest_change_come_first() -> None:
    rows = written(healthy(), with_errors(-30))["Classes"].tables[0].rows
    assert [row[0] for row in rows[:3]] == ["accuracy", "macro F1", "recall of cat"]
    assert rows[2][1:4] == ["91.6", "85.6", "-6.0"]


def test_notes_stand_where_the_picture_would() -> None:
    notes = {"curves": "no curves", "newly_right": "no strips", "grad_cam": "no maps"}
    found = written(healthy(), with_errors(5), notes=notes)
    assert found["Learning curves"].text[-1] == "no curves"
    assert found["Answers that changed"].text == [
        "Of 2,000 test images 5 are newly right and 0 newly wrong.",
        "no strips",
    ]
    assert found["Grad-CAM"].text == ["no maps"]
    assert "Grad-CAM" not in written(healthy(), healthy())


def test_long_tables_and_cells_are_cut_and_say_so() -> None:
    table = Table("Many", ["a"], [[f"{i}\n{'x' * 500}"] for i in range(30)])
    cut, same = shortened(Section("s", tables=[table, Table("Few", ["a"], [["1"]])]), 10).tables
    assert cut.title == "Many (the first 10 of 30)"
    assert len(cut.rows) == 10
    assert {len(row[0]) for row in cut.rows} == {160}
    assert cut.rows[3][0].startswith("3 xxx")
    assert (same.title, same.rows) == ("Few", [["1"]])
