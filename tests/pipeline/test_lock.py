"""A dvc.lock that is cut short or in merge conflict: what docs/troubleshooting.md says makes it whole again."""

from pathlib import Path

import pytest

from tests.pipeline.workspace import command, commit, dvc, git, read_yaml, set_parameter, stages_run


def outputs(workspace: Path) -> dict[str, str]:
    """Digests of all outputs as DVC has recorded them, but of the report, which names the commit."""
    stages = read_yaml(workspace / "dvc.lock")["stages"]
    return {out["path"]: out["md5"] for name, stage in stages.items() if name != "report" for out in stage["outs"]}


@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_lock_is_taken_from_the_last_commit(finished: Path, damage: str) -> None:
    lock = finished / "dvc.lock"
    whole = lock.read_bytes()
    if damage == "gone":
        lock.unlink()
    else:
        # A cut between two entries leaves a valid record of less; this one is within a key.
        lock.write_bytes(whole[: whole.index(b"md5: ", len(whole) // 2) + 2] if damage == "cut" else b"")
    if damage == "cut":
        told = dvc(finished, "repro", check=False)
        assert told.returncode != 0  # DVC does not always say why
        assert "Traceback" not in told.stderr
    git(finished, "checkout", "HEAD", "--", "dvc.lock")
    assert stages_run(dvc(finished, "repro").stdout) == []
    assert lock.read_bytes() == whole
    assert git(finished, "status", "--porcelain") == ""


def test_a_lost_lock_is_made_again_from_the_run_cache(finished: Path) -> None:
    before = outputs(finished)
    (finished / "dvc.lock").unlink()
    assert stages_run(dvc(finished, "repro").stdout) == ["report"]  # which the run cache does not keep
    assert outputs(finished) == before


def test_two_branches_that_both_trained_are_merged(finished: Path) -> None:
    git(finished, "checkout", "--quiet", "-b", "theirs")
    set_parameter(finished, "grad_cam.examples", 2)
    dvc(finished, "repro")
    commit(finished, "Two examples")
    theirs = (finished / "metrics/grad_cam/pictures/examples.png").read_bytes()
    git(finished, "checkout", "--quiet", "main")
    set_parameter(finished, "evaluate.mirror", False)
    dvc(finished, "repro")
    commit(finished, "One view")
    ours = {name: digest for name, digest in outputs(finished).items() if not name.startswith("metrics/grad_cam")}
    merged = command(finished, "git", "merge", "theirs", check=False)
    assert merged.returncode != 0
    assert "<<<<<<<" in (finished / "dvc.lock").read_text(encoding="utf-8")
    assert read_yaml(finished / "params.yaml")["grad_cam"]["examples"] == 2  # merged: another line
    broken = dvc(finished, "repro", check=False)
    assert broken.returncode != 0
    assert "dvc.lock" in broken.stderr
    # As documented.
    git(finished, "checkout", "--ours", "--", "dvc.lock", "metrics", "report")
    assert stages_run(dvc(finished, "repro").stdout) == ["grad_cam", "report"]  # what neither branch has run
    git(finished, "add", "--all")
    git(finished, "commit", "--quiet", "--no-edit")
    assert "up to date" in dvc(finished, "status").stdout
    merged_outputs = outputs(finished)
    assert {name: merged_outputs[name] for name in ours} == ours
    assert (finished / "metrics/grad_cam/pictures/examples.png").read_bytes() != theirs  # two examples, of one view
