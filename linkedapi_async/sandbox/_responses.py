"""What every answer of the sandbox is made of: envelope, refusals, keys, definitions."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from aiohttp import web

from linkedapi_async._actions.action import AnyAction, named_roots, paths
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.custom import custom
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.errors import (
    InvalidDefinitionError,
    UnknownValueWarning,
    WorkflowError,
)
from linkedapi_async.sandbox._lane import Failure


TOKEN_HEADERS: dict[Generation, str] = {
    "account_api": "account-api-token",
    "linked_api": "linked-api-token",
}

MESSAGES = {
    "linkedinAccountSignedOut": (
        "This LinkedIn account has been signed out in our cloud browser."
    ),
    "subscriptionRequired": (
        "No purchased subscription seats available for this LinkedIn account."
    ),
}
"""What the API's documentation prints; https://linkedapi.io/docs/making-requests"""


class ApiError(Exception):
    """A request that is answered with an error in the API's envelope."""

    def __init__(self, type: str, message: str, status: int) -> None:
        super().__init__(type)
        self.type = type
        self.message = message
        self.status = status


class LoopClock:
    """The clock of the event loop, from when the sandbox was entered."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0
        self._stopped = 0.0

    def start(self) -> None:
        """Let the time begin."""
        self._loop = asyncio.get_running_loop()
        self._origin = self._loop.time()

    def stop(self) -> None:
        """Let the time stand still, so that what was seen stays as it was."""
        self._stopped = self.now()
        self._loop = None

    def now(self) -> float:
        """Return the time in seconds."""
        if self._loop is None:
            return self._stopped
        return self._loop.time() - self._origin


def _checked_token(
    request: web.Request, header: str, valid: tuple[str, ...] | None
) -> str:
    token = request.headers.get(header, "")
    if not token:
        word = _word(header)
        required = f"{word[0].lower()}{word[1:]}Required"
        message = f"'{header}' is missing in request headers."
        raise ApiError(required, message, 401)
    if valid is not None and token not in valid:
        raise _invalid_token(header)
    return token


def _invalid_token(header: str) -> ApiError:
    message = f"The provided '{header}' is invalid."
    return ApiError(f"invalid{_word(header)}", message, 401)


def _word(header: str) -> str:
    return "".join(part.capitalize() for part in header.split("-"))


def account_name(identification_token: str) -> str:
    """Return the name of an account, which identifies it and tells nothing.

    It is the default name that a session gives.
    """
    return hashlib.sha256(identification_token.encode()).hexdigest()[:12]


def account_id(name: str) -> str:
    """Return the id that the API gives to an account, a uuid, by its name."""
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=b"account").digest()
    return str(uuid.UUID(bytes=digest, version=4))


def failure_of(reason: str, message: str | None) -> Failure:
    """Return why a workflow fails, in the documentation's words where it has any."""
    text = message or MESSAGES.get(reason, f"The sandbox was told to say {reason}.")
    return Failure(reason, text)


def reply(envelope: Any, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        body=encode_json(envelope), status=status, content_type="application/json"
    )


def state_fields(state: str) -> dict[str, Any]:
    """Return what the API says of the state of a workflow."""
    fields = {"workflowStatus": state}
    return {**fields, "pendingReason": "queued"} if state == "pending" else fields


def read(body: bytes) -> Any:
    """Return a definition as it came.

    Raises:
        Refusal: It is no JSON, or neither an object nor an array.
    """
    try:
        definition = decode_json(body)
    except (ValueError, RecursionError):
        definition = None
    if not isinstance(definition, dict | list):
        detail = "a JSON object or array is due"
        message = f"Invalid request body/parameters: {detail}."
        raise ApiError("invalidRequestPayload", message, 400)
    return definition


def loaded(definition: Any) -> Any:
    """Return the checked workflow of a definition."""
    with warnings.catch_warnings():
        # Unknown words pass, as in a client; unknown action types are dealt with.
        warnings.simplefilter("ignore", UnknownValueWarning)
        return load_workflow(definition)


def checked(definition: Any, generation: Generation) -> list[AnyAction]:
    """Return the roots of a workflow.

    Raises:
        Refusal: With all problems, each with its path.
    """
    try:
        roots = list(named_roots(loaded(definition)))
    except InvalidDefinitionError as error:
        raise _invalid(error.problems) from None
    problems = [p for path, root in roots for p in _misfits(root, generation, path)]
    if problems:
        raise _invalid(problems)
    return [root for _, root in roots]


def _misfits(
    root: AnyAction, generation: Generation, path: str
) -> Iterator[WorkflowError]:
    for place, node in paths(root, path):
        if isinstance(node, custom):
            message = f"{node.action_type!r} is not an action type"
            yield WorkflowError(message, path=place)
    yield from unsupported_in(root, generation, path)


def _invalid(problems: Collection[WorkflowError]) -> ApiError:
    details = "; ".join(str(problem) for problem in problems)
    # https://linkedapi.io/docs/executing-workflows
    message = (
        "The workflow configuration is not valid due to violated action constraints or "
        f"invalid action parameters: {details}."
    )
    return ApiError("invalidWorkflow", message, 400)


def needs_plus(root: AnyAction) -> bool:
    """Return whether a workflow needs the Plus plan."""
    return any(node.action_type.startswith("nv.") for node in root.walk())
