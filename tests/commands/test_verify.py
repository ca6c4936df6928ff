"""`make verify` finds what DVC does not look for: a damaged file in its cache, or in an output; and nothing else."""

import os
import shutil
from pathlib import Path

import pytest

from commands.cached_outputs import digest_of, parse_lock, recorded_outputs
from commands.verify import main
from tests.commands.toy import command, commit, git, make

FOLDERS = """\
  folders:
    cmd: mkdir -p maps/a plots && cp model.txt maps/a/1 && cp numbers.txt maps/é && cp model.txt plots/1
    deps: [model.txt]
    outs: [maps]
    plots: [plots: {cache: false}]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with other models in two commits; a stage writes a folder, and one that DVC does not cache."""
    folder = tmp_path_factory.mktemp("toy") / "project"
    make(folder, folder.parent / "store")
    for rate in ("0.25", "0.5"):
        pipeline = (folder / "dvc.yaml").read_text(encoding="utf-8").split("  folders:")[0]
        (folder / "dvc.yaml").write_text(pipeline + FOLDERS, encoding="utf-8")
        (folder / "params.yaml").write_text(f"seed: 1\ntrain:\n  lr: {rate}\n", encoding="utf-8")
        command(folder, "dvc", "repro", "--quiet")
        commit(folder, rate)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "project", symlinks=True)


def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], list[str]]:
    status = main(folder)
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err.splitlines()


def cached(folder: Path, output: str) -> Path:
    digest = recorded_outputs(parse_lock((folder / "dvc.lock").read_text(encoding="utf-8")))[output].md5
    return folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def flip_a_bit(path: Path) -> None:
    """Damage a file as a disk would: time, size and rights stay. Other names of the file keep its content."""
    about, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(about.st_mode)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_a_folders_digest_is_dvcs(project: Path) -> None:
    outputs = recorded_outputs(parse_lock((project / "dvc.lock").read_text(encoding="utf-8")))
    assert {path: digest_of(project / path) for path in outputs} == {path: out.md5 for path, out in outputs.items()}
    assert outputs["maps"].md5.endswith(".dir")


def test_all_is_well_after_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, lines, errors = verify(project, capsys)
    assert (status, errors) == (0, [])
    (line,) = lines
    assert line.endswith("0 damaged, 0 of another run, 0 missing")


def test_a_damaged_cache_file_is_named_and_the_way_out_works(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (project / "model.txt").read_bytes()
    for path in (cached(project, "model.txt"), project / "model.txt"):
        flip_a_bit(path)
    assert "Running" not in command(project, "dvc", "repro")  # DVC does not look
    status, _, (in_cache, in_workspace) = verify(project, capsys)
    assert status == 1
    assert in_cache.startswith(f"{cached(project, 'model.txt')}: damaged in the cache (model.txt of stage train)")
    assert in_workspace == "model.txt: not what stage train wrote; delete it, then dvc pull or dvc repro"
    cached(project, "model.txt").unlink()
    (project / "model.txt").unlink()
    assert "Running stage 'train'" in command(project, "dvc", "repro")
    assert (project / "model.txt").read_bytes() == whole
    assert verify(project, capsys)[0] == 0


@pytest.mark.parametrize(
    ("name", "stage"),
    [("metrics/evaluate.json", "train"), ("maps/a/1", "folders"), ("plots/1", "folders")],
    ids=["metrics", "in a folder", "in a folder without cache"],
)
def test_an_output_that_was_edited_is_named(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, stage: str
) -> None:
    flip_a_bit(project / name)
    status, _, (line,) = verify(project, capsys)
    assert status == 1
    assert line.startswith(f"{name}: not what stage {stage} wrote")


def test_a_folder_whose_list_of_files_the_cache_lacks_is_hashed_whole(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached(project, "maps").unlink()
    assert verify(project, capsys)[0] == 0
    flip_a_bit(project / "maps/a/1")
    assert verify(project, capsys)[2] == ["maps: not what stage folders wrote; delete it, then dvc pull or dvc repro"]


def test_files_of_another_run_are_no_damage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(project, "checkout", "--quiet", "HEAD~1")
    status, lines, errors = verify(project, capsys)
    assert (status, errors) == (0, [])
    assert sorted(lines[:-1]) == [
        f"{name}: of another run, and whole; dvc checkout brings the one that dvc.lock names"
        for name in ("maps/a/1", "model.txt")
    ]
    flip_a_bit(project / "model.txt")
    status, lines, errors = verify(project, capsys)
    assert (status, len(errors), len(lines)) == (1, 1, 2)
    command(project, "dvc", "checkout", "--quiet", "--force")
    assert verify(project, capsys)[1][-1].endswith("0 damaged, 0 of another run, 0 missing")


@pytest.mark.parametrize(("gone", "missing"), [("dvc.lock", 0), ("model.txt", 1)])
def test_what_is_missing_is_told_but_is_no_damage(
    project: Path, capsys: pytest.CaptureFixture[str], gone: str, missing: int
) -> None:
    (project / gone).unlink()
    status, lines, errors = verify(project, capsys)
    assert (status, errors) == (0, [])
    assert lines[-1].endswith(f"{missing} missing")
