"""Write the model in forms that run without this project, and prove each on test images against the model itself."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from transfer.data.preparation import Preparation
from transfer.data.resize import open_resized
from transfer.data.stratified import some_of
from transfer.deployment import export
from transfer.deployment.package import DESCRIPTION, REFERENCE, Package
from transfer.deployment.predictor import Network
from transfer.devices.device import batch_size_for, best_device
from transfer.devices.precision import Precision
from transfer.evaluation.answering import read_answering
from transfer.evaluation.neighbours import Rejection
from transfer.network.classifier import load_card
from transfer.network.program import Program, load_program
from transfer.runtime.command import run
from transfer.runtime.errors import DataError, ExportError
from transfer.runtime.files import open_arrays, sha256_of, whole, write_json
from transfer.runtime.parameters import Group
from transfer.runtime.progress import Progress
from transfer.runtime.wording import plural

PREDICT = Path(export.__file__).with_name("templates") / "predict.py"


class Export(Group):
    formats: tuple[export.Format, ...]
    tolerance: float = Field(gt=0)
    int8_max_loss: float = Field(ge=0, le=1)
    calibration_images: int = Field(gt=0)
    images: int = Field(gt=0)
    batch_size: int | None = Field(gt=0)


class Parameters(Group):
    seed: int = Field(ge=0)
    export: Export


def batches(pixels: np.ndarray, batch_size: int | None, label: str) -> Iterator[np.ndarray]:
    size = batch_size_for(batch_size, pixels.shape[1], torch.device("cpu"))
    starts = range(0, len(pixels), size)
    return (np.ascontiguousarray(pixels[at : at + size]) for at in Progress(starts, desc=label, unit="batch"))


def write_formats(folder: Path, program: Program, files: Namespace, parameters: Parameters) -> dict[str, str]:
    """Write each format into the folder; of one that cannot be written, why not."""
    config, train = parameters.export, open_resized(files.train)
    chosen = some_of(train.labels, config.calibration_images, parameters.seed)
    reasons = {}
    try:
        found = export.exported(program, train.pixels.shape[1])
    except ExportError as error:
        return dict.fromkeys(config.formats, str(error))
    writers = {
        "onnx": lambda path: export.write_onnx(path, found),
        "program": lambda path: export.write_program(path, found),
        "int8": lambda path: export.write_int8(
            path, folder / export.FILES["onnx"], batches(train.pixels[chosen], config.batch_size, "calibration")
        ),
    }
    for name in config.formats:
        try:
            if name == "int8" and not (folder / export.FILES["onnx"]).exists():
                raise ExportError("made of the ONNX file, which there is not; name onnx before int8 in export.formats")
            writers[name](folder / export.FILES[name])
        except ExportError as error:
            reasons[name] = str(error)
    return reasons


def torch_network(program: Program) -> Network:
    @torch.no_grad()
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = program(torch.from_numpy(pixels))
        return probabilities.numpy(), features.numpy()

    return run


def described(files: Namespace, preparation: Preparation) -> Package:
    """What the package says of the model."""
    card, answering = load_card(files.model), read_answering(files.predictions)
    with open_arrays(files.unknown, "rejection") as arrays:
        rejection = Rejection.model_validate_json(str(arrays["rejection"]))
    return Package(
        architecture=card.architecture,
        classes=card.classes,
        preparation=preparation,
        mean=card.preprocessing.mean,
        std=card.preprocessing.std,
        **answering._asdict(),
        rejection=rejection,
        model_sha256=sha256_of(files.model),
    )


def verify(
    folder: Path, pixels: np.ndarray, labels: np.ndarray, expected: np.ndarray, config: Export, reasons: dict[str, str]
) -> dict[str, Any]:
    """Figures of each format by name. Raises ExportError for one that answers otherwise than the model."""
    figures: dict[str, Any] = {}
    right = export.accuracy(expected, labels)["accuracy"]
    for name in config.formats:
        if name in reasons:
            figures[name] = {"reason": reasons[name]}
            continue
        path = folder / export.FILES[name]
        network = export.OPEN[name](path)
        found = np.concatenate([network(batch)[0] for batch in batches(pixels, config.batch_size, name)])
        figures[name] = {
            "bytes": path.stat().st_size,
            **export.differences(found, expected),
            **export.accuracy(found, labels),
        }
        difference, loss = figures[name]["largest_difference"], right - figures[name]["accuracy"]
        if name == "int8" and loss > config.int8_max_loss:
            raise ExportError(
                f"int8 loses {loss:.4f} of accuracy, more than export.int8_max_loss = {config.int8_max_loss}; "
                "raise export.calibration_images, or take int8 out of export.formats"
            )
        if name != "int8" and difference > config.tolerance:
            raise ExportError(
                f"{name} differs from the model by {difference:.2g}, more than export.tolerance = {config.tolerance}; "
                "take it out of export.formats, or allow the difference"
            )
    return figures


def compare(
    expected: np.ndarray, evaluated: np.ndarray, labels: np.ndarray, precision: Precision, tolerance: float
) -> dict[str, Any]:
    """How far probabilities (N, classes) in float32, as exported, are from those that evaluate gave in `precision`.

    Raises ExportError where evaluate's figures are not the exported model's: if the accuracy leaves their interval,
    or, where both computed in float32 on a processor, if a probability differs by more than `tolerance`.
    """
    found, now, then = (
        export.differences(expected, evaluated),
        export.accuracy(expected, labels),
        export.accuracy(evaluated, labels),
    )
    exact = precision == "float32" and best_device().type == "cpu"
    if exact and found["largest_difference"] > tolerance:
        raise ExportError(
            f"the model differs from evaluate's probabilities by {found['largest_difference']:.2g}, more than "
            f"export.tolerance = {tolerance}; run `dvc repro --force evaluate` on this machine, or allow the difference"
        )
    if not then["accuracy_ci_low"] <= now["accuracy"] <= then["accuracy_ci_high"]:
        raise ExportError(
            f"in float32 the model's accuracy is {now['accuracy']:.4f}, in evaluate's {precision} "
            f"{then['accuracy']:.4f} ({then['accuracy_ci_low']:.4f} to {then['accuracy_ci_high']:.4f}); "
            "set train.precision to float32"
        )
    return found


def main(parameters: Parameters, files: Namespace) -> None:
    config, test = parameters.export, open_resized(files.test)
    chosen = some_of(test.labels, config.images, parameters.seed)
    package = described(files, Preparation.of(open_resized(files.train), test))
    pixels, labels = test.pixels[chosen], test.labels[chosen]
    program = load_program(files.model, package.mirror, package.shift_fraction)
    network = torch_network(program)
    expected = np.concatenate([network(batch)[0] for batch in batches(pixels, config.batch_size, "torch")])
    with open_arrays(files.predictions, "probabilities", "labels") as arrays:
        if not np.array_equal(arrays["labels"], test.labels):
            raise DataError(f"{files.predictions}: not of the images in {files.test}; run `dvc repro evaluate`")
        evaluated = arrays["probabilities"][chosen]
    precision = load_card(files.model).precision
    compared = compare(expected, evaluated, labels, precision, config.tolerance)
    with whole(files.exported) as folder:
        folder.mkdir()
        reasons = write_formats(folder, program, files, parameters)
        figures = verify(folder, pixels, labels, expected, config, reasons)
        (folder / DESCRIPTION).write_text(package.model_dump_json(indent=2) + "\n", encoding="utf-8")
        with open_arrays(files.unknown, "features") as arrays:
            np.savez(folder / REFERENCE, features=arrays["features"])
        (folder / PREDICT.name).write_bytes(PREDICT.read_bytes())
    metrics = {
        "images": len(chosen),
        "opset": export.OPSET,
        "torch": {**export.accuracy(expected, labels), "bytes": files.model.stat().st_size},
        "evaluate": compared,
        **figures,
    }
    write_json(files.metrics, metrics)
    for name, found in figures.items():
        told = found.get("reason") or f"{plural(found['changed_answers'], 'answer')} of {len(chosen):,} changed"
        print(f"{name}: {told}")


if __name__ == "__main__":
    run(
        main,
        Parameters,
        inputs=["model", "unknown", "train", "test", "predictions"],
        outputs=["exported", "metrics"],
    )
