"""Remotes of three kinds: what is pushed comes back in a clone, and credentials stay out of git.

S3 is moto's server and SSH an SFTP server of asyncssh, both on the loopback. DVC, git and the clients are real.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from tests.pipeline.workspace import commit, dvc, git

KEY_ID, SECRET = "key-of-the-test", "hunter2-secret"
BUCKET, LARGE_BYTES = "store", 9 << 20  # more than one part of a multipart upload


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository that keeps a folder of a large and a small file."""
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    dvc(folder, "init", "--quiet")
    (folder / "data/large").write_bytes(np.random.default_rng(0).bytes(LARGE_BYTES))
    (folder / "data/small").write_text("small")
    dvc(folder, "add", "--quiet", "data")
    commit(folder, "Data")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data").iterdir() if path.name != ".gitignore"}


def clone_of(repository: Path) -> Path:
    clone = repository.parent / "clone"
    git(repository, "clone", "--quiet", ".", str(clone))
    assert not (clone / "data").exists()
    return clone


def add_remote(repository: Path, url: str, shared: dict[str, str], own: dict[str, str]) -> None:
    """What docs/storage.md says: what all share goes into .dvc/config, what is one's own into .dvc/config.local."""
    dvc(repository, "remote", "add", "--default", "store", url)
    for name, value in shared.items():
        dvc(repository, "remote", "modify", "store", name, value)
    commit(repository, "A remote")
    set_own(repository, own)
    assert git(repository, "status", "--porcelain") == ""  # what is one's own is nothing to git


def set_own(repository: Path, own: dict[str, str]) -> None:
    for name, value in own.items():
        dvc(repository, "remote", "modify", "--local", "store", name, value)


def check_round_trip(repository: Path, own: dict[str, str]) -> Path:
    dvc(repository, "push")
    clone = clone_of(repository)
    set_own(clone, own)
    dvc(clone, "pull")
    assert contents(clone) == contents(repository)
    assert "in sync" in dvc(clone, "status", "--cloud").stdout
    for path in git(clone, "ls-files").split():
        assert not [value for value in own.values() if value in (clone / path).read_text(encoding="utf-8")]
    return clone


def test_a_folder(repository: Path, tmp_path: Path) -> None:
    add_remote(repository, str(tmp_path / "store"), {}, {})
    check_round_trip(repository, {})


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    address = f"http://127.0.0.1:{port}"
    yield address
    server.stop()


def client(address: str):
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )


def test_s3(repository: Path, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client(s3).create_bucket(Bucket=BUCKET)
    own = {"access_key_id": KEY_ID, "secret_access_key": SECRET}
    add_remote(repository, f"s3://{BUCKET}/classifier", {"endpointurl": s3}, own)
    clone = check_round_trip(repository, own)
    stored = client(s3).list_objects_v2(Bucket=BUCKET)["Contents"]
    assert sorted(entry["Size"] for entry in stored)[-1] == LARGE_BYTES
    assert all(entry["Key"].startswith("classifier/files/md5/") for entry in stored)
    # Without credentials nothing comes, and nobody is shown a traceback; the environment may hold them too.
    for name in own:
        dvc(clone, "remote", "modify", "--local", "--unset", "store", name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (clone / "data/small").unlink()
    dvc(clone, "gc", "--workspace", "--force", "--quiet")
    refused = dvc(clone, "status", "--cloud", check=False)
    assert refused.returncode != 0
    assert "credentials" in refused.stderr
    assert "Traceback" not in refused.stderr
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    dvc(clone, "pull")
    assert contents(clone) == contents(repository)


class Server(threading.Thread):
    """An SFTP server on the loopback that lets in one key and shows one folder."""

    def __init__(self, folder: Path, host_key: asyncssh.SSHKey, let_in: asyncssh.SSHKey) -> None:
        super().__init__(daemon=True)
        self.folder, self.host_key, self.let_in = folder, host_key, let_in
        self.loop, self.up, self.port = asyncio.new_event_loop(), threading.Event(), 0

    async def listen(self) -> None:
        keys = asyncssh.import_authorized_keys(self.let_in.export_public_key().decode())
        listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[self.host_key],
            authorized_client_keys=keys,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.folder).encode()),
        )
        self.port = listener.get_port()
        self.up.set()

    def run(self) -> None:
        self.loop.run_until_complete(self.listen())
        self.loop.run_forever()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """The server, and the file of the key that it lets in."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served", asyncssh.generate_private_key("ssh-ed25519"), key)
    server.start()
    assert server.up.wait(30)
    yield server, tmp_path / "key"
    server.stop()


def test_ssh(repository: Path, ssh: tuple[Server, Path], tmp_path: Path) -> None:
    server, key = ssh
    own = {"user": "tester", "keyfile": str(key)}
    add_remote(repository, f"ssh://127.0.0.1:{server.port}/store", {}, own)
    clone = check_round_trip(repository, own)
    assert list((tmp_path / "served/store").rglob("*/md5/*"))
    strange = asyncssh.generate_private_key("ssh-ed25519")
    strange.write_private_key(tmp_path / "strange")
    set_own(clone, {"keyfile": str(tmp_path / "strange")})
    refused = dvc(clone, "status", "--cloud", check=False)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
