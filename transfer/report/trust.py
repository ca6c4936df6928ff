"""Findings about how far the figures, maps and probabilities of a run can be trusted."""

from collections.abc import Iterator, Mapping

from transfer.report.evidence import Evidence, interval, percent, points
from transfer.report.finding import FRAGILE_DROP, WELL_CALIBRATED_ECE, Finding
from transfer.report.gate import leakage_text, validation_minus_test
from transfer.runtime.wording import plural


def led_by_surroundings(evidence: Evidence) -> Iterator[Finding]:
    verdict = evidence.figure("audit", "model") or {}
    if verdict.get("word") == "refuted":
        yield Finding(
            "The model decides by the surroundings more than by the object.",
            "Where the surroundings are others, its answers will be others too.",
            "Show objects before other surroundings: augment by crops and mixed images.",
            ("train.augment.mix.cutmix_alpha",),
            f"audit: {verdict['why']}",
        )


def misleading_maps(evidence: Evidence) -> Iterator[Finding]:
    verdict = evidence.figure("audit", "maps") or {}
    if verdict.get("word") == "refuted":
        yield Finding(
            "The heat maps do not show what the answers rest on.",
            "That says nothing about the model, only that its maps are not to be believed.",
            "Explain by another method or layer before a heat map is believed.",
            ("explain.method",),
            f"audit: {verdict['why']}",
        )


def validation_misleads(evidence: Evidence) -> Iterator[Finding]:
    if (gap := validation_minus_test(evidence)) and (gap[1] > 0 or gap[2] < 0):
        yield Finding(
            f"Validation and test accuracy differ by {100 * abs(gap[0]):.1f} points.",
            "More than chance explains: choices were fitted to the validation images, or the splits differ in kind.",
            "Hold out more images, and look for duplicates across splits.",
            ("subsample.val_size",),
            f"validation minus test {points(gap[0])} ({interval(*gap[1:])})",
        )


def miscalibrated(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "calibration") or {}
    if figures.get("ece", 0) <= WELL_CALIBRATED_ECE:
        return
    temperature, scaled = figures["temperature"], figures["ece_scaled"]
    doubtful = "too unsure" if temperature < 1 else "too sure"
    yield Finding(
        f"Confidence is off by {100 * figures['ece']:.1f} points on average.",
        f"The model is {doubtful} of its answers: a temperature of {temperature:.2f} fits the validation images best.",
        f"Divide log-probabilities by {temperature:.2f}, which leaves {100 * scaled:.1f} points."
        + (" Label smoothing makes a network less sure." if temperature < 1 else " Label smoothing tempers it."),
        ("train.fine_tune.label_smoothing",),
        f"evaluate: calibration.ece {figures['ece']:.3f}, scaled {scaled:.3f}",
    )


AUGMENTED = {  # corruptions that training can show too
    "brightness": ("train.augment.brightness",),
    "contrast": ("train.augment.contrast",),
    "rotation": ("train.augment.rigid.degrees", "train.augment.organic.degrees"),
}


def fragile(evidence: Evidence) -> Iterator[Finding]:
    clean = evidence.figure("robustness", "clean_accuracy")
    for name, strengths in evidence.metrics.get("robustness", {}).items():
        if not isinstance(strengths, Mapping) or "medium" not in strengths:
            continue
        if (drop := clean - strengths["medium"]) > FRAGILE_DROP:
            yield Finding(
                f"Medium {name} costs {100 * drop:.1f} points of accuracy.",
                f"The model has seen little or no {name} in training, and relies on what it destroys.",
                f"Train with more {name}." if name in AUGMENTED else f"Keep {name} out of the images, or train on it.",
                AUGMENTED.get(name, ()),
                f"robustness: clean {percent(clean)}, {name}.medium {percent(strengths['medium'])}",
            )


def leaking(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "duplicates") or {}
    if not (affected := figures.get("affected_test_images")):
        return
    without = figures.get("accuracy_without")
    yield Finding(
        f"{plural(affected, 'test image is', 'test images are')} also training or validation images, or nearly so.",
        "The model may know these answers by heart, which makes the test accuracy a little too good.",
        "Quote the accuracy without them.",
        (),
        "evaluate: duplicates, "
        + (leakage_text(figures) if without is not None else f"affected_test_images {affected}"),
    )


def doubtful_labels(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "label_errors") or {}
    if not figures.get("suspected"):
        return
    yield Finding(
        f"{plural(figures['suspected'], 'test image has', 'test images have')} a label that looks wrong.",
        "The model is sure of another class than the label. Some of these are errors of the data, many its own.",
        "Look at them before more is asked of the model; the test labels themselves stay as published.",
        (),
        f"evaluate: label_errors.suspected {figures['suspected']}",
    )


CIFAR_10 = frozenset(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))


def inputs_unconfirmed(evidence: Evidence) -> Iterator[Finding]:
    claimed = evidence.figure("download", "kind") == "a CIFAR binary archive"
    if (
        claimed
        and CIFAR_10.issuperset(evidence.figure("evaluate", "per_class") or ())
        and evidence.figure("download", "official_pixels") is False
    ):
        yield Finding(
            "The images are not CIFAR-10's own.",
            "The archive differs from the published one, so figures compare with no other work on CIFAR-10.",
            "Compare with no published figure, or take the published archive.",
            (),
            "download: official_pixels false",
        )
    if evidence.figure("backbone", "published") is False:
        yield Finding(
            "The backbone's weights are not the published ones.",
            f"Their digest is not the one that torchvision publishes for {evidence.figure('backbone', 'weights')}.",
            "Name these weights wherever a figure is quoted.",
            (),
            f"backbone: sha256 {str(evidence.figure('backbone', 'sha256'))[:16]}…",
        )
