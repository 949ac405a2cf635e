"""Sessions: start workflows on LinkedIn accounts, wait for them, read their results."""

from linkedapi_async._polling.durations import Estimate
from linkedapi_async.session._account import Account
from linkedapi_async.session._as_completed import AsCompleted
from linkedapi_async.session._deferral import Deferred
from linkedapi_async.session._durations import Durations
from linkedapi_async.session._handle import WorkflowHandle
from linkedapi_async.session._inbox import ItemStream
from linkedapi_async.session._session import Recovered, Session, Stats


__all__ = [
    "Account",
    "AsCompleted",
    "Deferred",
    "Durations",
    "Estimate",
    "ItemStream",
    "Recovered",
    "Session",
    "Stats",
    "WorkflowHandle",
]
