"""The Dockerfile, whose steps are taken here without Docker: what it copies serves, with the packages that it names."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.alone import alone, with_needed
from tests.transfer.deployment.server import picture, started, write_package
from transfer.runtime.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def copied() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY from the repository."""
    lines = (line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY "))
    return [(words[:-1], words[-1]) for words in lines if not words[0].startswith("--")]


def packages() -> list[str]:
    """The packages that it installs by name."""
    (named,) = re.findall(r"--constraint \S+\s+(.*)$", DOCKERFILE, re.MULTILINE)
    return named.split()


def words_of(instruction: str) -> list[str]:
    """What runs, by an instruction whose words are a list."""
    (listed,) = re.findall(rf"^{instruction} .*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    return json.loads(listed)


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


def test_what_is_copied_serves_with_what_is_installed_and_nothing_else(application: Path, tmp_path: Path) -> None:
    python, variables = alone(tmp_path / "packages", *packages())
    program, *entry = words_of("ENTRYPOINT")
    assert program == "python"
    with started([*python, *entry], application, variables) as server:
        assert server.ask("/predict", picture(255))[1]["answers"][0]["answer"] == "bright"
        _, code = words_of("HEALTHCHECK")[1:]
        for port, healthy in ((server.port, True), (1, False)):
            asked = [sys.executable, "-c", code.replace(":8000/", f":{port}/")]
            assert (subprocess.run(asked, capture_output=True, check=False).returncode == 0) == healthy


def test_it_installs_nothing_to_train_with() -> None:
    assert not with_needed(*packages()) & {"torch", "scipy", "dvc", "scikit-learn"}


def test_it_has_two_stages_and_no_root() -> None:
    froms = re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(froms) == 2
    assert DOCKERFILE.index("\nUSER 10001") < DOCKERFILE.index("\nENTRYPOINT")
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
