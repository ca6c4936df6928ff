"""`make fresh` in a clone without data says what DVC says where the data is; a line for each fault."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo
from dvc.utils.serialize import dump_yaml, load_yaml

from commands.fresh import stale
from tests.commands.toy import git, make

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository `whole`, which has its data, and its remote `store`."""
    folder = tmp_path_factory.mktemp("toy")
    make(folder / "whole", folder / "store")
    return folder


@pytest.fixture
def whole(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "whole", tmp_path / "whole")


@pytest.fixture
def bare(made: Path, tmp_path: Path) -> Path:
    """A clone that has pulled nothing."""
    git(tmp_path, "clone", "--quiet", str(made / "whole"), "bare")
    return tmp_path / "bare"


def fresh(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commands.fresh"]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )


def replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def forget(stage: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = load_yaml(str(folder / "dvc.lock"))
        del content["stages"][stage]
        dump_yaml(str(folder / "dvc.lock"), content)

    return change


CHANGES = {
    "nothing": (lambda folder: None, []),
    "a parameter": (replace("params.yaml", "lr: 0.25", "lr: 0.5"), ["train: params.yaml: train.lr is 0.5, was 0.25"]),
    "in a list": (replace("params.yaml", "[4, 2]", "[4]"), ["train: params.yaml: train.layers is [4], was [4, 2]"]),
    "a new one": (
        replace("params.yaml", "layers", "deep: 1\n  layers"),
        ["train: params.yaml: train.deep is 1, was (none)"],
    ),
    "one is gone": (replace("params.yaml", "seed: 1\n", ""), ["draw: params.yaml: seed is (none), was 1"]),
    "a script": (replace("draw.sh", "seed", "'seed'"), ["draw: draw.sh is modified"]),
    "no script": (delete("draw.sh"), ["draw: draw.sh is deleted"]),
    "a command": (replace("dvc.yaml", "> report.md", "| cat > report.md"), ["show: its command changed"]),
    "a dependency": (
        replace("dvc.yaml", "deps: [draw.sh]", "deps: [draw.sh, train.sh]"),
        ["draw: train.sh is modified"],
    ),
    "an output": (
        replace("dvc.yaml", "outs: [model.txt]", "outs: [model.txt, more.txt]"),
        ["train: more.txt was not written yet"],
    ),
    "a metric by hand": (
        replace("metrics/evaluate.json", "0.5", "0.9"),
        [
            "train: metrics/evaluate.json, which it wrote, is modified",
            "show: metrics/evaluate.json is modified",
        ],
    ),
    "a stage": (forget("show"), ["show: it has not run yet"]),
    "two": (
        lambda folder: [change(folder) for change in (delete("draw.sh"), replace("params.yaml", "lr: 0.25", "lr: 1"))],
        ["draw: draw.sh is deleted", "train: params.yaml: train.lr is 1, was 0.25"],
    ),
}


@pytest.mark.parametrize(("change", "lines"), CHANGES.values(), ids=CHANGES.keys())
def test_without_data_it_names_what_dvc_names_with_data(
    whole: Path, bare: Path, change: Callable, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (bare / "model.txt").exists()
    for folder in (bare, whole):
        change(folder)
        monkeypatch.chdir(folder)
        assert stale(Path()) == (3, lines)
    with Repo() as repo:
        assert {line.split(":")[0] for line in lines} == set(repo.status())


def test_a_merge_that_mixed_two_records_is_found(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's `repro --dry --allow-missing` stops here without saying why, and its `status` sees nothing."""
    content = load_yaml(str(bare / "dvc.lock"))
    content["stages"]["train"]["deps"][0]["md5"] = "0" * 32
    dump_yaml(str(bare / "dvc.lock"), content)
    monkeypatch.chdir(bare)
    assert stale(Path()) == (3, ["train: numbers.txt is not what stage draw gave"])


def test_it_passes_in_one_line(bare: Path) -> None:
    done = fresh(bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "dvc.lock is fresh: what 3 stages read is what they last ran with\n"


def test_it_fails_with_a_line_for_each_stage_and_one_that_says_what_to_do(bare: Path) -> None:
    replace("params.yaml", "lr: 0.25", "lr: 0.5")(bare)
    done = fresh(bare)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "stale: train: params.yaml: train.lr is 0.5, was 0.25",
        "error: dvc.lock is stale; run `dvc repro`, here or by a comment /train, "
        "and commit dvc.lock, metrics and report",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "error: dvc.lock: no such file, nothing was trained yet; "),
        ("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> theirs\n", "error: dvc.lock: holds git's conflict"),
        ("schema: '2.0'\nstages: [\n", "error: dvc.lock: damaged; "),
        ("", "error: dvc.lock: damaged; "),
    ],
    ids=["none", "conflict", "cut", "empty"],
)
def test_no_record_or_a_damaged_one_is_one_line(bare: Path, text: str | None, told: str) -> None:
    if text is None:
        (bare / "dvc.lock").unlink()
    else:
        (bare / "dvc.lock").write_text(text, encoding="utf-8")
    done = fresh(bare)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(told)
