"""Mutations of the API's examples give values, or errors of the tree."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from linkedapi_async import LinkedApiError, load_workflow
from linkedapi_async._http.responses import (
    CompletedWorkflow,
    Response,
    read_cancelled,
    read_poll,
    read_result,
    read_started,
    read_workflow_status,
)
from linkedapi_async._polling.answers import Ended, PollFailed, StillRunning
from linkedapi_async._wire.read import read_completion


DATA = Path(__file__).parents[1] / "data"
MUTATIONS = 100_000
ODD: list[Any] = [
    None,
    True,
    -1,
    2**70,
    0.5,
    "",
    "\ud83d",
    "../x",
    [],
    [None],
    {},
    {"then": {}},
    [[{}]],
    {"actionType": 5, "success": "x", "data": [], "error": 3},
]
BYTES = (b"\xff", b"{", b"]", b'"', b"NaN", b"\\ud83d", b"\x00", b"1e999", b",")


def examples() -> list[Any]:
    """Return all answers of the examples, each as the API would send it."""
    http = json.loads((DATA / "examples_http.json").read_text(encoding="utf-8"))
    bodies = [entry["response"] for entry in http if entry["response"]]
    workflows = json.loads(
        (DATA / "examples_workflows.json").read_text(encoding="utf-8")
    )
    for entry in workflows:
        if entry["completion"]:
            result = {"workflowStatus": "completed", "completion": entry["completion"]}
            bodies.append({"success": True, "result": result})
    return bodies


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return every place inside *value*, as container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        found.append((value, key))
        if isinstance(item, dict | list):
            places(item, found)
    return found


def mutated(rng: random.Random, example: Any) -> bytes:
    """Return the bytes of *example* with one to three mutations."""
    value = copy.deepcopy(example)
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(places(value, []) or [([0], 0)])
        if rng.random() < 0.2 and isinstance(container, dict):
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    body = json.dumps(value).encode()
    if rng.random() < 0.2:
        at = rng.randrange(len(body))
        body = body[:at] + rng.choice(BYTES) + body[at + rng.randint(0, 3) :]
    return body[: rng.randrange(len(body))] if rng.random() < 0.05 else body


def test_no_answer_breaks_the_reader() -> None:
    """Any bytes give a value or an error of the tree, and `raw` is the JSON."""
    rng = random.Random(20)
    bodies = examples()
    kinds = {Ended: 0, PollFailed: 0, StillRunning: 0}
    for _ in range(MUTATIONS):
        body = mutated(rng, rng.choice(bodies))
        status = rng.choice((200,) * 7 + (404, 429, 500))
        reply = Response(status, {"Retry-After": "9" * rng.randint(0, 12)}, body)
        answer = read_poll(reply, "wf-1", now=0.0)
        kinds[type(answer)] += 1
        if isinstance(answer, Ended) and isinstance(answer.value, CompletedWorkflow):
            raw = answer.value.raw
            before = repr(raw)
            completion = read_completion(raw, None, "wf-1")
            for outcome in completion.walk():
                repr(outcome.data)

            assert raw is completion.raw
            assert before == repr(raw)
        elif isinstance(answer, PollFailed):
            assert isinstance(answer.error, LinkedApiError)
        try:
            result = read_result(reply, now=0.0)
        except LinkedApiError:
            continue
        for read in (
            read_started,
            read_cancelled,
            lambda r: read_workflow_status(r, "wf-1"),
        ):
            with contextlib.suppress(LinkedApiError):
                read(result)

    assert min(kinds.values()) > 500


@pytest.mark.filterwarnings("ignore::linkedapi_async.UnknownValueWarning")
def test_no_definition_breaks_the_loader() -> None:
    """Any JSON is a workflow or an error; without checks, any object loads."""
    rng = random.Random(21)
    workflows = json.loads(
        (DATA / "examples_workflows.json").read_text(encoding="utf-8")
    )
    definitions = [entry["workflow"] for entry in workflows]
    for _ in range(MUTATIONS // 20):
        body = mutated(rng, rng.choice(definitions))
        with contextlib.suppress(LinkedApiError):
            load_workflow(body)
        try:
            definition = orjson.loads(body)
        except ValueError:
            continue
        if isinstance(definition, dict):
            load_workflow(definition, check=False)
