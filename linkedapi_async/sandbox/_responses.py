"""The responses of the sandbox: the envelope, errors, failures and states."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from linkedapi_async._utils.json import encode_json
from linkedapi_async.sandbox._lane import WorkflowFailure


MESSAGES = {
    "linkedinAccountSignedOut": (
        "This LinkedIn account has been signed out in our cloud browser."
    ),
    "subscriptionRequired": (
        "No purchased subscription seats available for this LinkedIn account."
    ),
}
"""Messages from the documentation; https://linkedapi.io/docs/making-requests"""


class ApiError(Exception):
    """A request that is answered with an error in the API's envelope."""

    def __init__(self, type: str, message: str, status: int) -> None:
        super().__init__(type)
        self.type = type
        self.message = message
        self.status = status


def invalid_payload(detail: str) -> ApiError:
    """Return the error of a request whose body or parameters are wrong."""
    message = f"Invalid request body/parameters: {detail}."
    return ApiError("invalidRequestPayload", message, 400)


def failure_of(reason: str, message: str | None = None) -> WorkflowFailure:
    """Return a failure, by default with the documentation's message."""
    default = MESSAGES.get(reason, f"The sandbox was scripted to answer {reason}.")
    return WorkflowFailure(reason, message or default)


def reply(envelope: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        body=encode_json(envelope), status=status, content_type="application/json"
    )


def state_fields(state: str, closed: str | None = None) -> dict[str, Any]:
    """Return the fields that describe the state of a workflow.

    Args:
        state: The state.
        closed: The message of a workflow that waits for the working hours.
    """
    fields = {"workflowStatus": state}
    if closed is not None:
        return {**fields, "pendingReason": "outsideWorkingHours", "message": closed}
    return {**fields, "pendingReason": "queued"} if state == "pending" else fields
