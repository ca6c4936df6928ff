"""Fetch pretrained weights, check them against the architecture and write them as safetensors."""

import re
from argparse import Namespace
from pathlib import Path

from pydantic import Field
from torch import Tensor

from transfer.network.architectures import check_maps, check_size, initial_weights, is_sized, published_weights
from transfer.network.backbones import Backbone, save_backbone
from transfer.network.published import PublishedWeights
from transfer.network.weights import read_state_dict
from transfer.runtime.command import run
from transfer.runtime.errors import DownloadError, WeightsError
from transfer.runtime.files import sha256_of, write_json
from transfer.runtime.parameters import Group, SharedGroup
from transfer.sources.fetch import fetch

RANDOM = "random"  # backbone.weights of a network that learns everything from the images that are given


class BackboneParameters(Group):
    name: str = Field(min_length=1)
    weights: str = Field(min_length=1)
    url: str | None
    sha256: str | None = Field(pattern="^[0-9a-f]{8,64}$")
    timeout_s: float = Field(gt=0)


class ResizeParameters(SharedGroup):
    size_px: int = Field(ge=8, le=1024)


class SmallImages(SharedGroup):
    size_px: int | None = Field(ge=32)


class FineTune(SharedGroup):
    small_images: SmallImages


class Train(SharedGroup):
    batch_size: int = Field(ge=2)  # batch norm learns nothing from one image; said here, not when fine_tune begins
    fine_tune: FineTune


class Parameters(Group):
    backbone: BackboneParameters
    resize: ResizeParameters
    train: Train


def fetch_weights(address: str, name: str, folder: Path, timeout_s: float) -> tuple[str, Path]:
    """The full address and a local copy of the file there, or of the .pth or .safetensors in the folder there.

    `hf://OWNER/NAME/FILE` is a file of the Hugging Face hub, or of its mirror in HF_ENDPOINT.
    """
    if hub := re.fullmatch("hf://([^/]+/[^/]+)/(.+)", address):
        from huggingface_hub import hf_hub_url  # takes a second, which others need not wait

        address = hf_hub_url(hub[1], hub[2])
    if not (address.endswith("/") or Path(address).expanduser().is_dir()):
        return address, fetch(address, folder, timeout_s)
    file = name.removeprefix("timm/")
    first, second = (f"{address.removesuffix('/')}/{file}{ending}" for ending in (".pth", ".safetensors"))
    try:
        return first, fetch(first, folder, timeout_s)
    except DownloadError as error:
        try:
            return second, fetch(second, folder, timeout_s)
        except DownloadError:
            raise error from None


def pretrained(
    config: BackboneParameters, published: PublishedWeights, size_px: int, state: Path
) -> tuple[dict[str, Tensor], str]:
    """The weights as the library's network holds them, and the SHA-256 of the file. Raises WeightsError."""
    architecture = published.architecture
    address = config.url or published.url
    if address is None:
        raise WeightsError(f"backbone.url = null: nobody publishes weights of {architecture}; give a file of them")
    sha256_start = config.sha256 or ("" if config.url else published.sha256_start)
    url, local = fetch_weights(address, architecture, state / "backbone", config.timeout_s)
    actual = sha256_of(local)
    if not actual.startswith(sha256_start):
        if local.is_relative_to(state):  # or the next try would find the wrong file complete
            local.unlink()
        raise WeightsError(f"{url}: SHA-256 is {actual}, expected to begin with {sha256_start}; check the address")
    return read_state_dict(local, architecture, size_px), actual


def made_for(published: PublishedWeights) -> str:
    """The images that the weights were made for, in words."""
    crop = "" if published.crop == 1 else f", the middle {100 * published.crop:.3g} % of an image"
    return f"weights made for {published.size_px} px, {published.interpolation}{crop}"


def main(parameters: Parameters, files: Namespace) -> None:
    config, size_px = parameters.backbone, parameters.resize.size_px
    published = published_weights(config.name, "DEFAULT" if config.weights == RANDOM else config.weights)
    architecture = published.architecture
    check_size(architecture, size_px, parameters.train.fine_tune.small_images.size_px)
    check_maps(architecture, size_px)
    if config.weights == RANDOM:
        state, actual = initial_weights(architecture, size_px), None
    else:
        state, actual = pretrained(config, published, size_px, files.state)
        print(f"{architecture}: {made_for(published)}; here resize.* decides (docs/backbones.md)")
    sized = size_px if is_sized(architecture) else None
    save_backbone(files.weights, Backbone(architecture, state, published.preprocessing, sized))
    known = None
    if actual:
        known = actual.startswith(published.sha256_start) if published.sha256_start else config.url is None
    write_json(
        files.metrics,
        {
            "name": architecture,
            "weights": RANDOM if actual is None else published.name,
            "published": known,
            "sha256": actual,
            "parameters": sum(tensor.numel() for tensor in state.values()),
            # What the weights were made for, beside mean and std, which are applied; resize.* decides about these.
            "made_for": {
                "size_px": published.size_px,
                "interpolation": published.interpolation,
                "crop": round(published.crop, 4),
            },
        },
    )


if __name__ == "__main__":
    run(main, Parameters, outputs=["weights", "metrics"])
