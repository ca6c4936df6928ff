"""The report on a change, on runs made for each case: what the verdict says, and what is left out where it must be."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tests.transfer.report.healthy_run import CLASSES, changed
from transfer.comparison.changes import SeedSpread, recipe_of
from transfer.comparison.sections import TEMPLATE, Run, facts, paired, true_and_predicted
from transfer.report.evidence import Evidence, leaves
from transfer.report.page import fill_in

EACH, ERRORS = 500, 14  # images of each class, and errors of each pair of classes: the healthy run's


def with_errors(fixed: int = 0, **figures: Any) -> Evidence:
    """The healthy run with so many of its errors fixed (from the first on), or new ones made if it is negative."""
    pairs = [(a, b) for a in CLASSES for b in CLASSES if a != b for _ in range(ERRORS)]
    rows = [(a, a) if i < fixed else (a, b) for i, (a, b) in enumerate(pairs)]
    rows += [(a, a) for a in CLASSES for _ in range(EACH - ERRORS * (len(CLASSES) - 1))]
    first = rows.index(("cat", "cat"), len(pairs))
    rows[first : first + max(-fixed, 0)] = [("cat", "dog")] * max(-fixed, 0)
    table = [{"actual": actual, "predicted": predicted} for actual, predicted in rows]
    return changed({name.replace("__", "."): value for name, value in figures.items()}, {"evaluate/confusion": table})


RUN = with_errors()


def data(before: Evidence, after: Evidence, spread: SeedSpread | None = None, lock: tuple = ({}, {})) -> dict[str, Any]:
    runs = [Run(evidence, stages) for evidence, stages in zip((before, after), lock, strict=True)]
    return facts(runs[0], runs[1], paired(before, after), spread)


def written(before: Evidence, after: Evidence, notes: dict[str, str] | None = None, most: int = 50, **more: Any) -> str:
    content = {"notes": notes, "pictures": {}, "compared_with": "With x.", "how_to_draw": "Draw.", "most": most}
    return fill_in(TEMPLATE, {**data(before, after, **more), **content})


def verdict(before: Evidence, after: Evidence) -> str:
    return written(before, after).splitlines()[2].strip("*").replace("\\", "")


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n\n")[1].split("\n## ")[0]


def test_the_verdict_is_the_comparisons_sentence() -> None:
    after = with_errors(60)
    old, new = (100 * accuracy_score(*names) for e in (RUN, after) if (names := true_and_predicted(e)) is not None)
    assert verdict(RUN, after).startswith(f"Accuracy {old:.1f} → {new:.1f}, +{new - old:.1f} points, 95 % interval ")
    assert verdict(RUN, after).endswith(", McNemar p < 0.001: better.")
    assert verdict(after, RUN).endswith(": worse.")
    assert verdict(RUN, with_errors()).endswith("p = 1.000: the same answers.")


def test_without_a_baseline_the_verdict_says_so() -> None:
    nothing = Evidence({})
    assert verdict(nothing, RUN) == "No baseline yet: accuracy 91.6 %, and nothing before it to compare with."
    assert verdict(RUN, nothing).startswith("No verdict: the change holds no metrics/evaluate/confusion.tsv; run dvc")
    assert data(RUN, nothing)["minimum"] is None
    found = data(nothing, RUN)["metrics"]
    assert {row[3] for rows in (found["headline"], found["others"]) for row in rows} == {"new"}
    text = written(nothing, RUN, lock=(None, {"fit": {}}))
    assert section(text, "Stages that ran").startswith("There was no dvc.lock before.\n\n| stage |")
    assert "Predictions that changed" not in text
    assert section(written(RUN, nothing, lock=({}, None)), "Stages that ran").startswith(
        "The change holds no dvc.lock;"
    )


def test_other_test_images_are_not_paired_and_the_rest_is_still_told() -> None:
    before = with_errors(evaluate__per_class__cat__f1=0.8, evaluate__per_class__dog__f1=0.93)
    after = with_errors(60, subsample__test__positions_sha256="4" * 64)
    assert paired(before, after) is None
    assert verdict(before, after).startswith("Accuracy 91.6 → 94.6, +3.0 points, 95 % interval ")
    assert "which cannot be paired; seed and subsample.test_size must be equal" in verdict(before, after)
    assert [row[0] for row in data(before, after)["classes"]] == ["cat", "dog"]
    assert "| cat | 0.8000 | 0.9100 | +0.1100 |" in section(written(before, after), "Classes")
    assert "Learning curves" in written(before, after)
    fewer = changed({}, {"evaluate/confusion": [dict(row) for row in RUN.tables["evaluate/confusion"][:100]]})
    assert paired(before, fewer) is None


def test_the_interval_of_images_that_are_not_paired_is_wider() -> None:
    """Newcombe's for two shares of 2,000 against the normal approximation by hand."""
    accuracy = data(RUN, with_errors(60, subsample__test__positions_sha256="4" * 64))["accuracy"]
    half = 1.96 * np.sqrt(0.916 * 0.084 / 2000 + 0.946 * 0.054 / 2000)
    assert (accuracy.ci_low, accuracy.ci_high) == pytest.approx((0.03 - half, 0.03 + half), abs=0.001)


