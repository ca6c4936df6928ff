"""How well the audit's masks hold an object whose outline is known: `python -m benchmarks.masks` after `resize@test`.

Each object is a wavy disc cut from one test image and laid on another one of another class: textures and backgrounds
are real, outlines exact. What is taken is told apart from what the audit rejects.
"""

import argparse
from pathlib import Path

import numpy as np

from stages.audit import Audit
from transfer.data.resize import open_resized
from transfer.data.stratified import some_of
from transfer.evaluation.scores import share_of
from transfer.explanation.objects import MARGIN, TAKEN, compose, draw_partners, find_objects
from transfer.report.evidence import estimate
from transfer.runtime.parameters import Group, check_parameters, read_mapping


class Parameters(Group):
    seed: int
    audit: Audit


def outline(side: int, rng: np.random.Generator) -> np.ndarray:
    """A wavy, elongated disc (side, side) bool near the middle: 5 to 45 % of the image."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5 - rng.uniform(-0.08, 0.08, (2, 1, 1))
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.6)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius, direction = np.hypot(along / stretch, across * stretch), np.arctan2(across, along)
    waves = sum(rng.uniform(0, 0.12) * np.cos(k * direction + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
    return radius < rng.uniform(0.17, 0.34) * (1 + waves)


def overlap(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union (N,) of masks (N, S, S) bool."""
    return (masks & others).sum((1, 2)) / (masks | others).sum((1, 2))


def main(run: Path, count: int) -> None:
    parameters = check_parameters(Parameters, read_mapping(run / "params.yaml"))
    config, split = parameters.audit, open_resized(run / "data/resized/test")
    chosen, rng = some_of(split.labels, count, parameters.seed), np.random.default_rng(parameters.seed)
    pixels, side = split.pixels[chosen], split.pixels.shape[1]
    truth = np.stack([outline(side, rng) for _ in chosen])
    partners = draw_partners(split.labels[chosen], False, rng)
    made = np.stack([compose(pixels[partners[i]], pixels[i], truth[i]) for i in range(len(chosen))])
    masks, judged = find_objects(made, config.min_object_share, config.max_object_share, config.min_mask_agreement)
    rectangle, edge = np.zeros((1, side, side), bool), round(MARGIN * side)
    rectangle[:, edge:-edge, edge:-edge] = True
    for name, own in (("taken", judged == TAKEN), ("rejected", judged != TAKEN)):
        if not own.any():
            continue
        found, known = overlap(masks[own], truth[own]), overlap(truth[own], rectangle)
        half = estimate(share_of("share", found >= 0.5), "share")
        print(
            f"{name}: {own.sum()} of {len(own)}; intersection over union {found.mean():.2f} (quartiles "
            f"{np.quantile(found, 0.25):.2f} to {np.quantile(found, 0.75):.2f}), at least 0.5 in {half}; of the whole "
            f"rectangle {known.mean():.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.masks", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(), help="a workspace with data/resized/test (default: this)")
    parser.add_argument("--images", type=int, default=500, help="objects to make (default %(default)s)")
    given = parser.parse_args()
    main(given.run, given.images)
