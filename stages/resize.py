"""Upscale one split with OpenCV to a memory-mappable cache."""

from argparse import Namespace

from pydantic import Field

from transfer.data.resize import Interpolation, resize_to_file
from transfer.data.splits import load_split
from transfer.runtime.command import run
from transfer.runtime.parameters import Group


class Resize(Group):
    size_px: int = Field(ge=8, le=1024)
    interpolation: Interpolation


class Parameters(Group):
    resize: Resize


def main(parameters: Parameters, files: Namespace) -> None:
    wanted = parameters.resize
    resize_to_file(load_split(files.split).images, wanted.size_px, wanted.interpolation, files.pixels)


if __name__ == "__main__":
    run(main, Parameters, inputs=["split"], outputs=["pixels"])
