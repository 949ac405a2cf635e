"""The rows of a batch, checked before anything is sent, and their keys."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Final

import attrs

from linkedapi_async._actions.action import Roots
from linkedapi_async._types import Generation
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._exit_codes import CommandError, status_of
from linkedapi_async.cli._row_input import InputRow, RowFile
from linkedapi_async.cli._template import Problem, Template
from linkedapi_async.errors import WorkflowError


MOST_PROBLEMS: Final = 50
"""The most problems that are listed."""


@attrs.frozen(eq=False)
class Item:
    """A row with its key."""

    key: str
    row: InputRow
    attempt: int = 1
    """How often the row was started, this time included."""

    @property
    def journal_key(self) -> str:
        """The key in the journal, where each attempt has a row of its own."""
        return self.key if self.attempt == 1 else f"{self.key} (attempt {self.attempt})"

    @property
    def digest(self) -> int:
        """A number for the key, which takes less memory."""
        return key_digest(self.key)


def key_digest(key: str) -> int:
    """Return a number of 128 bits for *key*."""
    return int.from_bytes(
        hashlib.sha256(key.encode(errors="surrogatepass")).digest()[:16]
    )


@attrs.frozen(eq=False)
class Batch:
    """All rows of an input that can be sent; they are read again for each pass."""

    template: Template
    rows: RowFile
    key: str | None
    """The column that identifies a row; None uses a digest of its workflow."""
    generation: Generation | None
    valid: bytearray
    """For each row of the input, whether it can be sent."""

    @property
    def total(self) -> int:
        """The number of rows that can be sent."""
        return self.valid.count(1)

    def numbered_items(self) -> Iterator[tuple[int, Item]]:
        """Yield the rows that can be sent, each with its place in the input."""
        for index, row in enumerate(self.rows):
            if self.valid[index]:
                yield index, self.item(row)

    def item(self, row: InputRow) -> Item:
        """Return a row that can be sent, with its key."""
        if self.key is not None:
            return Item(row.values[self.key], row)
        return Item(_workflow_digest(self._roots(row)), row)

    def earlier(self, item: Item) -> Item | None:
        """Return the item under the key of versions that kept margins, if it differs."""
        if item.row.original is None:
            return None
        row = attrs.evolve(item.row, values=item.row.original)
        if self.key is not None:
            key = row.values.get(self.key)
        else:
            roots = self.template.render(row.values, self.generation)
            key = None if isinstance(roots, list) else _workflow_digest(roots)
        return Item(key, row) if isinstance(key, str) and key != item.key else None

    def workflow(self, item: Item) -> Roots:
        """Return the workflow of a row."""
        return self._roots(item.row)

    def _roots(self, row: InputRow) -> Roots:
        roots = self.template.render(row.values, self.generation)
        assert not isinstance(roots, list)  # noqa: S101  # the row was checked
        return roots

    def workflows(self) -> Iterator[Roots]:
        """Yield the workflows of all rows."""
        return (self.workflow(item) for _, item in self.numbered_items())


class _Problems:
    """The problems of all rows; only the first are kept."""

    def __init__(self, report: Callable[[InputRow, str], None] | None) -> None:
        self._report = report
        self._first: list[tuple[int, str]] = []
        self._count = 0

    def add(self, source: str, row: InputRow, problem: str) -> None:
        """Note one problem of *row*."""
        if self._report is not None:
            self._report(row, problem)
        else:
            self._count += 1
            if len(self._first) < MOST_PROBLEMS:
                self._first.append((row.line, f"{source}:{row.line}: {problem}"))

    def check(self) -> None:
        """Raise all of them."""
        if self._count:
            lines = [text for _, text in sorted(self._first, key=itemgetter(0))]
            raise refused(lines, self._count)


def check_rows(
    template: Template,
    rows: RowFile,
    *,
    key: str | None,
    generation: Generation | None,
    report: Callable[[InputRow, str], None] | None = None,
) -> Batch:
    """Return the batch of *rows*, every row rendered and checked.

    Args:
        template: A workflow with placeholders.
        rows: The rows; the check keeps a few bytes of each.
        key: The column that identifies a row; None uses a digest of its workflow.
        generation: The generation of the API to check against.
        report: Called with each row that cannot be sent and its problem; None refuses
            the whole input instead.

    Raises:
        CommandError: There are problems; each has its line, column and path.
    """
    general = [f"the template: {problem}" for problem in template.problems]
    if not general:
        missing = template.missing(rows.columns, key)
        general += [f"{rows.name}: {problem}" for problem in missing]
    if general:
        raise refused(general, len(general))
    batch = Batch(template, rows, key, generation, bytearray())
    problems = _Problems(report)
    digests = array("Q")
    for row in rows:
        checked = _check(batch, row)
        batch.valid.append(isinstance(checked, Item))
        if isinstance(checked, Item):
            digests.append(checked.digest >> 64)
        else:
            for problem in checked:
                problems.add(rows.name, row, problem)
    _refuse_repeated(batch, digests, problems)
    problems.check()
    if not batch.total:
        message = f"{rows.name}: no row can be sent"
        raise CommandError(message, status_of(WorkflowError("")))
    return batch


def _check(batch: Batch, row: InputRow) -> Item | list[str]:
    """Return the item of a row, or why the row cannot be sent."""
    if row.problem is not None:
        return [row.problem]
    roots = batch.template.render(row.values, batch.generation)
    problems = [*map(str, roots)] if isinstance(roots, list) else []
    key: object = None
    if batch.key is not None:
        key = row.values.get(batch.key)
        if not isinstance(key, str) or not key:
            reason = (
                f"the key must be a text, got {key!r}" if key else "the key is empty"
            )
            problems.append(str(Problem(reason, "", (batch.key,))))
    elif not isinstance(roots, list):
        key = _workflow_digest(roots)
    return problems or Item(str(key), row)


def _refuse_repeated(batch: Batch, digests: array[int], problems: _Problems) -> None:
    """Refuse rows whose key an earlier row has."""
    repeated = {one for one, other in pairwise(sorted(digests)) if one == other}
    if not repeated:
        return
    lines: dict[str, int] = {}
    for index, item in batch.numbered_items():
        if item.digest >> 64 not in repeated:
            continue
        line = lines.setdefault(item.key, item.row.line)
        if line != item.row.line:
            batch.valid[index] = 0
            if batch.key is None:
                reason = (
                    f"the same workflow as line {line}; remove the row, or identify rows "
                    "with --key"
                )
            else:
                reason = f"the same key {item.key!r} as line {line}"
            problems.add(batch.rows.name, item.row, reason)


def _workflow_digest(roots: Roots) -> str:
    # Sorted, because the order of parameters in a template does not matter.
    text = json.dumps(dump_workflow(roots), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def refused(problems: Sequence[str], count: int) -> CommandError:
    """Return the error that lists *problems*, the first of *count*."""
    more = count - len(problems)
    lines = [*problems, *([f"and {more} more"] if more else [])]
    plural = "" if count == 1 else "s"
    head = f"{count} problem{plural}; nothing was sent"
    return CommandError(head, status_of(WorkflowError("")), lines)
