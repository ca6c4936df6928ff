"""Is a decision made by the object? Figures about maps, images with changed parts, and a verdict of them."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from transfer.evaluation.scores import newcombe_interval, share_of, with_interval
from transfer.explanation.objects import BLUR
from transfer.explanation.plain_maps import centre_map, edge_maps, oracle_maps, random_maps
from transfer.network.classifier import Classifier

STEPS = 8  # of insertion and deletion
DRAWS = 2000  # of the bootstrap

Table = Mapping[str, np.ndarray]


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's sum (N, H, W) that lies within its mask (Wang et al. 2020); NaN for a map of zeros."""
    total = maps.sum((1, 2), dtype=float)
    inside = (maps * masks).sum((1, 2), dtype=float)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """1 where a map's maximum lies within its mask (pointing game, Zhang et al. 2018), else 0; NaN without any."""
    flat = maps.reshape(len(maps), -1)
    hits = masks.reshape(len(masks), -1)[np.arange(len(maps)), flat.argmax(1)].astype(float)
    return np.where(flat.any(1), hits, np.nan)


def localisation(pixels: np.ndarray, maps: np.ndarray, masks: np.ndarray, width: int, seed: int) -> Table:
    """Energy and hits of each map (N, H, W), a centred Gaussian, noise, edges and the mask as coarse; columns (N,)."""
    size_px = maps.shape[-1]
    kinds = {
        "cam": maps,
        "centre": np.broadcast_to(centre_map(size_px), maps.shape),
        "random": random_maps(len(maps), width, size_px, np.random.default_rng(seed)),
        "edges": edge_maps(pixels, width),
        "oracle": oracle_maps(masks, width),
    }
    energies = {f"energy_{name}": energy_inside(kind, masks) for name, kind in kinds.items()}
    return energies | {f"hits_{name}": pointing_hits(kind, masks) for name, kind in kinds.items()}


def replacement_curves(
    answer: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    ends: np.ndarray,
    maps: Mapping[str, np.ndarray],
    targets: np.ndarray,
) -> dict[str, np.ndarray]:
    """Probability (N, STEPS + 1) of each target while pixels of `starts` become those of `ends`, highest map first.

    starts, ends (N, S, S, 3) uint8, of each kind maps (N, S, S); equal places of a map go row by row. From a blurred
    image to the image this is insertion, from the image to a grey one deletion (Petsiuk et al. 2018).
    """
    each = np.arange(len(targets))
    first, last = (answer(images)[each, targets] for images in (starts, ends))  # the same for all kinds
    cuts = np.rint(np.linspace(0, starts[0, ..., 0].size, STEPS + 1)).astype(int)[1:-1]
    curves = {}
    for name, kind in maps.items():
        order = np.argsort(-kind.reshape(len(kind), -1), axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
        replaced = ranks.reshape(kind.shape)[:, None, :, :, None] < cuts[:, None, None, None]
        mixed = np.where(replaced, ends[:, None], starts[:, None])
        chances = answer(mixed.reshape(-1, *starts.shape[1:])).reshape(len(kind), STEPS - 1, -1)
        curves[name] = np.column_stack([first, chances[each, :, targets], last])
    return curves


def faithfulness_curves(
    answer: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    grey: np.ndarray,
    maps: Mapping[str, np.ndarray],
    targets: np.ndarray,
) -> dict[str, np.ndarray]:
    """Curves (N, STEPS + 1) of insertion and deletion for each kind of maps; `grey` (3,) is the colour of nothing."""
    sigma = BLUR * pixels.shape[1]
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in pixels])
    empty = np.full_like(pixels, grey.round().astype(np.uint8))
    insertion = replacement_curves(answer, blurred, pixels, maps, targets)
    deletion = replacement_curves(answer, pixels, empty, maps, targets)
    ways = {"insertion": insertion, "deletion": deletion}
    return {f"{way}_{name}": curves[name] for name in maps for way, curves in ways.items()}


def area_under(curves: np.ndarray) -> np.ndarray:
    """Area (N,) under curves (N, steps + 1) over the share of pixels from 0 to 1, by trapezoids."""
    return np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1)


