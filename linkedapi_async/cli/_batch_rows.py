"""The rows of a batch, checked before anything is sent, and their keys."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

import attrs

from linkedapi_async._actions.action import Roots
from linkedapi_async._actions.acts import acts_key, acts_of, definition_key
from linkedapi_async._types import Generation
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._exit_codes import CommandError, status_of
from linkedapi_async.cli._row_input import InputRow, RowFile
from linkedapi_async.cli._template import Problem, Template
from linkedapi_async.errors import WorkflowError
from linkedapi_async.urls import normalize_url


MOST_PROBLEMS: Final = 50
"""The most problems that are listed."""


@attrs.frozen(eq=False)
class KeyedRow:
    """A row with its key."""

    key: str
    row: InputRow
    attempt: int = 1
    """How often the row was started, including this time."""

    @property
    def journal_key(self) -> str:
        """The key in the journal, in which each attempt has a row of its own."""
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
    """The rows of an input that can be sent; they are read again for each pass."""

    template: Template
    rows: RowFile
    key: str | None
    """The column that identifies a row; None identifies it by its acts."""
    generation: Generation | None
    valid: bytearray
    """For each row of the input, whether it can be sent."""

    @property
    def total(self) -> int:
        """The number of rows that can be sent."""
        return self.valid.count(1)

    def numbered_items(self) -> Iterator[tuple[int, KeyedRow]]:
        """Yield the rows that can be sent, each with its place in the input."""
        # The place counts all rows, because their states are stored by place.
        for index, row in enumerate(self.rows):
            if self.valid[index]:
                yield index, self.item(row)

    def item(self, row: InputRow) -> KeyedRow:
        """Return a row that can be sent, with its key."""
        if self.key is not None:
            return KeyedRow(row.values[self.key], row)
        return KeyedRow(default_key(self.definition(row)), row)

    def earlier(self, item: KeyedRow) -> Iterator[KeyedRow]:
        """Yield the item with the keys that it has in batches of other versions.

        Older versions identify a row by its whole workflow, and keep white space around
        cells. A batch that was begun without ``--key`` may continue with it.
        """
        definition = self.definition(item.row)
        keys: list[Any] = [definition_key(definition)]
        if self.key is not None:
            keys.append(default_key(definition))
        rows = [item.row] * len(keys)
        if item.row.original is not None:
            row = attrs.evolve(item.row, values=item.row.original)
            if self.key is not None:
                keys.append(row.values.get(self.key))
                rows.append(row)
            roots = self.template.render(row.values, self.generation, any_target=True)
            if not isinstance(roots, list):
                keys.append(definition_key(dump_workflow(roots)))
                rows.append(row)
        for key, row in zip(keys, rows, strict=True):
            if isinstance(key, str) and key != item.key:
                yield KeyedRow(key, row)

    def workflow(self, item: KeyedRow) -> Roots:
        """Return the workflow of a row."""
        return self._roots(item.row)

    def definition(self, row: InputRow) -> Any:
        """Return the workflow of a row as JSON values."""
        return dump_workflow(self._roots(row))

    def _roots(self, row: InputRow) -> Roots:
        roots = self.template.render(row.values, self.generation, any_target=True)
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
        """Record one problem of *row*."""
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
    also: Callable[[KeyedRow], list[str]] = lambda _: [],
) -> Batch:
    """Return the batch of *rows*, every row rendered and checked.

    Args:
        template: A workflow with placeholders.
        rows: The rows; the check keeps a few bytes of each.
        key: The column that identifies a row; None identifies it by its acts.
        generation: The generation of the API to check against.
        report: Called with each row that cannot be sent and its problem; None refuses
            the whole input instead.
        also: Returns further problems of a row that can be sent otherwise.

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
        if isinstance(checked, KeyedRow):
            checked = also(checked) or checked
        batch.valid.append(isinstance(checked, KeyedRow))
        if isinstance(checked, KeyedRow):
            digests.extend(_short(mark) for mark, *_ in set(_marks(batch, checked)))
        else:
            for problem in checked:
                problems.add(rows.name, row, problem)
    _refuse_repeated(batch, digests, problems)
    problems.check()
    if not batch.total:
        message = f"{rows.name}: no row can be sent"
        raise CommandError(message, status_of(WorkflowError("")))
    return batch


def _check(batch: Batch, row: InputRow) -> KeyedRow | list[str]:
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
                f"the key must be a string, got {key!r}" if key else "the key is empty"
            )
            problems.append(str(Problem(reason, "", (batch.key,))))
    elif not isinstance(roots, list):
        key = default_key(dump_workflow(roots))
    return problems or KeyedRow(str(key), row)


def default_key(definition: Any) -> str:
    """Return what identifies a row without ``--key``.

    A workflow that writes is identified by its acts, one that only reads by all of it.
    """
    return acts_key(definition) or definition_key(definition)


def _short(mark: str) -> int:
    return key_digest(mark) >> 64


def _marks(batch: Batch, item: KeyedRow) -> Iterator[tuple[str, str, str]]:
    """Yield what must be unique among rows, with a name for it and what it is."""
    acts = [act for act in acts_of(batch.definition(item.row)) if act.target]
    if batch.key is not None:
        yield item.key, f"the same key {item.key!r}", ""
    elif not acts:
        yield item.key, "the same workflow", ""
    # Spellings of one URL count as one key.
    whose = "" if batch.key is None else f"{normalize_url(item.key)} "
    for act in acts:
        mark = f"{whose}{act.kind} {act.target}"
        yield mark, "the same target", f": {act.kind} to {act.target}"


def _refuse_repeated(batch: Batch, digests: array[int], problems: _Problems) -> None:
    """Refuse rows with an act or the key of an earlier row."""
    repeated = {one for one, other in pairwise(sorted(digests)) if one == other}
    if not repeated:
        return
    advice = "identify rows with --key" if batch.key is None else "change its key"
    lines: dict[str, int] = {}
    for index, item in batch.numbered_items():
        for mark, what, more in _marks(batch, item):
            line = item.row.line
            if _short(mark) in repeated:
                line = lines.setdefault(mark, line)
            if line != item.row.line:
                batch.valid[index] = 0
                reason = f"{what} as line {line}{more}; remove the row, or {advice}"
                problems.add(batch.rows.name, item.row, reason)
                break


def refused(problems: Sequence[str], count: int) -> CommandError:
    """Return the error that lists *problems*, the first of *count*."""
    more = count - len(problems)
    lines = [*problems, *([f"and {more} more"] if more else [])]
    plural = "" if count == 1 else "s"
    head = f"{count} problem{plural}; nothing was sent"
    return CommandError(head, status_of(WorkflowError("")), lines)
