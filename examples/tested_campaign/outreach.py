"""A small campaign: invite the decision makers of companies, at a human pace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from linkedapi_async import ActionError, Session, load_workflow, st


LIMIT_REACHED = "limitExceeded"


@dataclass
class Report:
    """The outcome of a campaign, by the URL of each person."""

    invited: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


async def people(session: Session, company: str) -> list[str]:
    """Return the URLs of three decision makers of *company*."""
    deciders = st.retrieve_company_dms(limit=3)
    page = await session.run(st.open_company_page(company).then(deciders))
    return [person.public_url for person in page[deciders] if person.public_url]


async def invite(
    session: Session, companies: Iterable[str], *, note: str, pause: float = 1200.0
) -> Report:
    """Invite the decision makers of *companies*.

    Args:
        session: The session that runs the workflows.
        companies: Their URLs.
        note: The text of each invitation.
        pause: How long to wait after an invitation, in seconds.
    """
    report = Report()
    for company in companies:
        for person in await people(session, company):
            try:
                await session.run(st.send_connection_request(person, note=note))
            except ActionError as error:
                report.failed[person] = error.type
                if error.type == LIMIT_REACHED:
                    return report
            else:
                report.invited.append(person)
            await asyncio.sleep(pause)
    return report


def harmless(definition: Any) -> bool:
    """Return whether a workflow definition only reads.

    Raises:
        InvalidDefinitionError: It is not a legal workflow.
    """
    workflow = load_workflow(definition)
    roots = workflow if isinstance(workflow, tuple) else (workflow,)
    return all(node.effect == "read" for root in roots for node in root.walk())
