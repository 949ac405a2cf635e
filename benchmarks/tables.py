"""Measure what it takes to get completions into a data frame, beside their rows.

A table has the values of `Completion.rows`, in typed columns that polars reads. Both
begin with completions whose results are typed already.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import polars as pl
from _table import Figure, report

from linkedapi_async import Completion, st
from linkedapi_async._wire.read import read_completion
from linkedapi_async.tables import table as table_of


COMPLETIONS, EMPLOYEES, ROUNDS = 100, 500, 7
LIMIT = 1.5
ACME = "https://www.linkedin.com/company/acme"
KEY = st.retrieve_company_employees(limit=EMPLOYEES)
WORKFLOW = st.open_company_page(ACME, basic_info=True).then(KEY)
TYPES: dict[str, Any] = {
    "name": pl.String(),
    "viewer_state": pl.Struct({"connection_degree": pl.String()}),
    "success": pl.Boolean(),
    "error": pl.Struct({"type": pl.String(), "message": pl.String()}),
}
"""The types of some columns, which no row of the completions needs to have."""


def completion(company: int) -> Completion:
    """Return the completion of a company's page with its employees."""
    people = [employee(company * EMPLOYEES + number) for number in range(EMPLOYEES)]
    nested = {"actionType": KEY.action_type, "success": True, "data": people}
    page = {"name": f"Company {company}", "publicUrl": ACME, "then": nested}
    raw = {"actionType": WORKFLOW.action_type, "success": True, "data": page}
    return read_completion(raw, WORKFLOW, f"workflow-{company}")


def employee(number: int) -> dict[str, Any]:
    """Return an employee as the API gives one."""
    return {
        "name": f"Person {number}",
        "publicUrl": f"https://www.linkedin.com/in/person-{number}",
        "headline": f"Engineer at Company {number % COMPLETIONS}",
        "location": "Amsterdam, Netherlands",
        "urn": f"urn:li:fsd_profile:{number:024d}",
        "avatarUrl": f"https://example.com/avatars/{number:012d}.jpg",
        "viewerState": {"connectionDegree": ("first", "second", None)[number % 3]},
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long *work* takes."""
    gc.collect()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    """Measure and print the table; return 1 if it takes too long or a type differs."""
    completions = [completion(company) for company in range(COMPLETIONS)]

    def frame() -> pl.DataFrame:
        return pl.DataFrame(table_of(completions, KEY))

    def rows() -> list[dict[str, Any]]:
        return [row for each in completions for row in each.rows(KEY)]

    made = frame()
    exact = made.height == len(rows()) == COMPLETIONS * EMPLOYEES and all(
        made.schema[name] == wanted for name, wanted in TYPES.items()
    )
    pairs = [(seconds(frame), seconds(rows)) for _ in range(ROUNDS)]
    name = f"{COMPLETIONS} × {EMPLOYEES} employees into polars"
    figure = Figure.of_pairs(name, pairs, "ms", LIMIT)
    status = report(f"medians of {ROUNDS} rounds", [figure], ("table", "rows()"))
    print(f"types of the columns: {'exact' if exact else 'WRONG'}")
    return status if exact else 1


if __name__ == "__main__":
    sys.exit(main())
