"""The plan of the house: which room may use which, what stages/ holds, and sizes that a reader can take in."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from transfer.runtime.files import ROOT

# Each room may use those before it. Stages use rooms, commands use rooms and each other, and nothing uses either.
ROOMS = (
    *("runtime", "devices", "sources", "data", "network", "training", "evaluation", "pictures", "explanation"),
    *("report", "comparison", "deployment"),
)
LONGEST_FILE, LONGEST_FUNCTION = 300, 50
MOST_OPTIONS = 8
LONGEST_PIPELINE = 260


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Dotted names of all modules, or things in them, that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def arrows_back(path: str, source: str) -> list[str]:
    """The imports of a file, named by its path from the root, that run against the plan."""
    top, room = path.split("/")[:2]
    allowed = {"stages": ("transfer",), "commands": ("transfer", "commands")}.get(top)
    if allowed is None:
        allowed = tuple(f"transfer.{name}" for name in ROOMS[: ROOMS.index(room) + 1])
    own = [name for name in imports(source) if name.split(".")[0] in ("transfer", "stages", "commands", "tests")]
    return [name for name in own if not any(f"{name}.".startswith(f"{place}.") for place in allowed)]


@pytest.mark.parametrize("path", sources("transfer", "stages", "commands"), ids=lambda path: path.stem)
def test_imports_run_one_way(path: Path) -> None:
    assert arrows_back(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("transfer/data/splits.py", "from transfer.network.images import Images"),
        ("transfer/runtime/files.py", "import transfer.devices.device"),
        ("transfer/report/page.py", "def late():\n    from transfer.comparison import paired"),
        ("transfer/report/page.py", "from commands import compare"),
        ("stages/embed.py", "from stages.resize import main"),
        ("stages/embed.py", "import commands.compare"),
    ],
)
def test_an_arrow_back_is_found(path: str, line: str) -> None:
    assert len(arrows_back(path, f"from transfer.runtime.errors import DataError\n{line}\n")) == 1


def test_stages_holds_the_scripts_of_dvc_yaml_and_nothing_else() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    there = {path.name for path in (ROOT / "stages").iterdir() if path.name != "__pycache__"}
    assert there == {"__init__.py", *(f"{name}.py" for name in stages)}
    for name, stage in stages.items():
        assert stage["cmd"].startswith(f"python -m stages.{name} "), name
        assert stage["cmd"].count(" --") <= MOST_OPTIONS, name


def test_dvc_yaml_fits_a_few_screens() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= LONGEST_PIPELINE


@pytest.mark.parametrize("path", sources("transfer", "stages", "commands", "tests", "benchmarks"), ids=lambda p: p.stem)
def test_files_and_functions_can_be_taken_in(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > LONGEST_FUNCTION] == []


def test_every_target_that_is_explained_is_listed_in_a_group() -> None:
    explained = re.findall(r"^([a-z-]+):.*## (\w*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {
        name: group for name, group in explained if group not in ("run", "use", "judge", "search", "maintain")
    } == {}
    listed = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(re.findall(r"^  make ([a-z-]+) ", listed, re.MULTILINE)) == sorted(name for name, _ in explained)
