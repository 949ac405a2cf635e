"""The server over HTTP: driven by the package's own client, in both eras."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from agents_harness import (
    ERAS,
    READ,
    SECRET,
    WRITE,
    Era,
    User,
    connected,
    facts,
    served,
    service_of,
)
from mcp import Client, MCPError, types

from linkedapi_async import load_workflow
from linkedapi_async._results.key import ACTIONS
from linkedapi_async.agents import http_app, make_server
from linkedapi_async.agents._prompts import PROMPTS, filled
from linkedapi_async.agents._tools import tools
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.schema import workflow_schema


pytestmark = pytest.mark.anyio

both_eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture
def anyio_backend() -> str:
    """Run without the debug mode, which makes servers and clients twice as slow."""
    return "asyncio"


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    """Run a sandbox."""
    async with Sandbox(speed=1000) as made:
        yield made


async def called(client: Client, name: str, **arguments: Any) -> Any:
    """Return the result of a tool, after a look at its schema."""
    listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    result = await client.call_tool(name, arguments)
    if result.structured_content is not None:
        jsonschema.validate(result.structured_content, listed[name].output_schema or {})
    return result


# Tools


@both_eras
async def test_it_only_reads(box: Sandbox, era: Era) -> None:
    """Without consent to writes, all tools are marked as reading, and a write is refused."""
    user = User()
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, era, user) as client,
    ):
        listed = (await client.list_tools()).tools
        refused = await called(client, "run_workflow", definition=WRITE)
        read = await called(client, "run_workflow", definition=READ)

    assert [True] * 4 == [
        tool.annotations is not None and tool.annotations.read_only_hint
        for tool in listed
    ]
    assert refused.is_error
    assert "not_sent" == facts(refused)["status"]
    assert "root: st.sendMessage" in facts(refused)["note"]
    assert "--allow-writes" in facts(refused)["note"]
    assert [] == user.asked
    assert "completed" == facts(read)["status"]
    assert facts(read) == json.loads(read.content[0].text)
    assert 1 == len(box.workflows)


@both_eras
async def test_a_write(box: Sandbox, era: Era, tmp_path: Path) -> None:
    """The user sees the tree and the whole text, and is asked once for one message."""
    text = "Hello Ada! " * 40
    user = User()
    async with (
        service_of(box, tmp_path / "j") as service,
        served(service) as port,
        connected(port, era, user) as client,
    ):
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        definition = {**WRITE, "text": text}
        first = await called(client, "run_workflow", definition=definition)
        second = await called(client, "run_workflow", definition=definition)
        third = await called(client, "run_workflow", definition=definition, key="2")
        taken = len(box.workflows)

    marks = listed["run_workflow"].annotations
    assert marks is not None
    assert (False, True) == (marks.read_only_hint, marks.destructive_hint)
    assert 2 == taken == len(user.asked)
    assert f"Write to LinkedIn as {service.account.name}?" in user.asked[0]
    assert "st.sendMessage ✎" in user.asked[0]
    assert json.dumps(text) in user.asked[0]
    assert "completed" == facts(first)["status"]
    assert facts(first)["id"] == facts(second)["id"] != facts(third)["id"]
    assert "pass a new key to send it again" in facts(second)["note"]
    assert not second.is_error


@both_eras
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_the_user_declines(
    box: Sandbox, era: Era, tmp_path: Path, action: Any
) -> None:
    """Without the user's consent nothing is sent."""
    async with (
        service_of(box, tmp_path / "j") as service,
        served(service) as port,
        connected(port, era, User(action)) as client,
    ):
        result = await called(client, "run_workflow", definition=WRITE)

    assert "not_sent" == facts(result)["status"]
    assert "the user declined" in facts(result)["note"]
    assert not box.workflows


@both_eras
async def test_a_client_that_cannot_ask(box: Sandbox, era: Era, tmp_path: Path) -> None:
    """Where the client cannot ask, the permission at the start counts."""
    async with (
        service_of(box, tmp_path / "j") as service,
        served(service) as port,
        connected(port, era) as client,
    ):
        result = await called(client, "run_workflow", definition=WRITE)

    assert "completed" == facts(result)["status"]
    assert 1 == len(box.workflows)


@both_eras
async def test_five_calls_at_once(box: Sandbox, era: Era, tmp_path: Path) -> None:
    """Five calls of one write at once, each with consent, send one message."""
    async with (
        service_of(box, tmp_path / "j") as service,
        served(service) as port,
        connected(port, era, User()) as client,
    ):
        results = await asyncio.gather(
            *(client.call_tool("run_workflow", {"definition": WRITE}) for _ in range(5))
        )
        taken = len(box.workflows)

    assert 1 == taken
    assert 1 == len({facts(result)["id"] for result in results})


