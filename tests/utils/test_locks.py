"""A lock excludes others, in this process and in others, and ends with its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from linkedapi_async._utils.locks import FileLock


CHILD = """
import os, sys
from linkedapi_async._utils.locks import FileLock

lock = FileLock(sys.argv[1])
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
print("locked", flush=True)
sys.stdin.read()
"""


def test_lock_excludes(tmp_path: Path) -> None:
    """A file is locked once at a time, and again after its release."""
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    with pytest.raises(BlockingIOError, match="is locked"):
        FileLock(path)
    lock.release()

    FileLock(path).release()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """A file that is missing is created for its owner only."""
    path = tmp_path / "lock"
    FileLock(str(path)).release()

    assert sys.platform == "win32" or 0o600 == path.stat().st_mode & 0o777


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """The error is that of the operating system."""
    with pytest.raises(OSError, match=tmp_path.name):
        FileLock(str(tmp_path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_release_counts_at_once_beside_a_child_that_was_just_forked(
    tmp_path: Path,
) -> None:
    """The child has a copy of the descriptor until it comes to close it."""
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    copy = os.dup(lock._file)
    lock.release()
    FileLock(path).release()
    os.close(copy)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_child_that_ends_keeps_the_lock_of_its_parent(tmp_path: Path) -> None:
    """The end of a forked child changes nothing, the end of the owner releases it."""
    path = str(tmp_path / "lock")
    command = [sys.executable, "-c", CHILD, path]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "locked\n" == process.stdout.readline()
        with pytest.raises(BlockingIOError):
            FileLock(path)
        process.kill()

    FileLock(path).release()
