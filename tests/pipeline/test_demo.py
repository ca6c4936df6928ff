"""What `make demo` leaves: a repository in which the next commands work, as a newcomer types them."""

import os
import subprocess
from pathlib import Path

from commands import demo
from commands.revisions import experiments
from tests.documented import commands_of, missing
from tests.pipeline.workspace import git

RETURN = "git checkout --quiet . && dvc checkout --quiet"


def typed(workspace: Path, line: str) -> str:
    """What a line prints that is typed there, with everything installed."""
    installed = workspace.parent / "installed"
    installed.mkdir(exist_ok=True)
    (installed / "installed").touch()
    variables = os.environ | {"UV_PROJECT_ENVIRONMENT": str(installed)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=workspace, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_newcomer_runs_the_demo_and_the_commands_that_it_names(tmp_path: Path) -> None:
    workspace = tmp_path / "a demo"
    assert demo.main(workspace) == 0
    assert git(workspace, "log", "--format=%s").splitlines() == ["The first run", demo.FIRST_COMMIT]
    assert [*experiments(workspace)] == [demo.EXPERIMENT]
    assert git(workspace, "status", "--porcelain") == ""
    assert (workspace / "report/report.html").is_file()

    tutorial = commands_of((demo.ROOT / "docs/first-hour.md").read_text(encoding="utf-8"))[1:]  # it is there already
    lost = {line: missing(output, typed(workspace, line)) for line, output in tutorial}
    assert {line: lines for line, lines in lost.items() if lines} == {}

    for line in demo.NEXT:
        typed(workspace, line)
    typed(workspace, RETURN)
    assert demo.main(workspace) == 0  # again, in the same place
    assert len(git(workspace, "log", "--format=%s").splitlines()) == 2
