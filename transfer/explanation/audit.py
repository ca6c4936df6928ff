"""Is a decision made by the object? Figures about maps, images with changed parts, and a verdict of them."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from transfer.data.stratified import stratified_positions
from transfer.explanation.objects import BLUR
from transfer.network.classifier import Classifier

CENTRE = 1 / 4  # standard deviation of the centre prior, as a share of the side
STEPS = 16  # of insertion and deletion
DRAWS = 2000  # of the bootstrap

Table = Mapping[str, np.ndarray]


def some_of(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of `count` images, or of all there are, each class in proportion."""
    return stratified_positions(labels, [min(count, len(labels))], seed)[0]


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


def centre_map(size_px: int) -> np.ndarray:
    """A Gaussian (size_px, size_px) at the centre of the image."""
    steps = (np.arange(size_px) + 0.5) / size_px - 0.5
    profile = np.exp(-((steps / CENTRE) ** 2) / 2)
    return np.outer(profile, profile)


def random_maps(count: int, width: int, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Noise from 0 to 1 of `width` × `width`, enlarged as maps are: (count, size_px, size_px)."""
    noise = rng.random((count, width, width), dtype=np.float32)
    low, high = noise.min((1, 2), keepdims=True), noise.max((1, 2), keepdims=True)
    return np.stack([cv2.resize(one, (size_px, size_px)) for one in (noise - low) / (high - low)])


def localisation(maps: np.ndarray, masks: np.ndarray, width: int, seed: int) -> Table:
    """Energy and hits of each map (N, H, W), of a centred Gaussian and of noise as coarse, as columns (N,)."""
    size_px = maps.shape[-1]
    kinds = {
        "cam": maps,
        "centre": np.broadcast_to(centre_map(size_px), maps.shape),
        "random": random_maps(len(maps), width, size_px, np.random.default_rng(seed)),
    }
    energies = {f"energy_{name}": energy_inside(kind, masks) for name, kind in kinds.items()}
    return energies | {f"hits_{name}": pointing_hits(kind, masks) for name, kind in kinds.items()}


def replacement_curves(
    answer: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    ends: np.ndarray,
    maps: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """Probability (N, STEPS + 1) of each target while pixels of `starts` become those of `ends`, highest map first.

    starts, ends (N, S, S, 3) uint8, maps (N, S, S); equal places of a map go row by row. From a blurred
    image to the image this is insertion, from the image to a grey one deletion (Petsiuk et al. 2018).
    """
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    replaced = ranks.reshape(maps.shape)[:, None, :, :, None] < _cuts(flat.shape[1])
    mixed = np.where(replaced, ends[:, None], starts[:, None])
    chances = answer(mixed.reshape(-1, *starts.shape[1:])).reshape(len(maps), STEPS + 1, -1)
    return chances[np.arange(len(maps)), :, targets]


def _cuts(pixels: int) -> np.ndarray:
    return np.rint(np.linspace(0, pixels, STEPS + 1)).astype(int)[None, :, None, None, None]


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
    empty = np.broadcast_to(grey.round().astype(np.uint8), pixels.shape)
    curves = {}
    for name, kind in maps.items():
        curves[f"insertion_{name}"] = replacement_curves(answer, blurred, pixels, kind, targets)
        curves[f"deletion_{name}"] = replacement_curves(answer, pixels, empty, kind, targets)
    return curves


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
    """Spearman's rank correlation (N,) of maps (N, H, W) one by one; 0 with a map that is the same everywhere."""
    values = np.zeros(len(maps))
    for place, (one, other) in enumerate(zip(maps, others, strict=True)):
        if np.ptp(one) and np.ptp(other):
            correlation: Any = spearmanr(one.ravel(), other.ravel())
            values[place] = correlation.statistic
    return values


def sanity(
    model: Classifier, maps: np.ndarray, maps_of: Callable[[Classifier], np.ndarray], seed: int
) -> dict[str, dict[str, float]]:
    """Mean rank correlation of maps (N, H, W) with those of the model after each step of randomisation."""
    return {
        name: {"rank_correlation": float(rank_correlations(maps, maps_of(network)).mean())}
        for name, network in randomised(model, seed)
    }


def right_answers(probabilities: Table, labels: np.ndarray) -> dict[str, np.ndarray]:
    """For each kind of probabilities (N, classes) a column `right_KIND` (N,) of 1 where the answer is the label."""
    return {f"right_{name}": (kind.argmax(1) == labels).astype(float) for name, kind in probabilities.items()}


def bootstrap(columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> tuple[float, float]:
    """95 % percentile interval of a statistic of column means, resampling rows (N, columns) as a whole.

    `statistic` takes means (..., columns). An end is one of the draws, because some can be infinite.
    """
    places = np.random.default_rng(seed).integers(0, len(columns), (DRAWS, len(columns)))
    drawn = np.sort(statistic(columns[places].mean(1)))
    return float(drawn[round(0.025 * DRAWS)]), float(drawn[round(0.975 * DRAWS) - 1])


def mean_with_interval(name: str, values: np.ndarray, seed: int) -> dict[str, float]:
    """Mean of values (N,) and its interval, as NAME, NAME_ci_low, NAME_ci_high; nothing without values."""
    if not values.size:
        return {}
    low, high = bootstrap(values[:, None], lambda means: means[..., 0], seed)
    return {name: float(values.mean()), f"{name}_ci_low": low, f"{name}_ci_high": high}


def drop_ratio(means: np.ndarray) -> np.ndarray:
    """Background drop over foreground drop, from means (..., 2) of both; infinite if the foreground costs nothing."""
    background, foreground = means[..., 0], means[..., 1]
    return np.divide(background, foreground, out=np.full(background.shape, np.inf), where=foreground > 0)


def summarise(table: Table, seed: int) -> dict[str, Any]:
    """Figures of the images in a table of `localisation` and of right answers (0 or 1), one row an image.

    A drop is the mean over both ways to change a part. The ratio is left out if the foreground costs nothing,
    an end of its interval if the foreground costs nothing there.
    """
    figures: dict[str, Any] = {}
    for name, column in (("energy_inside", "energy"), ("pointing", "hits")):
        known = ~np.isnan(table[f"{column}_cam"])
        if known.any():
            figures[name] = mean_with_interval("cam", table[f"{column}_cam"][known], seed) | {
                prior: float(table[f"{column}_{prior}"][known].mean()) for prior in ("centre", "random")
            }
    right = {name.removeprefix("right_"): values for name, values in table.items() if name.startswith("right_")}
    clean = right.pop("original")
    drops = np.stack(
        [
            clean - (right["background_blurred"] + right["background_swapped"]) / 2,
            clean - (right["foreground_blurred"] + right["foreground_swapped"]) / 2,
        ],
        axis=1,
    )
    background, foreground = drops.mean(0)
    ratio = float(drop_ratio(drops.mean(0)))
    low, high = bootstrap(drops, drop_ratio, seed)
    ratios = {"ratio": ratio, "ratio_ci_low": low, "ratio_ci_high": high}
    figures["counterfactual"] = {
        "clean_accuracy": float(clean.mean()),
        **{name: float(values.mean()) for name, values in right.items()},
        "background_drop": float(background),
        "foreground_drop": float(foreground),
        **{name: value for name, value in ratios.items() if np.isfinite(ratio) and np.isfinite(value)},
    }
    return figures


def faithfulness(curves: Table, seed: int) -> dict[str, float]:
    """Areas of the curves, and how far the maps are ahead of random ones in each, with intervals."""
    areas = {name: area_under(kind) for name, kind in curves.items()}
    return {
        **{name: float(area.mean()) for name, area in areas.items()},
        **mean_with_interval("insertion_gain", areas["insertion_cam"] - areas["insertion_random"], seed),
        **mean_with_interval("deletion_gain", areas["deletion_random"] - areas["deletion_cam"], seed),
    }


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
    columns = {
        "energy_inside": ("cam", "centre", "random"),
        "pointing": ("cam", "centre", "random"),
        "counterfactual": ("clean_accuracy", "background_drop", "foreground_drop"),
    }
    rows = []
    for name, values in figures.items():
        row = {"class": name, "images": values["images"], "accepted": values["accepted"]}
        for group, keys in columns.items():
            prefix = "" if group == "counterfactual" else f"{group}_"
            row |= {f"{prefix}{key}": values.get(group, {}).get(key, "") for key in keys}
        row |= {
            key: values.get("counterfactual", {}).get(key, "") for key in ("ratio", "ratio_ci_low", "ratio_ci_high")
        }
        rows.append(row)
    return rows
