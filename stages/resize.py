"""Upscale one split with OpenCV to memory-mappable pixels, beside their labels."""

from argparse import Namespace

from pydantic import Field

from transfer.data.resize import Interpolation, save_resized
from transfer.data.splits import load_split
from transfer.runtime.command import run
from transfer.runtime.parameters import Group


class Resize(Group):
    size_px: int = Field(ge=8, le=1024)
    interpolation: Interpolation


class Parameters(Group):
    resize: Resize


def main(parameters: Parameters, files: Namespace) -> None:
    config = parameters.resize
    save_resized(files.resized, load_split(files.split), config.size_px, config.interpolation)


if __name__ == "__main__":
    run(main, Parameters, inputs=["split"], outputs=["resized"])
