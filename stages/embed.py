"""Run the frozen backbone once over training and validation images and their mirror images; score what it gives."""

from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from pydantic import Field

from transfer.data.features import Features, load_features, save_features
from transfer.data.resize import Resized, open_resized
from transfer.devices.device import best_device, describe
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import Precision, PrecisionChoice, resolve_precision
from transfer.devices.processes import leave_to_first
from transfer.network.backbones import Backbone, load_backbone
from transfer.network.baselines import linear_probe, nearest_neighbours
from transfer.network.classifier import build_feature_extractor
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.runtime.errors import DataError
from transfer.runtime.files import write_json
from transfer.runtime.hand_overs import write_hand_overs
from transfer.runtime.kept import digest, fingerprint, keep, kept
from transfer.runtime.parameters import Group, SharedGroup
from transfer.runtime.wording import percent


class Embed(Group):
    batch_size: int | None = Field(gt=0)


class Train(SharedGroup):
    precision: PrecisionChoice


class Parameters(Group):
    embed: Embed
    train: Train


class Embedder:
    """The frozen backbone, and what an earlier run made of images with it: features, plain and mirrored, by digest."""

    def __init__(self, backbone: Backbone, batch_size: int | None, precision: Precision) -> None:
        extractor, _ = build_feature_extractor(backbone)
        self.extractor = extractor.to(best_device()).eval()
        self.preprocessing, self.batch_size = backbone.preprocessing, batch_size
        self.precision: Precision = precision
        self.known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def learn(self, digests: Sequence[bytes], plain: np.ndarray, mirrored: np.ndarray) -> None:
        self.known.update(zip(digests, zip(plain, mirrored, strict=True), strict=True))

    def features(self, split: Resized, label: str, digests: Sequence[bytes]) -> Features:
        """Of all images; the network sees those alone that are not known."""
        if new := [row for row, name in enumerate(digests) if name not in self.known]:
            images, rows = Images(split.pixels, self.preprocessing, best_device()), torch.tensor(new)
            views = [
                run_over(self.extractor, images, self.batch_size, mirrored, 0, f"{label} {name}", self.precision, rows)
                for mirrored, name in ((False, "plain"), (True, "mirrored"))
            ]
            self.learn([digests[row] for row in new], *(view.cpu().numpy() for view in views))
        plain, mirrored = (np.stack([self.known[name][view] for name in digests]) for view in (0, 1))
        return Features(plain, mirrored, split.labels, split.classes)


def main(parameters: Parameters, files: Namespace) -> None:
    precision = resolve_precision(parameters.train.precision, best_device())
    embedder = Embedder(load_backbone(files.backbone), parameters.embed.batch_size, precision)
    state, made_by = files.state / "embed", f"{fingerprint(parameters, [files.backbone])} {describe(best_device())}"
    for folder, digests in kept(state, made_by):
        with suppress(DataError):  # damaged: made anew
            earlier = load_features(folder / f"{folder.name}.npz")
            embedder.learn(digests, earlier.plain, earlier.mirrored)
    splits = {files.train_features: open_resized(files.train), files.val_features: open_resized(files.val)}
    names = {path: [digest(image) for image in split.pixels] for path, split in splits.items()}
    train, val = (embedder.features(split, path.stem, names[path]) for path, split in splits.items())
    leave_to_first()
    for path, features in zip(splits, (train, val), strict=True):
        save_features(path, features)
        keep(state / path.stem, made_by, names[path], [path])
    both = train.plain, train.labels, val.plain, val.labels
    batch = Images(splits[files.train_features].pixels[:1], embedder.preprocessing, best_device()).plain(slice(None))
    steps = {
        "resize → embed, fine_tune": {
            "train images": splits[files.train_features].pixels,
            "val images": splits[files.val_features].pixels,
        },
        "embed → backbone": {"a train image": batch.cpu().numpy()},
        "embed → train_head": {"train features": train.plain, "val features": val.plain},
    }
    write_hand_overs(files.plots / "hand_overs.tsv", steps)
    neighbours, probe = nearest_neighbours(*both), linear_probe(*both)
    figures = {
        "knn": {"accuracy": neighbours.accuracy, "neighbours": neighbours.chosen},
        "linear_probe": {"accuracy": probe.accuracy, "penalty": probe.chosen},
    }
    print(
        f"validation accuracy on frozen features: {percent(probe.accuracy)} by a linear probe, "
        f"{percent(neighbours.accuracy)} by nearest neighbours"
    )
    write_json(files.metrics, {"val": figures, "features": train.plain.shape[1], "precision": precision})


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["backbone", "train", "val"],
        outputs=["train_features", "val_features", "metrics", "plots"],
        parallel=True,
    )
