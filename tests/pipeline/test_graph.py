"""The graph of dvc.yaml: its stages, and that the test split enters at evaluate and nowhere before.

Parsed by DVC itself. The walk that proves the isolation is shown to find a dependency that is planted.
"""

import ast
import re
from pathlib import Path

import networkx
import pytest
from dvc.repo import Repo
from dvc.stage import PipelineStage

from tests.pipeline.workspace import ROOT, copy_pipeline, graph_of, read_yaml, stages_of, write_yaml

STAGES = [
    *("download", "backbone", "subsample", "explore", "resize@train", "resize@val", "resize@test"),
    *("embed", "label_errors", "train_head", "fine_tune"),
    *("evaluate", "unknown", "export", "leakage", "robustness", "grad_cam", "audit", "report"),
]
TRAINING = ("embed", "label_errors", "train_head", "fine_tune")
SPLITTER = "subsample"  # which makes the test split, and so has to name it
TEST_SPLIT = "data/splits/test.npz"
RESIZED_TEST_SPLIT = "data/resized/test"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A copy of the pipeline as it is in the repository, with its own parameters."""
    copy_pipeline(tmp_path)
    (tmp_path / ".dvc/config.local").write_text("[core]\n    no_scm = true\n    autostage = false\n")
    return tmp_path


def read_pipeline(pipeline: Path) -> tuple[dict[str, PipelineStage], networkx.DiGraph]:
    with Repo(str(pipeline)) as repo:
        return stages_of(repo), graph_of(repo)


def touched(stage: PipelineStage) -> set[str]:
    """All that a stage may know of: what it declares and every word of its command."""
    return {*(dep.def_path for dep in stage.deps), *(out.def_path for out in stage.outs), *str(stage.cmd).split()}


def made_of_test_split(stages: dict[str, PipelineStage]) -> set[str]:
    """The test split, and whatever a stage makes that depends on it."""
    found = {TEST_SPLIT}
    while (
        more := {
            out.def_path
            for name, stage in stages.items()
            if name != SPLITTER and found & {dep.def_path for dep in stage.deps}
            for out in stage.outs
        }
        - found
    ):
        found |= more
    return found


def leaks(pipeline: Path) -> list[str]:
    """One line for each training stage, or stage that it needs, that knows of a test artefact."""
    stages, graph = read_pipeline(pipeline)
    forbidden = made_of_test_split(stages)
    return [
        f"{training} needs {name}, which knows of {path}" if name != training else f"{training} knows of {path}"
        for training in TRAINING
        for name in sorted({training, *networkx.descendants(graph, training)} - {SPLITTER})
        for path in sorted(touched(stages[name]) & forbidden)
    ]


def test_stage_names(pipeline: Path) -> None:
    assert sorted(read_pipeline(pipeline)[0]) == sorted(STAGES)


def test_every_stage_is_described(pipeline: Path) -> None:
    stages, _ = read_pipeline(pipeline)
    assert {name for name, stage in stages.items() if not stage.desc} == set()


def test_no_training_stage_sees_the_test_split(pipeline: Path) -> None:
    assert leaks(pipeline) == []


def test_every_training_stage_sees_the_training_split(pipeline: Path) -> None:
    """Or the walk would prove nothing."""
    stages, graph = read_pipeline(pipeline)
    for training in TRAINING:
        upstream = {training, *networkx.descendants(graph, training)}
        assert any("data/splits/train.npz" in touched(stages[name]) for name in upstream - {SPLITTER})


def test_test_artefacts_enter_at_evaluate(pipeline: Path) -> None:
    stages, graph = read_pipeline(pipeline)
    readers = {
        name
        for name, stage in stages.items()
        if {TEST_SPLIT, RESIZED_TEST_SPLIT} & {dep.def_path for dep in stage.deps}
    }
    assert readers == {"resize@test", "evaluate", "unknown", "export", "leakage", "robustness", "grad_cam", "audit"}
    assert "fine_tune" not in networkx.descendants(graph, "leakage")  # no model plays a part in what is twice there
    assert "evaluate" in networkx.descendants(graph, "grad_cam")
    assert "evaluate" in networkx.descendants(graph, "robustness")
    assert "fine_tune" in networkx.descendants(graph, "audit")  # the finished model, in a way of its own


def plant(pipeline: Path, stage: str, key: str, value: str) -> None:
    content = read_yaml(pipeline / "dvc.yaml")
    if key == "cmd":
        content["stages"][stage]["cmd"] += f" {value}"
    else:
        content["stages"][stage][key].append(value)
    write_yaml(pipeline / "dvc.yaml", content)


@pytest.mark.parametrize(
    ("stage", "key", "path", "found"),
    [
        ("train_head", "deps", RESIZED_TEST_SPLIT, "train_head knows of data/resized/test"),
        ("fine_tune", "deps", TEST_SPLIT, "fine_tune knows of data/splits/test.npz"),
        ("fine_tune", "cmd", f"--more {TEST_SPLIT}", "fine_tune knows of data/splits/test.npz"),
        ("embed", "deps", TEST_SPLIT, "train_head needs embed, which knows of data/splits/test.npz"),
        ("backbone", "deps", TEST_SPLIT, "embed needs backbone, which knows of data/splits/test.npz"),
        ("backbone", "cmd", RESIZED_TEST_SPLIT, "train_head needs backbone, which knows of data/resized/test"),
    ],
)
def test_a_planted_leak_is_found(pipeline: Path, stage: str, key: str, path: str, found: str) -> None:
    plant(pipeline, stage, key, path)
    assert found in leaks(pipeline)


def test_a_leak_through_another_artefact_is_found(pipeline: Path) -> None:
    """A stage that makes something of the test split, on which training then depends."""
    content = read_yaml(pipeline / "dvc.yaml")
    content["stages"]["peek"] = {"cmd": "peek", "deps": [RESIZED_TEST_SPLIT], "outs": ["data/mean.npy"]}
    write_yaml(pipeline / "dvc.yaml", content)
    plant(pipeline, "fine_tune", "deps", "data/mean.npy")
    assert "fine_tune knows of data/mean.npy" in leaks(pipeline)
    assert "fine_tune needs resize@test, which knows of data/splits/test.npz" in leaks(pipeline)


def texts(source: str) -> list[str]:
    """The strings of a source file, without its docstrings."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    ]


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("stages/*.py"), *ROOT.glob("transfer/**/*.py")]), ids=lambda p: p.name
)
def test_no_script_writes_down_where_an_artefact_lies(path: Path) -> None:
    written = [
        text for text in texts(path.read_text(encoding="utf-8")) if re.search(r"(^|\W)(data|models|metrics)/", text)
    ]
    assert written == []
