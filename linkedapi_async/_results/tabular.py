"""Completions that can be read as rows and as tables.

Rows and tables are made of the result tree, so they are in modules above it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from linkedapi_async._results.completion import Completion, Siblings
from linkedapi_async._results.key import Key
from linkedapi_async._results.rows import completion_rows
from linkedapi_async._results.table import Table


@attrs.define(eq=False, repr=False, kw_only=True)
class TabularCompletion(Completion):
    """A completion with its rows and tables."""

    def rows(self, key: Key[Any] | None = None) -> list[dict[str, Any]]:
        """Return all outcomes of *key* as flat rows, as `Completion.rows` says."""
        return completion_rows(self.top, self.workflow_id, key)

    def table(self, key: Key[Any]) -> Table:
        """Return all outcomes of *key* as a table, as `Completion.table` says."""
        return make_table([(self.top, self.workflow_id)], key)


def make_table(sources: Iterable[tuple[Siblings, str | None]], key: Key[Any]) -> Table:
    """Return a table of the outcomes of *key* in *sources*.

    Args:
        sources: The roots of each completion, with the id of its workflow.
        key: An action, or the class of one.

    Raises:
        ImportError: The extra ``table`` is not installed.
    """
    # Imported here: the extra may be missing.
    from linkedapi_async._results.columns import Layout  # noqa: PLC0415

    return Table(Layout(key).table(sources))
