"""The sandbox behaves like the API, and its people keep their stories straight."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import logging
import math
import os
import runpy
import signal
import statistics
import subprocess
import sys
import typing
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
import pytest
from event_loops import run_virtual, virtual_time
from hypothesis import given, settings
from hypothesis import strategies as some
from sample_targets import SAMPLE_TARGETS

from linkedapi_async import nv, params, results, st
from linkedapi_async._actions.action import Action
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.completion import Result, result
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Generation
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    AccountPausedError,
    ActionError,
    AuthenticationError,
    WorkflowCancelledError,
    WorkflowFailedError,
)
from linkedapi_async.policies import Polling
from linkedapi_async.sandbox import RecordedWorkflow, Sandbox, _world
from linkedapi_async.sandbox.__main__ import _options, _sandbox, main
from linkedapi_async.sandbox._completions import CompletionFactory, _hints
from linkedapi_async.sandbox._lane import AccountQueue
from linkedapi_async.sandbox._world import World


if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

ACME = "https://www.linkedin.com/company/acme"
JANE = "https://www.linkedin.com/in/jane-doe"
LINKED = {"linked-api-token": "main", "identification-token": "account"}
ACCOUNT = {"account-api-token": "main", "identification-token": "account"}
DEFAULT = "sandbox-account"
SSI = {"actionType": "st.retrieveSSI"}
GENERATIONS: tuple[Generation, ...] = ("account_api", "linked_api")


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose workflows end at once."""
    async with Sandbox(speed=1000, duration=0) as sandbox:
        yield sandbox


async def call(
    sandbox: Sandbox,
    method: str,
    path: str,
    *,
    headers: dict[str, str] = LINKED,
    **body: Any,
) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, sandbox.url + path, headers=headers, **body) as answer,
    ):
        return answer.status, await answer.json()


async def start(
    sandbox: Sandbox, definition: Any, headers: dict[str, str] = LINKED
) -> str:
    """Start a workflow and return its id."""
    prefix = "/account" if "account-api-token" in headers else ""
    path = f"{prefix}/workflows"
    _, answer = await call(sandbox, "POST", path, headers=headers, json=definition)
    return str(answer["result"]["workflowId"])


async def ask(
    sandbox: Sandbox, workflow_id: str, headers: dict[str, str] = LINKED
) -> Any:
    """Return the status answer of a workflow."""
    prefix = "/account" if "account-api-token" in headers else ""
    path = f"{prefix}/workflows/{workflow_id}"
    _, answer = await call(sandbox, "GET", path, headers=headers)
    return answer["result"]


async def completion(
    sandbox: Sandbox, workflow: Any, generation: Generation = "linked_api"
) -> Any:
    """Run a workflow and return its completion as JSON."""
    definition = workflow
    if isinstance(workflow, (Action, tuple)):
        definition = dump_workflow(workflow)
    headers = LINKED if generation == "linked_api" else ACCOUNT
    polled = await ask(sandbox, await start(sandbox, definition, headers), headers)
    return polled["completion"]


# The way of a workflow


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_a_session_runs_a_workflow(generation: Generation) -> None:
    """A session of either generation gets typed results, without a setting."""
    employees = st.retrieve_company_employees(limit=2)
    workflow = st.open_company_page(ACME, basic_info=True).then(employees)

    async with (
        Sandbox(speed=1000) as sandbox,
        sandbox.session(generation) as session,
    ):
        company = await session.run(workflow)

    assert ("Acme", 2) == (company.name, len(company[employees]))


async def test_a_session_is_as_fast_as_the_sandbox(sandbox: Sandbox) -> None:
    """Polling is divided by the speed-up unless it is given."""
    sandbox.speed = 50

    assert Polling().faster(50) == sandbox.session().polling
    assert (
        Polling(queued_interval=7)
        == sandbox.session(polling=Polling(queued_interval=7)).polling
    )


async def test_a_session_takes_named_tokens() -> None:
    """Where tokens are named, a session gets the first ones, and others are refused."""
    async with Sandbox(
        speed=1000, duration=0, tokens=["t1"], identification_tokens=["i1", "i2"]
    ) as sandbox:
        async with sandbox.session() as session:
            ssi = await session.run(st.retrieve_ssi())
        async with sandbox.session(identification_token="i3") as session:
            with pytest.raises(AuthenticationError) as caught:
                await session.run(st.retrieve_ssi())

    assert ssi.ssi is not None
    assert "invalidIdentificationToken" == caught.value.type


async def test_answers_of_linked_api(sandbox: Sandbox) -> None:
    """Starts and polls are answered as the current API does."""
    status, started = await call(sandbox, "POST", "/workflows", json=SSI)
    workflow_id = started["result"]["workflowId"]
    _, polled = await call(sandbox, "GET", f"/workflows/{workflow_id}")

    assert 200 == status
    assert {
        "success": True,
        "result": {"workflowId": workflow_id, "workflowStatus": "running"},
    } == started
    assert workflow_id.startswith("wf-")
    assert {"workflowId", "workflowStatus", "completion"} == polled["result"].keys()
    assert "completed" == polled["result"]["workflowStatus"]


async def test_answers_of_account_api(sandbox: Sandbox) -> None:
    """Starts and polls are answered as the older API does."""
    _, started = await call(
        sandbox, "POST", "/account/workflows", headers=ACCOUNT, json=SSI
    )
    workflow_id = started["result"]["workflowId"]
    polled = await ask(sandbox, workflow_id, ACCOUNT)

    assert {"workflowId"} == started["result"].keys()
    assert workflow_id.startswith("account-")
    assert {"workflowStatus", "completion"} == polled.keys()


async def test_states() -> None:
    """An account runs one workflow at a time; only linked_api tells which waits."""
    async with Sandbox(duration=1000) as sandbox:
        ids = [await start(sandbox, SSI) for _ in range(2)]
        older = await start(sandbox, SSI, ACCOUNT)
        polled = [await ask(sandbox, each) for each in ids]
        polled_older = await ask(sandbox, older, ACCOUNT)
        states = [workflow.state for workflow in sandbox.workflows]
        times = [(w.started is None, w.finished) for w in sandbox.workflows]

    assert [
        {"workflowId": ids[0], "workflowStatus": "running"},
        {
            "workflowId": ids[1],
            "workflowStatus": "pending",
            "pendingReason": "queued",
        },
    ] == polled
    assert {"workflowStatus": "running"} == polled_older
    assert ["running", "pending", "pending"] == states
    assert [(False, None), (True, None), (True, None)] == times


async def test_accounts_run_side_by_side() -> None:
    """Each identification token has a lane of its own."""
    async with Sandbox(duration=1000) as sandbox:
        other = {**LINKED, "identification-token": "other"}
        await start(sandbox, SSI)
        polled = await ask(sandbox, await start(sandbox, SSI, other), other)

    assert "running" == polled["workflowStatus"]


def test_turns_take_their_time() -> None:
    """By the clock of the loop, workflows begin when the one before has ended."""

    async def main() -> list[tuple[float, float | None, float | None, float | None]]:
        """Let time pass."""
        async with Sandbox(speed=2, duration=20) as sandbox:
            for _ in range(3):
                await start(sandbox, SSI)
            await asyncio.sleep(25)
            await ask(sandbox, sandbox.workflows[0].id)
            return [
                (round(w.duration), w.started, w.finished, w.detection_delay)
                for w in sandbox.workflows
            ]

    seen = [
        tuple(None if t is None else round(t) for t in times)
        for times in run_virtual(main())
    ]

    assert [(10, 0, 10, 15), (10, 10, 20, None), (10, 20, None, None)] == seen


