"""Find images that are in two splits, or twice in one, by their pixels alone, before anything is trained."""

from argparse import Namespace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from pydantic import Field

from transfer.data.resize import Resized, open_resized
from transfer.evaluation.duplicates import Copy, Thresholds, copies, find_links
from transfer.pictures.data import pair_sheet
from transfer.runtime.command import run
from transfer.runtime.files import write_arrays, write_json, write_tsv
from transfer.runtime.parameters import Group
from transfer.runtime.wording import plural

SPLITS: tuple[str, ...] = ("train", "val", "test")
# Pictures of the pairs that matter most come first.
SHOWN = (("train", "test"), ("val", "test"), ("train", "val"), ("test", "test"), ("train", "train"), ("val", "val"))
COLUMNS = ("kind", "split_a", "position_a", "name_a", "split_b", "position_b", "name_b")
COLUMNS += ("class_a", "class_b", "correlation")
MOST_ROWS = 5000  # of a table for people; metrics/leakage.json has all counts


class Leakage(Group):
    neighbours: int = Field(gt=0)
    min_correlation: float = Field(ge=-1, le=1)
    max_shift_px: int = Field(ge=0, le=8)
    pictures: int = Field(gt=0)


class Parameters(Group):
    leakage: Leakage


def row_of(found: Copy, names: tuple[str, str], splits: dict[str, Resized], starts: dict[str, int]) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": "exact" if found.exact else "near", "correlation": found.correlation}
    for side, name, image in zip("ab", names, (found.original, found.image), strict=True):
        split, place = splits[name], image - starts[name]
        values |= {f"split_{side}": name, f"position_{side}": int(split.positions[place])}
        values |= {
            f"name_{side}": str(split.names[place]),
            f"class_{side}": split.classes[split.labels[place]],
            f"pixels_{side}": split.images[place],
        }
    return values


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.leakage
    splits = {name: open_resized(files.resized / name) for name in SPLITS}
    ends = np.cumsum([len(split.labels) for split in splits.values()]).tolist()
    starts = dict(zip(SPLITS, [0, *ends], strict=False))
    places = {name: range(starts[name], end) for name, end in zip(SPLITS, ends, strict=True)}
    thresholds = Thresholds(**config.model_dump(exclude={"pictures"}))
    links = find_links(np.concatenate([split.images for split in splits.values()]), thresholds)
    counts, rows, affected = {}, [], np.zeros(len(places["test"]), bool)
    for a, b in combinations_with_replacement(SPLITS, 2):
        own = [row_of(found, (a, b), splits, starts) for found in copies(links, places[b], places[a])]
        exact = sum(row["kind"] == "exact" for row in own)
        other = sum(row["class_a"] != row["class_b"] for row in own)
        counts[f"{a}-{b}"] = {"exact": exact, "near": len(own) - exact, "other_class": other}
        rows += own
        if b == "test" and a != b:
            affected |= np.isin(splits["test"].positions, [row["position_b"] for row in own])
    rows.sort(key=lambda row: (SHOWN.index((row["split_a"], row["split_b"])), -row["correlation"]))
    write_arrays(files.duplicates, affected=affected, positions=splits["test"].positions)
    sizes = links.groups().tolist()
    write_json(
        files.metrics,
        {
            "thresholds": vars(thresholds),
            "copies": counts,
            "groups": len(sizes),
            "largest_group": max(sizes, default=0),
            "rows_left_out": max(len(rows) - MOST_ROWS, 0),
            "affected_test_images": int(affected.sum()),
        },
    )
    write_tsv(files.plots / "copies.tsv", rows[:MOST_ROWS], COLUMNS)
    pair_sheet(files.plots / "pictures/copies.png", rows, config.pictures)
    test_images = plural(int(affected.sum()), "test image")
    print(f"{plural(len(sizes), 'group')} of copies, with {test_images} in training or validation")


if __name__ == "__main__":
    run(main, Parameters, inputs=["resized"], outputs=["duplicates", "metrics", "plots"])
