"""One holder at a time, with file locks and on disks that have none."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from transfer.runtime import locks
from transfer.runtime.locks import HeldError, locked


@pytest.fixture(params=[None, *locks.NOT_OFFERED], ids=["flock", "ENOLCK", "ENOSYS", "EOPNOTSUPP", "EINVAL"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with file locks, and one for each way to say that there are none."""
    if request.param is not None:

        def refuse(*_: object) -> None:
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("disk")
def test_a_second_holder_is_refused_with_the_firsts_number_and_comes_after_it(tmp_path: Path) -> None:
    lock = tmp_path / ".model.lock"
    with locked(lock), pytest.raises(HeldError, match=str(os.getpid())), locked(lock):
        pass
    with suppress(ZeroDivisionError), locked(lock):
        raise ZeroDivisionError
    with locked(lock):
        pass


@pytest.fixture
def no_file_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def ended() -> int:
    """The ID of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


HERE = socket.gethostname()


@pytest.mark.usefixtures("no_file_locks")
@pytest.mark.parametrize(
    ("owner", "free"),
    [
        (lambda: f"{ended()} on {HERE} since 1", True),
        (lambda: f"{os.getpid()} on {HERE} since 1", True),  # before its container was started again
        (lambda: f"{ended()} on {HERE}", True),
        (lambda: f"{os.getppid()} on {HERE} since {locks._started(os.getppid())}", False),
        (lambda: f"{os.getpid()} on {HERE}", False),
        (lambda: f"{ended()} on elsewhere since 1", False),
        (lambda: "", False),
    ],
    ids=["ended", "ID used again", "ended, no start", "alive", "alive, no start", "elsewhere", "empty"],
)
def test_without_file_locks_only_an_owner_that_ended_on_this_machine_counts_for_nothing(
    tmp_path: Path, owner: Callable[[], str], free: bool
) -> None:
    file, text = tmp_path / ".model.owner.lock", owner()
    file.write_text(text)
    if free:
        with locked(tmp_path / ".model.lock"):
            assert file.read_text().startswith(f"{os.getpid()} on {HERE} since ")
    else:
        way_out = rf"^{text.partition(' since ')[0]}.* \(if it is gone, remove {file}\)$"
        with pytest.raises(HeldError, match=way_out), locked(tmp_path / ".model.lock"):
            pass
        assert file.read_text() == text
    assert [path.name for path in tmp_path.iterdir() if "claim" in path.name] == []


@pytest.mark.usefixtures("no_file_locks")
def test_of_two_that_find_the_same_owner_gone_one_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, file, read = tmp_path / ".model.lock", tmp_path / ".model.owner.lock", Path.read_text
    file.write_text(f"{ended()} on {HERE} since 1")
    with ExitStack() as rivals:

        def read_while_a_rival_comes(path: Path, *arguments: Any) -> str:
            text = read(path, *arguments)
            monkeypatch.setattr(Path, "read_text", read)
            with suppress(HeldError):
                rivals.enter_context(locked(lock))
                holders.append("rival")
            return text

        holders: list[str] = []
        monkeypatch.setattr(Path, "read_text", read_while_a_rival_comes)
        with suppress(HeldError), locked(lock):
            holders.append("first")
    assert len(holders) == 1


@pytest.mark.usefixtures("no_file_locks")
def test_an_owner_that_could_not_be_written_down_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match="No space"), locked(tmp_path / ".model.lock"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]


def test_any_other_refusal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / ".model.lock"):
        pass