@both_eras
async def test_a_long_wait(era: Era) -> None:
    """A call reports its progress, and answers with an id that another server takes."""
    reports: list[float] = []

    async def keep(progress: float, total: float | None, message: str | None) -> None:
        """Keep a report."""
        assert message
        assert total is None or total >= progress
        reports.append(progress)

    async with (
        Sandbox(duration=1e9) as box,
        service_of(box, wait=0.5, interval=0.05) as service,
        served(service) as port,
        connected(port, era) as client,
    ):
        while "id" not in facts(
            result := await client.call_tool(
                "run_workflow", {"definition": READ}, progress_callback=keep
            )
        ):
            assert "pending" == facts(result)["status"]
        answer = facts(result)
        async with (
            service_of(box, wait=0) as other,
            served(other) as another,
            connected(another, era) as reader,
        ):
            again = await called(reader, "get_result", id=answer["id"])
        taken = len(box.workflows)

    assert 1 == taken
    assert answer["status"] in {"pending", "running"}
    assert "get_result" in answer["note"]
    assert not result.is_error
    assert facts(again)["status"] in {"pending", "running"}
    assert 0 <= reports[0] < 1


async def test_find_actions(box: Sandbox) -> None:
    """One match gives everything, several a line each, none the nearest name."""
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):
        one = await called(client, "find_actions", query="st.searchPeople")
        every = await called(client, "find_actions", query="")
        near = await called(client, "find_actions", query="st.serchPeople")
        none = await called(client, "find_actions", query="zzzzzzzz")

    (found,) = facts(one)["actions"]
    assert "filter" in [parameter["name"] for parameter in found["parameters"]]
    assert "connectionDegrees" in one.content[0].text
    assert set(ACTIONS) == {action["actionType"] for action in facts(every)["actions"]}
    assert len(ACTIONS) == len(every.content[0].text.splitlines())
    assert "did you mean st.searchPeople?" in near.content[0].text
    assert "an empty query lists all" in none.content[0].text
    assert [] == facts(none)["actions"]


async def test_check_workflow(box: Sandbox) -> None:
    """A check has all problems, or what the workflow does; nothing is sent."""
    unknown = {**WRITE, "text": "Hello {{name}}!"}
    nested = {**READ, "then": {"actionType": "st.searchPeople"}}
    root = {"actionType": "st.sendMessage", "text": "Hi"}
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):
        right = await called(client, "check_workflow", definition=[WRITE, READ])
        text = await called(client, "check_workflow", definition=json.dumps(READ))
        doubt = await called(client, "check_workflow", definition=unknown)
        wrong = await called(client, "check_workflow", definition=nested)
        targets = await called(client, "check_workflow", definition=root)
        sent = await called(client, "run_workflow", definition=nested)

    assert facts(right)["valid"]
    assert ["root[0]: st.sendMessage"] == facts(right)["writes"]
    assert "st.openPersonPage" in facts(right)["drawing"]
    assert "action" in facts(right)["estimate"]
    assert facts(text)["valid"]
    assert "{{name}}" in facts(doubt)["warnings"][0]
    assert "cannot be nested" in facts(wrong)["problems"][0]
    assert not facts(targets)["valid"]
    assert "not_sent" == facts(sent)["status"]
    assert facts(wrong)["problems"][0] in facts(sent)["note"]
    assert not box.workflows


async def test_wrong_arguments(box: Sandbox) -> None:
    """What is wrong with a call is an answer that a model can act on."""
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):
        unknown = await client.call_tool("find_actions", {"query": "", "limit": 5})
        missing = await client.call_tool("get_result", {})
        wrong = await client.call_tool("run_workflow", {"definition": 5})
        with pytest.raises(MCPError, match="no tool 'send_message'; tools are find_"):
            await client.call_tool("send_message", {})

    answers = [unknown, missing, wrong]
    assert [True] * 3 == [answer.is_error for answer in answers]
    texts = [
        content.text for a in answers for content in a.content if content.type == "text"
    ]
    assert "find_actions has no argument 'limit'; it takes query" == texts[0]
    assert "id must be str, got NoneType" == texts[1]
    assert "definition must be dict or list or str, got int" == texts[2]


# Resources and prompts


async def test_resources(box: Sandbox) -> None:
    """The catalogue, each action, the schema and the account can be read."""
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):

        async def read(uri: str) -> Any:
            """Return the content of a resource."""
            (content,) = (await client.read_resource(uri)).contents
            assert isinstance(content, types.TextResourceContents)
            return json.loads(content.text)

        listed = [r.uri for r in (await client.list_resources()).resources]
        (template,) = (await client.list_resource_templates()).resource_templates
        actions = await read("linkedapi://actions")
        action = await read("linkedapi://actions/st.searchPeople")
        schema = await read("linkedapi://schema")
        account = await read("linkedapi://account")
        with pytest.raises(
            MCPError, match=r"did you mean linkedapi://actions/st\.search"
        ):
            await read("linkedapi://actions/st.serchPeople")
        with pytest.raises(MCPError, match="no resource 'file:///etc/passwd'"):
            await read("file:///etc/passwd")

    assert [
        f"linkedapi://{name}" for name in ("actions", "schema", "account")
    ] == listed
    assert "linkedapi://actions/{actionType}" == template.uri_template
    assert len(ACTIONS) == len(actions)
    assert "st.searchPeople" == action["actionType"]
    assert workflow_schema("linked_api") == schema
    assert service.account.name == account["account"]
    assert (False, "linked_api") == (account["allowWrites"], account["generation"])
    assert account["name"]


