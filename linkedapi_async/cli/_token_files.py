"""Files with tokens: who may read them, and lines such as ``NAME=value``."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._exit_codes import CommandError


_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_PRIVATE: Final = os.name == "posix"
"""Whether files have POSIX permissions."""


def private(path: str) -> Secret[str]:
    """Return the text of a file that only its owner may read.

    Raises:
        CommandError: Others may read the file, or it cannot be read.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # its mode is checked while it is open
            mode = os.fstat(file.fileno()).st_mode
            if _PRIVATE and mode & _OTHERS:
                raise CommandError(
                    f"{path} holds tokens and others may read it; run: chmod 600 {path}"
                )
            content = Secret(file.read())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    return decoded(path, content)


def decoded(name: str, content: Secret[bytes]) -> Secret[str]:
    """Return the text of *content*, which was read from *name*.

    Raises:
        CommandError: It is not UTF-8.
    """
    # Not in the handler of the error, because that has the content of the file.
    with contextlib.suppress(UnicodeDecodeError):
        # Editors on Windows begin a file with a byte order mark.
        return Secret(content.reveal().decode("utf-8-sig"))
    raise CommandError(f"{name} is not UTF-8")


def assignments(name: str, text: Secret[str]) -> Secret[dict[str, str]]:
    """Return the values of lines such as ``LINKED_API_TOKEN=…`` by their names.

    Args:
        name: What the text was read from.
        text: The lines.

    Raises:
        CommandError: A line is something else.
    """
    pairs = Secret([*map(_assignment, text.reveal().splitlines())])
    for number, pair in enumerate(pairs.reveal(), 1):
        if pair is None:
            raise CommandError(f"{name}:{number}: expected NAME=value")
    return Secret(dict(pair for found in pairs.reveal() for pair in found or []))


def _assignment(line: str) -> list[tuple[str, str]] | None:
    """Return the name and value of a line; none for a comment, None if it is wrong."""
    text = line.strip().removeprefix("export ").strip()
    name, sign, value = text.partition("=")
    if not text or text.startswith("#"):
        return []
    return [(name.strip(), _unquoted(value.strip()))] if sign else None


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
