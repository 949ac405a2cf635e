"""The four tools: their descriptions for models, and their answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, get_args

from mcp import types

from linkedapi_async._actions.reference import format_action, search_actions
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Json
from linkedapi_async._utils.spelling import nearest
from linkedapi_async.agents._checks import Check
from linkedapi_async.agents._service import (
    Answer,
    AnswerStatus,
    Report,
    WorkflowService,
)


Consent: TypeAlias = Callable[[str], Awaitable[bool | types.InputRequiredResult]]
"""Asks the user; returns whether they agreed, or a question for the client."""

ToolResult: TypeAlias = types.CallToolResult | types.InputRequiredResult

_DEFINITION: Final[Json] = {
    "description": "{actionType, parameters, then: [nested actions]}, or a list of such",
    "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}],
}

_EXAMPLE: Final = (
    'For example {"actionType":"st.openPersonPage","personUrl":"https://…","basicInfo":'
    'true,"then":[{"actionType":"st.retrievePersonPosts","limit":5}]}'
)

_TEXT: Final[Json] = {"type": "string"}

_TEXTS: Final[Json] = {"type": "array", "items": _TEXT}

_ANSWER: Final[Json] = {
    "type": "object",
    "properties": {
        "status": {
            "enum": [*get_args(AnswerStatus)],
            "description": "unknown: it may have been sent",
        },
        "id": _TEXT,
        "note": _TEXT,
        "result": {"description": "The completion: data or error of each action"},
    },
    "required": ["status"],
}


def _object(*required: str, **properties: Json) -> Json:
    found: Json = {"type": "object", "properties": properties}
    return {**found, "required": list(required)}


def tools(*, allow_writes: bool) -> list[types.Tool]:
    """Return the tools as clients list them.

    Args:
        allow_writes: Whether workflows that write are sent.
    """
    writes = (
        "Writes are sent once: a repeat returns the first result."
        if allow_writes
        else "Only workflows that read; others are refused."
    )
    return [
        types.Tool(
            name="find_actions",
            description="Find LinkedIn actions, before you write a workflow: their parameters, "
            "and what nests in what. "
            "One match gives all details.",
            input_schema=_object(
                "query",
                query={**_TEXT, "description": "Action type or words; empty lists all"},
            ),
            output_schema=_object(
                "actions", actions={"type": "array", "items": {"type": "object"}}
            ),
            annotations=types.ToolAnnotations(
                read_only_hint=True, open_world_hint=False
            ),
        ),
        types.Tool(
            name="check_workflow",
            description="Check a workflow and estimate what it uses. Sends nothing.",
            input_schema=_object("definition", definition=_DEFINITION),
            output_schema=_object(
                "valid",
                valid={"type": "boolean"},
                problems=_TEXTS,
                warnings=_TEXTS,
                writes=_TEXTS,
                drawing=_TEXT,
                estimate=_TEXT,
            ),
            annotations=types.ToolAnnotations(
                read_only_hint=True, open_world_hint=False
            ),
        ),
        types.Tool(
            name="run_workflow",
            description="Run a workflow on the LinkedIn account and wait for the result. "
            f"If it takes longer, it goes on: pass its id to get_result. {writes}",
            input_schema=_object(
                "definition",
                definition={
                    **_DEFINITION,
                    "description": f"{_DEFINITION['description']}. {_EXAMPLE}",
                },
                key={
                    **_TEXT,
                    "description": "Names one write; default: its action and target",
                },
            ),
            output_schema=_ANSWER,
            annotations=types.ToolAnnotations(
                read_only_hint=not allow_writes,
                destructive_hint=allow_writes,
                idempotent_hint=True,
                open_world_hint=True,
            ),
        ),
        types.Tool(
            name="get_result",
            description="Wait for a workflow that was started earlier.",
            input_schema=_object("id", id=_TEXT),
            output_schema=_ANSWER,
            annotations=types.ToolAnnotations(
                read_only_hint=True, open_world_hint=True
            ),
        ),
    ]


# The arguments of each tool: the names, which of them are needed, and their types.
ARGUMENTS: Final[Mapping[str, Mapping[str, tuple[type, ...]]]] = {
    "find_actions": {"query": (str,)},
    "check_workflow": {"definition": (dict, list, str)},
    "run_workflow": {"definition": (dict, list, str), "key": (str, type(None))},
    "get_result": {"id": (str,)},
}


def problem_of(name: str, arguments: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the arguments of a tool; None if nothing is."""
    known = ARGUMENTS[name]
    for given in arguments:
        if given not in known:
            return f"{name} has no argument {given!r}; it takes {', '.join(known)}"
    for wanted, kinds in known.items():
        value = arguments.get(wanted)
        if not isinstance(value, kinds):
            words = " or ".join(kind.__name__ for kind in kinds)
            return f"{wanted} must be {words}, got {type(value).__name__}"
    return None


