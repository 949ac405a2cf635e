"""Locks of files among processes."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Final


if sys.platform == "win32":  # pragma: no cover  # coverage is taken on Linux
    import msvcrt

    # On Windows, others cannot read locked bytes, so the lock is beyond the content.
    _PLACE: Final = 2**62

    def _lock(file: int) -> bool:
        os.lseek(file, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(file: int) -> None:
        """Do nothing, because closing the file ends its lock."""

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class FileLock:
    """An exclusive lock of a file, held from its creation until `release`.

    It excludes other locks in this process too. It ends with the process, also if that
    is killed, and a forked child does not keep it.

    Args:
        path: The file; it is created for its owner only if it is missing.

    Raises:
        BlockingIOError: It is locked already.
        OSError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        # A descriptor of its own, so that closing another one of the file changes
        # nothing.
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(self._file):
            os.close(self._file)
            raise BlockingIOError(f"{path} is locked")
        _held.add(self)

    def release(self) -> None:
        """End the lock; it may be called twice, also in a forked child."""
        if self in _held:
            # A child that was forked just now may still have a copy of the descriptor.
            _unlock(self._file)
            self.forget()

    def forget(self) -> None:
        """Close the descriptor; a lock that another process shares remains."""
        _held.discard(self)
        os.close(self._file)


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _release_all() -> None:  # pragma: no cover  # runs in forked children
    """Close the child's copies of the descriptors; the parent keeps its locks."""
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # coverage is taken on Linux
    os.register_at_fork(after_in_child=_release_all)
