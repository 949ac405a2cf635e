"""Typed session events: started, running, finished, retried.

::

    def slow(event: WorkflowFinished) -> None:
        if event.polls > 100:
            print(event.workflow_id, event.reason)

    unsubscribe = session.on(WorkflowFinished, slow)

The session makes them from what it does and sees; what Linked API reports by webhooks is
in `linkedapi_async.webhooks`. An event is made only if there is a subscription to its
class, so all others cost nothing. Only of `PollAnswered` there are many.
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
