"""Two fresh clones give the same bytes: all outputs of all stages, models included, and DVC's record of them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.contract import read_declared
from tests.pipeline.workspace import dvc, environment, files_of, git, read_yaml, stages_run


@pytest.mark.series  # the whole pipeline once more
def test_two_clones_give_equal_bytes(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    record_property: Callable[[str, object], None],
) -> None:
    """The other lies elsewhere, deeper and under another name; its user has another home, locale and time zone."""
    home = tmp_path / "another home"
    for name, value in environment(home, Path(variables["PYTHONPYCACHEPREFIX"])).items():
        monkeypatch.setenv(name, value)
    for name, value in {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7", "USER": "other"}.items():
        monkeypatch.setenv(name, value)
    clone = tmp_path / "deeper" / "another name"
    clone.parent.mkdir()
    first = git(finished, "rev-list", "--max-parents=0", "HEAD").strip()
    git(tmp_path, "clone", "--quiet", str(finished), str(clone))
    lock = read_yaml(clone / "dvc.lock")
    git(clone, "checkout", "--quiet", first)
    assert not (clone / "dvc.lock").exists()
    for module in sorted((clone / "transfer").iterdir(), reverse=True):  # another order in the folder
        shutil.copy(module, clone / "moved.py")
        module.unlink()
        (clone / "moved.py").rename(module)
    declared = read_declared(clone)
    # From the last stage's needs to the first's, so that DVC runs what it can in another order.
    ran = stages_run(dvc(clone, "repro", "--no-run-cache", *reversed(declared)).stdout)
    assert sorted(ran) == sorted(declared)
    files = files_of(clone)
    compared = 0
    for path in files:
        content = (clone / path).read_bytes()
        assert content == (finished / path).read_bytes(), path
        compared += len(content)
    assert read_yaml(clone / "dvc.lock") == lock
    assert compared > 50_000_000  # a ResNet-18 twice, and what else there is
    record_property("files compared", len(files))
    record_property("bytes compared", compared)
    print(f"{len(files)} files, {compared} bytes equal")
