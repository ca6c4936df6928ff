"""From the figures of a run to what is wrong with it and which parameter to change."""

from collections.abc import Callable, Iterator

from scipy.stats import norm

from transfer.data.classes import CONFIDENCE
from transfer.evaluation.scores import wilson_interval
from transfer.report import trust
from transfer.report.claims import fine_tuning_gain
from transfer.report.evidence import Evidence, difference_interval, estimate, interval, points
from transfer.report.finding import (
    FEWEST_IMAGES,
    LARGE_CLUSTER,
    OVERFITTING_GAP,
    SMALLEST_GAIN,
    UNDERFITTING_ACCURACY,
    WEAK_CLASS_GAP,
    Finding,
)
from transfer.report.gate import gate, last_phase, training_minus_validation
from transfer.runtime.wording import percent, plural


def gate_missed(evidence: Evidence) -> Iterator[Finding]:
    verdict = gate(evidence)
    if not verdict.met:
        yield Finding(
            verdict.sentence,
            "Most is lost on " + ", ".join([*verdict.classes, *verdict.clusters]) + ".",
            "Follow the findings from the top; more images, more pixels and a stronger backbone help most classes.",
            ("subsample.train_size", "resize.size_px", "backbone.name"),
            f"evaluate: macro F1 {evidence.figure('evaluate', 'macro_f1'):.3f}",
        )


def overfitting(evidence: Evidence) -> Iterator[Finding]:
    phase, gap = last_phase(evidence), training_minus_validation(evidence)
    if gap is None or gap[1] <= OVERFITTING_GAP:
        return
    regularise = (
        ("train.augment.mix.cutmix_alpha", "train.fine_tune.weight_decay")
        if phase == "fine_tune"
        else ("train.head.dropout", "train.head.weight_decay")
    )
    yield Finding(
        f"Training accuracy is {100 * gap[0]:.1f} points above validation.",
        "Overfitting: the network has learned its training images better than their kind. Both are accuracies of plain "
        "images, one view of each.",
        "More images, stronger augmentation or more regularisation.",
        (*regularise, "subsample.train_size"),
        f"evaluate: {learned(evidence)}; {validated(evidence)}; difference {interval(*gap[1:])}",
    )


def validated(evidence: Evidence) -> str:
    phase = last_phase(evidence)
    return f"{phase}: validation accuracy {percent(evidence.figure(phase, 'val', 'accuracy'))}"


def learned(evidence: Evidence) -> str:
    """How well the training images themselves are known: `training accuracy 95.0 % (93.5 to 96.2) of 1,000 images`."""
    scores = evidence.metrics["evaluate"]
    return f"training accuracy {estimate(scores, 'train_accuracy')} of {plural(scores['train_images'], 'image')}"


def underfitting(evidence: Evidence) -> Iterator[Finding]:
    phase, total = last_phase(evidence), evidence.images("val")
    train, val = evidence.figure("evaluate", "train_accuracy"), evidence.figure(phase, "val", "accuracy")
    if train is None or val is None or not total:
        return
    highest = evidence.figure("evaluate", "train_accuracy_ci_high"), wilson_interval(round(val * total), total)[1]
    if max(highest) >= UNDERFITTING_ACCURACY:
        return
    yield Finding(
        f"Accuracy on the training images themselves is only {percent(train)}, on validation images {percent(val)}.",
        "Underfitting: plain images, one view of each, are beyond the network even where it was trained on them.",
        "Train longer or faster, show more pixels, take a larger backbone.",
        ("train.fine_tune.epochs", "train.lr", "resize.size_px", "backbone.name"),
        f"evaluate: {learned(evidence)}; {validated(evidence)}",
    )


def still_rising(evidence: Evidence) -> Iterator[Finding]:
    total = evidence.images("val")
    for phase, parameter in (("train_head", "train.head.epochs"), ("fine_tune", "train.fine_tune.epochs")):
        rows = evidence.epochs(phase)
        if not (total and evidence.ran(phase) and len(rows) > 1):
            continue
        before, last = (float(row["val_accuracy"]) for row in rows[-2:])
        ends = difference_interval(last, total, before, total)
        if ends[0] > 0 and int(rows[-1]["epoch"]) == evidence.figure(phase, "best_epoch"):
            yield Finding(
                f"The last epoch of {phase} was its best, and gained {100 * (last - before):.1f} points.",
                "Training ended while validation accuracy still rose. The learning rate falls to zero over the "
                "phase, so the last epoch is often the best; a rise at its end says that there was more to gain.",
                "Train longer.",
                (parameter,),
                f"{phase}: {plural(len(rows), 'epoch')}, validation accuracy {percent(before)}, then {percent(last)} "
                f"(difference {interval(*ends)})",
            )


