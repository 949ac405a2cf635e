"""Files that only their owner may read."""

from __future__ import annotations

import contextlib
import os


def create_private(path: str | os.PathLike[str]) -> None:
    """Create an empty file for its owner only, unless it exists.

    SQLite would make the file of a new database readable for everybody.

    Raises:
        OSError: It cannot be created.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
