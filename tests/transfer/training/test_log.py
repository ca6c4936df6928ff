"""The log of a training: in any state of git it stops nothing."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from transfer.training.log import live_log
from transfer.training.plan import Epoch

EPOCH = Epoch(lr=0.1, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=0.5)


@pytest.mark.parametrize("state", ["no git", "no commit", "another's repository", "a commit"])
def test_epochs_are_logged_or_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], state: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n" if state == "no git" else "")
    if state != "no git":
        subprocess.run(["git", "init", "--quiet"], check=True)
    if state in ("a commit", "another's repository"):
        person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *person, "commit", "--quiet", "--allow-empty", "-m", "first"], check=True)
    if state == "another's repository":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with live_log(tmp_path / "live", 1) as log:
        log(EPOCH)
    told = capfd.readouterr().err
    logged = (tmp_path / "live/plots/metrics/val/loss.tsv").exists()
    assert logged != ("note: no log of DVCLive" in told)
    assert logged or state == "no commit"


def test_every_epoch_is_logged_on_a_disk_that_cannot_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    with live_log(tmp_path / "live", 1) as log:
        monkeypatch.setattr(os, "fsync", refuse)
        for _ in range(3):
            log(EPOCH)
    lines = (tmp_path / "live/plots/metrics/val/loss.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "1", "2", "3"]
