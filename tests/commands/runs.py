"""Small git repositories of runs that a report on a change is about, with the files that DVC keeps."""

from pathlib import Path

import cv2
import numpy as np
from dvc.utils.serialize import dump_yaml
from sklearn.datasets import load_digits

from commands.cached_outputs import digest_of
from tests.commands.toy import git
from tests.splits import split_of
from tests.transfer.report.healthy_run import curve
from transfer.data.splits import Split
from transfer.runtime.files import write_json, write_tsv

CLASSES = ("zero|0", "*one*", "<two>")  # special to Markdown, tables and HTML
IMAGES = 60
RESIZED, MODEL = "data/resized/test", "models/model.safetensors"
DVC_FILES = {
    ".dvc/config": "[core]\n    analytics = false\n",
    ".dvc/.gitignore": "/cache\n/tmp\n",
    ".gitignore": "/data/\n/models/\n/drawn/\n",
    "dvc.yaml": "metrics: [metrics/evaluate.json, metrics/fine_tune.json]\nparams: [params.yaml]\n",
}


def write_run(folder: Path, right: int, lr: float, stage: str = "fine_tune", test_images: str = "abc") -> None:
    """What git keeps of a run with the first `right` predictions right, and DVC's files as they lie there."""
    labels = digits().labels
    predicted = np.where(np.arange(IMAGES) < right, labels, (labels + 1) % 3)
    names = np.array(CLASSES)
    rows = [{"actual": a, "predicted": b} for a, b in zip(names[labels], names[predicted], strict=True)]
    write_tsv(folder / "metrics/evaluate/confusion.tsv", rows)
    write_tsv(folder / "metrics/fine_tune.tsv", curve(1, (0.5, 0.5), (0.8, right / IMAGES)))
    per_class = {name: {"f1": float((predicted == labels)[labels == i].mean())} for i, name in enumerate(CLASSES)}
    accuracy = right / IMAGES
    scores = {"accuracy": accuracy, "macro_f1": accuracy, "mva_met": accuracy >= 0.65, "per_class": per_class}
    write_json(folder / "metrics/evaluate.json", scores)
    write_json(folder / "metrics/fine_tune.json", {"val": {"accuracy": accuracy}, "epochs": 2})
    write_json(folder / "metrics/subsample.json", {"test": {"images": IMAGES, "positions_sha256": test_images}})
    explain = {"method": "gradcam", "layer": None, "min_map_px": 4, "batch_size": 8}
    parameters = {"train": {"lr": lr}, "evaluate": {"minimum_macro_f1": 0.65}, "explain": explain}
    dump_yaml(str(folder / "params.yaml"), parameters)
    present = [path for path in (RESIZED, MODEL) if (folder / path).exists()]
    outs = [{"path": path, "hash": "md5", "md5": digest_of(folder / path)} for path in present]
    lock = {stage: {"cmd": "train", "params": {"params.yaml": {"train.lr": lr}}, "outs": outs}}
    dump_yaml(str(folder / "dvc.lock"), {"schema": "2.0", "stages": lock})


def digits() -> Split:
    """Handwritten zeros, ones and twos, as a test split."""
    pixels, target = load_digits(n_class=3, return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8)[:IMAGES] * (255 / 16)).astype(np.uint8)
    large = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in small])
    return split_of(np.repeat(large[..., None], 3, 3), target[:IMAGES], CLASSES)


def start(folder: Path) -> Path:
    """A repository of which nothing is evaluated yet."""
    for name, text in DVC_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder
