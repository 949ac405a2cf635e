"""Files are created for their owner only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from linkedapi_async._utils.files import create_private


def test_only_its_owner_may_read_a_new_file(tmp_path: Path) -> None:
    """A missing file is created empty, for its owner only."""
    path = tmp_path / "database"
    create_private(path)

    assert b"" == path.read_bytes()
    assert sys.platform == "win32" or 0o600 == path.stat().st_mode & 0o777


def test_a_file_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    """Its content and its mode are kept."""
    path = tmp_path / "database"
    path.write_bytes(b"rows")
    path.chmod(0o640)
    mode = path.stat().st_mode
    create_private(str(path))

    assert b"rows" == path.read_bytes()
    assert mode == path.stat().st_mode


def test_a_file_that_cannot_be_created(tmp_path: Path) -> None:
    """The error is that of the operating system."""
    with pytest.raises(FileNotFoundError):
        create_private(tmp_path / "missing" / "database")