def test_time_stands_still_afterwards() -> None:
    """What was seen stays as it was when the sandbox is left."""
    sandbox = Sandbox(duration=10)

    async def main() -> None:
        """Leave, then let time pass."""
        async with sandbox:
            await start(sandbox, SSI)
        await asyncio.sleep(100)

    run_virtual(main())

    assert "running" == sandbox.workflows[0].state


async def test_durations_may_depend_on_the_definition() -> None:
    """A callable is given the definition, and the speed divides what it gives."""
    async with Sandbox(
        speed=10, duration=lambda definition: len(definition) * 100
    ) as sandbox:
        await start(sandbox, [SSI, SSI])

    assert 20 == sandbox.workflows[0].duration


@pytest.mark.no_cover
async def test_durations_are_log_normal() -> None:
    """By default half take at most 25 seconds and a few take minutes."""
    async with Sandbox(speed=2) as sandbox, sandbox.session() as session:
        await asyncio.gather(
            *(session.account(f"a{i}").start(st.retrieve_ssi()) for i in range(300))
        )
    seconds = sorted(2 * workflow.duration for workflow in sandbox.workflows)

    assert 22 < statistics.median(seconds) < 28
    assert 0.5 < statistics.stdev(map(math.log, seconds)) < 0.7


# Lanes


class Hands:
    """A clock that is moved by hand."""

    time = 0.0

    def now(self) -> float:
        """Return the time that was set."""
        return self.time


def queued(
    lane: AccountQueue, count: int, duration: float = 1.0
) -> list[RecordedWorkflow]:
    """Put workflows into a lane."""
    workflows = [
        RecordedWorkflow(
            id=str(number),
            account="a",
            generation="linked_api",
            body=b"{}",
            accepted=0.0,
            duration=duration,
            lane=lane,
        )
        for number in range(count)
    ]
    for workflow in workflows:
        lane.add(workflow)
    return workflows


def test_a_long_lane_is_cheap() -> None:
    """A hundred thousand workflows end in their turn without a task or timer."""
    clock = Hands()
    workflows = queued(AccountQueue(clock), 100_000)

    clock.time = 99_999.5

    assert ["completed", "running"] == [w.state for w in workflows[-2:]]
    assert 99_999 == workflows[-2].finished


def test_cancelling_in_a_lane() -> None:
    """What waits drops out, what runs makes way, and what has ended stays ended."""
    clock = Hands()
    lane = AccountQueue(clock)
    workflows = queued(lane, 5, duration=10)

    clock.time = 15
    answers = [lane.cancel(workflows[i]) for i in (0, 2, 1, 1)]
    clock.time = 26

    assert [False, True, True, False] == answers
    assert ["completed", "cancelled", "cancelled", "completed", "running"] == [
        workflow.state for workflow in workflows
    ]
    assert [0, 10, None, 15, 25] == [workflow.started for workflow in workflows]
    assert [10, 15, 15, 25, None] == [workflow.finished for workflow in workflows]


def test_cancelling_the_last() -> None:
    """A lane whose only workflow is cancelled is empty."""
    lane = AccountQueue(Hands())
    (workflow,) = queued(lane, 1)

    assert lane.cancel(workflow)
    assert 0 == queued(lane, 1)[0].started


# Refusals


