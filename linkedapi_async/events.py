"""What a session tells those who listen, typed: started, running, finished, retried.

::

    def slow(event: WorkflowFinished) -> None:
        if event.polls > 100:
            print(event.workflow_id, event.reason)

    unsubscribe = session.on(WorkflowFinished, slow)

They are made on this side, of what the session does and sees; what Linked API tells by
itself is in `linkedapi_async.webhooks`. An event is made only if somebody listens for
its class, so what nobody asks for costs nothing. `PollAnswered` is the one of which
there are many.
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
    "StartUnknown",
    "WorkflowAttached",
    "WorkflowDelivered",
    "WorkflowFinished",
    "WorkflowRunning",
    "WorkflowStarted",
    "WorkflowStarting",
]
