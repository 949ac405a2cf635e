"""The tests of the campaign: no account, no waiting."""

# ruff: noqa: S101  # tests assert

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from outreach import LIMIT_REACHED, harmless, invite

from linkedapi_async import InvalidDefinitionError, Session, dump_workflow, results, st
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import VirtualTime, assert_started
from linkedapi_async.testing.strategies import (
    BrokenWorkflow,
    broken_workflows,
    workflows,
)


SITE = "https://www.linkedin.com"
ACME = f"{SITE}/company/acme"
COMPANIES = [f"{SITE}/company/number-{number}" for number in range(20)]
ADA, BOB, EVE = (f"{SITE}/in/{name}" for name in ("ada", "bob", "eve"))


@pytest.fixture
def acme(linkedapi_sandbox: Sandbox) -> Sandbox:
    """A sandbox in which Ada, Bob and Eve are the decision makers of Acme."""
    deciders = [results.DecisionMaker(public_url=url) for url in (ADA, BOB, EVE)]
    linkedapi_sandbox.script(st.retrieve_company_dms, deciders)
    return linkedapi_sandbox


async def test_a_campaign_takes_a_day(
    linkedapi_sandbox: Sandbox,
    linkedapi_session: Session,
    linkedapi_virtual_time: VirtualTime,
) -> None:
    """About sixty people are invited within a day, one after another."""
    report = await invite(linkedapi_session, COMPANIES, note="Shall we talk?")

    hours = linkedapi_virtual_time.elapsed / 3600
    assert 16 < hours < 24
    assert 40 <= len(report.invited) <= 60
    assert_started(
        linkedapi_sandbox,
        st.send_connection_request(note="Shall we talk?"),
        times=len(report.invited),
    )


async def test_each_person_is_invited_once(
    acme: Sandbox, linkedapi_session: Session
) -> None:
    """The decision makers of a company get one invitation each, in order."""
    await invite(linkedapi_session, [ACME], note="Hello", pause=0)

    asked = acme.started(st.send_connection_request)
    assert [action.person_url for action in asked] == [ADA, BOB, EVE]


async def test_failure_does_not_stop_the_campaign(
    acme: Sandbox, linkedapi_session: Session
) -> None:
    """A failed invitation is reported, and the next person is invited."""
    failure = acme.script(
        st.send_connection_request,
        error="alreadyPending",
        when=lambda action: action.person_url == BOB,
    )
    report = await invite(linkedapi_session, [ACME], note="Hello", pause=0)

    assert report.invited == [ADA, EVE]
    assert report.failed == {BOB: "alreadyPending"}
    assert failure.used == 1


async def test_reached_limit_stops_the_campaign(
    acme: Sandbox, linkedapi_session: Session
) -> None:
    """After the account has reached a limit, nothing more is started."""
    acme.script(st.send_connection_request, error=LIMIT_REACHED, times=1)
    await invite(linkedapi_session, [ACME, ACME], note="Hello", pause=0)

    assert_started(acme, st.send_connection_request, times=1)


@given(workflow=workflows(actions=4))
@settings(max_examples=30, deadline=None)
def test_any_workflow_is_judged(workflow: Any) -> None:
    """Every legal workflow is either harmless or not."""
    assert harmless(dump_workflow(workflow)) in {True, False}


@given(broken=broken_workflows(actions=4))
@settings(max_examples=30, deadline=None)
def test_broken_workflow_is_refused(broken: BrokenWorkflow) -> None:
    """A workflow that breaks one rule is refused, with its place."""
    with pytest.raises(InvalidDefinitionError) as caught:
        harmless(broken.definition)

    assert [problem.path for problem in caught.value.problems] == [broken.path]