@pytest.mark.parametrize(
    ("path", "headers", "kind", "message"),
    [
        (
            "/workflows",
            {"identification-token": "i"},
            "linkedApiTokenRequired",
            "'linked-api-token' is missing in request headers.",
        ),
        (
            "/workflows",
            {"linked-api-token": "wrong", "identification-token": "i"},
            "invalidLinkedApiToken",
            "The provided 'linked-api-token' is invalid.",
        ),
        (
            "/workflows",
            {"linked-api-token": "t"},
            "identificationTokenRequired",
            "'identification-token' is missing in request headers.",
        ),
        (
            "/workflows",
            {"linked-api-token": "t", "identification-token": "wrong"},
            "invalidIdentificationToken",
            "The provided 'identification-token' is invalid.",
        ),
        (
            "/account/workflows",
            {"linked-api-token": "t", "identification-token": "i"},
            "accountApiTokenRequired",
            "'account-api-token' is missing in request headers.",
        ),
        (
            "/account/workflows",
            {"account-api-token": "wrong", "identification-token": "i"},
            "invalidAccountApiToken",
            "The provided 'account-api-token' is invalid.",
        ),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_tokens_are_checked(
    method: str, path: str, headers: dict[str, str], kind: str, message: str
) -> None:
    """A missing or wrong token is refused in the API's words."""
    async with Sandbox(tokens=["t"], identification_tokens=["i"]) as sandbox:
        path = path if method == "POST" else f"{path}/wf-1"
        answer = await call(sandbox, method, path, headers=headers, json=SSI)

    error = {"type": kind, "message": message}
    assert (401, {"success": False, "error": error}) == answer


@pytest.mark.parametrize("body", [b"", b"{", b"1", b'"a"', b"null", b"[" * 100_000])
async def test_what_is_no_definition_is_refused(sandbox: Sandbox, body: bytes) -> None:
    """A body that is neither an object nor an array is an invalid payload."""
    status, answer = await call(sandbox, "POST", "/workflows", data=body)

    assert (400, "invalidRequestPayload") == (status, answer["error"]["type"])
    assert 0 == len(sandbox.workflows)


@pytest.mark.parametrize(
    ("definition", "details"),
    [
        ([], ["at least one action"]),
        ({}, ["actionType"]),
        (
            {
                "actionType": "st.openCompanyPage",
                "basicInfo": "yes",
                "then": [{"actionType": "st.searchPeople"}],
            },
            ["companyUrl|company_url", "basicInfo", "root.then[0]"],
        ),
        ({"actionType": "st.somethingNew"}, ["'st.somethingNew'"]),
        (
            {
                "actionType": "st.openPersonPage",
                "personUrl": JANE,
                "then": {"actionType": "xy.notKnown"},
            },
            ["root.then[0]: 'xy.notKnown'"],
        ),
    ],
)
async def test_invalid_workflows_are_refused(
    sandbox: Sandbox, definition: Any, details: list[str]
) -> None:
    """All problems of a workflow are reported, also unknown action types."""
    status, answer = await call(sandbox, "POST", "/workflows", json=definition)

    assert (400, "invalidWorkflow") == (status, answer["error"]["type"])
    message = answer["error"]["message"]
    missing = [d for d in details if not any(each in message for each in d.split("|"))]
    assert [] == missing


async def test_generations_refuse_what_they_lack(sandbox: Sandbox) -> None:
    """An action that only the other generation has is invalid."""
    feed = {"actionType": "st.retrieveFeed"}

    _, answer = await call(
        sandbox, "POST", "/account/workflows", headers=ACCOUNT, json=[SSI, feed]
    )

    assert "invalidWorkflow" == answer["error"]["type"]
    assert "root[1]: st.retrieveFeed" in answer["error"]["message"]


async def test_unknown_words_pass(sandbox: Sandbox) -> None:
    """A word that the catalogue does not know yet is taken, without a warning."""
    filter = {"sizes": ["huge"]}
    definition = {"actionType": "st.searchCompanies", "limit": 2, "filter": filter}

    assert 2 == len((await completion(sandbox, definition))["data"])


async def test_plus_plan() -> None:
    """Without the Plus plan Sales Navigator is refused, also deep in the tree."""
    page = st.open_person_page(JANE)
    async with Sandbox(duration=0, plus=False) as sandbox:
        definition = dump_workflow(page.then(nv.open_person_page()))
        refused = await call(sandbox, "POST", "/workflows", json=definition)
        taken = await start(sandbox, dump_workflow(page))

    assert (402, "plusPlanRequired") == (refused[0], refused[1]["error"]["type"])
    assert taken


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", LINKED),
        ("POST", "/nothing", LINKED),
        ("GET", "/workflows", LINKED),
        ("DELETE", "/account/workflows/account-1", ACCOUNT),
    ],
)
async def test_unknown_paths(
    sandbox: Sandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    """What the API does not have is answered with 404 in its envelope."""
    status, answer = await call(sandbox, method, path, headers=headers)

    assert (404, "notFound") == (status, answer["error"]["type"])
    assert 1 == sandbox.log.others


async def test_unknown_workflows(sandbox: Sandbox) -> None:
    """A workflow of another account or generation is as unknown as a made-up id."""
    mine = await start(sandbox, SSI)
    other = {**LINKED, "identification-token": "other"}

    answers = [
        await call(sandbox, "GET", "/workflows/wf-1"),
        await call(sandbox, "GET", f"/workflows/{mine}", headers=other),
        await call(sandbox, "DELETE", f"/workflows/{mine}", headers=other),
        await call(sandbox, "GET", f"/account/workflows/{mine}", headers=ACCOUNT),
    ]

    assert 4 * [(404, "workflowNotFound")] == [
        (status, answer["error"]["type"]) for status, answer in answers
    ]
    assert 0 == sandbox.workflows[0].polls


# Cancelling and failing


async def test_cancel() -> None:
    """A workflow that has not ended is cancelled once; then it says so."""
    async with Sandbox(duration=1000) as sandbox, sandbox.session() as session:
        handle = await session.start(st.retrieve_ssi())
        other = session.attach(str(handle.workflow_id))
        cancelled = [await session.cancel(str(other.workflow_id)) for _ in range(2)]
        with pytest.raises(WorkflowCancelledError):
            await other.result(timeout=0)
        headers = {"linked-api-token": "main", "identification-token": DEFAULT}
        polled = await ask(sandbox, str(handle.workflow_id), headers)

    assert [True, False] == cancelled
    assert "cancelled" == polled["workflowStatus"]
    assert polled.keys() == {"workflowId", "workflowStatus"}
    assert "cancelled" == sandbox.workflows[0].state


async def test_cancel_what_has_ended(sandbox: Sandbox) -> None:
    """Cancelling what has ended is answered with false."""
    workflow_id = await start(sandbox, SSI)

    answer = await call(sandbox, "DELETE", f"/workflows/{workflow_id}")

    assert (200, {"success": True, "result": {"cancelled": False}}) == answer


async def test_fail_next(sandbox: Sandbox) -> None:
    """The next workflow fails as a whole, and only that one."""
    sandbox.fail_next("languageNotSupported", "speak English")
    ids = [await start(sandbox, SSI) for _ in range(2)]

    polled = [await ask(sandbox, each) for each in ids]

    assert ["failed", "completed"] == [each["workflowStatus"] for each in polled]
    failure = {"reason": "languageNotSupported", "message": "speak English"}
    assert failure == polled[0]["failure"]


async def test_fail_next_of_an_account(sandbox: Sandbox) -> None:
    """An order for one account leaves the others alone."""
    sandbox.fail_next("languageNotSupported", account="other")
    sandbox.fail_next("workingHoursWaitExpired", account="account")

    async with sandbox.session(identification_token="account") as session:
        with pytest.raises(WorkflowFailedError) as caught:
            await session.run(st.retrieve_ssi())

    assert "workingHoursWaitExpired" == caught.value.reason


async def test_fail_action() -> None:
    """An action type fails until the faults are cleared, without data and children."""
    workflow = st.open_company_page(ACME, label="page").then(
        st.retrieve_company_dms(label="dms").then(
            st.do_for_people().then(st.open_person_page())
        ),
        st.retrieve_company_employees(limit=1),
    )
    async with Sandbox(
        duration=0, fail={"st.retrieveCompanyDMs": "retrievingNotAllowed"}
    ) as sandbox:
        failed = await completion(sandbox, workflow)
        sandbox.fail_action("st.openCompanyPage", "companyNotFound", "no such page")
        all_failed = await completion(sandbox, workflow)
        sandbox.clear_faults()
        cleared = await completion(sandbox, workflow)

    assert {
        "actionType": "st.retrieveCompanyDMs",
        "label": "dms",
        "success": False,
        "error": {
            "type": "retrievingNotAllowed",
            "message": "The sandbox was scripted to answer retrievingNotAllowed.",
        },
    } == failed["data"]["then"][0]
    assert {
        "actionType": "st.openCompanyPage",
        "label": "page",
        "success": False,
        "error": {"type": "companyNotFound", "message": "no such page"},
    } == all_failed
    assert cleared["data"]["then"][0]["success"]


async def test_a_completion_tells_of_when_it_was_made(sandbox: Sandbox) -> None:
    """An action that fails later has not failed in a workflow that had ended."""
    workflow_id = await start(sandbox, SSI)
    (workflow,) = sandbox.workflows
    while workflow.finished is None:
        await asyncio.sleep(0.01)
    sandbox.fail_action("st.retrieveSSI", "unknownError")

    polled = await ask(sandbox, workflow_id)

    assert polled["completion"]["success"]


async def test_sign_out(sandbox: Sandbox) -> None:
    """A signed-out account is refused, or fails, as its generation has it."""
    sandbox.sign_out("account")
    async with sandbox.session(identification_token="account") as session:
        with pytest.raises(AccountPausedError) as refused:
            await session.run(st.retrieve_ssi())
    async with sandbox.session("account_api", "account") as session:
        with pytest.raises(WorkflowFailedError) as failed:
            await session.run(st.retrieve_ssi())
    sandbox.clear_faults()
    cleared = await completion(sandbox, SSI)

    assert "linkedinAccountSignedOut" == refused.value.type == failed.value.reason
    message = "This LinkedIn account has been signed out in our cloud browser."
    assert message in str(failed.value)
    assert cleared["success"]


# Completions


async def test_loops_leave_no_node(sandbox: Sandbox) -> None:
    """Each item holds the nodes of a loop's children, in the form of the request."""
    people = {
        "actionType": "st.doForPeople",
        "then": {"actionType": "st.openPersonPage"},
    }
    forms = (people, [people], {**people, "then": [people["then"]]}, [people, people])
    listed = {"actionType": "st.searchPeople", "limit": 2}

    answers = [await completion(sandbox, {**listed, "then": form}) for form in forms]

    node = {"actionType": "st.openPersonPage", "success": True}
    then = [[item["then"] for item in answer["data"]] for answer in answers]
    assert [[node] * 2, [[node]] * 2, [[node]] * 2, [[node, node]] * 2] == then


async def test_nesting_forms(sandbox: Sandbox) -> None:
    """One child is an object, several are a list, none leaves no trace."""
    page = {"actionType": "st.openPersonPage", "personUrl": JANE, "basicInfo": False}
    child = {"actionType": "st.checkConnectionStatus"}

    thens: list[dict[str, Any]] = [
        {},
        {"then": []},
        {"then": child},
        {"then": [child, child]},
    ]
    answers = [await completion(sandbox, {**page, **then}) for then in thens]

    assert "data" not in answers[0]
    assert "data" not in answers[1]
    assert {"then"} == answers[2]["data"].keys()
    assert "st.checkConnectionStatus" == answers[2]["data"]["then"]["actionType"]
    assert 2 == len(answers[3]["data"]["then"])


async def test_array_workflows(sandbox: Sandbox) -> None:
    """An array is answered with an array, also one of one, and labels come back."""
    both = await completion(sandbox, [{**SSI, "label": "a"}, SSI])
    one = await completion(sandbox, [SSI])

    assert ["a", None] == [node.get("label") for node in both]
    assert 1 == len(one)


async def test_void_actions(sandbox: Sandbox) -> None:
    """What yields nothing succeeds without data, or with its child alone in it."""
    message = st.send_message(JANE, text="Hi")
    plain = await completion(sandbox, message)
    nested = await completion(
        sandbox, message.then(st.manage_conversation(operation="star"))
    )

    assert {"actionType": "st.sendMessage", "success": True} == plain
    child = {"actionType": "st.manageConversation", "success": True}
    assert {"then": child} == nested["data"]


async def test_generations_differ(sandbox: Sandbox) -> None:
    """Fields that were renamed or came later depend on the generation."""
    workflow = (
        st.open_company_page(ACME, basic_info=True),
        st.sync_conversation(JANE),
        st.open_person_page(JANE, basic_info=True),
    )
    old = await completion(sandbox, workflow, "account_api")
    new = await completion(sandbox, workflow)

    differ = {"employeeCount", "employeesCount", "urn", "logoUrl"}
    assert differ == old[0]["data"].keys() ^ new[0]["data"].keys()
    assert old[0]["data"]["employeeCount"] == new[0]["data"]["employeesCount"]
    assert "data" not in old[1]
    assert {"syncUntil"} == new[1]["data"].keys()
    later = {"urn", "avatarUrl", "about", "followersCount", "viewerState"}
    assert later == old[2]["data"].keys() ^ new[2]["data"].keys()


async def test_nothing_depends_on_order() -> None:
    """The same seed gives the same answers in any order, another one others."""
    workflows: list[Any] = [
        st.search_people(limit=3),
        st.open_company_page(ACME, basic_info=True).then(st.retrieve_company_dms()),
        st.retrieve_connections(limit=3),
    ]

    async def answers(seed: int, order: list[int]) -> list[Any]:
        """Run the workflows in an order."""
        async with Sandbox(duration=0, seed=seed) as sandbox:
            made = {i: await completion(sandbox, workflows[i]) for i in order}
            return [made[i] for i in sorted(made)]

    first = await answers(1, [0, 1, 2])

    assert first == await answers(1, [2, 0, 1])
    assert first != await answers(2, [0, 1, 2])


async def test_ids_follow_from_the_seed() -> None:
    """Ids are unique, and the same for the same seed."""

    async def ids() -> list[str]:
        """Start some."""
        async with Sandbox(seed=7) as sandbox:
            return [await start(sandbox, SSI) for _ in range(3)]

    first = await ids()

    assert first == await ids()
    assert 3 == len(set(first))


async def test_an_account_has_lists_of_its_own(sandbox: Sandbox) -> None:
    """Two accounts have other connections, but a search finds the same for both."""
    other = {**LINKED, "identification-token": "other"}

    async def both(definition: Any) -> tuple[Any, Any]:
        """Ask for both accounts."""
        one = await ask(sandbox, await start(sandbox, definition))
        two = await ask(sandbox, await start(sandbox, definition, other), other)
        return one["completion"], two["completion"]

    mine, theirs = await both({"actionType": "st.retrieveConnections"})
    found, also_found = await both({"actionType": "st.searchPeople", "term": "x"})

    assert mine != theirs
    assert found == also_found


@pytest.mark.parametrize("generation", GENERATIONS)
async def test_limits(sandbox: Sandbox, generation: Generation) -> None:
    """Lists are as long as asked or by default, or as nature has it."""
    page = nv.open_company_page(SAMPLE_TARGETS["company_hashed_url"])
    searches = (nv.search_people(), st.search_companies(limit=3))
    lists = [
        nv.retrieve_company_employees(),
        nv.retrieve_company_employees(limit=2),
        nv.retrieve_company_dms(limit=1),
    ]

    found = await completion(sandbox, searches, generation)
    page_data = (await completion(sandbox, page.then(*lists), generation))["data"]
    connections = await completion(sandbox, st.retrieve_connections(), generation)

    default = 25 if generation == "linked_api" else 10
    assert [default, 3] == [len(node["data"]) for node in found]
    everybody, two, one = (node["data"] for node in page_data["then"])
    assert 3 <= len(everybody) <= 60
    assert everybody[:2] == two
    assert everybody[0]["hashedUrl"] == one[0]["hashedUrl"]
    assert 3 <= len(connections["data"]) <= 60


# People, companies, posts and jobs


def shared(item: Result, page: Result) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an item and a page both tell."""
    names = item.raw.keys() & page.raw.keys() - {"then"}
    assert len(names) > 2
    return (
        {name: item.raw[name] for name in names},
        {name: page.raw[name] for name in names},
    )


PEOPLE_FILTER = params.PeopleFilter(
    first_name="Zoë",
    last_name="de la Cruz",
    position="Chief Robot Whisperer",
    locations=["Gotham", "Metropolis"],
    current_companies=["Wayne Enterprises, Inc."],
    previous_companies=["Globex"],
    schools=["MIT"],
    industries=["Robotics Engineering"],
    connection_degrees=["2nd"],
)


@pytest.mark.parametrize(
    "filter", [None, PEOPLE_FILTER, params.PeopleFilter(first_name="!", last_name="?")]
)
async def test_people_are_who_they_are(
    sandbox: Sandbox, filter: params.PeopleFilter | None
) -> None:
    """A page in a loop and a page opened by URL agree with the list."""
    page = st.open_person_page(basic_info=True)
    search = st.search_people(term="robots", limit=3, filter=filter)
    async with sandbox.session() as session:
        people = await session.run(search.then(st.do_for_people().then(page)))
        for person in people:
            polled, nested = shared(person, person[page])
            again = await session.run(
                st.open_person_page(person.public_url, basic_info=True)
            )
            hashed = await session.run(
                nv.open_person_page(again.hashed_url, basic_info=True)
            )

            assert polled == nested
            assert again == person[page]
            assert (again.name, again.headline) == (hashed.name, hashed.headline)

    assert 3 == len({person.public_url for person in people})


async def test_people_filters(sandbox: Sandbox) -> None:
    """People that a filter finds are as it wants them, to their last school."""
    page = st.open_person_page(basic_info=True)
    experience = st.retrieve_person_experience()
    education = st.retrieve_person_education()
    search = st.search_people(limit=4, filter=PEOPLE_FILTER).then(
        st.do_for_people().then(page.then(experience, education))
    )
    async with sandbox.session() as session:
        people = await session.run(search)

    assert {"Zoë de la Cruz"} == {person.name for person in people}
    assert ["Gotham", "Metropolis"] * 2 == [person.location for person in people]
    for person in people:
        assert person.viewer_state is not None
        assert "2nd" == person.viewer_state.connection_degree
        assert "Chief Robot Whisperer" in str(person.headline)
        opened = person[page]
        assert "Wayne Enterprises, Inc." == opened.company_name
        assert "Robotics Engineering" in str(opened.about)
        employers = [job.company_name for job in opened[experience]]
        assert ["Wayne Enterprises, Inc.", "Globex"] == employers[:2]
        assert ["MIT"] == [school.school_name for school in opened[education]]


async def test_employees(sandbox: Sandbox) -> None:
    """Employees work for the company, decision makers are the first among them."""
    page = st.open_person_page(basic_info=True)
    employees = st.retrieve_company_employees().then(st.do_for_people().then(page))
    deciders = st.retrieve_company_dms()
    chosen = st.retrieve_company_employees(
        limit=3,
        filter=params.EmployeesFilter(first_name="Ada", position="Pilot"),
        label="chosen",
    )
    workflow = st.open_company_page(ACME).then(employees, deciders, chosen)
    async with sandbox.session() as session:
        company = await session.run(workflow)

    everybody = company[employees]
    assert {"Acme"} == {person[page].company_name for person in everybody}
    assert len(everybody) == len({person.public_url for person in everybody})
    urls = [person.public_url for person in company[deciders]]
    assert urls == [person.public_url for person in everybody[: len(urls)]]
    headlines = [person.headline for person in company[deciders]]
    assert "Founder & CEO at Acme" == headlines[0]
    assert len(headlines) == len(set(headlines))
    assert {"Ada"} == {str(p.name).split()[0] for p in company[chosen]}
    assert {"Pilot at Acme"} == {p.headline for p in company[chosen]}


async def test_sales_navigator_knows_the_same_people(sandbox: Sandbox) -> None:
    """Both faces of LinkedIn tell of the same company and the same employees."""
    standard = st.retrieve_company_employees(limit=3)
    navigator = nv.retrieve_company_employees(limit=3)
    page = nv.open_company_page(basic_info=True)
    async with sandbox.session() as session:
        company = await session.run(
            st.open_company_page(ACME, basic_info=True).then(
                standard, page.then(navigator)
            )
        )
        by_number = await session.run(
            nv.open_company_page(
                f"https://www.linkedin.com/company/{_world._numbered('acme')}",
                basic_info=True,
            )
        )

    one, two = shared(company, company[page])
    assert one == two
    assert shared(company[page], by_number)[1]["name"] == "Acme"
    assert [p.name for p in company[standard]] == [
        p.name for p in company[page][navigator]
    ]


@pytest.mark.parametrize(
    "filter",
    [
        None,
        params.CompaniesFilter(
            sizes=["51-200", "10001+"], locations=["Gotham"], industries=["Heroics"]
        ),
    ],
)
async def test_companies_are_what_they_are(
    sandbox: Sandbox, filter: params.CompaniesFilter | None
) -> None:
    """A company's page agrees with the search and matches the filter."""
    page = st.open_company_page(basic_info=True)
    search = st.search_companies(term="Tech, Inc.", limit=4, filter=filter)
    async with sandbox.session() as session:
        companies = await session.run(search.then(st.do_for_companies().then(page)))
        for company in companies:
            polled, nested = shared(company, company[page])
            again = await session.run(
                st.open_company_page(company.public_url, basic_info=True)
            )

            assert polled == nested
            assert again == company[page]

    assert 4 == len({company.public_url for company in companies})
    assert all(str(company.name).startswith("Tech, Inc.") for company in companies)
    if filter is not None:
        assert {("Gotham", "Heroics")} == {(c.location, c.industry) for c in companies}
        counts = [c[page].employees_count or 0 for c in companies]
        assert [True, False] * 2 == [51 <= count <= 200 for count in counts]
        assert all(count > 10_000 for count in counts[1::2])


async def test_a_large_search_repeats_no_person(sandbox: Sandbox) -> None:
    """As many companies as one may ask for are all different."""
    found = await completion(sandbox, st.search_companies(limit=1000))

    assert 1000 == len({company["name"] for company in found["data"]})


async def test_posts_are_what_they_are(sandbox: Sandbox) -> None:
    """A post's page equals its list item; searches have no URNs of actors."""
    post = st.open_post(basic_info=True)
    loop = st.do_for_posts().then(post)
    by_person = st.retrieve_person_posts().then(loop)
    by_company = st.retrieve_company_posts(limit=3).then(loop)
    search = st.search_posts(term="space travel", limit=10).then(loop)
    async with sandbox.session() as session:
        person, company, found = await session.run(
            st.open_person_page(JANE).then(by_person),
            st.open_company_page(ACME).then(by_company),
            search,
        )
        everything = [*person[by_person], *company[by_company], *found]
        for item in everything:
            again: Any = await session.run(st.open_post(item.url, basic_info=True))

            assert item[post] == again
            assert again.author.urn is not None
            expected = again.to_dict()
            if type(item) is results.FoundPost:
                for actor in filter(None, (expected["author"], expected["reposter"])):
                    del actor["urn"]
            assert expected == item.to_dict()

    names = {item.author.name for item in person[by_person] if item.author}
    assert {"Jane Doe"} == names
    types = {
        (item.author.name, item.author.type)
        for item in company[by_company]
        if item.author
    }
    assert {("Acme", "company")} == types
    assert all("space travel" in str(item.text) for item in found)
    reposts = [item for item in everything if item.type == "repost"]
    assert reposts
    assert all(item.reposter and item.repost_text for item in reposts)


async def test_since(sandbox: Sandbox) -> None:
    """Items from before *since* are not listed."""
    lists: list[Any] = [
        st.retrieve_person_posts,
        st.retrieve_person_comments,
        st.retrieve_person_reactions,
    ]
    since = "2026-06-15T00:00:00Z"
    page = st.open_person_page(JANE)

    async def times(kind: Any, since: str | None) -> list[str]:
        """Return the times that are listed."""
        node = await completion(sandbox, page.then(kind(since=since)))
        return [item["time"] for item in node["data"]["then"]["data"]]

    for kind in lists:
        everything = await times(kind, None)
        assert [time for time in everything if time >= since] == await times(
            kind, since
        )
        assert everything == sorted(everything, reverse=True)
        assert [] == await times(kind, "2027-01-01T00:00:00Z")


async def test_since_for_the_account(sandbox: Sandbox) -> None:
    """Connections and viewers from before *since* are not listed."""
    workflow = (
        st.retrieve_connections(since="2026-06-15"),
        st.retrieve_profile_viewers(since="2026-06-25"),
    )

    connections, viewers = (
        node["data"] for node in await completion(sandbox, workflow)
    )

    assert connections
    assert all(item["connectedAt"] >= "2026-06-15" for item in connections)
    assert viewers
    assert all(item["viewedAt"] >= "2026-06-25" for item in viewers)


@pytest.mark.parametrize(
    ("word", "check"),
    [
        ("videos", lambda post: post["hasVideo"] and post["videoThumbnail"]),
        ("images", lambda post: post["images"]),
        ("documents", lambda post: post["documentSlides"]),
        ("liveVideos", lambda post: post["url"]),
    ],
)
async def test_posts_of_a_kind(sandbox: Sandbox, word: str, check: Any) -> None:
    """A post search finds posts of the requested kind and period."""
    filter = params.PostsFilter(content_type=word, date_posted="pastWeek")
    found = await completion(sandbox, st.search_posts(term="x", limit=9, filter=filter))

    assert 9 == len(found["data"])
    assert all(check(post) for post in found["data"])
    assert all(post["time"] > "2026-06-24" for post in found["data"])


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        (params.PostsFilter(from_members=["Jane Roe"]), {"Jane Roe"}),
        (params.PostsFilter(from_members=["Cher"]), {"Cher"}),
        (
            params.PostsFilter(
                from_members=[
                    params.MemberRef(name="x", id=JANE),
                    params.MemberRef(name="Jo March"),
                ],
                from_companies=[
                    "Globex!",
                    params.CompanyRef(name="y", company_hashed_url=ACME),
                    params.CompanyRef(name="Umbrella"),
                ],
            ),
            {"Jane Doe", "Jo March", "Globex!", "Acme", "Umbrella"},
        ),
    ],
)
async def test_posts_of_a_person(
    sandbox: Sandbox, filter: params.PostsFilter, names: set[str]
) -> None:
    """A post search by author finds posts by just those."""
    found = await completion(sandbox, st.search_posts(term="x", limit=5, filter=filter))

    assert names == {post["author"]["name"].strip() for post in found["data"]}