async def test_the_account_cannot_be_read(box: Sandbox) -> None:
    """If the API does not say who the account is, the resource says why."""
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):
        box.inject_fault("status", status=401, type="linkedApiTokenInvalid", count=None)
        (content,) = (await client.read_resource("linkedapi://account")).contents

    assert isinstance(content, types.TextResourceContents)
    assert "linkedApiTokenInvalid" in json.loads(content.text)["note"]


async def test_prompts(box: Sandbox) -> None:
    """Each prompt is filled in; what is missing is named."""
    async with (
        service_of(box) as service,
        served(service) as port,
        connected(port, "auto") as client,
    ):
        listed = (await client.list_prompts()).prompts
        arguments = {"url": WRITE["personUrl"], "about": 'the "fair"'}
        message = await client.get_prompt("message", arguments)
        with pytest.raises(MCPError, match="the prompt 'message' needs about"):
            await client.get_prompt("message", {"url": WRITE["personUrl"]})
        with pytest.raises(MCPError, match="no prompt 'spam'; prompts are company"):
            await client.get_prompt("spam")

    assert list(PROMPTS) == [prompt.name for prompt in listed]
    (only,) = message.messages
    assert isinstance(only.content, types.TextContent)
    assert 'about the "fair"' in only.content.text
    definition = json.loads(only.content.text.rpartition("\n\n")[2])
    assert WRITE["personUrl"] == definition["personUrl"]


def test_prompts_are_right() -> None:
    """The workflow of each prompt is valid once it is filled in."""
    for name, template in PROMPTS.items():
        url = "https://www.linkedin.com/company/acme"
        person = WRITE["personUrl"]
        arguments = dict.fromkeys(template.arguments, "engineers in Oslo")
        if "url" in arguments:
            arguments["url"] = url if name == "company" else person

        load_workflow(filled(template.definition, arguments))
        assert set(template.arguments) >= {"url"} or "who" in template.arguments


# HTTP


async def test_who_may_connect(box: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Requests without the token, from another origin or by another name are refused."""
    caplog.set_level(logging.DEBUG)
    right = {"Authorization": f"Bearer {SECRET}"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    refused = [
        ("", {}),
        ("", {"Authorization": "Bearer wrong"}),
        ("", {"Authorization": f"Basic {SECRET}"}),
        (f"?token={SECRET}", {}),
        ("", {**right, "Origin": "https://evil.example"}),
        ("", {**right, "Host": "evil.example"}),
    ]
    statuses = []
    async with (
        service_of(box) as service,
        served(service) as port,
        aiohttp.ClientSession() as http,
        connected(port, "auto") as client,
    ):
        for query, headers in refused:
            url = f"http://127.0.0.1:{port}/mcp{query}"
            async with http.post(url, json=body, headers=headers) as answer:
                statuses.append(answer.status)
                assert SECRET not in await answer.text()
        await client.list_tools()

    assert [401, 401, 401, 401, 403, 421] == statuses
    # The client of the test logs what it sends.
    ours = [record for record in caplog.records if not record.name.startswith("http")]
    assert SECRET not in "".join(record.getMessage() for record in ours)


async def test_two_tokens(box: Sandbox) -> None:
    """A request with two tokens is refused, and so is a short one at the start."""
    async with service_of(box) as service, served(service) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        line = f"Authorization: Bearer {SECRET}\r\n"
        head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{line}{line}"
        writer.write(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ValueError, match="at least 16 characters"):
            http_app(make_server(service), token="short", port=port)

    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_the_question_is_of_this_call(box: Sandbox, tmp_path: Path) -> None:
    """An answer counts for the call that asked, not for another text."""
    async with (
        service_of(box, tmp_path / "j") as service,
        served(service) as port,
        connected(port, "auto", User()) as client,
    ):
        asked = await client.session.call_tool(
            "run_workflow", {"definition": WRITE}, allow_input_required=True
        )
        assert isinstance(asked, types.InputRequiredResult)
        yes: Any = {"confirm": types.ElicitResult(action="accept", content={})}
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await client.session.call_tool(
                "run_workflow",
                {"definition": {**WRITE, "text": "Another text"}},
                input_responses=yes,
                request_state=asked.request_state,
                allow_input_required=True,
            )
        without = await client.session.call_tool(
            "run_workflow",
            {"definition": WRITE},
            input_responses=yes,
            allow_input_required=True,
        )

    assert isinstance(without, types.InputRequiredResult)
    assert not box.workflows


def test_the_list_is_short() -> None:
    """What a model reads of the tools is short, with and without writes."""
    for allow_writes in (False, True):
        listed = [
            tool.model_dump(by_alias=True, mode="json", exclude_none=True)
            for tool in tools(allow_writes=allow_writes)
        ]

        # About four characters are a token; the benchmark counts them.
        assert len(json.dumps(listed, separators=(",", ":"))) < 4 * 1200