def test_the_minimum_says_what_it_was_before() -> None:
    missed = with_errors(evaluate__mva_met=False)
    met = "**✅ Minimum viable accuracy met: macro F1 0.9100, at least 0.65 required."
    for before, ends in ((RUN, " Before the change: met.**"), (missed, " Before the change: missed.**")):
        assert f"\n{met}{ends}\n" in written(before, RUN)
    assert f"\n{met}**\n" in written(Evidence({}), RUN)
    assert "**❌ Minimum viable accuracy missed: macro F1 0.9100" in written(RUN, missed)


def test_equal_figures_are_told_in_one_line() -> None:
    text = written(RUN, with_errors())
    assert section(text, "Metrics").startswith("Nothing changed: all ")
    assert section(text, "Parameters").strip() == "No parameter changed."
    assert section(text, "Stages that ran").strip() == "None: dvc.lock records the same of every stage as before."
    told = "Of 2,000 test images, 0 are newly right and 0 newly wrong."
    assert section(text, "Predictions that changed").strip() == told
    assert "\n\n\n" not in text


def test_figures_are_judged_by_the_noise_that_was_recorded() -> None:
    recorded = {
        "metrics": {"accuracy": {"mean": 0.91, "std": 0.002}, "loss": {"mean": 0.3, "std": 0.1}},
        "seeds": [0, 1, 2],
        "parameters": recipe_of(RUN.parameters),
    }
    spread = SeedSpread.model_validate({**recorded, "recipe": "laptop"})
    after = with_errors(evaluate__accuracy=0.932, evaluate__loss=0.4, evaluate__brier=0.00012, evaluate__mva_met=False)
    found = data(RUN, after, spread)["metrics"]
    assert found["others"] == []
    assert found["headline"] == [
        ["evaluate.accuracy", "0.9120", "0.9320", "+0.0200", "beyond the noise between seeds"],
        ["evaluate.loss", "0.3000", "0.4000", "+0.1000", "within"],
        ["evaluate.brier", "0.1500", "1.20e-04", "-0.1499", "not recorded"],
        ["evaluate.mva_met", "yes", "no", "", "not recorded"],
    ]
    validated = with_errors(fine_tune__val__loss=0.2, fine_tune__val__accuracy=0.95)
    known = SeedSpread.model_validate({**recorded, "metrics": {"val.accuracy": {"mean": 0.9, "std": 0.001}}})
    others = data(RUN, validated, known)["metrics"]["others"]
    assert [row[4] for row in others] == ["not recorded", "beyond the noise between seeds"]
    text = section(written(RUN, after, spread=spread), "Metrics")
    assert "all 2 figures together (Student's t, Bonferroni; recipe laptop, seeds 0, 1, 2)" in text
    other = SeedSpread.model_validate({**recorded, "parameters": {"resize.size_px": 1}})
    assert {len(row) for row in data(RUN, after, other)["metrics"]["headline"]} == {4}
    text = section(written(RUN, after, spread=other), "Metrics")
    assert "against the noise" not in text
    assert "measured with other parameters than those of these runs (seeds 0, 1, 2)" in text
    assert "is not recorded (experiments/seed_spread.json); make seeds measures it." in written(RUN, after)


def test_a_figure_that_no_seed_changes_has_no_noise_and_is_not_counted() -> None:
    stds = {"accuracy": 0.002, "loss": 0}
    recorded = {name: {"mean": 0.9, "std": std} for name, std in stds.items()}
    parameters = recipe_of(RUN.parameters)
    spread = SeedSpread.model_validate({"metrics": recorded, "seeds": [0, 1, 2], "parameters": parameters})
    found = data(RUN, with_errors(evaluate__accuracy=0.99, evaluate__loss=0.4), spread)["metrics"]
    assert [row[4] for row in found["headline"]] == ["beyond the noise between seeds", "the same for all seeds"]
    assert found["judged"] == 1


def test_a_side_without_any_figure_is_told_instead_of_a_count_of_changes() -> None:
    count = sum(1 for _ in leaves(RUN.metrics))
    first = section(written(Evidence({}), RUN), "Metrics")
    assert first.startswith(f"There were no figures before: {count} are new. ")
    assert section(written(RUN, Evidence({})), "Metrics").startswith(f"The change holds no figures: {count} are gone; ")
    assert "figures changed" not in first


