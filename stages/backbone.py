"""Fetch ImageNet weights, check them against the architecture and write them as safetensors."""

from argparse import Namespace

from pydantic import Field

from transfer.network.backbones import Backbone, published_weights, save_backbone
from transfer.network.weights import read_state_dict
from transfer.runtime.command import run
from transfer.runtime.errors import WeightsError
from transfer.runtime.files import sha256_of, write_json
from transfer.runtime.parameters import Group
from transfer.sources.fetch import fetch


class BackboneParameters(Group):
    name: str = Field(min_length=1)
    weights: str = Field(min_length=1)
    url: str | None
    sha256: str | None = Field(pattern="^[0-9a-f]{8,64}$")
    timeout_s: float = Field(gt=0)


class Parameters(Group):
    backbone: BackboneParameters


def main(parameters: Parameters, files: Namespace) -> None:
    wanted = parameters.backbone
    published = published_weights(wanted.name, wanted.weights)
    url = wanted.url or published.url
    if url.endswith("/"):
        url += f"{wanted.name}.pth"
    sha256_start = wanted.sha256 or ("" if wanted.url else published.sha256_start)
    local = fetch(url, files.state / "backbone", wanted.timeout_s)
    actual = sha256_of(local)
    if not actual.startswith(sha256_start):
        if local.is_relative_to(files.state):  # or the next try would find the wrong file complete
            local.unlink()
        raise WeightsError(f"{url}: SHA-256 is {actual}, expected to begin with {sha256_start}; check the address")
    state = read_state_dict(local, wanted.name)
    save_backbone(files.weights, Backbone(wanted.name, state, published.preprocessing))
    write_json(
        files.metrics,
        {
            "name": wanted.name,
            "weights": published.name,
            "published": actual.startswith(published.sha256_start),
            "sha256": actual,
            "parameters": sum(tensor.numel() for tensor in state.values()),
        },
    )


if __name__ == "__main__":
    run(main, Parameters, outputs=["weights", "metrics"])