def fine_tuning_gave_little(evidence: Evidence) -> Iterator[Finding]:
    gain = fine_tuning_gain(evidence)
    if gain is None or gain.high >= SMALLEST_GAIN:
        return
    yield Finding(
        f"Fine-tuning changed validation accuracy by {points(gain.gained)}.",
        "Unfreezing the backbone gave little: it was trained too gently or too briefly, or so hard that its "
        "pretrained features were lost.",
        "Try learning rates three times higher and lower, then more epochs.",
        ("train.lr", "train.fine_tune.epochs"),
        f"of {plural(gain.images, 'validation image')}, {gain.fixed} are right only after phase 2 and {gain.broken} "
        f"only before it ({interval(gain.low, gain.high)})",
        less=("train.lr",),
    )


def weak_classes(evidence: Evidence) -> Iterator[Finding]:
    macro = evidence.figure("evaluate", "macro_f1")
    classes = evidence.figure("evaluate", "per_class") or {}
    # Intervals are widened for all classes together: with a hundred of them, some are far off by chance.
    tail = (1 - CONFIDENCE) / 2
    wider = float(norm.isf(tail / max(len(classes), 1)) / norm.isf(tail))
    for name, values in classes.items():
        highest = values["f1"] + wider * (values.get("f1_ci_high", values["f1"]) - values["f1"])
        if values["f1"] >= macro - WEAK_CLASS_GAP or highest >= macro:
            continue
        misses = values["recall"] < values["precision"]
        yield Finding(
            f"{name}: F1 {values['f1']:.3f}, {macro - values['f1']:.3f} below the mean of all classes.",
            f"Images of {name} are taken for other classes." if misses else f"Other classes are taken for {name}.",
            "Show more images and more pixels; look at its errors and their heat maps.",
            ("subsample.train_size", "resize.size_px"),
            f"precision {values['precision']:.3f}, recall {values['recall']:.3f}"
            + (f", F1 {values['f1_ci_low']:.3f} to {values['f1_ci_high']:.3f}" if "f1_ci_low" in values else ""),
        )


def large_clusters(evidence: Evidence) -> Iterator[Finding]:
    for row in evidence.rows("evaluate/clusters"):
        if (share := float(row["share_of_errors"])) < LARGE_CLUSTER:
            continue
        excess = [float(row[f"excess{end}"]) for end in ("", "_ci_low", "_ci_high")]
        yield Finding(
            f"{percent(share)} of all errors lie within one cluster: {row['classes']}.",
            "These classes are confused more than others; what tells them apart is fine, or their labels are doubtful.",
            "More pixels show finer detail; look at their errors and heat maps side by side, and train on batches of "
            "these classes alone.",
            ("resize.size_px", "train.fine_tune.hard_examples.share", "subsample.train_size"),
            f"{row['errors']} errors, {excess[0]:.1f} ({excess[1]:.1f} to {excess[2]:.1f}) times as many as if each "
            "class's errors fell evenly on all others",
        )


def uneven_groups(evidence: Evidence) -> Iterator[Finding]:
    groups = evidence.figure("evaluate", "groups") or {}
    if not groups or groups["gap_ci_low"] <= 0 <= groups["gap_ci_high"]:
        return
    harder = "organic" if groups["gap"] > 0 else "rigid"
    yield Finding(
        f"Rigid and organic classes are {100 * abs(groups['gap']):.1f} points apart.",
        f"The {harder} classes are harder for this model.",
        "Augment shape and pose, and show more pixels."
        if harder == "organic"
        else "Look at the rigid classes' errors.",
        ("resize.size_px", "train.augment.shift_fraction"),
        f"rigid {percent(groups['rigid_accuracy'])}, organic {percent(groups['organic_accuracy'])}, gap "
        f"{points(groups['gap'])} ({interval(groups['gap_ci_low'], groups['gap_ci_high'])})",
    )


ALWAYS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    gate_missed,
    trust.led_by_surroundings,
    trust.misleading_maps,
    trust.leaking,
    trust.inputs_unconfirmed,
    trust.validation_misleads,
    overfitting,
    underfitting,
    fine_tuning_gave_little,
    still_rising,
)
WITH_ENOUGH_IMAGES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    large_clusters,
    weak_classes,
    uneven_groups,
    trust.fragile,
    trust.miscalibrated,
    trust.doubtful_labels,
)


def diagnose(evidence: Evidence) -> list[Finding]:
    """All findings, the gravest first. A rule without its figures finds nothing."""
    few = 0 < evidence.images("test") < FEWEST_IMAGES
    return [finding for rule in (*ALWAYS, *(() if few else WITH_ENOUGH_IMAGES)) for finding in rule(evidence)]
