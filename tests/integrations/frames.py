"""Tables in pandas and DuckDB: types are exact, and nothing is lost.

``nox -s integrations`` runs this script, because the tests install neither.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from linkedapi_async import st
from linkedapi_async._wire.read import read_completion
from linkedapi_async.export import write_parquet
from linkedapi_async.tables import Table, table


COUNT = 2**62 + 1  # a float would round it
TYPES = {
    "reactions_count": "Int64",
    "has_poll": "boolean",
    "success": "boolean",
    "time": "str",
    "time_datetime": "datetime64[us, UTC]",
    "extra": "str",
}
ROWS = [
    (COUNT, dt.datetime(2026, 1, 1), "a", "Acme", None),  # noqa: DTZ001
    (None, None, None, "Acme", None),
]
QUERY = """
SELECT reactions_count, time_datetime AT TIME ZONE 'UTC', images[1], "from"[-1].name,
       error.type
FROM posts
"""


def some_posts() -> Table:
    """Return a table of two posts, one of which has next to nothing."""
    full = {"reactionsCount": COUNT, "time": "2026-01-01T00:00:00Z", "images": ["a"]}
    nested = {"actionType": "st.retrieveCompanyPosts", "success": True}
    page = {"name": "Acme", "then": nested | {"data": [full, {"hasPoll": True}]}}
    raw = {"actionType": "st.openCompanyPage", "success": True, "data": page}
    return read_completion(raw).table(st.retrieve_company_posts)


def check(frame: pd.DataFrame, rows: int) -> None:
    """Check the types of a frame, and that no count was rounded."""
    counts = [COUNT, pd.NA][:rows]

    assert {name: str(frame.dtypes[name]) for name in TYPES} == TYPES, frame.dtypes
    assert frame["reactions_count"].tolist() == counts, frame["reactions_count"]


def check_pandas() -> None:
    """Check tables with and without rows, read directly and from Parquet."""
    empty = table([], st.retrieve_company_posts)
    check(pd.DataFrame.from_arrow(some_posts()), 2)
    check(pd.DataFrame.from_arrow(empty), 0)
    check(pa.table(some_posts()).to_pandas(), 2)
    check(pd.concat(map(pd.DataFrame.from_arrow, (empty, some_posts()))), 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "posts.parquet"
        write_parquet(path, some_posts())
        check(pd.read_parquet(path), 2)


def check_duckdb() -> None:
    """Check a query over lists, structs and moments, of a table and of Parquet."""
    posts = some_posts()  # noqa: F841  # DuckDB finds it by its name
    with duckdb.connect() as connection:
        found = connection.sql(QUERY)
        types = [str(each) for each in found.types]

        assert types == ["BIGINT", "TIMESTAMP", *["VARCHAR"] * 3], types
        assert found.fetchall() == ROWS


if __name__ == "__main__":
    check_pandas()
    check_duckdb()
    print("tables in pandas and DuckDB: types are exact")  # noqa: T201
