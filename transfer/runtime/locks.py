"""Locks that one process holds at a time, also on disks that offer no file locks."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# NFS without a lock daemon, Lustre mounted without flock, some FUSE file systems.
NOT_OFFERED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class HeldError(Exception):
    """Another process holds the lock; the message is its ID, elsewhere with the machine's name."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, which stays. Raises HeldError at once if another process does.

    A file lock ends with its process. Where the disk has none, a file beside it names the owner's machine and
    process; one of a process that is no longer on this machine counts for nothing.
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
    for _ in range(2):
        try:
            with owner.open("x") as stream:
                stream.write(f"{os.getpid()} on {socket.gethostname()}")
            return
        except FileExistsError:
            with suppress(FileNotFoundError):
                text = owner.read_text()
                process, _, machine = text.partition(" on ")
                if machine != socket.gethostname() or _is_running(process):
                    raise HeldError(f"{text} ({owner} says so)") from None
                owner.unlink(missing_ok=True)
    raise HeldError(f"another ({owner} says so)")


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):  # another user's; not yet written
        return True
    return True
