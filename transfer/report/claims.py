"""Sentences that such reports like to make, each answered by a figure: confirmed, refuted or undecided."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import chi2

from transfer.evaluation.scores import paired_difference
from transfer.report.evidence import Evidence, difference_interval, interval, points
from transfer.report.finding import FEWEST_IMAGES, OVERFITTING_GAP
from transfer.report.gate import training_minus_validation, validation_minus_test
from transfer.runtime.wording import number, percent, plural

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
    if len(classes) < 3:
        yield Claim(claim, "undecided", f"of {len(classes)} classes an error has no choice")
        return
    if errors < ENOUGH_EXPECTED * cells:
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
        few = 0 < evidence.images("test") < FEWEST_IMAGES
        yield Claim(
            "Deformable classes are harder than rigid ones.",
            "undecided" if few else by_sign(low, high),
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
    learned = training_minus_validation(evidence)
    fails = low > 0 or (learned is not None and learned[1] > OVERFITTING_GAP)
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
    best, last = evidence.figure("train_head", "val", "accuracy"), evidence.epochs("train_head")[-1]["val_accuracy"]
    before, after = float(last), float(evidence.epochs("fine_tune")[0]["val_accuracy"])
    low, high = difference_interval(after, total, best, total)[0], difference_interval(after, total, before, total)[1]
    # Confirmed: above the best epoch of phase 1, which was chosen on these images and so looks a little too good.
    # Refuted: below its last epoch, which was not chosen. The answers of single epochs are not kept, so the images are
    # not paired and the intervals too wide, which leaves more undecided.
    yield Claim(
        "Accuracy jumps at the unfreezing, in the first epoch of phase 2.",
        by_sign(low, high),
        f"validation accuracy {percent(best)} in the best and {percent(before)} in the last epoch of phase 1, then "
        f"{percent(after)}: at least {number(100 * low, 1)} points above the best and at most {number(100 * high, 1)} "
        "above the last (95 % intervals, images not paired)",
    )
    yield from fine_tuning_beats_the_frozen_backbone(evidence)


class Gain(NamedTuple):
    """Validation accuracy gained by phase 2, one view of each image, with its interval, and the images behind it."""

    gained: float
    low: float
    high: float
    fixed: int
    broken: int
    images: int


def fine_tuning_gain(evidence: Evidence) -> Gain | None:
    answers = evidence.rows("train_head/val_confusion"), evidence.rows("evaluate/val_confusion")
    if not all(answers) or [row["actual"] for row in answers[0]] != [row["actual"] for row in answers[1]]:
        return None
    columns = zip(answers, ("predicted", "one_view"), strict=True)
    before, after = (np.array([row["actual"] == row[name] for row in rows]) for rows, name in columns)
    fixed, broken = int((after & ~before).sum()), int((before & ~after).sum())
    return Gain(*paired_difference(before, after), fixed, broken, len(before))


def fine_tuning_beats_the_frozen_backbone(evidence: Evidence) -> Iterator[Claim]:
    if (gain := fine_tuning_gain(evidence)) is not None:
        yield Claim(
            "Fine-tuning the whole network beats the frozen backbone.",
            by_sign(gain.low, gain.high),
            f"of {plural(gain.images, 'validation image')}, one view of each, {gain.fixed} are right only after phase "
            f"2 and {gain.broken} only before it: {points(gain.gained)} ({interval(gain.low, gain.high)}, paired)",
        )


def bicubic_keeps_more_detail(evidence: Evidence) -> Iterator[Claim]:
    cubic, linear = (evidence.figure("explore", "interpolation", name) or {} for name in ("cubic", "linear"))
    if not (closer := evidence.figure("explore", "cubic_closer_than_linear")):
        return
    energies = " against ".join(f"{kind['kept_energy']:.3f}" for kind in (cubic, linear) if "kept_energy" in kind)
    share = f"{percent(closer['share'])} of {plural(evidence.figure('explore', 'enlarged', 'images'), 'image')}"
    # Image by image: confirmed if most come closer by bicubic to what they were before they were made small, refuted if
    # most come closer by bilinear, by the whole interval of the share.
    yield Claim(
        "Bicubic enlargement keeps more detail than bilinear.",
        by_sign(closer["ci_low"] - 0.5, closer["ci_high"] - 0.5),
        f"reduced and enlarged again, {share} come closer to the original by bicubic "
        f"({interval(closer['ci_low'], closer['ci_high'])})"
        + (f"; share of energy in fine detail {energies}" if energies else ""),
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