def randomised(model: Classifier, seed: int) -> Iterator[tuple[str, Classifier]]:
    """The model with its head at random, then also its last block, and so on down to the first.

    Cascading randomisation (Adebayo et al. 2018): what has been initialised anew stays so. Yields the
    name of the part that was last and one copy of the model, which goes on to change.
    """
    model = copy.deepcopy(model)
    blocks = [("head", model.head), *reversed(list(model.backbone.named_children()))]
    for step, (name, block) in enumerate(blocks):
        if not any(True for _ in block.parameters()):
            continue
        with torch.random.fork_rng():
            torch.manual_seed(seed + step)
            for module in block.modules():
                if callable(reset := getattr(module, "reset_parameters", None)):
                    reset()
        yield name, model


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation (N,) of maps (N, H, W) one by one; NaN with a map that is the same everywhere."""
    values = np.full(len(maps), np.nan)
    for place, (one, other) in enumerate(zip(maps, others, strict=True)):
        if np.ptp(one) and np.ptp(other):
            correlation: Any = spearmanr(one.ravel(), other.ravel())
            values[place] = correlation.statistic
    return values


def likeness(maps: np.ndarray, others: np.ndarray, seed: int) -> dict[str, float]:
    """Mean rank correlation of maps (N, H, W) with its interval, and the share that is the same everywhere.

    Such maps are left out of the mean; there is none if all are so.
    """
    values = rank_correlations(maps, others)
    known = values[~np.isnan(values)]
    correlation = mean_with_interval("rank_correlation", known, seed, lowest=-1)
    return {"images": len(values), **correlation, "constant": 1 - len(known) / len(values)}


def sanity(
    model: Classifier, maps: np.ndarray, maps_of: Callable[[Classifier], np.ndarray], seed: int
) -> dict[str, dict[str, float]]:
    """`likeness` of maps (N, H, W) and those of the model after each step of randomisation."""
    return {name: likeness(maps, maps_of(network), seed) for name, network in randomised(model, seed)}


def right_answers(probabilities: Table, labels: np.ndarray) -> dict[str, np.ndarray]:
    """For each kind of probabilities (N, classes) a column `right_KIND` (N,) of 1 where the answer is the label."""
    return {f"right_{name}": (kind.argmax(1) == labels).astype(float) for name, kind in probabilities.items()}


def bootstrap(columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> tuple[float, float]:
    """95 % percentile interval of a statistic of column means, resampling rows (N, columns) as a whole.

    `statistic` takes means (..., columns). An end is one of the draws, because some can be infinite. Of rows that all
    give the same a bootstrap draws no other: then it is what another kind of row could change by, whose share can be
    1 - 0.025^(1/N) without any among N (Clopper & Pearson 1934).
    """
    places = np.random.default_rng(seed).integers(0, len(columns), (DRAWS, len(columns)))
    drawn = np.sort(statistic(columns[places].mean(1)))
    low, high = float(drawn[round(0.025 * DRAWS)]), float(drawn[round(0.975 * DRAWS) - 1])
    reach = 1 - 0.025 ** (1 / len(columns)) if np.isclose(low, high, atol=1e-9) else 0.0
    return low - reach, high + reach


def mean_with_interval(name: str, values: np.ndarray, seed: int, lowest: float = 0.0) -> dict[str, float]:
    """Mean of values (N,), `lowest` to 1, and its interval, as NAME, NAME_ci_low, NAME_ci_high; nothing without any."""
    if not values.size:
        return {}
    low, high = bootstrap(values[:, None], lambda means: means[..., 0], seed)
    return {name: float(values.mean()), f"{name}_ci_low": max(low, lowest), f"{name}_ci_high": min(high, 1.0)}


PRIORS = ("centre", "random", "edges", "oracle")


def normalised(means: np.ndarray) -> np.ndarray:
    """(maps − prior) / (oracle − prior) of means (..., 3) of all three: 0 a guess at the middle, 1 the mask itself."""
    maps, prior, oracle = np.moveaxis(means, -1, 0)
    return np.divide(maps - prior, oracle - prior, out=np.zeros(maps.shape), where=oracle > prior)


def summarise(table: Table, seed: int) -> dict[str, Any]:
    """Figures of the images in a table of `localisation` and of right answers (0 or 1), one row an image.

    All differences are of the same images, with the interval of a paired bootstrap: background_gap is what a
    misleading scene costs beside another one of the class, object_gap what another object costs beside another one of
    the class, object_minus_background their difference, cut_cost what cutting out costs, mask_gain what the right
    mask is worth.
    """
    figures: dict[str, Any] = {}
    for name, column in (("energy_inside", "energy"), ("pointing", "hits")):
        known = ~np.isnan(table[f"{column}_cam"])
        if known.any():
            own = {kind: table[f"{column}_{kind}"][known] for kind in ("cam", *PRIORS)}
            figures[name] = mean_with_interval("cam", own["cam"], seed)
            figures[name] |= {prior: float(own[prior].mean()) for prior in PRIORS}
            three = np.stack([own["cam"], own["centre"], own["oracle"]], axis=1)
            low, high = bootstrap(three, normalised, seed)
            figures[name] |= {"normalised": float(normalised(three.mean(0)))}
            figures[name] |= {"normalised_ci_low": low, "normalised_ci_high": high}
    shares, original = table["energy_cam"], table["right_original"]
    for name, rightness in (("right_answers", 1), ("wrong_answers", 0)):
        own = shares[(original == rightness) & ~np.isnan(shares)]
        figures[name] = {"images": len(own), **mean_with_interval("energy_inside", own, seed)}
    right = {name.removeprefix("right_"): values for name, values in table.items() if name.startswith("right_")}
    background = right["background_same_class"] - right["background_swapped"]
    foreground = right["foreground_same_class"] - right["foreground_swapped"]
    differences = {
        "background_gap": background,
        "object_gap": foreground,
        "object_minus_background": foreground - background,
        "cut_cost": right["original"] - right["background_same_class"],
        "mask_gain": right["background_swapped"] - right["masks_permuted"],
    }
    figures["counterfactual"] = {
        "images": len(background),
        "clean_accuracy": float(right.pop("original").mean()),
        **{name: float(values.mean()) for name, values in right.items()},
    }
    for name, values in differences.items():
        figures["counterfactual"] |= mean_with_interval(name, values, seed, lowest=-1)
    return figures


def faithfulness(curves: Table, seed: int) -> dict[str, float]:
    """Areas of the curves, and how far the maps are ahead of random ones, the centre and edges, with intervals."""
    areas = {name: area_under(kind) for name, kind in curves.items()}
    figures: dict[str, float] = {"images": len(areas["insertion_cam"])}
    figures |= {name: float(area.mean()) for name, area in areas.items()}
    for prior, end in (("random", ""), ("centre", "_over_centre"), ("edges", "_over_edges")):
        insertion = areas["insertion_cam"] - areas[f"insertion_{prior}"]
        deletion = areas[f"deletion_{prior}"] - areas["deletion_cam"]
        figures |= mean_with_interval(f"insertion_gain{end}", insertion, seed, lowest=-1)
        figures |= mean_with_interval(f"deletion_gain{end}", deletion, seed, lowest=-1)
    return figures


def selection(right: np.ndarray, taken: np.ndarray) -> dict[str, float]:
    """Accuracy of answers (N,) bool on the images `taken` (n,) and on those rejected, and the first less the second.

    Which images have a clear outline is no choice of chance. Empty if either kind has no image.
    """
    kept = np.isin(np.arange(len(right)), taken)
    if kept.all() or not kept.any():
        return {}
    own, others = right[kept], right[~kept]
    ends = newcombe_interval(int(own.sum()), len(own), int(others.sum()), len(others))
    counts = {"kept": len(own), "rejected": len(others)}
    shares = share_of("accuracy_kept", own) | share_of("accuracy_rejected", others)
    return counts | shares | with_interval("kept_minus_rejected", float(own.mean() - others.mean()), ends)


def per_class(table: Table, labels: np.ndarray, taken: np.ndarray, classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Images of each class, those taken, and the figures of these; only the counts where none was taken.

    labels (N,) of all images, taken (n,) the places of a table's rows among them.
    """
    figures = {}
    for label, name in enumerate(classes):
        own = labels[taken] == label
        figures[name] = {"images": int((labels == label).sum()), "accepted": int(own.sum())}
        if own.any():
            figures[name] |= summarise({column: values[own] for column, values in table.items()}, seed)
    return figures


def class_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures of `per_class` as rows of a table, empty where one is missing."""
    ends = ("", "_ci_low", "_ci_high")
    columns = {
        "energy_inside": ("cam", *PRIORS),
        "pointing": ("cam", *PRIORS),
        "counterfactual": (
            "clean_accuracy",
            *(f"{name}{end}" for name in ("background_gap", "object_gap") for end in ends),
        ),
    }
    rows = []
    for name, values in figures.items():
        row = {"class": name, "images": values["images"], "accepted": values["accepted"]}
        for group, keys in columns.items():
            prefix = "" if group == "counterfactual" else f"{group}_"
            row |= {f"{prefix}{key}": values.get(group, {}).get(key, "") for key in keys}
        rows.append(row)
    return rows
