"""The asyncio client for Linked API: workflows, checked before they are sent.

Independent of Linked API.
"""

from linkedapi_async import errors, nv, params, results, st
from linkedapi_async._actions.action import Action, Workflow
from linkedapi_async._actions.custom import custom
from linkedapi_async._polling.durations import Estimate
from linkedapi_async._results.completion import Completion, Outcome, Result
from linkedapi_async._utils.display import Renderer as _Renderer
from linkedapi_async._utils.display import use_renderer as _use_renderer
from linkedapi_async._version import __version__
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    AccountPausedError,
    ActionError,
    AllowanceError,
    AmbiguousKeyError,
    AuthenticationError,
    ConnectionFailedError,
    ConnectionPendingError,
    InvalidDefinitionError,
    JournalError,
    JournalLockedError,
    LinkedApiError,
    NestingError,
    NotConnectedError,
    PaceError,
    ParameterError,
    PollingCrashedError,
    ProtocolError,
    QueueError,
    RateLimitedError,
    RejectedError,
    RequestError,
    ResultMissingError,
    SessionClosedError,
    SignatureError,
    StartUnknownError,
    SuppressedError,
    TextWarning,
    UnknownValueWarning,
    UnsupportedError,
    WaitTimeoutError,
    WebhookError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.policies import Pace, Polling, Ramp, Retries
from linkedapi_async.session import Recovered, Session, Stats
from linkedapi_async.session._account import Account
from linkedapi_async.session._as_completed import AsCompleted
from linkedapi_async.session._deferral import Deferred
from linkedapi_async.session._durations import Durations
from linkedapi_async.session._handle import WorkflowHandle


__all__ = [
    "Account",
    "AccountPausedError",
    "Action",
    "ActionError",
    "AllowanceError",
    "AmbiguousKeyError",
    "AsCompleted",
    "AuthenticationError",
    "Completion",
    "ConnectionFailedError",
    "ConnectionPendingError",
    "Deferred",
    "Durations",
    "Estimate",
    "InvalidDefinitionError",
    "JournalError",
    "JournalLockedError",
    "LinkedApiError",
    "NestingError",
    "NotConnectedError",
    "Outcome",
    "Pace",
    "PaceError",
    "ParameterError",
    "Polling",
    "PollingCrashedError",
    "ProtocolError",
    "QueueError",
    "Ramp",
    "RateLimitedError",
    "Recovered",
    "RejectedError",
    "RequestError",
    "Result",
    "ResultMissingError",
    "Retries",
    "Session",
    "SessionClosedError",
    "SignatureError",
    "StartUnknownError",
    "Stats",
    "SuppressedError",
    "TextWarning",
    "UnknownValueWarning",
    "UnsupportedError",
    "WaitTimeoutError",
    "WebhookError",
    "Workflow",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowFailedError",
    "WorkflowHandle",
    "WorkflowNotFoundError",
    "__version__",
    "custom",
    "dump_workflow",
    "errors",
    "load_workflow",
    "nv",
    "params",
    "read_completion",
    "results",
    "st",
]


def _drawing() -> _Renderer:
    from linkedapi_async import draw  # noqa: PLC0415  # few programs draw

    return draw


_use_renderer(_drawing)
