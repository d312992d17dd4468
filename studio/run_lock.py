"""One command at a time writes into an output folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from assets.errors import InputError

LOCK_NAME = ".recon.lock"
"""Hidden file in the output folder while a command writes there; its content is the process that does."""


@contextlib.contextmanager
def writing_into(out: Path) -> Iterator[None]:
    """Holds the folder's lock for the block; raises InputError where another command holds it.

    The operating system's own lock (flock) is held, which ends with the process however that ends: a file that a killed run left
    behind stops nobody. Where there is no flock, the file's process is asked for instead.
    """
    path = out / LOCK_NAME
    descriptor = _taken(path, out)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        # The file goes while it is still locked, so that nobody takes a lock on a file that is about to go.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _taken(path: Path, out: Path) -> int:
    """A descriptor of the lock file that is locked and still the one in the folder."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _lock(descriptor):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise InputError(
                expected="an output folder into which no other command writes at the same time",
                got=f"{out}, into which {f'process {holder}' if holder else 'another process'} is writing",
                do="wait until it has ended, or end it; or give another --out",
            )
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        # Its last holder removed it between our opening and our locking it.
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether the lock is ours now."""
    try:
        import fcntl
    except ImportError:
        import psutil

        holder = _holder(descriptor)
        return holder is None or holder == os.getpid() or not psutil.pid_exists(holder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int | None:
    """The process that the lock file names; None where it names none."""
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
