"""Sentences that such reports like to make, each answered by a figure: confirmed, refuted or undecided."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import chi2

from transfer.evaluation.scores import paired_difference
from transfer.report.evidence import Evidence, difference_interval, interval, percent, points
from transfer.report.finding import OVERFITTING_GAP
from transfer.report.gate import last_phase, validation_minus_test

Verdict = Literal["confirmed", "refuted", "undecided"]

SIGNIFICANCE = 0.01
ENOUGH_EXPECTED = 5  # mean expected errors a cell, below which chi-square's distribution does not hold (Cochran 1952)
PARALLEL = 0.02  # most that the distance of two curves may change if they are to be called parallel


@dataclass(frozen=True)
class Claim:
    """A sentence, its verdict, and the figures that decide."""

    claim: str
    verdict: Verdict
    evidence: str


def by_sign(low: float, high: float) -> Verdict:
    """Whether an interval is above 0, below it, or holds it."""
    return "confirmed" if low > 0 else "refuted" if high < 0 else "undecided"


def confusion_from(evidence: Evidence) -> tuple[list[str], np.ndarray]:
    """Class names and the confusion matrix (C, C) of actual and predicted classes."""
    answers = evidence.rows("evaluate/confusion")
    classes = list(evidence.figure("evaluate", "per_class") or sorted({row["actual"] for row in answers}))
    counted = Counter((row["actual"], row["predicted"]) for row in answers)
    return classes, np.array([[counted[actual, said] for said in classes] for actual in classes])


def errors_chi_square(counts: np.ndarray) -> tuple[float, int, float]:
    """Chi-square, degrees of freedom and p of: each class's errors fall evenly on all other classes.

    counts (C, C), C of 3 or more (Pearson 1900). Classes without an error say nothing and are left out.
    """
    size = len(counts)
    off = counts[~np.eye(size, dtype=bool)].reshape(size, size - 1)
    off = off[off.sum(1) > 0]
    expected = off.sum(1, keepdims=True) / (size - 1)
    statistic, freedom = float(((off - expected) ** 2 / expected).sum()), len(off) * (size - 2)
    return statistic, freedom, float(chi2.sf(statistic, freedom))


def errors_are_not_random(evidence: Evidence) -> Iterator[Claim]:
    claim = "Errors are not random."
    if not evidence.rows("evaluate/confusion"):
        return
    classes, counts = confusion_from(evidence)
    errors = int(counts.sum() - counts.trace())
    cells = len(classes) * (len(classes) - 1)
    if len(classes) < 3 or errors < ENOUGH_EXPECTED * cells:
        yield Claim(claim, "undecided", f"too few errors for {cells} kinds of error: {errors}")
        return
    statistic, freedom, p = errors_chi_square(counts)
    yield Claim(
        claim,
        "confirmed" if p < SIGNIFICANCE else "undecided",
        f"if each class's errors fell evenly on the others: chi-square {statistic:.0f} with {freedom} degrees of "
        f"freedom, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'} ({errors} errors)",
    )


def expected_pairs(evidence: Evidence) -> Iterator[Claim]:
    classes = len(evidence.figure("evaluate", "per_class") or {})
    for row in evidence.rows("evaluate/pairs"):
        if not row["verdict"]:
            continue
        told = "no errors at all"
        if row["share_of_errors"]:
            share, median = float(row["share_of_errors"]), float(row["median_share"])
            ratio = f", {share / median:.1f} times the median pair" if median else ", the median pair has none"
            told = (
                f"rank {row['rank']} of {classes * (classes - 1) // 2} pairs{ratio}: {percent(share)} of all errors "
                f"({interval(float(row['share_ci_low']), float(row['share_ci_high']))})"
            )
        verdict: Verdict = row["verdict"]  # type: ignore[assignment]
        yield Claim(f"{row['first']} and {row['second']} are confused more than most pairs.", verdict, told)


def deformable_classes_are_harder(evidence: Evidence) -> Iterator[Claim]:
    if groups := evidence.figure("evaluate", "groups"):
        low, high = groups["gap_ci_low"], groups["gap_ci_high"]
        yield Claim(
            "Deformable classes are harder than rigid ones.",
            by_sign(low, high),
            f"accuracy on rigid classes {percent(groups['rigid_accuracy'])}, on organic ones "
            f"{percent(groups['organic_accuracy'])}: {points(groups['gap'])} ({interval(low, high)})",
        )


AUDITED = {
    "model": "The model decides by the object, not by its surroundings.",
    "maps": "The heat maps show what the answers rest on.",
}


def held_by_the_audit(evidence: Evidence) -> Iterator[Claim]:
    for part, claim in AUDITED.items():
        verdict: Any = evidence.figure("audit", part) or {"word": "undecided", "why": "no audit was run"}
        yield Claim(claim, verdict["word"], verdict["why"])


def distances(evidence: Evidence) -> list[float]:
    """Training minus validation accuracy at each epoch of fine-tuning."""
    return [float(row["train_accuracy"]) - float(row["val_accuracy"]) for row in evidence.epochs("fine_tune")]


def parallel_curves_prove_generalisation(evidence: Evidence) -> Iterator[Claim]:
    gaps, against_test = distances(evidence), validation_minus_test(evidence)
    if len(gaps) < 2 or against_test is None:
        return
    gap, low, high = against_test
    parallel = max(gaps) - min(gaps) <= PARALLEL
    learned = evidence.figure("evaluate", "train_accuracy_ci_low")
    val = evidence.figure(last_phase(evidence), "val", "accuracy")
    fails = low > 0 or (learned is not None and learned - val > OVERFITTING_GAP)
    # The claim is "if parallel, then it generalises": only parallel curves that fail to generalise deny it, and no
    # single run can prove it.
    yield Claim(
        "Parallel curves of training and validation prove generalisation.",
        "refuted" if parallel and fails else "undecided",
        f"one run can refute this but not confirm it; the curves are {'' if parallel else 'not '}parallel: training "
        f"minus validation went from {points(gaps[0])} to {points(gaps[-1])}; validation minus test {points(gap)} "
        f"({interval(low, high)})",
    )


def unfreezing(evidence: Evidence) -> Iterator[Claim]:
    if not (evidence.ran("train_head") and evidence.ran("fine_tune") and (total := evidence.images("val"))):
        return
    before, first = evidence.figure("train_head", "val", "accuracy"), evidence.epochs("fine_tune")[0]
    after = float(first["val_accuracy"])
    low, high = difference_interval(after, total, before, total)
    # The answers of single epochs are not kept, so the images are not paired: the interval is too wide, and it
    # is the best of phase 1 that the first epoch is held against. Both count against the claim.
    yield Claim(
        "Accuracy jumps at the unfreezing, in the first epoch of phase 2.",
        by_sign(low, high),
        f"validation accuracy {percent(before)} in the best epoch of phase 1, then {percent(after)}: "
        f"{points(after - before)} ({interval(low, high)}, images not paired)",
    )
    yield from fine_tuning_beats_the_frozen_backbone(evidence)


def fine_tuning_beats_the_frozen_backbone(evidence: Evidence) -> Iterator[Claim]:
    answers = evidence.rows("train_head/val_confusion"), evidence.rows("evaluate/val_confusion")
    if not all(answers) or [row["actual"] for row in answers[0]] != [row["actual"] for row in answers[1]]:
        return
    columns = zip(answers, ("predicted", "one_view"), strict=True)
    before, after = (np.array([row["actual"] == row[name] for row in rows]) for rows, name in columns)
    gained, low, high = paired_difference(before, after)
    fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
    yield Claim(
        "Fine-tuning the whole network beats the frozen backbone.",
        by_sign(low, high),
        f"of {len(before):,} validation images, one view of each, {fixed} are right only after phase 2 and {broken} "
        f"only before it: {points(gained)} ({interval(low, high)}, paired)",
    )


def bicubic_keeps_more_detail(evidence: Evidence) -> Iterator[Claim]:
    cubic, linear = (evidence.figure("explore", "interpolation", name) or {} for name in ("cubic", "linear"))
    shared = [name for name in ("kept_energy", "round_trip_psnr_db") if name in cubic and name in linear]
    if not shared:
        return
    better = [cubic[name] > linear[name] for name in shared]
    kinds = {
        "kept_energy": ("share of energy in fine detail", ".3f"),
        "round_trip_psnr_db": ("PSNR after a round trip, dB", ".2f"),
    }
    figures = [
        f"{kinds[name][0]} {cubic[name]:{kinds[name][1]}} against {linear[name]:{kinds[name][1]}}" for name in shared
    ]
    yield Claim(
        "Bicubic enlargement keeps more detail than bilinear.",
        "confirmed" if all(better) else "undecided" if any(better) else "refuted",
        "; ".join(figures),
    )


CLAIMS: tuple[Callable[[Evidence], Iterator[Claim]], ...] = (
    errors_are_not_random,
    expected_pairs,
    deformable_classes_are_harder,
    held_by_the_audit,
    parallel_curves_prove_generalisation,
    unfreezing,
    bicubic_keeps_more_detail,
)


def answer_claims(evidence: Evidence) -> list[Claim]:
    """All claims that the figures can speak to. One whose figures were not measured is left out."""
    return [claim for answer in CLAIMS for claim in answer(evidence)]
