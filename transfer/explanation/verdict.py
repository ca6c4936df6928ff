"""What an audit's figures come to: four claims, each with its threshold, and one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NAMED = ("airplane", "bird", "ship")  # whose surroundings, sky and water, tempt most


def check(figures: Mapping[str, Any], max_ratio: float, max_correlation: float) -> dict[str, bool]:
    """Which of the audit's four claims hold. A claim whose figures are missing does not."""
    energy, faithful = figures.get("energy_inside"), figures.get("faithfulness")
    steps = list(figures.get("sanity", {}).values())
    return {
        "localisation": bool(energy) and energy["cam_ci_low"] > energy["centre"],
        "background": figures.get("counterfactual", {}).get("ratio_ci_high", np.inf) < max_ratio,
        "faithfulness": bool(faithful) and min(faithful["insertion_gain_ci_low"], faithful["deletion_gain_ci_low"]) > 0,
        "sanity": bool(steps) and steps[-1]["rank_correlation"] < max_correlation,
    }


def verdict(figures: Mapping[str, Any], checks: Mapping[str, bool], classes: Sequence[str]) -> str:
    """One sentence: passed or not, what failed first, every claim with its figures."""
    claims = {
        "localisation": _localisation_claim(figures),
        "background": _background_claim(figures, classes),
        "faithfulness": _faithfulness_claim(figures),
        "sanity": _sanity_claim(figures),
    }
    failed = "; ".join(claim for name, claim in claims.items() if not checks[name])
    held = "; ".join(claim for name, claim in claims.items() if checks[name])
    if not failed:
        return f"passed: {held}"
    return f"not passed: {failed}" + (f"; what holds: {held}" if held else "")


def _localisation_claim(figures: Mapping[str, Any]) -> str:
    if not (energy := figures.get("energy_inside")):
        return "localisation unknown, there is no image with both an object that GrabCut finds and a map"
    return (
        f"{100 * energy['cam']:.0f} % of the maps' energy lies on the object ({100 * energy['cam_ci_low']:.0f} to "
        f"{100 * energy['cam_ci_high']:.0f} %), of a centred Gaussian's {100 * energy['centre']:.0f} %"
    )


def _background_claim(figures: Mapping[str, Any], classes: Sequence[str]) -> str:
    if not (changed := figures.get("counterfactual")):
        return "use of the background unknown, GrabCut finds an object in no image"
    if "ratio" not in changed:
        return f"a changed object costs no accuracy, a changed background {changed['background_drop']:.2f}"
    high = f"{changed['ratio_ci_high']:.2f}" if "ratio_ci_high" in changed else "no limit"
    low = f"{changed['ratio_ci_low']:.2f}" if "ratio_ci_low" in changed else "no limit"
    ratios = {name: figures["per_class"].get(name, {}).get("counterfactual", {}).get("ratio") for name in NAMED}
    named = [
        f"{name} {'unknown' if ratio is None else f'{ratio:.2f}'}" for name, ratio in ratios.items() if name in classes
    ]
    return (
        f"a changed background costs {changed['ratio']:.2f} of the accuracy that a changed object costs "
        f"({'; '.join([f'{low} to {high}', *named])})"
    )


def _faithfulness_claim(figures: Mapping[str, Any]) -> str:
    if not (areas := figures.get("faithfulness")):
        return "faithfulness unknown, all maps are empty"
    return (
        f"against random maps the insertion area is {areas['insertion_cam']:.2f} to {areas['insertion_random']:.2f}, "
        f"the deletion area {areas['deletion_cam']:.2f} to {areas['deletion_random']:.2f}"
    )


def _sanity_claim(figures: Mapping[str, Any]) -> str:
    if not (steps := figures.get("sanity")):
        return "dependence on the weights unknown, all maps are empty"
    return f"random weights leave a rank correlation of {list(steps.values())[-1]['rank_correlation']:.2f}"
