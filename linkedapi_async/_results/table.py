"""Tables: the results of an action as typed columns, for data frame libraries."""

from __future__ import annotations

from typing import Any

from linkedapi_async._utils.text import safe_repr


class Table:
    """The results of an action, as typed columns.

    Every library with the Arrow PyCapsule interface reads it without copying:
    ``polars.DataFrame(table)``, ``pyarrow.table(table)``,
    ``pandas.DataFrame.from_arrow(table)``, and DuckDB by the name of the variable.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
    """

    def __init__(self, arrow: Any) -> None:
        self._arrow = arrow

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self._arrow.column_names)

    def __len__(self) -> int:
        return int(self._arrow.num_rows)

    def __arrow_c_schema__(self) -> object:
        """Return the columns with their types, as a capsule of Arrow."""
        schema: object = self._arrow.__arrow_c_schema__()
        return schema

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the rows, as a capsule of Arrow; any number of times."""
        stream: object = self._arrow.__arrow_c_stream__(requested_schema)
        return stream

    @safe_repr
    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"
