"""A local server that behaves like the Linked API, with people who do not exist.

::

    async with Sandbox(speed=100) as sandbox, sandbox.session() as session:
        company = await session.run(workflow)

``python -m linkedapi_async.sandbox --port 8080`` runs one for other programs.
"""

from linkedapi_async.sandbox._deliveries import (
    ConsumedEvent,
    Delivery,
    WebhookFaults,
)
from linkedapi_async.sandbox._faults import Consumed, Fault
from linkedapi_async.sandbox._queue import Seen, SeenWorkflow
from linkedapi_async.sandbox._script import Script
from linkedapi_async.sandbox._server import Sandbox


__all__ = [
    "Consumed",
    "ConsumedEvent",
    "Delivery",
    "Fault",
    "Sandbox",
    "Script",
    "Seen",
    "SeenWorkflow",
    "WebhookFaults",
]
