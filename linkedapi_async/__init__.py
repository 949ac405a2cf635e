"""The asyncio client for Linked API: workflows, checked before they are sent.

Independent of Linked API.
"""

from linkedapi_async import errors, nv, params, results, st
from linkedapi_async._account import Account
from linkedapi_async._action import Action, Workflow, custom
from linkedapi_async._handle import WorkflowHandle
from linkedapi_async._outcomes import Completion, Outcome, Result
from linkedapi_async._stream import AsCompleted
from linkedapi_async._version import __version__
from linkedapi_async._wire import dump_workflow, load_workflow
from linkedapi_async.errors import (
    AccountPausedError,
    ActionError,
    AmbiguousKeyError,
    AuthenticationError,
    ChildMissingError,
    ConnectionFailedError,
    ConnectionPendingError,
    InvalidDefinitionError,
    JournalError,
    JournalLockedError,
    LinkedApiError,
    NestingError,
    NotConnectedError,
    ParameterError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    SessionClosedError,
    SignatureError,
    StartUnknownError,
    UnknownValueWarning,
    UnsupportedError,
    WaitTimeoutError,
    WebhookError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)
from linkedapi_async.policies import Polling, Retries
from linkedapi_async.session import Resumed, Session, Stats


__all__ = [
    "Account",
    "AccountPausedError",
    "Action",
    "ActionError",
    "AmbiguousKeyError",
    "AsCompleted",
    "AuthenticationError",
    "ChildMissingError",
    "Completion",
    "ConnectionFailedError",
    "ConnectionPendingError",
    "InvalidDefinitionError",
    "JournalError",
    "JournalLockedError",
    "LinkedApiError",
    "NestingError",
    "NotConnectedError",
    "Outcome",
    "ParameterError",
    "Polling",
    "ProtocolError",
    "RateLimitedError",
    "RejectedError",
    "RequestError",
    "Result",
    "Resumed",
    "Retries",
    "Session",
    "SessionClosedError",
    "SignatureError",
    "StartUnknownError",
    "Stats",
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
    "results",
    "st",
]
