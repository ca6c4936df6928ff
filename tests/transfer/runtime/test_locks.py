"""One holder at a time, with file locks and on disks that have none."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from transfer.runtime import locks
from transfer.runtime.locks import HeldError, locked


@pytest.fixture(params=[None, *locks.NOT_OFFERED], ids=["flock", "ENOLCK", "ENOSYS", "EOPNOTSUPP"])
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


@pytest.mark.parametrize(
    ("machine", "lives", "free"),
    [("here", False, True), ("here", True, False), ("elsewhere", False, False)],
    ids=["ended here", "alive here", "elsewhere"],
)
def test_without_file_locks_only_an_owner_that_ended_on_this_machine_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, lives: bool, free: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    owner = os.getpid() if lives else ended.pid
    (tmp_path / ".model.owner.lock").write_text(f"{owner} on {socket.gethostname() if machine == 'here' else machine}")
    if free:
        with locked(tmp_path / ".model.lock"):
            pass
    else:
        with pytest.raises(HeldError, match=str(owner)), locked(tmp_path / ".model.lock"):
            pass


def test_any_other_refusal_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output"), locked(tmp_path / ".model.lock"):
        pass
