"""Locks that one process holds at a time, also on disks that offer no file locks."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# NFS without a lock daemon, Lustre mounted without flock, some FUSE file systems.
NOT_OFFERED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class HeldError(Exception):
    """Another process holds the lock; the message is its ID, without file locks also its machine and a way out."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which stays. Raises HeldError at once if another process does.

    A file lock ends with its process. Where the disk has none, a file beside it names the owner's machine, process
    and start; one of a process that is no longer on this machine counts for nothing.
    """
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise HeldError(stream.read().strip()) from None
        except OSError as error:
            if error.errno not in NOT_OFFERED:
                raise
            owner = path.with_suffix(".owner.lock")
            _own(owner)
            try:
                yield
            finally:
                owner.unlink(missing_ok=True)
            return
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def _own(owner: Path) -> None:
    """Become the owner: by a file that only one process can make, renamed once no other owner is found."""
    claim = owner.with_name(owner.name.replace(".owner.", ".claim."))
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        raise HeldError(_held(claim)) from None
    try:
        claim.write_text(f"{os.getpid()} on {socket.gethostname()} since {_started(os.getpid())}")
        if (text := _text(owner)) is not None and _lives(text):
            raise HeldError(_held(owner))
        claim.replace(owner)
    except BaseException:
        claim.unlink(missing_ok=True)
        raise


def _held(by: Path) -> str:
    named = (_text(by) or "").partition(" since ")[0]
    return f"{named or 'of another run'} (if it is gone, remove {by})"


def _text(path: Path) -> str | None:
    with suppress(FileNotFoundError):  # it may go at any time
        return path.read_text()
    return None


def _lives(text: str) -> bool:
    """Whether an owner may be at work: not if on this machine there is no such process, or it started later."""
    process, _, rest = text.partition(" on ")
    machine, _, since = rest.partition(" since ")
    if machine != socket.gethostname() or not process.isdecimal():
        return True
    return psutil.pid_exists(int(process)) and (not since or _started(int(process)) in ("", since))


def _started(process: int) -> str:
    """When a process started: of Linux in ticks since the boot, which no clock that is set changes."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    with suppress(psutil.Error):
        return str(psutil.Process(process).create_time())
    return ""