async def test_posts_of_a_companys_people(sandbox: Sandbox) -> None:
    """A post search by the author's employer finds its employees."""
    filter = params.PostsFilter(author_companies=["Globex"])
    found = await completion(sandbox, st.search_posts(term="x", limit=3, filter=filter))

    headlines = [post["author"]["headline"] for post in found["data"]]
    assert 3 == len(headlines)
    assert all(headline.endswith(" at Globex") for headline in headlines)


async def test_jobs_are_what_they_are(sandbox: Sandbox) -> None:
    """A job's page agrees with the search, and both match the filter."""
    page = st.open_job(basic_info=True)
    filter = params.JobsFilter(
        companies=["Globex"],
        workplace_types=["hybrid"],
        employment_types=["contract"],
        easy_apply=True,
        under_10_applicants=True,
    )
    searches: list[Any] = [
        st.search_jobs(
            term="Robot Engineer", location="Berlin", limit=3, filter=filter
        ),
        st.search_jobs(limit=3, preferences=params.JobsPreferences(remote=True)),
    ]
    async with sandbox.session() as session:
        for search in searches:
            jobs = await session.run(search.then(st.do_for_jobs().then(page)))
            for job in jobs:
                polled, nested = shared(job, job[page])
                again = await session.run(st.open_job(job.job_url, basic_info=True))

                assert polled == nested
                assert again == job[page]
            assert 3 == len({job.job_id for job in jobs})
            if search.filter is None:
                assert {"Remote"} == {job.workplace_type for job in jobs}
                continue
            assert {("Robot Engineer", "Globex", "Berlin", "Hybrid", True)} == {
                (
                    job.title,
                    job.company_name,
                    job.location,
                    job.workplace_type,
                    job.easy_apply,
                )
                for job in jobs
            }
            assert {"Contract"} == {job[page].employment_type for job in jobs}
            assert all(job[page].applicants_count < 10 for job in jobs)


