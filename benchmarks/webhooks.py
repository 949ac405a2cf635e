"""Measure how often a workflow is polled while webhooks report its events.

A session, a receiver and the sandbox with its signed deliveries communicate over
loopback; only the clock is virtual.
"""

from __future__ import annotations

import asyncio
import math
import sys
from typing import Any

import attrs
from _table import Figure, report
from aiohttp import web

from linkedapi_async import Session, st
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.sandbox._webhook import PayloadMode
from linkedapi_async.testing import run_virtual
from linkedapi_async.webhooks import WebhookReceiver


ACCOUNTS, EACH = 20, 50
WORKFLOWS = [
    st.open_company_page(f"https://www.linkedin.com/company/{n}", basic_info=True)
    for n in range(ACCOUNTS * EACH)
]


@attrs.frozen
class Case:
    """One quality of webhook delivery."""

    name: str
    limit: float
    """The most polls per workflow; for a comparison, the most times as many."""
    compared: bool = False
    """Whether it is compared with the case without webhooks."""
    listens: bool = True
    mode: PayloadMode = "fat"
    faults: dict[str, Any] | None = None


SECRET = "not-a-secret-on-loopback"
POOR = {"lose": 0.1, "duplicate": 0.1, "reorder": 0.1, "delay": (0.0, 10.0)}
CASES = [
    Case("no webhooks", 7, listens=False),
    Case("healthy, with results", 0.2),
    Case("healthy, without results (thin)", math.inf, mode="thin"),
    Case("a tenth lost, duplicated, reordered each, all late", math.inf, faults=POOR),
    Case("dead, against none", 1.05, compared=True, faults={"dead": True}),
]


async def measure(case: Case) -> float:
    """Run all workflows; return the polls per workflow."""
    async with Sandbox(seed=1) as sandbox, sandbox.session() as session:
        receiver = WebhookReceiver(SECRET)
        runner = await serve(receiver)
        if case.listens:
            host, port = runner.addresses[0][:2]
            sandbox.send_webhooks_to(
                f"http://{host}:{port}/hook", secret=SECRET, payload_mode=case.mode
            )
            sandbox.webhook_faults(**(case.faults or {}))
            session.listen(receiver)
        await run_all(session)
        await runner.cleanup()
        return sandbox.polls_per_workflow


async def serve(receiver: WebhookReceiver) -> web.AppRunner:
    """Mount the receiver in an application of its own."""
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def run_all(session: Session) -> None:
    """Run all workflows, spread over the accounts."""
    accounts = [session.account(f"account-{n}") for n in range(ACCOUNTS)]
    await asyncio.gather(
        *(accounts[n % ACCOUNTS].run(w) for n, w in enumerate(WORKFLOWS))
    )


def main() -> int:
    """Measure and print the table; return 1 if a figure exceeds its limit."""
    polls = [run_virtual(measure(case)) for case in CASES]
    usual = polls[0]
    figures = [
        Figure(case.name, count, "", case.limit, usual, count / usual)
        if case.compared
        else Figure(case.name, count, "", case.limit)
        for case, count in zip(CASES, polls, strict=True)
    ]
    title = f"polls per workflow, {len(WORKFLOWS):,} on {ACCOUNTS} accounts"
    return report(title, figures, ("with", "none"))


if __name__ == "__main__":
    sys.exit(main())
