"""Run the frozen backbone once over training and validation images and their mirror images; score what it gives."""

from argparse import Namespace
from pathlib import Path

from pydantic import Field
from torch import nn

from transfer.data.features import Features, save_features
from transfer.data.resize import open_resized
from transfer.devices.device import best_device
from transfer.devices.launch import run_on_devices
from transfer.devices.precision import Precision, PrecisionChoice, resolve_precision
from transfer.devices.processes import leave_to_first
from transfer.network.backbones import load_backbone
from transfer.network.baselines import linear_probe, nearest_neighbours
from transfer.network.classifier import build_feature_extractor
from transfer.network.images import Images
from transfer.network.inference import run_over
from transfer.network.published import Preprocessing
from transfer.runtime.files import write_json
from transfer.runtime.parameters import Group, SharedGroup


class Embed(Group):
    batch_size: int | None = Field(gt=0)


class Train(SharedGroup):
    precision: PrecisionChoice


class Parameters(Group):
    embed: Embed
    train: Train


def embed(
    extractor: nn.Module, preprocessing: Preprocessing, folder: Path, batch_size: int | None, precision: Precision
) -> Features:
    split = open_resized(folder)
    images = Images(split.pixels, preprocessing, best_device())
    plain, mirrored = (
        run_over(extractor, images, batch_size, mirrored, label=f"{folder.name} {name}", precision=precision)
        for mirrored, name in ((False, "plain"), (True, "mirrored"))
    )
    return Features(plain.cpu().numpy(), mirrored.cpu().numpy(), split.labels, split.classes)


def main(parameters: Parameters, files: Namespace) -> None:
    backbone = load_backbone(files.backbone)
    extractor, _ = build_feature_extractor(backbone)
    extractor = extractor.to(best_device()).eval()
    precision = resolve_precision(parameters.train.precision, best_device())
    train, val = (
        embed(extractor, backbone.preprocessing, folder, parameters.embed.batch_size, precision)
        for folder in (files.train, files.val)
    )
    leave_to_first()
    save_features(files.train_features, train)
    save_features(files.val_features, val)
    splits = train.plain, train.labels, val.plain, val.labels
    neighbours, probe = nearest_neighbours(*splits), linear_probe(*splits)
    figures = {
        "knn": {"accuracy": neighbours.accuracy, "neighbours": neighbours.chosen},
        "linear_probe": {"accuracy": probe.accuracy, "penalty": probe.chosen},
    }
    write_json(files.metrics, {"val": figures, "features": train.plain.shape[1], "precision": precision})


if __name__ == "__main__":
    run_on_devices(
        main,
        Parameters,
        inputs=["backbone", "train", "val"],
        outputs=["train_features", "val_features", "metrics"],
        parallel=True,
    )
