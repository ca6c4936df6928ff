"""Claims are answered by their figures, each verdict can be reached; chi-square is scipy's, intervals Newcombe's."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from tests.transfer.report.healthy_run import CLASSES, TABLES, answers, changed, curve, healthy
from transfer.evaluation.scores import newcombe_interval
from transfer.report.claims import answer_claims, confusion_from, errors_chi_square
from transfer.report.evidence import Evidence, difference_interval, interval, points

EVEN = {(a, b): 14 for a in CLASSES for b in CLASSES if a != b}
NOT_PARALLEL = {"fine_tune": curve(4, (0.80, 0.87), (0.92, 0.90), (0.95, 0.91))}
PAIR = TABLES["evaluate/pairs"][0]
TWO_CLASSES = [{"actual": "cat", "predicted": "dog"}] * 60 + [{"actual": "dog", "predicted": "dog"}] * 60


def verdict_on(words: str, evidence: Evidence) -> str:
    (claim,) = [claim for claim in answer_claims(evidence) if words in claim.claim]
    assert claim.evidence
    return claim.verdict


def groups(low: float, high: float) -> dict[str, Any]:
    figures = {"rigid_accuracy": 0.9, "organic_accuracy": 0.8, "gap": (low + high) / 2}
    return {"evaluate.groups": {**figures, "gap_ci_low": low, "gap_ci_high": high}}


def after_phases(fixed: int, broken: int) -> dict[str, list[dict[str, str]]]:
    """Answers of both phases to the same 200 validation images, so many of them right after one phase only."""
    before = ["dog"] * fixed + ["cat"] * (200 - fixed)
    after = ["cat"] * (200 - broken) + ["dog"] * broken
    return {
        "train_head/val_confusion": [{"actual": "cat", "predicted": name} for name in before],
        "evaluate/val_confusion": [{"actual": "cat", "predicted": "cat", "one_view": name} for name in after],
    }


def test_the_same_gain_is_shown_on_paired_images_only() -> None:
    """4 points on 200 images, which two separate hundreds would not show."""
    (claim,) = [each for each in answer_claims(changed({}, after_phases(9, 1))) if "beats" in each.claim]
    assert claim.verdict == "confirmed"
    assert "9 are right only after phase 2 and 1 only before it: +4.0 points" in claim.evidence
    answers = after_phases(9, 1)
    answers["train_head/val_confusion"].pop()
    assert not [each for each in answer_claims(changed({}, answers)) if "beats" in each.claim]


CASES: list[tuple[str, str, tuple]] = [
    ("not random", "confirmed", ({}, {"evaluate/confusion": answers({**EVEN, ("cat", "dog"): 60})})),
    ("not random", "undecided", ({}, {"evaluate/confusion": answers(EVEN)})),
    (
        "not random",
        "undecided",
        ({}, {"evaluate/confusion": answers({("cat", "dog"): 59})}),
    ),  # fewer than 5 for 12 kinds
    ("cat and dog", "confirmed", ({}, {"evaluate/pairs": [{**PAIR, "verdict": "confirmed"}]})),
    ("cat and dog", "refuted", ({}, {"evaluate/pairs": [{**PAIR, "verdict": "refuted"}]})),
    ("Deformable", "confirmed", (groups(0.01, 0.05),)),
    ("Deformable", "refuted", (groups(-0.05, -0.01),)),
    ("Deformable", "undecided", (groups(-0.01, 0.05),)),
    ("Deformable", "undecided", ({**groups(0.01, 0.05), "subsample.test.images": 99},)),
    ("decides by the object", "confirmed", ({},)),
    ("decides by the object", "refuted", ({"audit.model.word": "refuted"},)),
    ("decides by the object", "confirmed", ({"audit.maps.word": "refuted"},)),  # a failed explainer says nothing of it
    ("heat maps show", "refuted", ({"audit.maps.word": "refuted"},)),
    ("decides by the object", "undecided", ({"audit": {}},)),
    ("Parallel", "undecided", ({},)),  # parallel, and it generalises: one run proves nothing
    ("Parallel", "refuted", ({"evaluate.accuracy_single_view": 0.85},)),  # parallel, and worse on the test split
    (  # parallel, and 60 points apart on plain images
        "Parallel",
        "refuted",
        ({"evaluate.train_accuracy": 0.99}, {"fine_tune": curve(4, (0.95, 0.35), (0.96, 0.36))}),
    ),
    ("Parallel", "undecided", ({}, NOT_PARALLEL)),  # not parallel: says nothing about the claim
    ("Parallel", "undecided", ({"evaluate.accuracy_single_view": 0.85}, NOT_PARALLEL)),
    ("jumps", "confirmed", ({},)),
    ("jumps", "refuted", ({}, {"fine_tune": curve(4, (0.7, 0.7), (0.9, 0.91))})),
    ("jumps", "undecided", ({}, {"fine_tune": curve(4, (0.8, 0.81), (0.9, 0.91))})),
    # Below phase 1's best epoch, which was chosen on these images, but not below its last.
    ("jumps", "undecided", ({}, {"fine_tune": curve(4, (0.7, 0.75)), "train_head": curve(1, (0.8, 0.8), (0.8, 0.74))})),
    ("beats the frozen", "confirmed", ({}, after_phases(40, 10))),
    ("beats the frozen", "undecided", ({}, after_phases(20, 20))),
    ("beats the frozen", "undecided", ({}, after_phases(0, 0))),
    ("beats the frozen", "refuted", ({}, after_phases(10, 60))),
    ("Bicubic", "confirmed", ({},)),
    ("Bicubic", "undecided", ({"explore.cubic_closer_than_linear": {"share": 0.5, "ci_low": 0.4, "ci_high": 0.6}},)),
    ("Bicubic", "refuted", ({"explore.cubic_closer_than_linear": {"share": 0.1, "ci_low": 0.08, "ci_high": 0.13}},)),
]


@pytest.mark.parametrize(("words", "verdict", "change"), CASES)
def test_a_claim_is_answered_by_its_figures(words: str, verdict: str, change: tuple) -> None:
    assert verdict_on(words, changed(*change)) == verdict


def test_of_two_classes_an_error_has_no_choice() -> None:
    evidence = changed({"evaluate.per_class": {"cat": {}, "dog": {}}}, {"evaluate/confusion": TWO_CLASSES})
    (claim,) = [claim for claim in answer_claims(evidence) if "not random" in claim.claim]
    assert (claim.verdict, claim.evidence) == ("undecided", "of 2 classes an error has no choice")


def test_claims_without_figures_are_left_out_but_for_the_audit() -> None:
    bare = {"accuracy": 0.9, "macro_f1": 0.9, "per_class": {}, "mva_met": True}
    claims = answer_claims(Evidence({"evaluate": bare}))
    assert [(claim.verdict, claim.evidence) for claim in claims] == [("undecided", "no audit was run")] * 2


def test_a_pair_that_nobody_expected_is_no_claim() -> None:
    unexpected = changed({}, {"evaluate/pairs": [{**PAIR, "expected": "false", "verdict": ""}]})
    assert not [claim for claim in answer_claims(unexpected) if "cat and dog" in claim.claim]


def test_an_expected_pair_without_any_error_is_told_so() -> None:
    none = dict.fromkeys(("share_of_errors", "share_ci_low", "share_ci_high"), "")
    evidence = changed({}, {"evaluate/pairs": [{**PAIR, **none, "verdict": "undecided"}]})
    (claim,) = [claim for claim in answer_claims(evidence) if "cat and dog" in claim.claim]
    assert "no errors at all" in claim.evidence


def test_chi_square_is_the_sum_of_scipys_a_class() -> None:
    counts = np.random.default_rng(0).integers(0, 30, (5, 5))
    counts[3] = [0, 0, 0, 100, 0]  # a class without errors
    parts = [chisquare(np.delete(counts[row], row)) for row in (0, 1, 2, 4)]
    statistic, freedom, p = errors_chi_square(counts)
    assert statistic == pytest.approx(sum(part.statistic for part in parts))
    assert freedom == 4 * 3
    # The sum of squares of 12 standard normal numbers is as large as rarely as p says.
    draws = (np.random.default_rng(1).standard_normal((200_000, freedom)) ** 2).sum(1)
    assert p == pytest.approx((draws >= statistic).mean(), abs=0.005)
    assert errors_chi_square(np.full((4, 4), 7))[0] == 0


def test_the_confusion_matrix_is_counted_from_the_answers() -> None:
    names, counts = confusion_from(healthy())
    assert names == list(CLASSES)
    assert counts.diagonal().tolist() == [458] * 4
    assert counts[0].tolist() == [458, 14, 14, 14]


@pytest.mark.parametrize(  # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10
    ("hits", "total", "other_hits", "other_total", "low", "high"),
    [
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
    ],
)
def test_difference_intervals_are_those_that_were_published(hits, total, other_hits, other_total, low, high) -> None:
    assert newcombe_interval(hits, total, other_hits, other_total) == pytest.approx((low, high), abs=5e-5)
    shares = difference_interval(hits / total, total, other_hits / other_total, other_total)
    assert shares == newcombe_interval(hits, total, other_hits, other_total)


def test_differences_are_written_with_their_sign_and_never_as_minus_zero() -> None:
    assert points(0.063) == "+6.3 points"
    assert points(-0.063) == "−6.3 points"
    assert points(-0.0004) == "+0.0 points"
    assert interval(-0.0004, 0.05) == "95 % interval 0.0 to 5.0"
