"""A local server that behaves like the Linked API, with made-up people.

::

    async with Sandbox(speed=100) as sandbox, sandbox.session() as session:
        company = await session.run(workflow)

``python -m linkedapi_async.sandbox --port 8080`` runs one as a program.
"""

from linkedapi_async.sandbox._faults import Fault, FaultHit
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._script import Script
from linkedapi_async.sandbox._server import Sandbox
from linkedapi_async.sandbox._webhook_delivery import (
    RecordedDelivery,
    WebhookFaultHit,
    WebhookFaults,
)
from linkedapi_async.sandbox._working_hours import WorkingHours


__all__ = [
    "Fault",
    "FaultHit",
    "RecordedDelivery",
    "RecordedWorkflow",
    "RequestLog",
    "Sandbox",
    "Script",
    "WebhookFaultHit",
    "WebhookFaults",
    "WorkingHours",
]