async def test_skills_that_a_loop_skips(sandbox: Sandbox) -> None:
    """A loop over skills visits those in which a regular expression occurs."""
    skills = st.retrieve_person_skills()
    page = st.open_person_page(JANE)
    names = [
        skill["name"]
        for skill in (await completion(sandbox, page.then(skills)))["data"]["then"][
            "data"
        ]
    ]
    pattern = f"^{names[0][:3].upper()}.*{names[0][-2:]}$"
    loop = st.do_for_skills(skill_name_patterns=["no such skill", "(", pattern])
    node = await completion(
        sandbox, page.then(skills.then(loop.then(st.endorse_person_skill())))
    )

    endorsed = [item for item in node["data"]["then"]["data"] if "then" in item]
    expected = [{"actionType": "st.endorsePersonSkill", "success": True}]
    assert [(names[0], expected)] == [(i["name"], i["then"]) for i in endorsed]


async def test_connections_are_connected(sandbox: Sandbox) -> None:
    """A person among the connections is connected; strangers need not be."""
    async with sandbox.session() as session:
        connections = await session.run(st.retrieve_connections(limit=2))
        states = [
            await session.run(st.check_connection_status(person.public_url))
            for person in connections
        ]
        filtered = await session.run(
            st.retrieve_connections(
                limit=2, filter=params.ConnectionsFilter(first_name="Ada")
            )
        )

    assert 2 * ["connected"] == [state.connection_status for state in states]
    assert 2 * [None] == [person.connected_at for person in filtered]
    assert all(str(person.name).startswith("Ada ") for person in filtered)


