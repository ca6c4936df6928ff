"""`make pr-report` on real git repositories: every case that a pull request can be in, and its pictures."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from dvc.repo import Repo
from markdown_it import MarkdownIt
from sklearn.datasets import load_digits
from torchvision.models import resnet18
from transfer.network.provenance import Provenance

from commands.pr_report import LONGEST, main
from commands.verify import md5_of
from tests.transfer.report.healthy_run import curve
from transfer.data.splits import Split, save_split
from transfer.network.backbones import Preprocessing
from transfer.network.classifier import Classifier, HeadShape, ModelCard, build_head, save_model
from transfer.runtime.errors import DataError
from transfer.runtime.files import ROOT, write_json, write_tsv

CLASSES = ("zero|0", "*one*", "<two>")  # special to Markdown, tables and HTML
IMAGES = 60
KEPT = ("data/splits/test.npz", "data/resized/test.npy", "models/model.safetensors")
DVC_FILES = {
    ".dvc/config": "[core]\n    analytics = false\n",
    ".dvc/.gitignore": "/cache\n/tmp\n",
    ".gitignore": "/data/\n/models/\n/drawn/\n",
    "dvc.yaml": "metrics: [metrics/evaluate.json, metrics/fine_tune.json]\nparams: [params.yaml]\n",
}


def git(folder: Path, *arguments: str) -> str:
    person = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *person, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "--short", "HEAD").strip()


def write_run(folder: Path, right: int, lr: float, stage: str = "fine_tune", test_images: str = "abc") -> None:
    """What git keeps of a run with the first `right` answers right and DVC's files as they lie there."""
    labels = digits().labels
    said = np.where(np.arange(IMAGES) < right, labels, (labels + 1) % 3)
    named = np.array(CLASSES)
    answers = [{"actual": a, "predicted": b} for a, b in zip(named[labels], named[said], strict=True)]
    write_tsv(folder / "metrics/confusion.tsv", answers)
    write_tsv(folder / "metrics/fine_tune.tsv", curve(1, (0.5, 0.5), (0.8, right / IMAGES)))
    per_class = {name: {"f1": float((said == labels)[labels == i].mean())} for i, name in enumerate(CLASSES)}
    accuracy = right / IMAGES
    scores = {"accuracy": accuracy, "macro_f1": accuracy, "mva_met": accuracy >= 0.65, "per_class": per_class}
    write_json(folder / "metrics/evaluate.json", scores)
    write_json(folder / "metrics/fine_tune.json", {"val": {"accuracy": accuracy}, "epochs": 2})
    write_json(folder / "metrics/subsample.json", {"test": {"images": IMAGES, "positions_sha256": test_images}})
    grad_cam = {"method": "gradcam", "layer": None, "min_map_px": 4, "batch_size": 8, "examples": 1}
    parameters = {"train": {"lr": lr}, "evaluate": {"minimum_macro_f1": 0.65}, "grad_cam": grad_cam}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    outs = [{"path": path, "hash": "md5", "md5": md5_of(folder / path)} for path in KEPT if (folder / path).exists()]
    lock = {stage: {"cmd": "train", "params": {"params.yaml": {"train.lr": lr}}, "outs": outs}}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}), encoding="utf-8")


def digits() -> Split:
    """Handwritten zeros, ones and twos, as a test split."""
    pixels, target = load_digits(n_class=3, return_X_y=True)
    small = np.rint(pixels.reshape(-1, 8, 8)[:IMAGES] * (255 / 16)).astype(np.uint8)
    large = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in small])
    return Split(np.repeat(large[..., None], 3, 3), target[:IMAGES].astype(np.uint8), np.arange(IMAGES), CLASSES)


ORIGIN = Provenance("fine_tune", {}, "ab" * 32)


