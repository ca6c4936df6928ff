"""Fetch ImageNet weights, check them against the architecture and write them as safetensors."""

from argparse import Namespace
from pathlib import Path

from pydantic import Field

from transfer.network.backbones import Backbone, check_size, published_weights, save_backbone
from transfer.network.weights import read_state_dict
from transfer.runtime.command import run
from transfer.runtime.errors import DownloadError, WeightsError
from transfer.runtime.files import sha256_of, write_json
from transfer.runtime.parameters import Group, SharedGroup
from transfer.sources.fetch import fetch


class BackboneParameters(Group):
    name: str = Field(min_length=1)
    weights: str = Field(min_length=1)
    url: str | None
    sha256: str | None = Field(pattern="^[0-9a-f]{8,64}$")
    timeout_s: float = Field(gt=0)


class ResizeParameters(SharedGroup):
    size_px: int = Field(ge=8, le=1024)


class Parameters(Group):
    backbone: BackboneParameters
    resize: ResizeParameters


def fetch_weights(address: str, name: str, folder: Path, timeout_s: float) -> tuple[str, Path]:
    """The full address and a local copy of the file there, or of the .pth or .safetensors in the folder there."""
    if not (address.endswith("/") or Path(address).expanduser().is_dir()):
        return address, fetch(address, folder, timeout_s)
    first, second = (f"{address.removesuffix('/')}/{name}{ending}" for ending in (".pth", ".safetensors"))
    try:
        return first, fetch(first, folder, timeout_s)
    except DownloadError as error:
        try:
            return second, fetch(second, folder, timeout_s)
        except DownloadError:
            raise error from None


def main(parameters: Parameters, files: Namespace) -> None:
    config, size_px = parameters.backbone, parameters.resize.size_px
    published = published_weights(config.name, config.weights)
    check_size(config.name, size_px)
    sha256_start = config.sha256 or ("" if config.url else published.sha256_start)
    url, local = fetch_weights(config.url or published.url, config.name, files.state / "backbone", config.timeout_s)
    actual = sha256_of(local)
    if not actual.startswith(sha256_start):
        if local.is_relative_to(files.state):  # or the next try would find the wrong file complete
            local.unlink()
        raise WeightsError(f"{url}: SHA-256 is {actual}, expected to begin with {sha256_start}; check the address")
    state = read_state_dict(local, config.name, size_px)
    save_backbone(files.weights, Backbone(config.name, state, published.preprocessing))
    write_json(
        files.metrics,
        {
            "name": config.name,
            "weights": published.name,
            "published": actual.startswith(published.sha256_start),
            "sha256": actual,
            "parameters": sum(tensor.numel() for tensor in state.values()),
        },
    )


if __name__ == "__main__":
    run(main, Parameters, outputs=["weights", "metrics"])