async def call(
    service: WorkflowService,
    name: str,
    arguments: Mapping[str, Any],
    *,
    consent: Consent,
    report: Report,
) -> ToolResult:
    """Call a tool.

    Args:
        service: Runs the workflows.
        name: One of the tools.
        arguments: What the model passes.
        consent: Asks the user before a write.
        report: Called with the progress.
    """
    problem = problem_of(name, arguments)
    if problem is not None:
        return types.CallToolResult(
            content=[types.TextContent(text=problem)], is_error=True
        )
    if name == "find_actions":
        return _found(arguments["query"])
    if name == "get_result":
        return _answered(await service.result(arguments["id"], report))
    check = service.check(arguments["definition"])
    if name == "check_workflow":
        return _result(check.facts(service.generation), is_error=False)
    answer = await _run(service, check, arguments.get("key"), consent, report)
    return (
        answer if isinstance(answer, types.InputRequiredResult) else _answered(answer)
    )


async def _run(
    service: WorkflowService,
    check: Check,
    key: str | None,
    consent: Consent,
    report: Report,
) -> Answer | types.InputRequiredResult:
    """Run a workflow, once the user agrees to its writes."""
    if check.problems:
        return _not_sent("; ".join(check.problems))
    if check.writes:
        if not service.allow_writes:
            return _not_sent(
                "this server only reads, and the workflow writes "
                f"({', '.join(check.written)}); the user can start the server with "
                "--allow-writes"
            )
        earlier = await service.earlier(check, key, report)
        if earlier is not None:
            return earlier
        granted = await consent(check.question(service.account.name))
        if isinstance(granted, types.InputRequiredResult):
            return granted
        if not granted:
            return _not_sent("the user declined; do not try it again")
    return await service.run(check, key, report)


def _not_sent(reason: str) -> Answer:
    return Answer(status="not_sent", note=f"nothing was sent: {reason}")


def _found(query: str) -> types.CallToolResult:
    found = search_actions(query)
    if not found:
        alike = nearest(query, ACTIONS)
        hint = f"; did you mean {alike}?" if alike else "; an empty query lists all"
        text = f"no action matches {query!r}{hint}"
        return _result({"actions": []}, is_error=False, text=text)
    if len(found) == 1:
        return _result(
            {"actions": found}, is_error=False, text="\n".join(format_action(found[0]))
        )
    brief = [
        {name: one[name] for name in ("actionType", "effect", "summary")}
        for one in found
    ]
    lines = [
        f"{one['actionType']} ({one['effect']}): {one['summary']}" for one in brief
    ]
    return _result({"actions": brief}, is_error=False, text="\n".join(lines))


def _answered(answer: Answer) -> types.CallToolResult:
    return _result(answer.to_dict(), is_error=answer.is_error)


def _result(
    facts: Json, *, is_error: bool, text: str | None = None
) -> types.CallToolResult:
    if text is None:
        text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        structured_content=facts,
        is_error=is_error,
    )
