"""The verdict follows from the figures, names what failed, and does without figures that are missing."""

import copy

import numpy as np
import pytest

from tests.transfer.explanation.test_audit import table_of
from transfer.explanation.audit import summarise
from transfer.explanation.verdict import check, verdict

CLASSES = ("airplane", "bird", "cat", "ship")


def good_figures() -> dict:
    figures = summarise(table_of(20, "foreground"), 0)
    figures["faithfulness"] = {
        "insertion_cam": 0.7, "insertion_random": 0.5, "deletion_cam": 0.2, "deletion_random": 0.4,
        "insertion_gain_ci_low": 0.1, "deletion_gain_ci_low": 0.1,
    }  # fmt: skip
    figures["sanity"] = {"head": {"rank_correlation": 0.6}, "conv1": {"rank_correlation": 0.1}}
    figures["per_class"] = {name: copy.deepcopy(figures) | {"images": 5} for name in CLASSES}
    figures["per_class"]["ship"] = {"images": 5, "accepted": 0}
    return figures


def judged(figures: dict) -> tuple[dict[str, bool], str]:
    checks = check(figures, 0.25, 0.5)
    return checks, verdict(figures, checks, CLASSES)


def test_good_figures_pass_with_every_figure_in_the_sentence():
    checks, sentence = judged(good_figures())
    assert all(checks.values())
    assert sentence == (
        "passed: 90 % of the maps' energy lies on the object (90 to 90 %), of a centred Gaussian's 50 %; "
        "a changed background costs 0.00 of the accuracy that a changed object costs "
        "(0.00 to 0.00; airplane 0.00; bird 0.00; ship unknown); "
        "against random maps the insertion area is 0.70 to 0.50, the deletion area 0.20 to 0.40; "
        "random weights leave a rank correlation of 0.10"
    )


@pytest.mark.parametrize(
    ("place", "value", "failed", "words"),
    [
        (("energy_inside", "cam_ci_low"), 0.5, "localisation", "90 % of the maps' energy"),
        (("counterfactual", "ratio_ci_high"), 0.25, "background", "a changed background costs"),
        (("faithfulness", "insertion_gain_ci_low"), 0, "faithfulness", "against random maps"),
        (("faithfulness", "deletion_gain_ci_low"), -0.01, "faithfulness", "against random maps"),
        (("sanity", "conv1"), {"rank_correlation": 0.5}, "sanity", "random weights leave"),
    ],
)
def test_each_threshold_fails_its_own_check(place: tuple[str, str], value: float, failed: str, words: str):
    figures = good_figures()
    figures[place[0]][place[1]] = value
    checks, sentence = judged(figures)
    assert [name for name, holds in checks.items() if not holds] == [failed]
    assert sentence.startswith(f"not passed: {words}")
    assert "; what holds: " in sentence


def test_a_model_that_looks_at_the_background_does_not_pass():
    figures = good_figures() | summarise(table_of(20, "background", energy=0.1), 0)
    checks, sentence = judged(figures)
    assert not checks["localisation"]
    assert not checks["background"]
    assert sentence.startswith("not passed: 10 % of the maps' energy lies on the object")
    assert "a changed object costs no accuracy, a changed background 1.00" in sentence


def test_without_any_figures_nothing_holds():
    checks, sentence = judged({"per_class": {}})
    assert not any(checks.values())
    assert sentence.count("unknown") == 4
    assert not any(np.isnan(value) for value in checks.values())