async def test_replies_only_on_demand(sandbox: Sandbox) -> None:
    """Replies to comments are listed only on request."""
    post = st.open_post("https://www.linkedin.com/posts/x-activity-7461747346638207121")

    async def replies(asked: bool | None) -> set[bool]:
        """Return what kinds of comments come."""
        comments = st.retrieve_post_comments(limit=9, replies=asked)
        node = await completion(sandbox, post.then(comments))
        return {item["isReply"] for item in node["data"]["then"]["data"]}

    assert {False} == await replies(None)
    assert {False, True} == await replies(True)


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        ({"actionType": "st.openPersonPage", "personUrl": ACME}, "personNotFound"),
        ({"actionType": "st.openCompanyPage", "companyUrl": "x"}, "companyNotFound"),
        (
            {
                "actionType": "st.manageConversation",
                "threadId": JANE,
                "operation": "mute",
            },
            "threadNotFound",
        ),
    ],
)
async def test_targets_of_another_kind(
    sandbox: Sandbox, definition: Any, error: str
) -> None:
    """An action whose target is certainly wrong is accepted, and fails."""
    async with sandbox.session() as session:
        handle = await session.start(definition, check=False)
        failed = (await handle.completion()).root.error

    assert failed is not None
    assert error == failed.type


async def test_what_is_found_is_a_target(sandbox: Sandbox) -> None:
    """URLs of results are accepted as targets without a warning."""
    jobs = st.search_jobs(filter=params.JobsFilter(easy_apply=True))
    async with sandbox.session() as session:
        for job in (await session.run(jobs))[:3]:
            page = await session.run(st.open_job(job.job_url, basic_info=True))

            assert job.job_id == page.job_id
        numbered = st.open_job(SAMPLE_TARGETS["job_url"], basic_info=True)
        assert "4012345" == (await session.run(numbered)).job_id
        invitations = await session.run(st.retrieve_invitations())

    letters = [i.newsletter_url for i in invitations if i.newsletter_url]
    assert letters
    for url in letters:
        accepting = st.accept_invitation("newsletterSubscribe", newsletter_url=url)

        assert url == accepting.newsletter_url


