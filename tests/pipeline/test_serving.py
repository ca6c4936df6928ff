"""From the trained tiny model to answers over HTTP: the evaluation's figures, by the package's own server."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from tests.pipeline.workspace import command, dvc, git, set_parameter
from tests.transfer.deployment.server import form, serving
from transfer.data.splits import load_split
from transfer.deployment.predictor import load_predictor
from transfer.evaluation.calibration import scale
from transfer.runtime.files import ROOT

PACKAGE = "models/classifier"
PREDICT = ("python", "-m", "commands.predict")


def written(finished: Path, folder: Path) -> list[Path]:
    """The test images as files, in their order."""
    folder.mkdir()
    paths = []
    images = load_split(finished / "data/splits/test.npz").images
    for number in range(len(images)):
        image = images[number]
        paths.append(folder / f"{number:03}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return paths


def test_the_test_split_over_http_has_the_evaluations_accuracy(finished: Path, tmp_path: Path) -> None:
    split = load_split(finished / "data/splits/test.npz")
    paths = written(finished, tmp_path / "test")
    with serving(finished / PACKAGE, where=ROOT) as server:
        status, told = server.ask("/predict", *form(*(path.read_bytes() for path in paths)))
        explained, picture = server.ask("/explain", paths[0].read_bytes())
    assert (status, explained) == (200, 200)
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None
    names = [answer["answer"] for answer in told["answers"]]
    metrics = json.loads((finished / "metrics/evaluate.json").read_text())
    right = np.array(names) == np.array(split.classes)[split.labels]
    assert right.mean() == metrics["accuracy"]
    served = np.array([[answer["probabilities"][name] for name in split.classes] for answer in told["answers"]])
    predicted = load_predictor(finished / PACKAGE).predict([path.read_bytes() for path in paths])
    np.testing.assert_array_equal(served, predicted.probabilities)
    with np.load(finished / "data/predictions.npz") as saved:
        evaluated = scale(saved["probabilities"], float(saved["temperature"]))
    np.testing.assert_allclose(served, evaluated, rtol=0, atol=1e-5)


def test_a_tag_an_experiment_and_a_folder_answer_as_they_did_whatever_the_workspace_holds(
    finished: Path, tmp_path: Path
) -> None:
    for name in ("commands", "transfer"):  # the workspace has no commands of its own
        if not (finished / name).exists():
            (finished / name).symlink_to(ROOT / name)
    folder = tmp_path / "test"
    written(finished, folder)
    git(finished, "tag", "classifier@v1.0.0")

    def answers(*arguments: str) -> str:
        return command(finished, *PREDICT, str(folder), *arguments).stdout

    tagged = answers()
    dvc(finished, "exp", "run", "--quiet", "--name", "one-view", "-S", "evaluate.mirror=false")
    viewed_once = answers()
    assert viewed_once != tagged
    dvc(finished, "get", ".", PACKAGE, "--rev", "classifier@v1.0.0", "--out", str(tmp_path / "package"))
    set_parameter(finished, "unknown.known", 0.5)
    dvc(finished, "repro", "--quiet", "export", "report")
    assert answers() not in (tagged, viewed_once)
    assert answers("--rev", "classifier@v1.0.0") == tagged
    assert answers("--rev", "one-view") == viewed_once
    assert answers("--package", str(tmp_path / "package")) == tagged
    shutil.rmtree(finished / ".dvc/cache")
    lost = command(finished, *PREDICT, str(folder), "--rev", "classifier@v1.0.0", check=False)
    assert lost.returncode == 1
    assert lost.stderr.startswith(
        "error: models/classifier of classifier@v1.0.0: neither in DVC's cache nor in a remote"
    )
    assert len(lost.stderr.splitlines()) == 1
