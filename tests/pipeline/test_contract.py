"""Declared means true: what each stage of a real run opens, writes, imports and takes equals dvc.yaml.

The checker itself is shown to find each kind of fault, planted in a copy of the workspace.
"""

from pathlib import Path

import pytest

from tests.pipeline.contract import Declared, findings, read_declared, read_traced
from tests.pipeline.workspace import dvc, read_yaml, write_yaml

STAGE = "subsample"


def all_findings(workspace: Path, traces: Path) -> list[str]:
    declared = read_declared(workspace)
    traced = read_traced(traces, declared)
    return [line for name in traced for line in findings(name, declared[name], traced[name])]


def test_every_stage_does_what_it_declares(finished: Path, traces: Path) -> None:
    assert all_findings(finished, traces) == []


def test_every_stage_was_recorded(finished: Path, traces: Path) -> None:
    declared = read_declared(finished)
    traced = read_traced(traces, declared)
    assert traced.keys() == declared.keys()
    assert all(trace.reads and trace.writes and trace.modules and trace.parameters for trace in traced.values())


def change_stage(workspace: Path, key: str, entry: str, add: bool) -> None:
    content = read_yaml(workspace / "dvc.yaml")
    entries = content["stages"][STAGE][key]
    if add:
        entries.append(entry)
    else:
        entries[:] = [other for other in entries if entry not in other]
    write_yaml(workspace / "dvc.yaml", content)


@pytest.mark.parametrize(
    ("key", "entry", "finding"),
    [
        ("deps", "data/raw/images.npz", "undeclared read of data/raw/images.npz"),
        ("deps", "transfer/sources", "undeclared module transfer/sources/images.py"),
        ("outs", "data/splits/val.npz", "undeclared write of data/splits/val.npz"),
        ("plots", "metrics/subsample.json", "undeclared write of metrics/subsample.json"),
        ("params", "seed", "undeclared parameter seed"),
    ],
)
def test_what_is_left_out_of_dvc_yaml_is_found(
    finished: Path, traces: Path, key: str, entry: str, finding: str
) -> None:
    change_stage(finished, key, entry, add=False)
    found = all_findings(finished, traces)
    assert f"{STAGE}: {finding}" in found
    assert [one for one in found if entry not in one.split()[-1] and one != f"{STAGE}: {finding}"] == []


@pytest.mark.parametrize(
    ("key", "entry", "finding"),
    [
        ("deps", "models/backbone.safetensors", "unused dependency models/backbone.safetensors"),
        ("deps", "transfer/network", "unused dependency transfer/network"),
        ("outs", "data/more.npz", "output never written data/more.npz"),
        ("params", "train.lr", "unused parameter train.lr"),
        ("params", "resize", "unused parameter resize"),
    ],
)
def test_what_dvc_yaml_has_too_much_is_found(finished: Path, traces: Path, key: str, entry: str, finding: str) -> None:
    change_stage(finished, key, entry, add=True)
    assert all_findings(finished, traces) == [f"{STAGE}: {finding}"]


IN_MAIN = "def main(parameters: Parameters, files: Namespace) -> None:\n"
IN_PARAMETERS = "class Parameters(Group):\n"


@pytest.mark.parametrize(
    ("place", "planted", "finding"),
    [
        (IN_MAIN, "    open('models/backbone.safetensors', 'rb').close()\n", "read of models/backbone.safetensors"),
        (IN_MAIN, "    np.load('data/predictions.npz')\n", "read of data/predictions.npz"),
        (IN_MAIN, "    from transfer.network.tensors import load_tensors\n", "module transfer/network/tensors.py"),
        (IN_MAIN, "    import os; os.rename('models/head.safetensors', 'metrics/n')\n", "write of metrics/n"),
        (IN_MAIN, "    np.save('data/more.npy', np.zeros(3))\n", "write of data/more.npy"),
        (IN_PARAMETERS, "    resize: dict\n", "parameter resize"),
    ],
    ids=["opened", "read by numpy", "imported", "renamed", "written by numpy", "parameter"],
)
def test_what_a_script_does_undeclared_is_found(
    finished: Path,
    recording: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    planted: str,
    finding: str,
) -> None:
    script = finished / "stages/subsample.py"
    text = script.read_text(encoding="utf-8")
    assert text.count(place) == 1
    script.write_text(text.replace(place, place + planted), encoding="utf-8")
    for name, value in {**recording, "TRACES": str(tmp_path / "traces")}.items():
        monkeypatch.setenv(name, value)
    dvc(finished, "repro", "--single-item", STAGE)
    assert f"{STAGE}: undeclared {finding}" in all_findings(finished, tmp_path / "traces")


def test_a_shared_group_stands_for_its_own_keys(finished: Path) -> None:
    declared: dict[str, Declared] = read_declared(finished)
    assert declared["train_head"].parameters == {"seed", "train.deterministic", "train.head"}
    assert "train.augment" in declared["fine_tune"].parameters
    # report, which shows every parameter, alone takes the group whole.
    assert [name for name, stage in declared.items() if "train" in stage.parameters] == ["report"]
