"""Make the pictures of the docs: the workflows of the demo, run against the sandbox.

Seeds are fixed and time is virtual, so every run makes the same pictures::

    python docs/pictures/make.py
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import itertools
import pathlib
import re
import runpy
from collections.abc import Iterator
from typing import Any

from linkedapi_async import Completion, Polling, WorkflowFailedError, st
from linkedapi_async.draw import Svg, draw, spans_of, timeline
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import run_virtual


HERE = pathlib.Path(__file__).parent
DEMO = runpy.run_path(str(HERE.parents[1] / "examples" / "demo.py"))
ACCOUNTS = ("sales", "hiring", "research")
COMPANIES = 24


def name_of(workflow: Any) -> str:
    """Return the company of a workflow of the demo."""
    return str(workflow.definition["companyUrl"].rpartition("/")[2])


async def batch() -> Svg:
    """Return the timeline of the demo's batch; one workflow of it fails."""
    # Without jitter, only the seed of the sandbox decides.
    async with (
        Sandbox(seed=3) as sandbox,
        sandbox.session(polling=Polling(jitter=0)) as session,
    ):
        accounts = [session.account(name, name=name) for name in ACCOUNTS]
        names: dict[str | None, str] = {}
        sandbox.fail_next("workingHoursWaitExpired", account=ACCOUNTS[0])

        async def run(place: int, workflow: st.open_company_page) -> None:
            """Run one workflow on one of the accounts, in turn."""
            account = accounts[place % len(accounts)]
            handle = await account.start(workflow)
            names[handle.workflow_id] = str(account.name)
            with contextlib.suppress(WorkflowFailedError):
                await handle.completion()

        workflows = DEMO["workflows"](COMPANIES)
        await asyncio.gather(*itertools.starmap(run, enumerate(workflows)))
        spans = spans_of(
            sandbox.workflows, key=name_of, account=lambda found: names[found.id]
        )
    return timeline(spans, title="The demo: companies on three accounts")


def without_two_people(answer: Any) -> Any:
    """Return the answer of a sandbox with two people who were not found."""
    completion = answer["result"].get("completion")
    if completion is not None:
        (company,) = [completion] if isinstance(completion, dict) else completion
        found = company["data"]["then"][0]["data"]
        error = {"type": "personNotFound", "message": "The person was not found."}
        for person in (found[3], found[17]):
            page = {"actionType": "st.openPersonPage", "success": False}
            person["then"] = [page | {"error": error}]
    return answer


async def company() -> Completion:
    """Return the completion of one workflow, in which some actions fail."""
    page = st.open_person_page(basic_info=True).then(st.retrieve_person_posts(limit=3))
    people = st.retrieve_company_employees(limit=50, label="employees")
    workflow = st.open_company_page(
        "https://www.linkedin.com/company/microsoft", basic_info=True
    ).then(
        people.then(st.do_for_people().then(page)),
        st.retrieve_company_dms(limit=3),
        st.retrieve_company_posts(limit=5),
    )
    async with Sandbox(seed=7) as sandbox, sandbox.session() as session:
        sandbox.fail_action(
            "st.retrieveCompanyDMs",
            "retrievingNotAllowed",
            "LinkedIn does not show them.",
        )
        sandbox.inject_fault(
            "mangle", on="status", count=None, change=without_two_people
        )
        handle = await session.start(workflow)
        return await handle.completion()


SIZE, WIDTH, HEIGHT, MARGIN = 13, 7.83, 17, 18
"""Font size, character width, line height and margin, in pixels."""
COLORS = {
    "": "#d6dae0",
    "1": "#ffffff",
    "2": "#7d8694",
    "36": "#56c2d6",
    "32": "#4cc38a",
    "33": "#f0b429",
    "31": "#ff6b57",
}
ESCAPES = re.compile(r"\x1b\[(\d+)m(.*?)\x1b\[0m")


def terminal(text: str, title: str) -> str:
    """Return colored *text* as a picture of a terminal."""
    lines = text.splitlines()
    longest = max(len(ESCAPES.sub(r"\2", line)) for line in lines)
    width = round(longest * WIDTH + 2 * MARGIN)
    height = HEIGHT * len(lines) + 2 * MARGIN
    rows = "".join(
        f'<text x="{MARGIN}" y="{MARGIN + SIZE + HEIGHT * row}">{"".join(pieces(line))}'
        "</text>"
        for row, line in enumerate(lines)
    )
    font = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}"><title>{title}</title>'
        f"<style>text{{font:{SIZE}px {font};white-space:pre;fill:{COLORS['']}}}"
        f'</style><rect width="{width}" height="{height}" rx="8" fill="#14181e"/>'
        f"{rows}</svg>\n"
    )


def pieces(line: str) -> Iterator[str]:
    """Yield the parts of a line, each in its color."""
    for number, part in enumerate(re.split(r"(\x1b\[\d+m.*?\x1b\[0m)", line)):
        found = ESCAPES.fullmatch(part)
        if number % 2 and found is not None:
            bold = ' font-weight="bold"' if found[1] == "1" else ""
            yield f'<tspan fill="{COLORS[found[1]]}"{bold}>{html.escape(found[2])}</tspan>'
        else:
            yield html.escape(part)


def made() -> dict[str, str]:
    """Return the pictures by file name."""
    finished = draw(run_virtual(company()), color=True)
    return {
        "timeline.svg": run_virtual(batch()),
        "completion.svg": terminal(finished, "A finished workflow, in a terminal"),
    }


if __name__ == "__main__":
    for file, picture in made().items():
        (HERE / file).write_bytes(picture.encode())
