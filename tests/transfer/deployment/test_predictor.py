"""The predictor: evaluate's own probabilities from image bytes, whatever runs the network, and what is no image."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.alone import alone
from tests.stages.conftest import CLASSES, Arena
from transfer.data.preparation import Preparation
from transfer.data.resize import resized
from transfer.data.splits import load_split
from transfer.deployment.package import INT8, ONNX, WEIGHTS
from transfer.deployment.predictor import Predictor, calibrated, load_predictor
from transfer.evaluation.calibration import scale
from transfer.runtime.errors import DataError
from transfer.sources.decode import DamagedImageError


def encoded(image: np.ndarray, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.fixture(scope="session")
def package(arena: Arena) -> Path:
    return arena.file("models/classifier")


@pytest.fixture(scope="session")
def files(arena: Arena) -> list[bytes]:
    """The test images as files."""
    images = load_split(arena.file("data/splits/test.npz")).images
    return [encoded(images[number]) for number in range(len(images))]


@pytest.mark.parametrize("network", [ONNX, WEIGHTS])
def test_probabilities_are_those_of_evaluate_from_image_bytes(arena, package, files, network):
    answers = load_predictor(package, network).predict(files)
    with np.load(arena.file("data/predictions.npz")) as saved:
        np.testing.assert_allclose(answers.raw, saved["probabilities"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(answers.raw.argmax(1), saved["predicted"])
        np.testing.assert_allclose(
            answers.probabilities, scale(saved["probabilities"], float(saved["temperature"])), atol=1e-5
        )


def test_the_exact_network_is_taken_where_none_is_named(package, files):
    exact = load_predictor(package, ONNX).predict(files[:3])
    np.testing.assert_array_equal(load_predictor(package).predict(files[:3]).raw, exact.raw)
    assert np.abs(load_predictor(package, INT8).predict(files[:3]).raw - exact.raw).max() > 0


def test_an_answer_does_not_depend_on_what_is_asked_with_it(package, files):
    predictor = load_predictor(package)
    together = predictor.predict(files)
    alone = [predictor.predict([one]) for one in files]
    np.testing.assert_array_equal(together.probabilities, np.concatenate([one.probabilities for one in alone]))
    assert together.verdicts == [one.verdicts[0] for one in alone]


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
def test_a_larger_image_is_reduced_to_what_the_network_has_seen(aspect):
    preparation = Preparation(original_px=32, size_px=80, interpolation="cubic", aspect=aspect)
    photograph = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    small = resized(photograph, 32, "cubic", aspect)
    np.testing.assert_array_equal(preparation.from_image(photograph), preparation.from_image(small))
    np.testing.assert_array_equal(preparation.from_image(small), resized(small, 80, "cubic", "stretch"))


def test_images_of_the_training_images_own_size_are_not_reduced_first():
    preparation = Preparation(original_px=32, size_px=16, interpolation="cubic", aspect="crop")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(preparation.from_image(image), resized(image, 16, "cubic", "crop"))


@pytest.mark.parametrize("damaged", [b"", b"text", encoded(np.zeros((50, 50, 3), np.uint8))[:-40]])
def test_what_is_no_image_is_refused(package, damaged):
    with pytest.raises(DamagedImageError):
        load_predictor(package).predict([damaged])


def test_verdicts_follow_the_thresholds():
    """Two classes, features in a plane: near and sure, near and unsure, far."""
    from transfer.deployment.package import Package
    from transfer.evaluation.neighbours import Rejection

    rules = Rejection(min_confidence=0.8, risk=0.1, max_distance=0.5, known=0.9, neighbours=1)
    package = Package.model_construct(temperature=1.0, rejection=rules)
    outputs = np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01]]), np.array([[2.0, 0.1], [1, 0], [-1, 0]])
    predictor = Predictor(package, lambda _pixels: outputs, np.array([[1, 0]], np.float32))
    answers = predictor.answer(np.zeros((3, 4, 4, 3), np.uint8))
    assert answers.verdicts == ["known", "unsure", "unlike"]
    np.testing.assert_allclose(answers.distances, [1 - 2 / np.hypot(2, 0.1), 0, 2], atol=1e-6)


def test_temperature_is_that_of_the_evaluation():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    probabilities[0] = [1, 0, 0, 0]
    np.testing.assert_allclose(calibrated(probabilities, 1.7), scale(probabilities, 1.7), atol=1e-12)


def test_no_package_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"package.json: no such file; make it by `dvc repro`, bring it by `dvc pull`"):
        load_predictor(tmp_path)
    (tmp_path / "package.json").write_text('{"classes": 3}')
    with pytest.raises(DataError, match="not a package's description"):
        load_predictor(tmp_path)


PHOTOGRAPHS = {
    "small.png": (32, 32), "large.jpg": (200, 150), "wide.png": (20, 90), "tiny.bmp": (3, 5)
}  # fmt: skip
CUT = (".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".jp2", ".avif", ".ppm")


def test_the_packages_own_script_answers_the_same_with_three_packages_alone(package, tmp_path):
    random = np.random.default_rng(0)
    paths = []
    for name, size in PHOTOGRAPHS.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(encoded(random.integers(0, 256, (*size, 3), np.uint8), paths[-1].suffix))
    for ending in CUT:
        content = encoded(random.integers(0, 256, (90, 120, 3), np.uint8), ending)
        for share in (0.3, 0.9):
            (tmp_path / f"cut{share}{ending}").write_bytes(content[: int(share * len(content))])
    bad = sorted(tmp_path.glob("cut*"))
    python, variables = alone(tmp_path / "packages", "numpy", "onnxruntime", "opencv-python-headless")
    done = subprocess.run(
        [*python, str(package / "predict.py"), *map(str, [*paths, *bad])],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    predictor = load_predictor(package)
    for path in bad:
        with pytest.raises(DamagedImageError):
            predictor.predict([path.read_bytes()])
    assert done.returncode == 1
    told = dict(line.split(": ") for line in done.stderr.splitlines())
    assert list(told) == [str(path) for path in bad]
    assert {told[str(path)] for path in bad if path.suffix in (".jpg", ".png")} == {"damaged, its end is missing"}
    answers = predictor.predict([path.read_bytes() for path in paths])
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [str(path) for path in paths]
    assert [row[1] for row in rows] == [CLASSES[place] for place in answers.probabilities.argmax(1)]
    np.testing.assert_allclose([float(row[2]) for row in rows], answers.probabilities.max(1), atol=1e-12)
    words = {"known": "known", "unsure": "not sure enough", "unlike": "unlike the training images"}
    assert [row[3] for row in rows] == [words[verdict] for verdict in answers.verdicts]
    assert len((package / "predict.py").read_text().splitlines()) < 100
