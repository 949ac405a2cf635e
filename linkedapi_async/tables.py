"""Tables of completions for polars, pyarrow, pandas, DuckDB and Parquet.

::

    from linkedapi_async.tables import table

    frame = polars.DataFrame(table(completions, employees))

The rows are those of `Completion.rows`. The columns depend only on the action: they are
the same for every completion, so that tables can be concatenated.

===================  =================================================================
column               what it has
===================  =================================================================
each attribute of    text, integers of 64 bits, floats and booleans; a struct for an
the result class     object, a list for a list; words are text, also unknown ones
``…_datetime``       the moment in UTC, beside its text; null if that is not ISO 8601
``extra``            JSON text with all that no other column shows: unknown fields,
                     values of an unexpected type, numbers beyond 64 bits; null if
                     there are none
``workflow_id``,     what the row belongs to; an action that failed has one row, whose
``action_type``,     *success* is false
``label``,
``success``
``asked``            a struct of the targets of the action, if it may have any
``error``            a struct of *type* and *message*; null unless the action failed
``from``             a list of the actions above, outermost first: structs of
                     *action_type*, *label*, targets, and what identifies the page or
                     the item, such as *name* and *public_url*
===================  =================================================================

An unknown action has its data as JSON text in the column ``data``, in place of
attributes and ``extra``. Half of an emoji, which Arrow cannot hold, is escaped, such as
``\\ud83d``.

It needs ``arro3-core``: the extra ``table``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from linkedapi_async._results.completion import Completion, Siblings
from linkedapi_async._results.key import Key
from linkedapi_async._results.table import Table
from linkedapi_async._results.tabular import make_table
from linkedapi_async._utils.text import short_repr


__all__ = ["Table", "table"]


def table(completions: Iterable[Completion], key: Key[Any]) -> Table:
    """Return all outcomes of *key* in many completions as one table.

    Args:
        completions: The completions, in the order of the rows; they are read once.
        key: An action or its class, as for `Completion.all`.

    Raises:
        TypeError: An item is not a completion.
        ImportError: The extra ``table`` is not installed.
    """
    return make_table(_sources(completions), key)


def _sources(completions: Iterable[Any]) -> Iterator[tuple[Siblings, str | None]]:
    if isinstance(completions, Completion):
        message = "completions must be several; use completion.table(key) for one"
        raise TypeError(message)
    for completion in completions:
        if not isinstance(completion, Completion):
            raise TypeError(f"expected a Completion, got {short_repr(completion)}")
        yield completion.top, completion.workflow_id
