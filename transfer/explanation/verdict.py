"""What an audit's figures come to: one verdict on the model, another on its maps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from transfer.evaluation.scores import FEWEST
from transfer.runtime.wording import number, plural

Word = Literal["confirmed", "refuted", "undecided"]

NAMED = ("airplane", "bird", "ship")  # whose surroundings, sky and water, tempt most
# The background gap of Xiao et al. 2021, "Noise or Signal": ResNet-50 trained on ImageNet, and on nine
# classes of it alone (IN-9L).
PUBLISHED = {"an ImageNet ResNet-50": 0.073, "one trained on nine classes alone": 0.142}


PLAIN = {"centre": "a spot in the middle of the image", "edges": "the image's edges"}  # maps that know no model


class Verdict(NamedTuple):
    """A word, and the figures that it rests on."""

    word: Word
    why: str


def points(share: float) -> str:
    return number(100 * share, 1)


def with_ends(figures: Mapping[str, Any], name: str) -> str:
    """A difference of shares in points with its interval: `15.8 points (11.3 to 20.3)`."""
    low, high = figures[f"{name}_ci_low"], figures[f"{name}_ci_high"]
    return f"{points(figures[name])} points ({points(low)} to {points(high)})"


def model_verdict(figures: Mapping[str, Any], max_gap: float, classes: Sequence[str]) -> Verdict:
    """Does the model decide by the object? By its answers to changed images alone; no map plays a part.

    Confirmed if the object decides more than its surroundings, these no more than `max_gap`, and the masks hold the
    objects (another image's mask gives less); refuted if the surroundings decide more than the object. All by whole
    intervals.
    """
    changed = figures.get("counterfactual", {})
    if (count := changed.get("images", 0)) < FEWEST:
        return Verdict("undecided", f"an object was found in {plural(count, 'image')}: too few to conclude anything")
    high, low = changed["object_minus_background_ci_high"], changed["object_minus_background_ci_low"]
    within, beyond = changed["background_gap_ci_high"] <= max_gap, changed["background_gap_ci_low"] > max_gap
    held = changed["mask_gain_ci_low"] > 0
    word: Word = "refuted" if high < 0 else "confirmed" if low > 0 and within and held else "undecided"
    limit = f"{'more' if beyond else 'no more' if within else 'perhaps more'} than the limit of {points(max_gap)}"
    anchors = ", ".join(f"{name} {points(gap)}" for name, gap in PUBLISHED.items())
    named = [
        f"{name} {points(own['background_gap'])} points ({own['images']} images)"
        for name in NAMED
        if name in classes and (own := figures["per_class"][name].get("counterfactual", {})).get("images", 0) >= FEWEST
    ]
    return Verdict(
        word,
        f"a misleading background costs {with_ends(changed, 'background_gap')} of accuracy beside one of the same "
        f"class, {limit}, another object {with_ends(changed, 'object_gap')}; {count} images; on ImageNet-9 it costs "
        + anchors
        + ("" if held else "; another image's mask does as well, so the masks may not hold the objects")
        + (f"; by class: {', '.join(named)}" if named else ""),
    )


def maps_verdict(figures: Mapping[str, Any], max_correlation: float) -> Verdict:
    """Do the maps show what the answers rest on? Confirmed if faithful and sane, refuted if either is refuted."""
    parts = [faithful(figures.get("faithfulness", {})), sane(figures.get("sanity", {}), max_correlation)]
    words = [part.word for part in parts]
    word: Word = "refuted" if "refuted" in words else "undecided" if "undecided" in words else "confirmed"
    return Verdict(word, "; ".join(part.why for part in parts))


def faithful(areas: Mapping[str, Any]) -> Verdict:
    """Whether insertion and deletion by the maps beat random maps: both whole intervals above 0, or one below.

    Maps that are ahead of a spot in the middle of the image, or of the image's edges, in neither are not confirmed:
    what knows no model does as well.
    """
    if (count := areas.get("images", 0)) < FEWEST:
        return Verdict("undecided", f"too few images with a map to judge insertion and deletion by: {count}")
    kinds = "insertion_gain", "deletion_gain"
    equals = [what for name, what in PLAIN.items() if all(areas[f"{kind}_over_{name}_ci_low"] <= 0 for kind in kinds)]
    lows, highs = ([areas[f"{kind}_ci_{end}"] for kind in kinds] for end in ("low", "high"))
    word: Word = "refuted" if min(highs) < 0 else "confirmed" if min(lows) > 0 and not equals else "undecided"
    insertion, deletion = (_gain(areas, kind) for kind in kinds)
    parts = [f"maps that know no model may do as well: {' and '.join(equals)}"] if equals else []
    parts += [f"against random maps insertion gains {insertion} of probability, deletion {deletion}"]
    parts += [
        f"against {what} {_gain(areas, f'{kinds[0]}_over_{name}')} and {_gain(areas, f'{kinds[1]}_over_{name}')}"
        for name, what in PLAIN.items()
    ]
    return Verdict(word, "; ".join([*parts, f"{count} images"]))


def _gain(areas: Mapping[str, Any], name: str) -> str:
    value, *ends = (number(areas[f"{name}{end}"], 3) for end in ("", "_ci_low", "_ci_high"))
    return f"{value} ({' to '.join(ends)})"


def sane(steps: Mapping[str, Any], max_correlation: float) -> Verdict:
    """Whether the maps of random weights are others. A map that is the same everywhere is no other map."""
    if not steps:
        return Verdict("undecided", "all maps are empty")
    last = list(steps.values())[-1]
    if last["images"] < FEWEST:
        return Verdict("undecided", f"too few images to compare with random weights: {last['images']}")
    if last["constant"] > 0.5:
        return Verdict("undecided", f"with random weights {100 * last['constant']:.0f} % of the maps are empty")
    low, high = last["rank_correlation_ci_low"], last["rank_correlation_ci_high"]
    word: Word = "confirmed" if high < max_correlation else "refuted" if low >= max_correlation else "undecided"
    found, *ends = (number(value, 2) for value in (last["rank_correlation"], low, high))
    return Verdict(word, f"random weights leave a rank correlation of {found} ({' to '.join(ends)})")
