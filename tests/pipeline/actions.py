"""Workflows of GitHub Actions read from their files, and their shell steps run here as a runner runs them."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.pipeline.workspace import ROOT, read_yaml

FOLDER = ROOT / ".github/workflows"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def workflows() -> dict[str, dict[str, Any]]:
    """Each workflow by its file's name; YAML reads the key `on` as true, which is mended."""
    found = {path.name: read_yaml(path) for path in sorted(FOLDER.glob("*.yml"))}
    return {name: {"on" if key is True else key: value for key, value in flow.items()} for name, flow in found.items()}


def steps(flow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in flow["jobs"].values() for step in job["steps"]]


@dataclass
class Runner:
    """Runs the named steps of a job, one after the other, in a clone.

    `values` has what GitHub puts in place of each ${{ expression }}; one that is missing is an error.
    """

    clone: Path
    values: dict[str, str]
    environment: dict[str, str]
    path: list[str] = field(default_factory=list)

    def file(self, name: str) -> Path:
        path = self.clone.parent / f"{self.clone.name}-{name}"
        path.touch()
        return path

    def run(self, job: dict[str, Any], name: str) -> subprocess.CompletedProcess[str]:
        (step,) = [step for step in job["steps"] if step.get("name") == name]
        given = {
            key: EXPRESSION.sub(lambda found: self.values[found[1]], str(value))
            for key, value in step.get("env", {}).items()
        }
        files = {key: str(self.file(key)) for key in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")}
        added = self.file("GITHUB_PATH").read_text(encoding="utf-8").splitlines()
        path = ":".join([*reversed(added), self.environment["PATH"]])
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]],  # GitHub's shell, where none is named
            cwd=self.clone,
            env={**self.environment, **files, **given, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    def outputs(self) -> dict[str, str]:
        lines = self.file("GITHUB_OUTPUT").read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def summary(self) -> str:
        return self.file("GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
