"""No secret reaches what a run prints or writes."""

from pathlib import Path

import pytest

from tests.pipeline.workspace import dvc, set_parameter, stages_run

SECRETS = ("hunter2-environment", "hunter2-remote", "hunter2-remote-url", "hunter2-download")
HOLDERS = (".dvc/config.local", "params.yaml")  # the one that may hold secrets, and the one that a user wrote one into


def leaks(workspace: Path, printed: str) -> list[str]:
    """Places where a secret is to be found."""
    found = ["printed"] if any(secret in printed for secret in SECRETS) else []
    for path in workspace.rglob("*"):
        name = str(path.relative_to(workspace))
        if path.is_file() and name not in HOLDERS:
            content = path.read_bytes()
            found += [name for secret in SECRETS if secret.encode() in content]
    return found


@pytest.mark.series  # the whole pipeline once more
def test_no_secret_is_printed_or_written(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, password, in_url, in_address = SECRETS
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", environment)
    url = f"https://user:{in_url}@127.0.0.1:9/store"
    dvc(finished, "remote", "add", "--local", "--default", "store", url)
    dvc(finished, "remote", "modify", "--local", "store", "password", password)
    set_parameter(finished, "download.timeout_s", 31)
    set_parameter(finished, "train.lr", 0.0003)
    done = dvc(finished, "repro")
    assert {"download", "fine_tune", "evaluate", "grad_cam"} <= set(stages_run(done.stdout))
    assert leaks(finished, done.stdout + done.stderr) == []
    set_parameter(finished, "download.url", f"https://user:{in_address}@127.0.0.1:9/images.tar.gz")
    failed = dvc(finished, "repro", check=False)
    assert failed.returncode != 0
    assert "error: https://***@127.0.0.1:9/images.tar.gz: holds a user or a password" in failed.stderr
    assert leaks(finished, failed.stdout + failed.stderr) == []


def test_a_planted_leak_is_found(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/log").write_text(f"key: {SECRETS[0]}")
    (tmp_path / "params.yaml").write_text(SECRETS[3])
    assert leaks(tmp_path, f"url: {SECRETS[3]}") == ["printed", "state/log"]