def test_figures_appear_vanish_and_lie_apart_by_where_they_are_from() -> None:
    before = with_errors()
    after = with_errors(evaluate__top1=0.9, robustness__mean_drop=0.05, evaluate__accuracy_ci_low=0)
    del before.metrics["robustness"]["noise"]["mild"]  # type: ignore[union-attr]
    del after.metrics["audit"]["model"]["why"]  # type: ignore[union-attr]
    found = data(before, after)["metrics"]
    assert found["changed"] == 5
    assert found["headline"] == [["evaluate.top1", "none", "0.9000", "new"]]
    assert [(row[0], row[3]) for row in found["others"]] == [
        ("robustness.mean_drop", "+0.0200"),
        ("robustness.noise.mild", "new"),
        ("audit.model.why", "gone"),
    ]
    text = section(written(before, after), "Metrics")
    assert text.index("**Test split**") < text.index("<details><summary>Single classes") < text.index("</details>")


def test_parameters_before_and_after_and_those_that_nobody_ran() -> None:
    train = {"head": {"hidden": [128]}, "augment": {"shift_fraction": 0.125}}
    resize = {**RUN.parameters["resize"], "size_px": 128}
    after = Evidence({}, {}, {**RUN.parameters, "resize": resize, "train": train, "new": {"a": None}})
    lock = {"resize": {"params": {"params.yaml": {"resize": {"size_px": 96, "interpolation": "cubic"}}}}}
    assert data(RUN, after)["parameters"] == [
        ["resize.size_px", "96", "128"],
        ["new.a", "none", "None"],
        ["train.augment.mirror", "True", "none"],
    ]
    text = section(written(RUN, after, lock=(lock, lock)), "Parameters")
    assert text.startswith("Not run with the values of params.yaml: resize.size_px; run dvc repro.\n\n| parameter |")
    assert "| `resize.size_px` | `96` | `128` |" in text


def test_stages_say_why_they_ran() -> None:
    def entry(code: str, md5: str) -> dict[str, Any]:
        files = [{"path": f"transfer/{letter}.py", "md5": code} for letter in "abcdef"]
        return {"cmd": "x", "deps": files, "outs": [{"path": "model", "md5": md5}]}

    lock = {"fit": entry("1", "1"), "old": {"cmd": "x"}}, {"train": entry("2", "2"), "plot": {"cmd": "x"}}
    code = "transfer/a.py, transfer/b.py, transfer/c.py, transfer/d.py and 2 more"
    assert section(written(RUN, RUN, lock=lock), "Stages that ran").splitlines()[2:] == [
        f"| `train` | renamed, was fit; code: {code} | model | ",
        "| `plot` | new |  | ",
        "| `old` | gone |  | ",
    ]
    both = {"fit": {"cmd": "x"}}, {"fit": {"cmd": "y", "params": {"params.yaml": {"lr": 1}}}}
    assert "| `fit` | parameters: lr; command |  |" in written(RUN, RUN, lock=both)


def test_classes_with_the_largest_change_come_first() -> None:
    lines = section(written(RUN, with_errors(-30)), "Classes").splitlines()
    assert [line.split(" | ")[0] for line in lines[4:7]] == ["| accuracy", "| macro F1", "| recall of cat"]
    assert lines[6].startswith("| recall of cat | 91.6 | 85.6 | -6.0 |")


def test_notes_stand_where_the_picture_would() -> None:
    notes = {"curves": "no curves", "newly_right": "no strips", "heat_maps": "no maps"}
    text = written(RUN, with_errors(1), notes)
    assert section(text, "Learning curves").strip().endswith("\n\nno curves")
    told = "Of 2,000 test images, 1 is newly right and 0 newly wrong.\n\nno strips"
    assert section(text, "Predictions that changed").strip() == told
    assert section(text, "Heat maps").strip() == "no maps"
    assert "Heat maps" not in written(RUN, RUN)


def test_long_tables_and_cells_are_cut_and_say_so() -> None:
    many = {f"m{i}": f"{i}\n{'x' * 500}" for i in range(30)}
    text = section(written(RUN, with_errors(-30, evaluate__more=many), most=10), "Metrics")
    assert "**Test split (the first 10 of 30)**" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `evaluate.more.")]
    assert len(rows) == 10
    assert {len(row[2]) for row in rows} == {160}
    assert rows[3][2].startswith("3 xxx")
    assert "(the first" not in section(written(RUN, with_errors(-30), most=10), "Classes")
