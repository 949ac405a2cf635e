"""Compare with the official SDK, linkedapi 1.4.7, side by side in one run.

Each figure is the median of pairs measured in turn, so a machine that slows down slows
both. No request is sent.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from _table import Figure, report
from linkedapi.operations import FetchCompany
from linkedapi.types import FetchCompanyParams, LimitParams
from linkedapi.types.company import (
    StCompanyEmployeesFilter,
    StCompanyEmployeesRetrievalConfig,
)
from linkedapi.types.responses import LinkedApiResponse
from linkedapi.types.workflow import WorkflowResponse

from linkedapi_async import params, st
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.read import read_completion


URL = "https://www.linkedin.com/company/acme"
PAIRS = 15
EMPLOYEES = 500
DEPENDENCIES = "aiohttp, attrs, cattrs, anyio, orjson"
MAPPER = FetchCompany.mapper


def ours_built() -> bytes:
    """Build, check and dump a company workflow with two children."""
    workflow = st.open_company_page(URL, basic_info=True).then(
        st.retrieve_company_employees(
            limit=50,
            filter=params.EmployeesFilter(position="CTO", locations=["Paris", "Oslo"]),
        ),
        st.retrieve_company_dms(limit=5),
    )
    return encode_json(dump_workflow(workflow))


def theirs_built() -> bytes:
    """Do the same with the SDK, up to the bytes that it would send."""
    request = MAPPER.map_request(
        FetchCompanyParams(
            company_url=URL,
            retrieve_employees=True,
            retrieveDMs=True,
            employees_retrieval_config=StCompanyEmployeesRetrievalConfig(
                limit=50,
                filter=StCompanyEmployeesFilter(
                    position="CTO", locations=["Paris", "Oslo"]
                ),
            ),
            dmsRetrievalConfig=LimitParams(limit=5),
        )
    )
    return json.dumps(request, allow_nan=False).encode()


def response() -> bytes:
    """Return the bytes of a response with 500 employees."""
    employees = [
        {
            "name": f"Person {number}",
            "urn": f"urn:li:member:{number}",
            "publicUrl": f"https://www.linkedin.com/in/person-{number}",
            "headline": "Engineer at Acme",
            "location": "Oslo, Norway",
            "avatarUrl": f"https://media.licdn.com/{number}.jpg",
            "viewerState": {"connectionDegree": "2nd"},
        }
        for number in range(EMPLOYEES)
    ]
    child = {
        "actionType": "st.retrieveCompanyEmployees",
        "success": True,
        "data": employees,
    }
    data = {"name": "Acme", "publicUrl": URL, "employeesCount": 500, "then": [child]}
    completion = {"actionType": "st.openCompanyPage", "success": True, "data": data}
    result = {"workflowStatus": "completed", "completion": completion}
    return orjson.dumps({"success": True, "result": result})


RESPONSE = response()
EMPLOYEES_KEY = st.retrieve_company_employees()
WORKFLOW = st.open_company_page(URL, basic_info=True).then(EMPLOYEES_KEY)


def ours_parsed() -> int:
    """Turn the bytes of the response into typed results."""
    completion = read_completion(
        decode_json(RESPONSE)["result"]["completion"], WORKFLOW
    )
    return len(completion[EMPLOYEES_KEY])


def theirs_parsed() -> int:
    """Do the same with the SDK."""
    envelope = LinkedApiResponse[Any].model_validate(json.loads(RESPONSE))
    workflow = WorkflowResponse.model_validate(envelope.result)
    assert workflow.completion is not None
    mapped = MAPPER.map_response(workflow.completion)
    assert mapped.data is not None
    assert mapped.data.employees is not None
    return len(mapped.data.employees)


def timed(work: Callable[[], object], times: int) -> float:
    """Return the seconds that one call of *work* takes, over a number of *times*."""
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


def imported(modules: str) -> float:
    """Return the seconds that a new interpreter takes to import *modules*."""
    begin = time.perf_counter()
    # -P: the installed package, which has bytecode, and not the folder of the project.
    subprocess.run([sys.executable, "-P", "-c", f"import {modules}"], check=True)
    return time.perf_counter() - begin


def paired(
    measures: Sequence[Callable[[], float]], pairs: int = PAIRS
) -> list[list[float]]:
    """Measure each in turn, *pairs* times after a warm-up."""
    for measure in measures:
        measure()
    return [[measure() for measure in measures] for _ in range(pairs)]


def pairs_of(measured: list[list[float]]) -> list[tuple[float, float]]:
    """Return the first two values of each measurement."""
    return [(mine, other) for mine, other, *_ in measured]


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    assert ours_parsed() == theirs_parsed() == EMPLOYEES
    theirs = json.loads(theirs_built())
    assert json.loads(ours_built()) == theirs
    built = paired([lambda: timed(ours_built, 500), lambda: timed(theirs_built, 500)])
    parsed = paired([lambda: timed(ours_parsed, 10), lambda: timed(theirs_parsed, 10)])
    imports = paired(
        [
            lambda: imported("linkedapi_async"),
            lambda: imported("linkedapi"),
            lambda: imported(DEPENDENCIES),
        ]
    )
    own = statistics.median(mine - base for mine, _, base in imports)
    figures = [
        Figure.of_pairs(
            "build, check and dump two children, to bytes", pairs_of(built), "µs", 0.6
        ),
        Figure.of_pairs(
            "500 employees, from bytes to typed results", pairs_of(parsed), "ms", 0.75
        ),
        Figure.of_pairs("import", pairs_of(imports), "ms", 0.95),
        Figure("import, beyond that of the dependencies", own * 1e3, "ms", 130),
    ]
    return report(f"medians of {PAIRS} pairs", figures)


if __name__ == "__main__":
    sys.exit(main())
