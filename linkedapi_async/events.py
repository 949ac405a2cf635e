"""Typed session events: started, running, finished, retried.

::

    def slow(event: WorkflowFinished) -> None:
        if event.polls > 100:
            print(event.workflow_id, event.reason)

    unsubscribe = session.on(WorkflowFinished, slow)

The session itself creates these events; the events that Linked API sends by webhooks
are in `linkedapi_async.webhooks`. An event is created only if there is a subscription
to its class, so all others cost nothing. `PollAnswered` is the only frequent one.
"""

from linkedapi_async.session._events import (
    AccountPaused,
    AccountUnpaused,
    LaneReordered,
    OutageBegan,
    OutageEnded,
    PollAnswered,
    RequestRetried,
    SessionEvent,
    StartFailed,
    StartHeldBack,
    StartUnknown,
    WorkflowAttached,
    WorkflowDelivered,
    WorkflowFinished,
    WorkflowRunning,
    WorkflowStarted,
    WorkflowStarting,
)


__all__ = [
    "AccountPaused",
    "AccountUnpaused",
    "LaneReordered",
    "OutageBegan",
    "OutageEnded",
    "PollAnswered",
    "RequestRetried",
    "SessionEvent",
    "StartFailed",
    "StartHeldBack",
    "StartUnknown",
    "WorkflowAttached",
    "WorkflowDelivered",
    "WorkflowFinished",
    "WorkflowRunning",
    "WorkflowStarted",
    "WorkflowStarting",
]