def write_model(folder: Path, seed: int) -> None:
    """A ResNet-18 with random weights, for images of 64 pixels."""
    torch.manual_seed(seed)
    backbone = resnet18()
    backbone.fc = torch.nn.Identity()  # type: ignore[assignment]
    shape = HeadShape(512, (), False, 0.0, 3)
    card = ModelCard("resnet18", shape, CLASSES, Preprocessing((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), 64, ORIGIN)
    save_model(folder / KEPT[2], Classifier(backbone, build_head(shape)), card)


def start(folder: Path) -> Path:
    """A repository of which nothing is evaluated yet."""
    for name, text in DVC_FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """main has 30 of 60 right, the branch `idea`, which is checked out, 48; main went on after it."""
    folder = start(tmp_path / "repository")
    write_run(folder, 30, 0.1)
    commit(folder, "Base: <b>30</b> of 60")
    git(folder, "checkout", "--quiet", "-b", "idea")
    write_run(folder, 48, 0.01)
    commit(folder, "Idea")
    git(folder, "checkout", "--quiet", "main")
    write_run(folder, 59, 0.5)
    commit(folder, "Main went on")
    git(folder, "checkout", "--quiet", "idea")
    return folder


def report(folder: Path, capsys: pytest.CaptureFixture[str], base: str = "main", head: str = "workspace") -> str:
    assert main(folder, base, head, None, None) == 0
    return capsys.readouterr().out


def rows(text: str, heading: str) -> list[list[str]]:
    """Rows of the tables in a section, as a Markdown renderer shows them."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(section)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)]
    return [[re.sub(r"</?code>", "", cell) for cell in row] for row in cells if row]


def dvc_diff(folder: Path, kind: str, start: str) -> dict[str, Any]:
    """What `dvc metrics diff` or `dvc params diff` finds, by dotted names: (old, new)."""

    def leaves(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        if {"old", "new"} <= nested.keys():
            return {prefix[1:]: (nested["old"], nested["new"])}
        return {name: pair for key, value in nested.items() for name, pair in leaves(value, f"{prefix}.{key}").items()}

    with Repo(str(folder)) as repo:
        files = getattr(repo, kind).diff(start, "workspace").get("diff", {})
    found = {}
    for path, changes in files.items():
        prefix = f"{Path(path).stem}." if kind == "metrics" else ""
        found |= {f"{prefix}{name}": pair for name, pair in leaves(changes).items()}
    return found


def test_a_change_is_judged_against_the_merge_base(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report(repository, capsys)
    verdict, gate, about = (line for line in text.splitlines()[1:7] if line)
    assert verdict.startswith("**Accuracy 50.0 → 80.0, +30.0 points, 95 % interval ")
    assert verdict.endswith(", McNemar p \\< 0.001: better.**")
    assert gate.startswith("**✅ Minimum viable accuracy met: macro F1 0.8000")
    assert gate.endswith("Before the change: missed.**")
    base = git(repository, "merge-base", "main", "idea").strip()
    assert about.startswith(f"Compared with {base[:7]} of ")
    assert about.endswith("(Base: \\<b\\>30\\</b\\> of 60), the merge base of main and workspace.")
    headings = re.findall("^## (.*)", text, flags=re.MULTILINE)
    order = [
        "Metrics",
        "Parameters",
        "Stages that ran",
        "Classes",
        "Learning curves",
        "Answers that changed",
        "Pictures",
    ]
    assert headings == order
    assert rows(text, "Stages that ran") == [["fine_tune", "parameters: train.lr", ""]]
    assert "Of 60 test images 18 are newly right and 0 newly wrong." in text
    assert 'BASE=main HEAD=workspace ARGS="--pictures' in text
    assert report(repository, capsys, "main", "idea").splitlines()[2] == verdict


def test_metrics_and_parameters_are_those_that_dvc_finds(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = git(repository, "merge-base", "main", "idea").strip()
    text = report(repository, capsys)
    listed = {row[0].replace("&lt;", "<").replace("&gt;", ">"): row for row in rows(text, "Metrics")}
    known = dvc_diff(repository, "metrics", base)
    assert "evaluate.per_class.<two>.f1" in known
    assert listed.keys() == known.keys()
    for name, (old, new) in known.items():
        if not isinstance(new, bool):
            assert [float(value) for value in listed[name][1:4]] == pytest.approx([old, new, new - old], abs=1e-4)
    assert listed["evaluate.mva_met"][1:4] == ["no", "yes", ""]
    parameters = {name: tuple(map(str, pair)) for name, pair in dvc_diff(repository, "params", base).items()}
    assert {row[0]: (row[1], row[2]) for row in rows(text, "Parameters")} == parameters == {"train.lr": ("0.1", "0.01")}


def test_a_metric_that_is_gone_or_new_is_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = json.loads((repository / "metrics/evaluate.json").read_text(encoding="utf-8"))
    scores["top2_accuracy"] = 0.97
    write_json(repository / "metrics/evaluate.json", scores)
    (repository / "metrics/fine_tune.json").unlink()
    found = {row[0]: row[1:4] for row in rows(report(repository, capsys), "Metrics")}
    assert found["evaluate.top2_accuracy"] == ["none", "0.9700", "new"]
    assert found["fine_tune.epochs"] == ["2", "none", "gone"]


def test_the_noise_between_seeds_is_told_where_it_is_recorded(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is not recorded (experiments/seed_spread.json)" in report(repository, capsys)
    spread = {"metrics": {"accuracy": {"mean": 0.5, "std": 0.1}, "macro_f1": {"mean": 0.5, "std": 0.11}}}
    (repository / "searches").mkdir()
    write_json(repository / "experiments/seed_spread.json", {**spread, "seeds": [0, 1, 2], "recipe": "laptop"})
    found = {row[0]: row[4] for row in rows(report(repository, capsys), "Metrics")}
    assert found["evaluate.accuracy"] == "beyond the noise between seeds"  # 0.3 against 2 √2 × 0.1
    assert found["evaluate.macro_f1"] == "within"
    assert found["evaluate.mva_met"] == "not recorded"
    (repository / "experiments/seed_spread.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"experiments/seed_spread.json: not readable \(Field required\)"):
        main(repository, "main", "workspace", None, None)


def test_a_base_that_was_never_run_is_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = start(tmp_path)
    commit(folder, "Not run yet")
    write_run(folder, 48, 0.01)
    text = report(folder, capsys, "HEAD")
    assert "**No baseline yet: accuracy 80.0 %, and nothing before it to compare with.**" in text
    assert "There was no dvc.lock before." in text
    assert rows(text, "Stages that ran") == [["fine_tune", "new", ""]]
    assert {row[3] for row in rows(text, "Metrics")} == {"new"}
    commit(folder, "Run")
    assert "**No verdict: the change holds no confusion.tsv" in report(folder, capsys, "HEAD", "HEAD~1")


def test_a_run_that_changed_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dvc_diff(repository, "metrics", "idea") == {}
    text = report(repository, capsys, "idea")
    assert ": no difference is shown.**" in text
    assert "Nothing changed: all 10 figures are the same." in text
    assert "No parameter changed." in text
    assert "None: dvc.lock says of every stage what it said before." in text


def test_a_renamed_stage_is_known_by_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = start(tmp_path)
    save_split(folder / KEPT[0], digits())
    write_run(folder, 30, 0.1)
    commit(folder, "Base")
    write_run(folder, 30, 0.1, stage="train|all")
    found = rows(report(folder, capsys, "HEAD"), "Stages that ran")
    assert found == [["train|all", "renamed, was fine_tune", ""]]


def test_other_test_images_leave_everything_but_the_pairs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(repository, 48, 0.01, test_images="xyz")
    text = report(repository, capsys)
    assert "no verdict, since the two runs were tested on other images, which cannot be paired" in text
    assert "**Accuracy 50.0 → 80.0, +30.0 points, 95 % interval " in text
    assert {row[0] for row in rows(text, "Classes")} <= {"zero|0", "*one*", "&lt;two&gt;"}
    assert rows(text, "Parameters")
    assert "Answers that changed" not in text


def test_parameters_that_nobody_ran_with_are_named(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parameters = repository / "params.yaml"
    parameters.write_text(parameters.read_text(encoding="utf-8").replace("0.01", "1e-05"), encoding="utf-8")
    text = report(repository, capsys)
    assert "Not run with the values of params.yaml: train.lr; run dvc repro." in text
    assert ["train.lr", "0.1", "1e-05"] in rows(text, "Parameters")


def test_a_shallow_clone_compares_with_the_base_itself(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shallow = tmp_path / "shallow"
    git(
        tmp_path,
        "clone",
        "--quiet",
        "--depth=1",
        "--no-single-branch",
        "--branch=idea",
        f"file://{repository}",
        "shallow",
    )
    text = report(shallow, capsys, "origin/main")
    assert "Compared with origin/main itself, " in text
    assert "is beyond this shallow clone; git fetch --unshallow (in actions/checkout: fetch-depth: 0)" in text
    assert "**Accuracy 98.3 → 80.0, −18.3 points" in text
    with pytest.raises(SystemExit, match=r"error: main: no such .*; this clone is shallow: `git fetch --unshallow`"):
        main(shallow, "main", "workspace", None, None)
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert "the merge base of origin/main and workspace" in report(shallow, capsys, "origin/main")


def test_histories_without_a_common_commit_say_so(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(repository, "checkout", "--quiet", "--orphan", "apart")
    commit(repository, "Another beginning")
    assert "is nowhere in the history." in report(repository, capsys)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("dvc.lock", "<<<<<<< HEAD\nstages: {", "dvc.lock of workspace: not readable"),
        ("dvc.lock", "- 1", "dvc.lock of workspace: not readable"),
        ("params.yaml", "a: [", "params.yaml of workspace: not readable"),
        ("metrics/evaluate.json", '{"accuracy": ', "metrics/evaluate.json of workspace: not readable"),
        ("metrics/evaluate.json", "{}", "metrics or dvc.lock lack or garble something"),
        ("metrics/confusion.tsv", "cat\tdog\na\tb\n", "metrics or dvc.lock lack or garble something"),
    ],
)
def test_a_damaged_file_is_one_line(repository: Path, name: str, text: str, told: str) -> None:
    (repository / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        main(repository, "main", "workspace", None, None)


def test_names_are_shown_as_they_are(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {row[0] for row in rows(report(repository, capsys), "Classes")}
    assert {f"recall of {name}" for name in ("zero|0", "*one*", "&lt;two&gt;")} <= found


def test_a_report_of_very_much_still_fits_a_comment(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = {f"group{i}": {"|" * 200 + str(j): "<" * 400 for j in range(20)} for i in range(100)}
    scores = json.loads((repository / "metrics/evaluate.json").read_text(encoding="utf-8"))
    write_json(repository / "metrics/evaluate.json", {**scores, **many, "x": [1] * 5000})
    parameters = yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8"))
    (repository / "params.yaml").write_text(yaml.safe_dump({**parameters, **many}), encoding="utf-8")
    text = report(repository, capsys)
    assert len(text) < LONGEST
    assert re.search(r"\(the first \d+ of 2001\)", text)
    assert "better.**" in text


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits with two models, whose files DVC's cache has, while the workspace has lost them."""
    folder = start(tmp_path_factory.mktemp("trained"))
    split = digits()
    save_split(folder / KEPT[0], split)
    (folder / KEPT[1]).parent.mkdir(parents=True)
    np.save(folder / KEPT[1], np.stack([cv2.resize(image, (64, 64)) for image in split.images]))
    for right, seed in ((40, 0), (50, 1)):
        write_model(folder, seed)
        write_run(folder, right, 0.1 + seed)
        rolled = (folder / "metrics/confusion.tsv").read_text(encoding="utf-8").splitlines()
        if seed:  # so that some answers are newly wrong too
            rolled[1:4] = [
                re.sub(r"\t.*", lambda found: "\t<two>" if "two" not in found[0] else "\t*one*", line)
                for line in rolled[1:4]
            ]
            (folder / "metrics/confusion.tsv").write_text("\n".join(rolled) + "\n", encoding="utf-8")
        for path in KEPT:
            digest = md5_of(folder / path)
            cached = folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
            cached.parent.mkdir(parents=True, exist_ok=True)
            cached.write_bytes((folder / path).read_bytes())
        commit(folder, f"{right} right")
    for path in KEPT:
        (folder / path).unlink()
    return folder


@pytest.fixture
def drawn(trained: Path, tmp_path: Path) -> Callable[..., tuple[str, list[str]]]:
    """Writes a report with pictures; gives its text and the names of the pictures that it shows, which are there."""

    def draw(base: str = "HEAD~1", folder: Path = trained) -> tuple[str, list[str]]:
        output = tmp_path / "out/report.md"
        assert main(folder, base, "workspace", tmp_path / "out/pictures of it", output) == 0
        text = output.read_text(encoding="utf-8")
        links = re.findall(r"!\[.+\]\((.+)\)", text)
        for link in links:
            picture = cv2.imread(str(output.parent / link.replace("%20", " ")))
            assert picture is not None
            assert picture.std() > 5
            assert (output.parent / link.replace("%20", " ")).stat().st_size < 400_000
        return text, [Path(link).stem for link in links]

    return draw


def test_pictures_come_from_the_cache(trained: Path, drawn: Callable) -> None:
    text, shown = drawn()
    assert shown == ["curves", "newly_right", "newly_wrong", "grad_cam"]
    assert "](pictures%20of%20it/curves.png)" in text
    assert "Of 60 test images 10 are newly right and 3 newly wrong." in text
    assert "Not drawn" not in text


def test_what_is_missing_is_told_with_the_command_that_brings_it(trained: Path, drawn: Callable) -> None:
    lock = yaml.safe_load(git(trained, "show", "HEAD~1:dvc.lock"))["stages"]["fine_tune"]["outs"]
    digest = next(out["md5"] for out in lock if out["path"] == KEPT[2])
    model = trained / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    elsewhere = model.rename(trained / "data/elsewhere")
    try:
        text, shown = drawn()
    finally:
        elsewhere.rename(model)
    assert shown == ["curves", "newly_right", "newly_wrong"]  # and none of a report before
    (line,) = re.findall("^Not drawn.*", text, flags=re.MULTILINE)
    assert line.endswith(
        f"{KEPT[2]}: neither in DVC's cache nor in the workspace; bring it with: dvc fetch --all-commits {KEPT[2]}."
    )


def test_a_file_of_the_workspace_counts_only_if_it_is_the_one_in_the_lock(trained: Path, drawn: Callable) -> None:
    digest = next(
        out["md5"] for out in yaml.safe_load((trained / "dvc.lock").read_text())["stages"]["fine_tune"]["outs"]
    )
    split = trained / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    content = split.read_bytes()
    split.rename(trained / KEPT[0])
    try:
        assert "newly_right" in drawn()[1]
        (trained / KEPT[0]).write_bytes(content + b"x")
        text, shown = drawn()
    finally:
        split.write_bytes(content)
        (trained / KEPT[0]).unlink()
    assert shown == ["curves"]
    assert f"{KEPT[0]}: neither in DVC's cache nor in the workspace; bring it with: dvc pull {KEPT[0]}." in text


def test_the_same_model_needs_no_pictures(trained: Path, drawn: Callable) -> None:
    text, shown = drawn("HEAD")
    assert shown == []
    assert "The curves are the same." in text
    assert "Both runs have the same model file." in text


def test_the_command_itself(repository: Path) -> None:
    command = [sys.executable, "-m", "commands.pr_report", "nowhere"]
    done = subprocess.run(
        command, cwd=repository, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nowhere: no such experiment or revision; ")
    assert done.stderr.count("\n") == 1
