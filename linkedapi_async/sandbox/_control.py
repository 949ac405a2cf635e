"""The control of a sandbox over HTTP, for programs in other languages.

``POST /sandbox/NAME`` takes a JSON object with the parameters of a method of `Sandbox`,
by their names in camelCase. ``GET /sandbox/log`` lists the accepted workflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from linkedapi_async._utils.json import decode_json
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._responses import ApiError, invalid_payload
from linkedapi_async.sandbox._working_hours import WorkingHours


class Controlled(Protocol):
    """The methods of a sandbox that can be called over HTTP."""

    log: RequestLog

    def clear_faults(self) -> None:
        """Forget all faults and failures that are planned."""
        ...

    def fail_action(
        self, action_type: str, reason: str, message: str | None = None
    ) -> None:
        """Let every action of a type fail."""
        ...

    def fail_next(
        self, reason: str, message: str | None = None, account: str | None = None
    ) -> None:
        """Let the next workflow fail."""
        ...

    def set_limits(self, account: str, limits: Mapping[tuple[str, str], int]) -> None:
        """Set the limits of an account."""
        ...

    def set_note_limit(self, account: str, maximum: int | None) -> None:
        """Set how many connection requests may have a note."""
        ...

    def set_working_hours(self, account: str, hours: WorkingHours | None) -> None:
        """Set the working hours of an account."""
        ...

    def sign_in(self, account: str) -> None:
        """Connect an account again."""
        ...

    def sign_out(self, account: str) -> None:
        """Sign an account out."""
        ...


def control(sandbox: Controlled, name: str, body: bytes) -> None:
    """Call a method of a sandbox.

    Raises:
        ApiError: The method is unknown, or a parameter is wrong.
    """
    calls: dict[str, Callable[..., None]] = {
        "clearFaults": sandbox.clear_faults,
        "failAction": lambda actionType, reason, message=None: sandbox.fail_action(  # noqa: N803  # as in JSON
            actionType, reason, message
        ),
        "failNext": sandbox.fail_next,
        "setLimits": lambda account, limits: sandbox.set_limits(
            account,
            {(each["category"], each["period"]): each["maxValue"] for each in limits},
        ),
        "setNoteLimit": sandbox.set_note_limit,
        "setWorkingHours": lambda account, hours: sandbox.set_working_hours(
            account, None if hours is None else _hours(hours)
        ),
        "signIn": sandbox.sign_in,
        "signOut": sandbox.sign_out,
    }
    if name not in calls:
        message = f"unknown control {name!r}; known: {', '.join(calls)}"
        raise ApiError("notFound", message, 404)
    try:
        calls[name](**decode_json(body or b"{}"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise invalid_payload(str(error) or type(error).__name__) from None


def _hours(fields: Mapping[str, Any]) -> WorkingHours:
    given = dict(fields)
    if "maxWait" in given:
        given["max_wait"] = given.pop("maxWait")
    return WorkingHours(**given)


def log_of(log: RequestLog, ended: Callable[[RecordedWorkflow], Any]) -> dict[str, Any]:
    """Return the requests and workflows of a sandbox as JSON, without tokens."""
    return {
        "starts": log.starts,
        "polls": log.polls,
        "cancels": log.cancels,
        "others": log.others,
        "workflows": [*_workflows(log.workflows, ended)],
    }


def _workflows(
    workflows: Iterable[RecordedWorkflow], ended: Callable[[RecordedWorkflow], Any]
) -> Iterable[dict[str, Any]]:
    for workflow in workflows:
        state = workflow.state
        yield {
            "id": workflow.id,
            "account": workflow.account,
            "generation": workflow.generation,
            "definition": workflow.definition,
            "status": state,
            "accepted": workflow.accepted,
            "started": workflow.started,
            "finished": workflow.finished,
            "polls": workflow.polls,
            **(ended(workflow) if state in {"completed", "failed"} else {}),
        }