# Every action


SAMPLES: dict[str, Any] = {
    **SAMPLE_TARGETS,
    "skill_name": "Python",
    "invitation_type": "connect",
    "operation": "archive",
    "subject": "Hello",
    "term": "robots",
    "text": "Hi",
    "type": "like",
}


def sample(cls: type[Action[Any, Any, Any]], generation: Generation) -> Any:
    """Return a workflow with an action of *cls* somewhere in it."""
    at_root = Root in cls.where
    needed: dict[str, Any] = {}
    for row in parameters_of(cls):
        due = row.required or generation in row.info.needed_in or row.name == "term"
        due = due or (
            at_root and row.info.target and (not needed or cls.needs_all_targets)
        )
        if due and row.name in SAMPLES and (at_root or not row.info.target):
            needed[row.name] = SAMPLES[row.name]
    if cls.action_type in {"st.acceptInvitation", "st.ignoreInvitation"}:
        needed["person_url"] = SAMPLE_TARGETS["person_url"]
    if "basic_info" in {row.name for row in parameters_of(cls)}:
        needed["basic_info"] = True
    made = cls(**needed)
    if at_root:
        return made
    parent = next(
        other
        for other in ACTIONS.values()
        if cls.may_nest_under(other)
        and generation in other.generations
        and generation in other.opens.generations
    )
    workflow = sample(parent, generation)
    leaf = [*workflow.walk()][-1]
    return _grafted(workflow, leaf, made)


def _grafted(tree: Any, leaf: Any, child: Any) -> Any:
    if tree is leaf:
        return tree.then(child)
    (only,) = tree.children
    return attrs.evolve(tree, children=(_grafted(only, leaf, child),))


def odd(value: Any) -> list[str]:
    """Return what a result class does not know, or knows in another type or word."""
    if not isinstance(value, Result):
        return []
    problems = [f"{type(value).__name__}.{name}" for name in value.extra]
    cls: Any = type(value)
    for name, hint in _hints(cls).items():
        inner = getattr(value, name)
        words = (
            typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        )
        free = name in {"workplace_type", "employment_type"} and not words
        if words and not free and inner not in {None, *words}:
            problems.append(f"{type(value).__name__}.{name}={inner!r}")
        problems += odd(inner)
    return problems


@pytest.mark.parametrize(
    ("action_type", "generation"),
    [(each, g) for each, cls in ACTIONS.items() for g in cls.generations],
)
async def test_every_action_is_answered(
    sandbox: Sandbox, action_type: str, generation: Generation
) -> None:
    """The result classes know every field and word of every action's answer."""
    cls = ACTIONS[action_type]
    workflow = sample(cls, generation)
    raw = await completion(sandbox, workflow, generation)

    done = read_completion(raw, workflow)
    found = done.all(cls)
    values = [
        item
        for outcome in found
        for item in (outcome.data if isinstance(outcome.data, list) else [outcome.data])
    ]
    assert () == done.errors
    assert bool(found) == cls.has_outcome
    assert [] == [problem for value in values for problem in odd(value)]
    void = cls.result is type(None) or generation == "account_api"
    assert void or not cls.has_outcome or all(value is not None for value in values)


@result
class Novelty(Result):
    """A result that the world knows nothing of."""

    word: typing.Literal["a", "b"] | str | None = None
    names: list[str] | None = None
    flag: bool | None = None
    count: int | None = None
    amount: float | None = None
    page_url: str | None = None
    page_urn: str | None = None
    seen_at: str | None = None
    text: str | None = None
    actor: results.Actor | None = None


def test_new_results_need_nothing() -> None:
    """A result class that is only declared is filled by the types of its attributes."""
    maker = CompletionFactory(World(0), "linked_api", "a", {})
    thing = _world.Entity("x", {})

    made = maker._filled(Novelty, thing)

    assert made["word"] in {"a", "b"}
    assert [] == made["names"]
    assert isinstance(made["flag"], bool)
    assert isinstance(made["count"], int)
    assert isinstance(made["amount"], float)
    assert made["pageUrl"].startswith("https://www.linkedin.com/page/")
    assert made["pageUrn"].startswith("urn:li:page:")
    assert made["seenAt"].endswith("Z")
    assert made["text"].startswith("Text ")
    assert {"type", "name"} <= made["actor"].keys()


class Unheard(Result):
    """A result class that no list is known for."""


def test_new_lists_need_nothing() -> None:
    """A list of an unknown class has as many items as requested."""
    action = st.retrieve_feed(limit=2)
    maker = CompletionFactory(World(0), "linked_api", "a", {})

    assert 2 == len(list(maker._list(action, Unheard, None)))


# The world


slugs = some.text(min_size=1, max_size=40)
plain = some.text("abcdefghij-0123456789", min_size=1, max_size=30)


@settings(deadline=None)
@given(some.one_of(slugs, plain), some.integers(0, 2))
def test_any_url_leads_somewhere(part: str, seed: int) -> None:
    """Whatever a URL is, what it leads to is found again by its own URLs."""
    part = part.encode("utf-8", "ignore").decode()
    world = World(seed)
    person = world.person(f"https://www.linkedin.com/in/{part}")
    company = world.company(f"https://www.linkedin.com/company/{part}/")
    job = world.job(f"https://www.linkedin.com/jobs/view/{part}")
    post = world.post(part)

    assert person == world.person(person.facts["public_url"])
    assert person == world.person(person.facts["hashed_url"])
    assert company == world.company(company.facts["public_url"])
    assert job == world.job(job.facts["job_url"])
    assert post.facts["time"] <= "2026-07-01T12:00:00Z"


@settings(deadline=None)
@given(
    some.dictionaries(
        some.sampled_from(["name", "size"]), some.text("aé 李!", max_size=9)
    )
)
def test_tags_come_back(facts: dict[str, str]) -> None:
    """What was written into a URL is read from it again."""
    assert ("acme", facts) == _world.untagged(_world.tagged("acme", facts))


@pytest.mark.parametrize(
    "slug", ["acme", "a-xavierxavier", "a-xgezdgnbv", "a-xaaaaaaaab"]
)
def test_what_is_no_tag_stays(slug: str) -> None:
    """A slug that only looks as if it had a tag is left as it is."""
    assert (slug, {}) == _world.untagged(slug)


def test_numbers_of_companies() -> None:
    """A company's number leads to its slug, and a foreign one to a company as well."""
    world = World(0)
    acme = world.company(ACME)
    foreign = world.company("https://www.linkedin.com/company/12345678")

    assert acme == world.company(acme.facts["hashed_url"])
    assert "https://www.linkedin.com/company/12345678" == foreign.facts["hashed_url"]
    assert " " in foreign.facts["name"]
    assert "company" == world.company_named("!!!").key.partition("-x")[0]


def test_names_of_people() -> None:
    """A name in the URL is the person's name; a code gives a made-up one."""
    world = World(0)

    foreign = world.person("https://www.linkedin.com/in/ACoAABC%20-")

    assert foreign.key.startswith("ACoAABC")
    assert "Jane Doe" == world.person(JANE).facts["name"]
    code = world.person("https://www.linkedin.com/in/SInQBmjJ015eLr8").facts["name"]
    assert 2 == len(code.split())


