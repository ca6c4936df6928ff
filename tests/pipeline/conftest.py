"""Workspaces in which the pipeline has run, once for the whole session, and the environment of all that runs here."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.workspace import commit, copy_workspace, dvc, environment, write_inputs, write_workspace

RECORDER = Path(__file__).with_name("recorder.py")
KILLER = Path(__file__).with_name("killer.py")
QUICK = ("test_graph.py", "test_recipes.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Nearly all of this folder runs the whole pipeline, which takes minutes."""
    for item in items:
        if item.path.parent == RECORDER.parent and item.path.name not in QUICK and "series" not in item.keywords:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "pipeline"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def variables(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """The environment of all tests here. Libraries stay compiled from one session to the next: it saves minutes."""
    bytecode = pytestconfig.rootpath / ".pytest_cache/__pycache__"  # a name that git and DVC ignore
    yield environment(tmp_path_factory.mktemp("home"), bytecode)
    shutil.rmtree(bytecode / tmp_path_factory.getbasetemp().relative_to("/"), ignore_errors=True)


@pytest.fixture(autouse=True, scope="module")
def _own_environment(variables: dict[str, str]) -> Iterator[None]:
    """Every test of this folder, and what it starts, sees these variables and no others."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _set_environment(variables, monkeypatch)
        yield


def _set_environment(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - variables.keys():
        if not name.startswith("PYTEST_"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes a stage die as $KILL_... say if it is on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("killer")
    shutil.copy(KILLER, folder / "sitecustomize.py")
    return folder


@pytest.fixture(scope="session")
def recording(session_folder: Path) -> dict[str, str]:
    """Variables under which each stage records what it opens and imports, a file a process, in TRACES."""
    folder = session_folder / "recorder"
    folder.mkdir(exist_ok=True)
    shutil.copy(RECORDER, folder / "sitecustomize.py")
    return {"PYTHONPATH": str(folder), "TRACES": str(session_folder / "traces")}


@pytest.fixture(scope="session")
def _built(session_folder: Path, variables: dict[str, str], recording: dict[str, str]) -> Path:
    """A folder with `inputs`, and the workspace `finished`, whose run left `traces`."""
    with (session_folder / "lock").open("w") as lock, pytest.MonkeyPatch.context() as monkeypatch:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first worker builds, the others wait
        if not (session_folder / "finished").exists():
            _set_environment({**variables, **recording}, monkeypatch)
            _build(session_folder)
    return session_folder


def _build(folder: Path) -> None:
    for left_over in ("inputs", "being-run", "traces"):
        shutil.rmtree(folder / left_over, ignore_errors=True)
    write_inputs(folder / "inputs")
    workspace = folder / "being-run"
    write_workspace(workspace, folder / "inputs")
    dvc(workspace, "repro")
    commit(workspace, "The pipeline, run")
    workspace.rename(folder / "finished")


@pytest.fixture(scope="session")
def copy_of_finished(_built: Path) -> Callable[[Path], Path]:
    """Makes a workspace in a folder, in which `dvc repro` has run and its results are committed."""
    return lambda folder: copy_workspace(_built / "finished", folder / "workspace")


@pytest.fixture
def finished(copy_of_finished: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A finished workspace of the test's own."""
    return copy_of_finished(tmp_path)


@pytest.fixture(scope="session")
def traces(_built: Path) -> Path:
    """The folder of what each stage of the finished run recorded."""
    return _built / "traces"
