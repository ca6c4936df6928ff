"""`make verify` finds what DVC does not look for: a damaged file in its cache, or in an output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.workspace import ROOT, dvc, read_yaml, return_to_commit_of_the_run, stages_run

MODEL = Path("models/model.safetensors")


def verify(workspace: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "commands.verify"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=workspace, env=variables, capture_output=True, text=True, check=False)


def cached(workspace: Path, output: Path) -> Path:
    outs = (out for stage in read_yaml(workspace / "dvc.lock")["stages"].values() for out in stage["outs"])
    (digest,) = (out["md5"] for out in outs if Path(out["path"]) == output)
    return workspace / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def flip_a_bit(path: Path) -> None:
    """Damage a file as a disk would: time, size and rights stay. Other names of the file keep its content."""
    about, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(about.st_mode)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_all_is_well_after_a_run(finished: Path) -> None:
    done = verify(finished)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "0 damaged" in done.stdout


def test_a_damaged_cache_file_is_named_and_the_way_out_works(finished: Path) -> None:
    return_to_commit_of_the_run(finished)
    whole = (finished / MODEL).read_bytes()
    for path in (cached(finished, MODEL), finished / MODEL):  # often two names of one file
        flip_a_bit(path)
    assert stages_run(dvc(finished, "repro").stdout) == []  # DVC does not look
    done = verify(finished)
    assert done.returncode == 1
    in_cache, in_workspace = done.stderr.splitlines()
    assert f"{cached(finished, MODEL)}: damaged in the cache ({MODEL} of stage fine_tune)" in in_cache
    assert f"{MODEL}: not what stage fine_tune wrote" in in_workspace
    assert "delete it, then dvc pull or dvc repro" in in_cache
    cached(finished, MODEL).unlink()
    (finished / MODEL).unlink()
    assert stages_run(dvc(finished, "repro").stdout) == ["fine_tune"]
    assert (finished / MODEL).read_bytes() == whole
    assert verify(finished).returncode == 0


def test_an_output_that_is_edited_by_hand_is_named(finished: Path) -> None:
    metrics = finished / "metrics/evaluate.json"
    metrics.write_text(metrics.read_text(encoding="utf-8").replace("accuracy", "Accuracy", 1), encoding="utf-8")
    done = verify(finished)
    assert done.returncode == 1
    assert done.stderr.startswith("metrics/evaluate.json: not what stage evaluate wrote")


@pytest.mark.parametrize("gone", ["dvc.lock", "models/model.safetensors"])
def test_what_is_missing_is_told_but_is_no_damage(finished: Path, gone: str) -> None:
    (finished / gone).unlink()
    done = verify(finished)
    assert done.returncode == 0, done.stderr
    assert ("1 outputs are not here" in done.stdout) == (gone == str(MODEL))


def test_a_file_within_an_output_folder_is_named(finished: Path) -> None:
    flip_a_bit(finished / "models/classifier/README.md")
    done = verify(finished)
    assert done.returncode == 1
    assert done.stderr.startswith("models/classifier/README.md: not what stage cards wrote")
