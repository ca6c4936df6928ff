"""Bring one split to the network's size with OpenCV, as memory-mappable pixels, beside thumbnails and labels."""

from argparse import Namespace

import numpy as np
from pydantic import Field

from transfer.data.resize import PIXELS, THUMBNAILS, Aspect, Interpolation
from transfer.data.resizing import kept_rows, save_resized
from transfer.data.splits import load_split
from transfer.runtime.command import run
from transfer.runtime.kept import fingerprint, keep
from transfer.runtime.parameters import Group


class Resize(Group):
    size_px: int = Field(ge=8, le=1024)
    interpolation: Interpolation
    aspect: Aspect


class Parameters(Group):
    resize: Resize


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.resize
    split = load_split(files.split)
    state, made_by = files.state / "resize", f"{fingerprint(parameters)} {split.thumbnail_px}"
    known = kept_rows(state, made_by)
    digests = save_resized(files.resized, split, config.size_px, config.interpolation, config.aspect, known)
    if digests:
        keep(state / files.resized.name, made_by, digests, [files.resized / name for name in (PIXELS, THUMBNAILS)])
    shorter = split.sizes.min(1)
    if smaller := int((shorter < config.size_px).sum()):
        print(
            f"smaller than {config.size_px} px and enlarged: {smaller:,} of {len(shorter):,} images; "
            f"the smallest has {shorter.min()} px, the median {np.median(shorter):.0f} px"
        )


if __name__ == "__main__":
    run(main, Parameters, inputs=["split"], outputs=["resized"])
