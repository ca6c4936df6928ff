"""The Dockerfile, whose steps are taken here without Docker: what it copies serves, with the packages that it names."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.transfer.deployment.server import picture, serving, write_package
from transfer.runtime.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def copied() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY from the repository."""
    lines = (line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY "))
    return [(words[:-1], words[-1]) for words in lines if not words[0].startswith("--")]


def packages() -> set[str]:
    """The packages that it installs, and all that they need."""
    (named,) = re.findall(r"--constraint \S+\s+(.*)$", DOCKERFILE, re.MULTILINE)
    found, to_do = set(), named.split()
    while to_do:
        name = to_do.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        needed = [Requirement(text) for text in metadata.requires(name) or ()]
        to_do += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The folder /app of the image, with a tiny package."""
    write_package(tmp_path / "tiny")
    application = tmp_path / "app"
    for sources, target in copied():
        for source in sources:
            if source in ("pyproject.toml", "uv.lock"):
                continue
            there = application / target.rstrip("/")
            if source.startswith("models/classifier/"):
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy(tmp_path / "tiny" / Path(source).name, there)
            elif (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                there.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, there)
    return application


def test_what_is_copied_serves(application: Path) -> None:
    with serving(application / "package", where=application) as server:
        assert server.ask("/predict", picture(255))[1]["answers"][0]["answer"] == "bright"


def test_every_package_that_serving_imports_is_installed(application: Path) -> None:
    code = "import sys, commands.serve; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=application, capture_output=True, text=True, check=True)
    owners = metadata.packages_distributions()
    imported = {name.lower().replace("_", "-") for module in done.stdout.split() for name in owners.get(module, ())}
    optional = {"orjson", "setuptools"}  # of other packages here, taken where they are
    assert {"fastapi", "onnxruntime"} <= imported
    assert imported - packages() - optional == set()
    assert not packages() & {"torch", "scipy", "dvc"}


def test_it_has_two_stages_and_no_root() -> None:
    froms = re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(froms) == 2
    assert DOCKERFILE.index("\nUSER classifier") < DOCKERFILE.index("\nENTRYPOINT")
    assert "\nADD " not in DOCKERFILE


def test_what_it_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignore if line.startswith("!")]
    for sources, _ in copied():
        for source in sources:
            assert any(source == each or source.startswith(f"{each}/") for each in kept), source


def test_compose_publishes_to_this_machine_alone() -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
