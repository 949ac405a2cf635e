"""How items end: what is stored of an end, and how it is read."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Any

import attrs

from linkedapi_async._http.responses import CompletedWorkflow
from linkedapi_async._results.completion import Completion
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.log import error_reason
from linkedapi_async._wire.load import load_silently
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    LinkedApiError,
    RejectedError,
    RequestError,
    SuppressedError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.fleet._starts import End, ItemEndStatus
from linkedapi_async.session._deferral import may_write
from linkedapi_async.session._journaling import may_have_written


def refusal_of(error: LinkedApiError) -> End:
    """Return the end of an item that was not started, and is not tried again."""
    facts: dict[str, Any] = {"message": error.message, "request": None}
    if isinstance(error, RequestError):
        facts["request"] = {"type": error.type, "http_status": error.http_status}
    if isinstance(error, SuppressedError):
        since = None if error.since is None else error.since.isoformat()
        facts["suppressed"] = {"target": error.target, "since": since, "key": error.key}
    return End(
        status="refused",
        body=encode_json(facts).decode(),
        error=error_reason(error),
    )


def end_of(end: Completion | LinkedApiError, workflow: Any, workflow_id: str) -> End:
    """Return the stored form of a workflow's end."""
    if isinstance(end, Completion):
        failed = next(iter(end.errors), None)
        return End(
            status="completed",
            workflow_id=workflow_id,
            body=encode_json(end.raw).decode(),
            error=error_reason(failed),
            wrote=may_have_written(CompletedWorkflow(end.raw), None),
        )
    status: ItemEndStatus = "failed"
    facts = None
    if isinstance(end, WorkflowCancelledError):
        status = "cancelled"
    elif isinstance(end, WorkflowNotFoundError):
        status = "lost"
    else:
        facts = {
            "reason": getattr(end, "reason", None) or type(end).__name__,
            "message": getattr(end, "explanation", end.message),
            "raw": getattr(end, "raw", None),
        }
    return End(
        status=status,
        workflow_id=workflow_id,
        body=None if facts is None else encode_json(facts).decode(),
        error=error_reason(end),
        wrote=may_write(workflow),
    )


@attrs.frozen(kw_only=True, eq=False, slots=False)
class Done:
    """An item that has ended, as `Queue.results` yields it."""

    cursor: int
    """The position after which the next read continues; it grows with each result."""
    key: str
    """The item's key."""
    account: str
    """The account that it was for."""
    workflow_id: str | None
    """The API's id of its workflow; None if none was started."""
    status: ItemEndStatus
    """How it ended.

    ``completed``: with a completion, even if actions of it failed. ``failed``: as a
        whole. ``cancelled``: by `Queue.cancel` or elsewhere. ``lost``: the API does not
        know its id. ``refused``: it was not started, and is not tried again.
    """
    error: str | None
    """The reason, if it or an action of it failed."""
    wrote: bool
    """Whether it may have changed something on LinkedIn."""
    definition: str = attrs.field(repr=False)
    """The workflow as JSON."""
    body: str | None = attrs.field(repr=False)
    """The completion or the failure as JSON."""

    @functools.cached_property
    def workflow(self) -> Any:
        """The workflow that was submitted: an action, or a tuple of roots."""
        return load_silently(self.definition)

    def completion(self) -> Completion:
        """Return its result tree.

        Raises:
            WorkflowFailedError: The workflow as a whole failed.
            WorkflowCancelledError: It was cancelled.
            WorkflowNotFoundError: The API does not know its id.
            RejectedError: The API refused it.
            SuppressedError: Its target was contacted before; nothing was sent.
            WorkflowError: The workflow is wrong; nothing was sent.
        """
        facts: Any = None if self.body is None else decode_json(self.body.encode())
        if self.status == "completed":
            return read_completion(facts, self.workflow, self.workflow_id)
        if self.status == "failed":
            raise WorkflowFailedError(**facts, workflow_id=self.workflow_id)
        if self.status == "lost":
            raise WorkflowNotFoundError(workflow_id=str(self.workflow_id))
        if self.status == "cancelled":
            raise WorkflowCancelledError(workflow_id=self.workflow_id)
        if facts["request"] is not None:
            raise RejectedError(facts["message"], **facts["request"])
        if "suppressed" in facts:
            found = facts["suppressed"]
            since = found["since"] and dt.datetime.fromisoformat(found["since"])
            raise SuppressedError(facts["message"], **{**found, "since": since})
        raise WorkflowError(facts["message"])

    def result(self) -> Any:
        """Return what its root yields, typed; an array workflow gives a tuple.

        Raises:
            ActionError: The root failed; its `completion` has all outcomes.
            LinkedApiError: As for `completion`.
        """
        completion = self.completion()
        if isinstance(self.workflow, tuple):
            return tuple(root.value() for root in completion.roots)
        return completion.root.value()


def done_from(row: Any) -> Done:
    """Return the item of a row of results, joined with its definition."""
    return Done(
        cursor=row.number,
        key=row.key,
        account=row.account,
        workflow_id=row.workflow_id,
        status=row.status,
        error=row.error,
        wrote=row.wrote,
        definition=row.definition,
        body=row.body,
    )
