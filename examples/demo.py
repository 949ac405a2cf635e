"""Fan out company workflows over several accounts and print what comes back, typed.

Without tokens in the environment it runs against the sandbox, a local server that
behaves like Linked API. With ``LINKED_API_TOKEN`` or ``ACCOUNT_API_TOKEN``, and
``IDENTIFICATION_TOKEN`` (several separated by commas), it runs the same workflows, which
only read, against the live API. There each takes minutes, so the default is three::

    python examples/demo.py --companies 30
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from linkedapi_async import (
    Account,
    ActionError,
    LinkedApiError,
    Session,
    WorkflowHandle,
    results,
    st,
)
from linkedapi_async.sandbox import Sandbox


SPEED = 100
PAGE = st.open_person_page(basic_info=True)
EMPLOYEES = st.retrieve_company_employees(limit=3).then(st.do_for_people().then(PAGE))
DECISION_MAKERS = st.retrieve_company_dms(limit=2)

TableRow = tuple[str, str, str, str, str]
HEAD: TableRow = ("company", "people", "decision makers", "first employee", "followers")


def workflows(count: int) -> Iterator[st.open_company_page]:
    """Return a workflow for each of *count* companies."""
    known = ["microsoft", "google", "apple", "stripe", "python-software-foundation"]
    names = known + [f"company-{number}" for number in range(count)]
    for name in names[:count]:
        url = f"https://www.linkedin.com/company/{name}"
        yield st.open_company_page(url, basic_info=True).then(
            EMPLOYEES, DECISION_MAKERS
        )


def row(page: results.CompanyPage) -> TableRow:
    """Return one line of the table."""
    try:
        makers = ", ".join(maker.name or "?" for maker in page[DECISION_MAKERS])
    except ActionError as error:
        makers = error.type
    people = page[EMPLOYEES]
    first, followers = "–", "–"
    if people:
        person: results.PersonPage = people[0][PAGE]
        first = f"{person.name}, {person.position}"
        followers = str(person.followers_count)
    return page.name or "?", str(page.employees_count), makers, first, followers


def table(rows: Sequence[TableRow]) -> Iterator[str]:
    """Return the lines of a table with columns as wide as they need to be."""
    widths = [
        min(34, max(map(len, column))) for column in zip(HEAD, *rows, strict=True)
    ]
    rule = tuple("─" * width for width in widths)
    for cells in (HEAD, rule, *rows):
        shown = (
            (cell if len(cell) <= width else cell[: width - 1] + "…").ljust(width)
            for cell, width in zip(cells, widths, strict=True)
        )
        yield "  ".join(shown).rstrip()


def show_progress(done: int, total: int, session: Session) -> None:
    """Show the progress: on one line at a terminal, otherwise on a line now and then."""
    filled = 30 * done // total
    bar = "█" * filled + "░" * (30 - filled)
    line = f"{bar} {done}/{total} workflows, {session.stats.polls} polls"
    if sys.stderr.isatty():
        print(f"\r{line}", end="\n" if done == total else "", file=sys.stderr)
    elif done % 10 == 0 or done == total:
        print(line, file=sys.stderr)


async def main(count: int) -> int:
    """Run *count* workflows and print their results; return the exit status."""
    begin = time.perf_counter()
    async with AsyncExitStack() as stack:
        session, accounts = await opened(stack)
        finished: list[tuple[int, WorkflowHandle[results.CompanyPage]]] = []

        async def run(place: int, workflow: st.open_company_page) -> None:
            account = accounts[place % len(accounts)]
            handle = await account.start(workflow)
            await handle.completion()
            finished.append((place, handle))
            show_progress(len(finished), count, session)

        works = [
            run(place, workflow) for place, workflow in enumerate(workflows(count))
        ]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        errors = [
            outcome for outcome in outcomes if isinstance(outcome, LinkedApiError)
        ]
        rows = [row(await handle) for _, handle in sorted(finished, key=lambda f: f[0])]
        stats = session.stats
    print("\n".join(table(rows)))
    for error in errors:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    seconds = time.perf_counter() - begin
    requests = stats.started + stats.polls + stats.retries
    print(
        f"\n{len(rows)} of {count} workflows on {len(accounts)} accounts, "
        f"{requests} requests ({stats.polls_per_workflow:.1f} polls per workflow), "
        f"{seconds:.1f} s"
    )
    return 1 if errors else 0


async def opened(stack: AsyncExitStack) -> tuple[Session, list[Account]]:
    """Return a session and its accounts: live with tokens, else on the sandbox."""
    if is_live():
        tokens = os.environ.get("IDENTIFICATION_TOKEN", "").split(",")
        session = await stack.enter_async_context(
            Session.from_env(identification_token=tokens[0])
        )
        print(f"Live, on {len(tokens)} accounts: this takes minutes.", file=sys.stderr)
        return session, [session.account(token) for token in tokens]
    sandbox = await stack.enter_async_context(Sandbox(speed=SPEED))
    session = await stack.enter_async_context(sandbox.session())
    print(f"No tokens: on the sandbox at {sandbox.url}, {SPEED} × faster than life.")
    return session, [session.account(f"account-{number}") for number in range(3)]


def is_live() -> bool:
    """Return whether the environment has a token for the live API."""
    return any(map(os.environ.get, ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN")))


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    count = 3 if is_live() else 36
    parser.add_argument("--companies", type=int, default=count, help="how many")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments().companies)))
