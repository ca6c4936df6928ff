"""Findings about how far the figures, maps and probabilities of a run can be trusted."""

from collections.abc import Iterator, Mapping

from transfer.report.evidence import Evidence, difference_interval, interval, points, words
from transfer.report.finding import FRAGILE_DROP, WELL_CALIBRATED_ECE, Finding
from transfer.report.gate import leakage_text, validation_minus_test
from transfer.runtime.wording import percent, plural


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
            "More than chance explains: "
            + ("choices were fitted to the validation images, or " if gap[0] > 0 else "")
            + "the splits differ in kind.",
            "Hold out more images, and look for duplicates across splits.",
            ("subsample.val_size",),
            f"validation minus test {points(gap[0])} ({interval(*gap[1:])})",
        )


def miscalibrated(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "calibration") or {}
    if calibrated(figures, "ece") != "not passed":
        return
    temperature, scaled, unsure = figures["temperature"], figures["ece_scaled"], figures["temperature"] < 1
    smoothing = ("train.fine_tune.label_smoothing",)
    yield Finding(
        f"Confidence as the network gives it is off by {100 * figures['ece']:.1f} points on average.",
        f"The model is too {'unsure' if unsure else 'sure'} of its answers: a temperature of {temperature:.2f} fits "
        "the validation images best.",
        f"Use the package's probabilities, whose temperature leaves {100 * scaled:.1f} points, or train with "
        f"{'less' if unsure else 'more'} label smoothing.",
        () if unsure else smoothing,
        f"evaluate: calibration error {figures['ece']:.3f}, {scaled:.3f} with the temperature; exact probabilities "
        f"stay below {figures['ece_by_chance']:.3f}",
        less=smoothing if unsure else (),
    )


def calibrated(figures: Mapping[str, float], name: str) -> str:
    """`passed`, `not passed` or `cannot tell` of an expected calibration error, which few images raise by chance."""
    if figures.get(name, 0) > WELL_CALIBRATED_ECE:
        return "not passed" if figures[name] > figures[f"{name}_by_chance"] else "cannot tell"
    return "passed"


AUGMENTED = {  # corruptions that training can show too
    "brightness": ("train.augment.brightness",),
    "contrast": ("train.augment.contrast",),
    "rotation": ("train.augment.rigid.degrees", "train.augment.organic.degrees"),
}


def fragile(evidence: Evidence) -> Iterator[Finding]:
    clean, total = (evidence.figure("robustness", name) for name in ("clean_accuracy", "images"))
    for name, strengths in evidence.metrics.get("robustness", {}).items():
        if not isinstance(strengths, Mapping) or "medium" not in strengths:
            continue
        ends = difference_interval(clean, total, strengths["medium"], total)
        if ends[0] > FRAGILE_DROP:
            yield Finding(
                f"Medium {words(name)} costs {100 * (clean - strengths['medium']):.1f} points of accuracy.",
                f"The model needs what {words(name)} changes or destroys.",
                f"Train with more {words(name)}."
                if name in AUGMENTED
                else f"Keep {words(name)} out of the images, or train on it.",
                AUGMENTED.get(name, ()),
                f"robustness: {percent(clean)} without, {percent(strengths['medium'])} with it, of "
                f"{plural(total, 'image')} (difference {interval(*ends)})",
            )


def leaking(evidence: Evidence) -> Iterator[Finding]:
    figures = evidence.figure("evaluate", "duplicates") or {}
    if not (affected := figures.get("affected_test_images")):
        return
    without = figures.get("accuracy_without")
    yield Finding(
        f"{plural(affected, 'test image is', 'test images are')} also training or validation images, or nearly so.",
        "The model may know these answers by heart.",
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
        "Look at them before more is asked of the model; the test labels themselves stay as they came.",
        (),
        f"evaluate: {figures['suspected']} of {plural(evidence.images('test'), 'test image')} suspected",
    )


CIFAR_10 = frozenset(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))


def inputs_unconfirmed(evidence: Evidence) -> Iterator[Finding]:
    claimed = evidence.figure("download", "kind") == "a CIFAR binary archive"
    if (
        claimed
        and set(evidence.figure("evaluate", "per_class") or ()) == CIFAR_10
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
