"""The rows of a batch: CSV or JSON Lines, each with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from linkedapi_async._utils.json import decode_json
from linkedapi_async.cli._exit_codes import CommandError


@attrs.frozen
class InputRow:
    """One row of the input."""

    line: int
    """The first line of the row in the file, from 1 on."""
    values: Mapping[str, Any]
    """Its cells by column."""


def read_rows(path: str, *, delimiter: str = ",") -> list[InputRow]:
    """Return the rows of a file: JSON Lines if its name ends so, otherwise CSV.

    Args:
        path: A file in UTF-8, with or without a byte order mark.
        delimiter: The character between two cells of CSV.

    Raises:
        CommandError: The file cannot be read; the message names the line.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise CommandError(message) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = f"{path}:{line}: not UTF-8; save the file as UTF-8"
        raise CommandError(message) from None
    lines = path.lower().endswith((".jsonl", ".ndjson"))
    rows = _from_json(path, text) if lines else _from_csv(path, text, delimiter)
    found = [*rows]
    if not found:
        message = f"{path}: no rows"
        raise CommandError(message)
    return found


def _from_csv(path: str, text: str, delimiter: str) -> Iterator[InputRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            first, line = line, reader.line_num + 1
            if not any(cells):
                continue
            if header is None:
                header = _checked_header(path, cells)
            elif len(cells) != len(header):
                message = (
                    f"{path}:{first}: {len(cells)} cells, the header has {len(header)}"
                )
                raise CommandError(message)
            else:
                yield InputRow(first, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        message = f"{path}:{line}: {error}"
        raise CommandError(message) from error


def _checked_header(path: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    for name in names:
        if not name or names.count(name) > 1:
            what = (
                f"two columns are called {name!r}" if name else "a column has no name"
            )
            message = f"{path}:1: {what}"
            raise CommandError(message)
    return names


def _from_json(path: str, text: str) -> Iterator[InputRow]:
    # Only at "\n": JSON may hold what else splits lines.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = decode_json(line.encode())
        except ValueError as error:
            message = f"{path}:{number}: not JSON: {error}"
            raise CommandError(message) from None
        if not isinstance(values, dict):
            message = f"{path}:{number}: expected a JSON object"
            raise CommandError(message)
        yield InputRow(number, values)
