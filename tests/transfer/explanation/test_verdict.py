"""The verdicts follow from whole intervals, apart from each other, and too few images decide nothing."""

from typing import Any

import numpy as np
import pytest

from tests.transfer.explanation.test_audit import table_of
from transfer.explanation.audit import summarise
from transfer.explanation.verdict import FEWEST, PLAIN, maps_verdict, model_verdict, number

CLASSES = ("airplane", "bird", "cat", "ship")
GAP, CORRELATION = 0.142, 0.5


def figures_of(images: int = 60, lost_by: str = "foreground") -> dict[str, Any]:
    figures = gap(summarise(table_of(images, lost_by), 0), "mask_gain", 0.5)
    figures["faithfulness"] = {"images": images}
    for kind in ("insertion", "deletion"):
        figures["faithfulness"] |= {f"{kind}_gain": 0.2, f"{kind}_gain_ci_low": 0.1, f"{kind}_gain_ci_high": 0.3}
        for name in PLAIN:
            ends = {f"{kind}_gain_over_{name}_ci_low": 0.01, f"{kind}_gain_over_{name}_ci_high": 0.1}
            figures["faithfulness"] |= {f"{kind}_gain_over_{name}": 0.05, **ends}
    figures["sanity"] = {name: correlation(share, images=images) for name, share in (("head", 0.6), ("conv1", 0.1))}
    figures["per_class"] = {name: summarise(table_of(images // 4, lost_by), 0) for name in CLASSES}
    return figures


def correlation(share: float, constant: float = 0.0, images: int = 60) -> dict[str, float]:
    ends = {"rank_correlation_ci_low": share - 0.05, "rank_correlation_ci_high": share + 0.05}
    return {"images": images, "rank_correlation": share, **ends, "constant": constant}


def gap(figures: dict[str, Any], name: str, value: float, reach: float = 0.02) -> dict[str, Any]:
    ends = {f"{name}_ci_low": value - reach, f"{name}_ci_high": value + reach}
    figures["counterfactual"] |= {name: value, **ends}
    return figures


def test_an_object_that_decides_is_confirmed_with_its_figures():
    word, why = model_verdict(figures_of(160), GAP, CLASSES)
    assert word == "confirmed"
    assert why.startswith(
        "a misleading background costs 0.0 points (−2.3 to 2.3) of accuracy beside one of the same class, no more than "
        "the limit of 14.2, "
    )
    assert "another object 100.0 points (97.7 to 100.0); 160 images" in why
    assert "an ImageNet ResNet-50 7.3" in why
    assert "airplane 0.0 points (40 images), bird 0.0 points (40 images), ship 0.0 points (40 images)" in why
    assert "by class" not in model_verdict(figures_of(60), GAP, CLASSES).why  # 15 images a class


def test_surroundings_that_decide_refute():
    assert model_verdict(figures_of(60, "background"), GAP, CLASSES).word == "refuted"


@pytest.mark.parametrize("value", [0.13, 0.16])
def test_a_background_that_costs_more_than_the_anchor_is_undecided(value: float):
    assert model_verdict(gap(figures_of(), "background_gap", value), GAP, CLASSES).word == "undecided"
    assert model_verdict(gap(figures_of(), "background_gap", value), 0.2, CLASSES).word == "confirmed"
    assert "perhaps more than the limit" in model_verdict(gap(figures_of(), "background_gap", value), GAP, CLASSES).why
    assert "class, more than the limit" in model_verdict(gap(figures_of(), "background_gap", 0.4), GAP, CLASSES).why


def test_masks_that_are_worth_nothing_confirm_nothing():
    word, why = model_verdict(gap(figures_of(), "mask_gain", 0.0), GAP, CLASSES)
    assert (word, "the masks may not hold the objects" in why) == ("undecided", True)


def test_an_interval_that_holds_zero_is_undecided():
    assert model_verdict(gap(figures_of(), "object_minus_background", 0.01), GAP, CLASSES).word == "undecided"
    assert model_verdict(gap(figures_of(), "object_minus_background", -0.01), GAP, CLASSES).word == "undecided"


@pytest.mark.parametrize("lost_by", ["foreground", "background"])
def test_few_images_decide_nothing(lost_by: str):
    figures = figures_of(FEWEST - 1, lost_by)
    word, why = model_verdict(figures, GAP, CLASSES)
    assert (word, f"{FEWEST - 1} images" in why) == ("undecided", True)
    assert maps_verdict(figures, CORRELATION).word == "undecided"
    assert model_verdict({"per_class": {}}, GAP, CLASSES).word == "undecided"
    assert maps_verdict({}, CORRELATION).word == "undecided"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "confirmed"),
        ({"insertion_gain_ci_low": -0.1}, "undecided"),
        ({"deletion_gain_ci_low": -0.3, "deletion_gain_ci_high": -0.1}, "refuted"),
        ({"insertion_gain_over_centre_ci_low": -0.1}, "confirmed"),
        # A spot in the middle, or the edges, do as well.
        ({f"{kind}_gain_over_centre_ci_low": -0.1 for kind in ("insertion", "deletion")}, "undecided"),
        ({f"{kind}_gain_over_edges_ci_low": -0.1 for kind in ("insertion", "deletion")}, "undecided"),
    ],
)
def test_maps_are_faithful_by_both_curves(change: dict[str, float], word: str):
    figures = figures_of()
    figures["faithfulness"] |= change
    assert maps_verdict(figures, CORRELATION).word == word


def test_the_sentence_names_every_map_that_knows_no_model():
    figures = figures_of()
    why = maps_verdict(figures, CORRELATION).why
    assert why.startswith("against random maps insertion gains 0.200 (0.100 to 0.300) of probability, deletion 0.200 (")
    assert "against the image's edges 0.050 (0.010 to 0.100) and 0.050 (0.010 to 0.100); 60 images" in why
    for kind in ("insertion", "deletion"):
        figures["faithfulness"][f"{kind}_gain_over_edges_ci_low"] = -0.05
    why = maps_verdict(figures, CORRELATION).why
    assert why.startswith("maps that know no model may do as well: the image's edges; against random maps")


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (correlation(0.1), "confirmed"),
        (correlation(0.48), "undecided"),
        (correlation(0.6), "refuted"),
        (correlation(0.1, constant=0.9), "undecided"),  # an empty map is no proof of anything
        ({"images": 60, "constant": 1.0}, "undecided"),
        (correlation(0.9, images=5), "undecided"),
    ],
)
def test_maps_are_sane_by_the_last_step(step: dict[str, float], word: str):
    figures = figures_of()
    figures["sanity"]["conv1"] = step
    assert maps_verdict(figures, CORRELATION).word == word


def test_a_failed_explainer_says_nothing_of_the_model():
    figures = figures_of()
    before = model_verdict(figures, GAP, CLASSES)
    for name in ("faithfulness", "sanity", "energy_inside", "pointing"):
        del figures[name]
    assert model_verdict(figures, GAP, CLASSES) == before
    assert not np.isnan(figures["counterfactual"]["background_gap"])


def test_a_negative_figure_has_a_minus_sign_and_zero_has_none() -> None:
    assert [number(value, 3) for value in (-0.0003, 0.0, -0.07, 0.125)] == ["0.000", "0.000", "−0.070", "0.125"]
