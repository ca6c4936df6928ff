"""hf:// addresses through the real client, in a process of its own: it reads HF_ENDPOINT when it is imported."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.transfer.sources.hub import hub
from tests.transfer.sources.photos import CLASSES, address_of, encoded, pictures
from transfer.runtime.files import ROOT
from transfer.sources.images import load_images

pytest.importorskip("huggingface_hub", reason="no hf:// without huggingface_hub")

NAME = "somebody/digits"


def files_of_a_data_set(folder: Path) -> dict[str, bytes]:
    """Two Parquet files as the hub has them, and a CSV table beside a folder of PNG files."""
    (folder / "parquet").mkdir()
    address_of("pattern of parquet", folder / "parquet")
    files = {f"data/{path.name}": path.read_bytes() for path in (folder / "parquet").iterdir()}
    files |= {f"raw/in/{label}/{name}": encoded(image) for label, name, image in pictures()}
    rows = "".join(f"in/{label}/{name},{label}\n" for label, name, _ in pictures())
    return {**files, "raw/t.csv": f"path,label\n{rows}".encode(), "README.md": b"# Digits"}


def download(address: str, endpoint: str, tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    config = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["download"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"download": {**config, "url": address, "sha256": None}}))
    options = {"params": "params.yaml", "images": "images.npz", "damaged": "damaged.tsv", "metrics": "metrics.json"}
    command = [sys.executable, "-m", "stages.download"]
    command += [word for option, name in options.items() for word in (f"--{option}", str(tmp_path / name))]
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    here: Mapping[str, str] = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), **environment}
    known |= {**here, "TRANSFER_STATE": str(tmp_path / "state"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("address", ["", "/data/data-*-of-00002.parquet", "/raw/t.csv"])
def test_a_data_set_of_the_hub_is_read(tmp_path: Path, address: str) -> None:
    with hub(NAME, files_of_a_data_set(tmp_path)) as endpoint:
        done = download(f"hf://datasets/{NAME}{address}", endpoint, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    images, _ = load_images(tmp_path / "images.npz")
    assert [images.classes[label] for label in images.labels] == [label for label, _, _ in pictures()]
    assert images.classes == CLASSES
    for index, (_, _, expected) in enumerate(pictures()):
        np.testing.assert_array_equal(images.images[index], expected)


def test_a_private_data_set_takes_a_token_and_refuses_without_in_one_line(tmp_path: Path) -> None:
    address = f"hf://datasets/{NAME}/data/*.parquet"
    with hub(NAME, files_of_a_data_set(tmp_path), token="hf_secret") as endpoint:
        refused = download(address, endpoint, tmp_path)
        assert download(address, endpoint, tmp_path, HF_TOKEN="hf_secret").returncode == 0
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"error: {address}: ")
    assert "check" in line


@pytest.mark.parametrize("address", [f"{NAME}/data/*.csv", f"{NAME}/nothing.csv", "nobody/none/data/*.parquet"])
def test_what_is_not_there_is_one_line(tmp_path: Path, address: str) -> None:
    with hub(NAME, files_of_a_data_set(tmp_path)) as endpoint:
        done = download(f"hf://datasets/{address}", endpoint, tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: hf://datasets/{address}: ")