def test_a_post_has_the_time_of_its_number() -> None:
    """The time in an activity's number counts, unless it cannot be."""
    world = World(0)
    known = world.post("urn:li:activity:7461747346638207121")
    strange = world.post("urn:li:activity:1")

    assert "2026-05-17" == known.facts["time"][:10]
    assert strange.facts["time"] > "2025"
    assert known.facts["url"].endswith(
        "/feed/update/urn:li:activity:7461747346638207121"
    )


# What it saw


async def test_seen(sandbox: Sandbox) -> None:
    """Requests are counted by kind, and each workflow keeps its story."""
    for _ in range(2):
        await start(sandbox, SSI)
    first, second = sandbox.workflows
    for _ in range(3):
        await ask(sandbox, first.id)
    await call(sandbox, "DELETE", f"/workflows/{second.id}")
    await call(sandbox, "POST", "/workflows", data=b"?")

    seen = sandbox.log
    assert (3, 3, 1, 0) == (seen.starts, seen.polls, seen.cancels, seen.others)
    assert 7 == sandbox.requests
    assert [3, 0] == [workflow.polls for workflow in sandbox.workflows]
    assert 1.5 == sandbox.polls_per_workflow
    assert SSI == first.definition
    assert "linked_api" == first.generation
    assert None is second.detection_delay
    delay = first.detection_delay
    assert delay is not None
    assert 0 <= delay == (first.first_polled_after_end or 0) - (first.finished or 0)


async def test_accounts_are_seen_by_name(sandbox: Sandbox) -> None:
    """A workflow's account is called as a session calls it."""
    async with sandbox.session() as session:
        account = session.account("another")
        await account.run(st.retrieve_ssi())

    assert account.name == sandbox.workflows[0].account


async def test_nothing_seen() -> None:
    """A sandbox that saw nothing has no polls per workflow."""
    assert 0 == Sandbox().polls_per_workflow


async def test_tokens_do_not_show(caplog: pytest.LogCaptureFixture) -> None:
    """No token is in a log, in a repr or in an answer."""
    caplog.set_level(logging.DEBUG)
    headers = {"linked-api-token": "secret-1", "identification-token": "secret-2"}
    async with Sandbox(
        tokens=["secret-1"], identification_tokens=["secret-2"]
    ) as sandbox:
        await start(sandbox, SSI, headers)
        sandbox.fail_next("x", account="secret-2")
        sandbox.sign_out("secret-2")
        texts = [repr(sandbox), repr(sandbox.log), repr(sandbox.workflows)]
        texts += [repr(vars(w.lane)) for w in sandbox.workflows]
        refused = await call(sandbox, "POST", "/workflows", headers=headers, json=SSI)

    assert "secret" not in " ".join([*texts, str(refused), caplog.text])


# Life cycle


def test_speed_is_checked() -> None:
    """A speed that is no positive number is refused."""
    for speed in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="speed"):
            Sandbox(speed=speed)


async def test_life_cycle() -> None:
    """A sandbox is entered once, and its repr and URL say whether it runs."""
    sandbox = Sandbox()
    before = repr(sandbox)
    with pytest.raises(RuntimeError, match="async with"):
        _ = sandbox.url
    async with sandbox:
        inside = repr(sandbox)
        url = sandbox.url
        with pytest.raises(RuntimeError, match="twice"):
            await sandbox.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        _ = sandbox.url

    assert "<Sandbox not running, 0 workflows>" == before == repr(sandbox)
    assert f"<Sandbox at {url}, 0 workflows>" == inside
    assert url.startswith("http://127.0.0.1:")


@virtual_time
async def test_leaving_does_not_wait_for_clients() -> None:
    """Connections that are kept open do not delay the end of the sandbox."""
    async with Sandbox(duration=0) as sandbox:
        http = aiohttp.ClientSession()
        async with http.get(sandbox.url) as answer:
            await answer.read()
        before = asyncio.get_running_loop().time()
    took = asyncio.get_running_loop().time() - before
    await http.close()

    assert took < 0.9


# The command line


class Terminal:
    """A standard output that ends the program as soon as it has spoken."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        """Keep *text*."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Press Ctrl-C."""
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "tokens"), [([], "any token"), (["--token", "x"], "the given tokens")]
)
def test_command_line(
    monkeypatch: pytest.MonkeyPatch, options: list[str], tokens: str
) -> None:
    """The program says in one line where it is, and ends cleanly on a signal."""
    terminal = Terminal()
    arguments = ["sandbox", "--port", "0", "--speed", "9", "--seed", "1", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "stdout", terminal)

    # Importing it does nothing; running it takes it for new.
    importlib.import_module("linkedapi_async.sandbox.__main__")
    monkeypatch.delitem(sys.modules, "linkedapi_async.sandbox.__main__")
    runpy.run_module("linkedapi_async.sandbox", run_name="__main__")

    assert 1 == terminal.text.count("\n")
    assert "LINKED_API_BASE_URL=http://127.0.0.1:" in terminal.text
    assert tokens in terminal.text


EVERY_OPTION = (
    *("--duration", "5", "--limits", "default", "--note-limit", "1", "--seats", "2"),
    *("--working-hours", "09:00-17:00", "--working-days", "sun", "--refuse-off-hours"),
    *("--timezone", "Europe/Berlin", "--now", "2026-07-01T12:00:00Z", "--control"),
    *("--sign-out", "account", "--host", "0.0.0.0"),  # for its warning
)


def test_all_options_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each option sets up the sandbox, and a warning says who can reach it."""
    monkeypatch.setattr(sys, "argv", ["sandbox", *EVERY_OPTION])
    sandbox = _sandbox(_options())

    assert sandbox.now == dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
    assert "other machines can reach the sandbox at 0.0.0.0" in capsys.readouterr().err


def test_wrong_options_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong option ends the program with what is allowed."""
    monkeypatch.setattr(sys, "argv", ["sandbox", "--seats", "0"])
    with pytest.raises(SystemExit, match="error: seats must be from 1 to 1000, got 0"):
        main()


def test_command_line_as_a_process() -> None:
    """As a process of its own it answers, and SIGINT ends it with 0 and no traceback."""
    command = [sys.executable, "-m", "linkedapi_async.sandbox", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.partition("LINKED_API_BASE_URL=")[2].split()[0]

        async def probe() -> int:
            """Return the status of an answer."""
            async with aiohttp.ClientSession() as http, http.get(url) as answer:
                return answer.status

        status = asyncio.run(probe())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)

    assert (404, 0, "") == (status, process.returncode, errors)


async def test_action_errors_reach_a_session(sandbox: Sandbox) -> None:
    """An action that the sandbox lets fail is an ActionError for a session."""
    sandbox.fail_action("st.openPersonPage", "personNotFound")
    async with sandbox.session() as session:
        with pytest.raises(ActionError) as caught:
            await session.run(st.open_person_page(JANE))

    assert "personNotFound" == caught.value.type


async def test_custom_actions_are_unknown(sandbox: Sandbox) -> None:
    """Whatever a client makes up, the sandbox does not know it."""
    definition = dump_workflow(custom("zz.new", a=1))
    status, answer = await call(sandbox, "POST", "/workflows", json=definition)

    assert (400, "invalidWorkflow") == (status, answer["error"]["type"])
