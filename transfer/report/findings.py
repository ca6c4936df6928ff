"""From the figures of a run to what is wrong with it and which parameter to change; every threshold is stated here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from transfer.report.evidence import Evidence, difference_interval, estimate, interval, percent, points

Kind = Literal["weakness", "opportunity", "threat"]

OVERFITTING_GAP = 0.05  # training minus validation accuracy at the kept epoch
UNDERFITTING_ACCURACY = 0.85  # training accuracy below it, though validation is no worse than UNDERFITTING_GAP below
UNDERFITTING_GAP = 0.02
STILL_RISING = 0.003  # validation accuracy gained in the last epoch, which was the best
SMALLEST_GAIN = 0.01  # validation accuracy that fine-tuning has to add
WEAK_CLASS_GAP = 0.05  # F1 of a class below the macro F1
LARGE_CLUSTER = 0.20  # share of all errors within one cluster
LARGE_PAIR = 0.10  # lower end of a pair's share of all errors
CONCENTRATED = 1.5  # such a share, as a multiple of what it were if errors were spread evenly over pairs of classes
WELL_CALIBRATED_ECE = 0.03
FRAGILE_DROP = 0.10  # accuracy lost under a corruption of medium strength
ROBUST_DROP = 0.05  # mean accuracy lost over all corruptions
SHOWN_CLASSES = 3  # the lowest, where none is by itself below the minimum


@dataclass(frozen=True)
class Finding:
    """Something that a figure shows: what is seen, what it means, what to do, and the figures.

    `parameter` names those to change, separated by commas; empty if none does it.
    """

    kind: Kind
    symptom: str
    diagnosis: str
    intervention: str
    parameter: str
    evidence: str


@dataclass(frozen=True)
class Gate:
    """Whether the minimum viable accuracy is met and, if not, the classes and clusters responsible."""

    met: bool
    sentence: str
    classes: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()


def gate(evidence: Evidence) -> Gate:
    """The verdict on macro F1, as the evaluation gave it."""
    scores, minimum = evidence.metrics["evaluate"], evidence.parameter("evaluate", "minimum_macro_f1")
    said = f"macro F1 {scores['macro_f1']:.4f}" + (f", at least {minimum} wanted" if minimum is not None else "")
    if scores["mva_met"]:
        return Gate(True, f"Minimum viable accuracy met: {said}.")
    f1 = {name: values["f1"] for name, values in scores["per_class"].items()}
    ranked = sorted(f1, key=lambda name: f1[name])
    below = [name for name in ranked if minimum is not None and f1[name] < minimum] or ranked[:SHOWN_CLASSES]
    return Gate(
        False,
        f"Minimum viable accuracy missed: {said}.",
        tuple(f"{name} (F1 {f1[name]:.3f})" for name in below),
        tuple(cluster_text(row) for row in evidence.rows("clusters")[:SHOWN_CLASSES]),
    )


def cluster_text(row: Mapping[str, str]) -> str:
    """`cat, dog (166 errors, 18.6 % of all)`."""
    return f"{cluster_classes(row)} ({row['errors']} errors, {percent(float(row['share_of_errors']))} of all)"


def cluster_classes(row: Mapping[str, str]) -> str:
    """The classes of a cluster: `cat, dog`."""
    return row["classes"].replace(" ", ", ")


def last_phase(evidence: Evidence) -> str:
    """The training phase that made the model; empty if that is not known."""
    if evidence.figure("fine_tune", "epochs") == 0:
        return "train_head"
    return "fine_tune" if evidence.ran("fine_tune") else ""


def gate_missed(evidence: Evidence) -> Iterator[Finding]:
    verdict = gate(evidence)
    if not verdict.met:
        yield Finding(
            "weakness",
            verdict.sentence,
            "Most is lost on " + ", ".join([*verdict.classes, *verdict.clusters]) + ".",
            "Follow the findings from the top; more images, more pixels and a stronger backbone help most classes.",
            "subsample.train_size, resize.size_px, backbone.name",
            f"evaluate: macro_f1 {evidence.figure('evaluate', 'macro_f1'):.4f}",
        )


@dataclass(frozen=True)
class Check:
    """A check of the audit: what it means that it fails, what to do, which parameter, and whose figures decide."""

    meaning: str
    advice: str
    parameter: str
    group: str
    figures: tuple[str, ...]


CHECKS = {
    "localisation": Check(
        "The heat maps lie beside the object more than a guess at the middle does.",
        "Augment position and scale, show more pixels; look where the maps of the wrong answers lie.",
        "train.augment, resize.size_px",
        "energy_inside",
        ("cam", "centre", "random"),
    ),
    "background": Check(
        "The surroundings decide too much of the answer.",
        "Show objects before other surroundings: augment by crops and swapped backgrounds.",
        "train.augment",
        "counterfactual",
        ("ratio", "background_drop", "foreground_drop"),
    ),
    "faithfulness": Check(
        "The heat maps do not show well what the answers rest on.",
        "Explain by another method or layer before a heat map is believed.",
        "grad_cam",
        "faithfulness",
        ("insertion_gain", "deletion_gain"),
    ),
    "sanity": Check(
        "The heat maps hardly depend on the weights.",
        "Explain by another method or layer before a heat map is believed.",
        "grad_cam",
        "sanity",
        (),
    ),
}


def audit_not_passed(evidence: Evidence) -> Iterator[Finding]:
    for name, holds in (evidence.figure("audit", "checks") or {}).items():
        if holds:
            continue
        check = CHECKS.get(name, Check("A claim of the audit does not hold.", "Look at its figures.", "", name, ()))
        figures = evidence.figure("audit", check.group) or {}
        told = [f"{key} {estimate(figures, key)}" for key in check.figures if key in figures]
        yield Finding(
            "threat",
            f"The Clever Hans audit is not passed: {name}.",
            check.meaning,
            check.advice,
            check.parameter,
            f"audit.{check.group}: {', '.join(told)}" if told else f"audit.checks.{name}: no",
        )


def overfitting(evidence: Evidence) -> Iterator[Finding]:
    phase = last_phase(evidence)
    train, val = evidence.figure(phase, "train", "accuracy"), evidence.figure(phase, "val", "accuracy")
    if train is None or val is None or train - val <= OVERFITTING_GAP:
        return
    group = "train.fine_tune" if phase == "fine_tune" else "train.head"
    strengthen = f"{group}.weight_decay, subsample.train_size"
    yield Finding(
        "weakness",
        f"Training accuracy is {100 * (train - val):.1f} points above validation.",
        "Overfitting: the network has learned its training images better than their kind. Training accuracy is "
        "that of augmented images, so the true gap is rather larger.",
        "More images, stronger augmentation or more regularisation.",
        f"train.augment, {strengthen}" if phase == "fine_tune" else f"train.head.dropout, {strengthen}",
        f"{phase}: train.accuracy {percent(train)}, val.accuracy {percent(val)}",
    )


def underfitting(evidence: Evidence) -> Iterator[Finding]:
    phase = last_phase(evidence)
    train, val = evidence.figure(phase, "train", "accuracy"), evidence.figure(phase, "val", "accuracy")
    if train is None or val is None or train >= UNDERFITTING_ACCURACY or train - val > UNDERFITTING_GAP:
        return
    yield Finding(
        "weakness",
        f"Training accuracy is only {percent(train)}, validation {percent(val)}.",
        "Underfitting: the network has not learned its training images either.",
        "Train longer or faster, show more pixels, take a larger backbone.",
        "train.fine_tune.epochs, train.lr, resize.size_px, backbone.name",
        f"{phase}: train.accuracy {percent(train)}, val.accuracy {percent(val)}",
    )


def still_rising(evidence: Evidence) -> Iterator[Finding]:
    for phase, parameter in (("train_head", "train.head.epochs"), ("fine_tune", "train.fine_tune.epochs")):
        rows = evidence.rows(phase)
        if not evidence.ran(phase) or len(rows) < 2 or int(rows[-1]["epoch"]) != evidence.figure(phase, "best_epoch"):
            continue
        gained = float(rows[-1]["val_accuracy"]) - float(rows[-2]["val_accuracy"])
        if gained > STILL_RISING:
            yield Finding(
                "opportunity",
                f"The last epoch of {phase} was its best, and gained {100 * gained:.1f} points.",
                "Training ended while validation accuracy still rose. The learning rate falls to zero over the "
                "phase, so the last epoch is often the best; a rise at its end says that there was more to gain.",
                "Train longer.",
                parameter,
                f"{phase}: epochs {len(rows)}, val_accuracy {percent(float(rows[-2]['val_accuracy']))} then "
                f"{percent(float(rows[-1]['val_accuracy']))}",
            )


def fine_tuning_gave_little(evidence: Evidence) -> Iterator[Finding]:
    if not (evidence.ran("train_head") and evidence.ran("fine_tune")):
        return
    before, after = (evidence.figure(phase, "val", "accuracy") for phase in ("train_head", "fine_tune"))
    if after - before < SMALLEST_GAIN:
        yield Finding(
            "weakness",
            f"Fine-tuning changed validation accuracy by {points(after - before)}.",
            "Unfreezing the backbone gave little: it was trained too gently or too briefly, or so hard that its "
            "pretrained features were lost.",
            "Try learning rates three times higher and lower, then more epochs.",
            "train.lr, train.fine_tune.epochs",
            f"val.accuracy: train_head {percent(before)}, fine_tune {percent(after)}",
        )


def validation_misleads(evidence: Evidence) -> Iterator[Finding]:
    if (gap := validation_minus_test(evidence)) and (gap[1] > 0 or gap[2] < 0):
        yield Finding(
            "threat",
            f"Validation and test accuracy differ by {100 * abs(gap[0]):.1f} points.",
            "More than chance explains: choices were fitted to the validation images, or the splits differ in kind.",
            "Hold out more images, and look for duplicates across splits.",
            "subsample.val_size",
            f"validation minus test {points(gap[0])} ({interval(*gap[1:])})",
        )


def validation_minus_test(evidence: Evidence) -> tuple[float, float, float] | None:
    """Validation minus test accuracy of one view of each image, with its interval."""
    val = evidence.figure(last_phase(evidence), "val", "accuracy")
    test = evidence.figure("evaluate", "accuracy_single_view")
    counts = evidence.images("val"), evidence.images("test")
    if val is None or test is None or not all(counts):
        return None
    return val - test, *difference_interval(val, counts[0], test, counts[1])


def weak_classes(evidence: Evidence) -> Iterator[Finding]:
    macro = evidence.figure("evaluate", "macro_f1")
    for name, values in (evidence.figure("evaluate", "per_class") or {}).items():
        if values["f1"] >= macro - WEAK_CLASS_GAP or values.get("f1_ci_high", 0) >= macro:
            continue
        misses = values["recall"] < values["precision"]
        yield Finding(
            "weakness",
            f"{name}: F1 {values['f1']:.3f}, {macro - values['f1']:.3f} below the mean of all classes.",
            f"Images of {name} are taken for other classes." if misses else f"Other classes are taken for {name}.",
            "Show more images and more pixels; look at its errors and their heat maps.",
            "subsample.train_size, resize.size_px",
            f"evaluate: per_class.{name} precision {values['precision']:.3f}, recall {values['recall']:.3f}"
            + (f", F1 {values['f1_ci_low']:.3f} to {values['f1_ci_high']:.3f}" if "f1_ci_low" in values else ""),
        )


def even_share(size: int, classes: int) -> float:
    """Share of all errors within `size` of the classes, if errors were spread evenly over pairs of classes."""
    return size * (size - 1) / (classes * (classes - 1))


def large_clusters(evidence: Evidence) -> Iterator[Finding]:
    classes = len(evidence.figure("evaluate", "per_class") or {})
    for row in evidence.rows("clusters"):
        share, even = float(row["share_of_errors"]), even_share(int(row["size"]), classes)
        if share >= max(LARGE_CLUSTER, CONCENTRATED * even):
            yield Finding(
                "weakness",
                f"{percent(share)} of all errors are among {cluster_classes(row)}.",
                "These classes share what the network looks at; what tells them apart is fine.",
                "More pixels show finer detail; a stronger backbone knows more of it.",
                "resize.size_px, backbone.name, subsample.train_size",
                f"clusters: {row['errors']} errors within {row['size']} of {classes} classes; if spread evenly, "
                f"{percent(even)}",
            )


def large_pairs(evidence: Evidence) -> Iterator[Finding]:
    classes = len(evidence.figure("evaluate", "per_class") or {})
    for row in evidence.rows("pairs"):
        even = even_share(2, classes)
        if row["share_ci_low"] and float(row["share_ci_low"]) >= max(LARGE_PAIR, CONCENTRATED * even):
            both = row["pair"].replace(" ", " and ")
            yield Finding(
                "weakness",
                f"{percent(float(row['share_of_errors']))} of all errors are between {both}.",
                "One pair of classes takes a large share; what tells it apart is fine, or its labels are doubtful.",
                "More pixels, more images of both; look at their errors and heat maps side by side.",
                "resize.size_px, subsample.train_size",
                f"pairs: {row['errors']} errors ({interval(float(row['share_ci_low']), float(row['share_ci_high']))}); "
                f"if spread evenly, {percent(even)}",
            )


def uneven_groups(evidence: Evidence) -> Iterator[Finding]:
    groups = evidence.figure("evaluate", "groups") or {}
    if not groups or groups["gap_ci_low"] <= 0 <= groups["gap_ci_high"]:
        return
    harder = "organic" if groups["gap"] > 0 else "rigid"
    yield Finding(
        "weakness",
        f"Rigid and organic classes are {100 * abs(groups['gap']):.1f} points apart.",
        f"The {harder} classes are harder for this model.",
        "Augment shape and pose, and show more pixels."
        if harder == "organic"
        else "Look at the rigid classes' errors.",
        "train.augment, resize.size_px",
        f"rigid {percent(groups['rigid_accuracy'])}, organic {percent(groups['organic_accuracy'])}, gap "
        f"{points(groups['gap'])} ({interval(groups['gap_ci_low'], groups['gap_ci_high'])})",
    )


def miscalibrated(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "calibration") or {}
    if figures.get("ece", 0) <= WELL_CALIBRATED_ECE:
        return
    temperature, scaled = figures["temperature"], figures["ece_scaled"]
    doubtful = "too unsure" if temperature < 1 else "too sure"
    mended = scaled <= WELL_CALIBRATED_ECE
    yield Finding(
        "opportunity" if mended else "weakness",
        f"Confidence is off by {100 * figures['ece']:.1f} points on average.",
        f"The model is {doubtful} of its answers: a temperature of {temperature:.2f} fits the validation images best.",
        f"Divide log-probabilities by {temperature:.2f}, which leaves {100 * scaled:.1f} points."
        + (" Label smoothing makes a network less sure." if temperature < 1 else " Label smoothing tempers it."),
        "train.fine_tune.label_smoothing",
        f"evaluate: calibration.ece {figures['ece']:.3f}, scaled {scaled:.3f}",
    )


AUGMENTED = {  # corruptions that training can show too
    "brightness": "train.augment.brightness",
    "contrast": "train.augment.contrast",
    "rotation": "train.augment.rigid.degrees, train.augment.organic.degrees",
}


def fragile(evidence: Evidence) -> Iterator[Finding]:
    clean = evidence.figure("robustness", "clean_accuracy")
    augment = evidence.parameter("train", "augment") or {}
    present = ", ".join(name for name, value in augment.items() if value and not isinstance(value, Mapping))
    for name, strengths in evidence.metrics.get("robustness", {}).items():
        if not isinstance(strengths, Mapping) or "medium" not in strengths:
            continue
        if (drop := clean - strengths["medium"]) > FRAGILE_DROP:
            yield Finding(
                "threat",
                f"Medium {name} costs {100 * drop:.1f} points of accuracy.",
                f"The model was trained with little or no {name}, and answers by what it destroys.",
                f"Train with more {name}."
                if name in AUGMENTED
                else f"Add {name} to the augmentation" + (f", which today has {present}." if present else "."),
                AUGMENTED.get(name, "train.augment"),
                f"robustness: clean {percent(clean)}, {name}.medium {percent(strengths['medium'])}",
            )


def leaking(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.metrics.get("leakage", {})
    if not (affected := figures.get("affected_test_images")):
        return
    without = figures.get("accuracy_without")
    yield Finding(
        "threat",
        f"{affected} test images are also in the training or validation split, or nearly so.",
        "The model may know these answers by heart, which makes the test accuracy a little too good.",
        "Quote the accuracy without them.",
        "",
        "leakage: " + (leakage_text(figures) if without is not None else f"affected_test_images {affected}"),
    )


def leakage_text(figures: Mapping[str, Any]) -> str:
    """`accuracy 91.1 %, without 120 affected test images 91.0 % (95 % interval ...)`."""
    ends = interval(figures["accuracy_without_ci_low"], figures["accuracy_without_ci_high"])
    return (
        f"accuracy {percent(figures['accuracy'])}, without {figures['affected_test_images']} affected test images "
        f"{percent(figures['accuracy_without'])} ({ends})"
    )


def doubtful_labels(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "label_errors") or {}
    if not figures.get("suspected"):
        return
    accuracy = evidence.figure("evaluate", "accuracy")
    without = figures.get("accuracy_without")
    yield Finding(
        "opportunity",
        f"{figures['suspected']} test images look wrongly labelled.",
        "The model is sure of another class than the label; some of these are errors of the data, not of the model.",
        "Look at them before more is asked of the model; the test labels themselves stay as published.",
        "",
        f"accuracy {percent(accuracy)}" + (f", without them {percent(without)}" if without is not None else ""),
    )


def inputs_unconfirmed(evidence: Evidence) -> Iterator[Finding]:
    if evidence.figure("download", "official_pixels") is False:
        yield Finding(
            "threat",
            "The images are not CIFAR-10's own.",
            "The archive differs from the published one, so figures compare with no other work on CIFAR-10.",
            "Take the published archive.",
            "download.url, download.sha256",
            "download: official_pixels false",
        )
    if evidence.figure("backbone", "published") is False:
        yield Finding(
            "threat",
            "The backbone's weights are not the published ones.",
            f"Their digest is not the one that torchvision publishes for {evidence.figure('backbone', 'weights')}.",
            "Take the published weights.",
            "backbone.url, backbone.sha256",
            f"backbone: sha256 {str(evidence.figure('backbone', 'sha256'))[:16]}…",
        )


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    gate_missed,
    audit_not_passed,
    leaking,
    inputs_unconfirmed,
    validation_misleads,
    overfitting,
    underfitting,
    fine_tuning_gave_little,
    still_rising,
    large_clusters,
    large_pairs,
    weak_classes,
    uneven_groups,
    fragile,
    miscalibrated,
    doubtful_labels,
)


def diagnose(evidence: Evidence) -> list[Finding]:
    """All findings, the gravest first. A rule without its figures finds nothing."""
    return [finding for rule in RULES for finding in rule(evidence)]


def strengths(evidence: Evidence) -> list[str]:
    """What the figures speak well of, by the same thresholds."""
    return list(_strengths(evidence))


def _strengths(evidence: Evidence) -> Iterator[str]:
    scores, minimum = evidence.metrics["evaluate"], evidence.parameter("evaluate", "minimum_macro_f1")
    low = scores.get("macro_f1_ci_low")
    if minimum is not None and low is not None and low >= minimum:
        yield f"Macro F1 {scores['macro_f1']:.4f}: its whole interval, from {low:.4f}, is above the minimum {minimum}."
    elif scores["mva_met"]:
        yield f"Macro F1 {scores['macro_f1']:.4f} meets the minimum" + (
            f" of {minimum}." if minimum is not None else "."
        )
    if (gap := validation_minus_test(evidence)) and gap[1] <= 0 <= gap[2]:
        yield f"The test split bears validation out: the difference is {points(gap[0])} ({interval(*gap[1:])})."
    drop = evidence.figure("robustness", "mean_drop")
    if drop is not None and drop <= ROBUST_DROP:
        yield f"Corruptions cost {100 * drop:.1f} points of accuracy on average."
    ece = evidence.figure("evaluate", "calibration", "ece")
    if ece is not None and ece <= WELL_CALIBRATED_ECE:
        yield f"Confidence is off by only {100 * ece:.1f} points on average."
    if evidence.figure("audit", "passed"):
        yield "The Clever Hans audit is passed."
    if evidence.ran("train_head") and evidence.ran("fine_tune"):
        gain = evidence.figure("fine_tune", "val", "accuracy") - evidence.figure("train_head", "val", "accuracy")
        if gain >= SMALLEST_GAIN:
            yield f"Fine-tuning gained {100 * gain:.1f} points of validation accuracy."
