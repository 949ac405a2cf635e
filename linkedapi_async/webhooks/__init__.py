"""Events that Linked API sends by itself: checked, typed, and each told once.

`WebhookReceiver.handle` is mounted in an aiohttp application; `WebhookReceiver.receive`
takes headers and body from any other framework; `verify` and `read_event` are its two
halves, pure and without memory::

    receiver = WebhookReceiver(secret)
    app.router.add_post("/hook", receiver.handle)
    async for event in receiver.events():
        ...

Delivery is at least once and in no certain order. https://linkedapi.io/docs/webhooks
"""

from linkedapi_async.errors import SignatureError, WebhookError
from linkedapi_async.webhooks._events import (
    AccountEvent,
    ConnectionEvent,
    Event,
    MessageEvent,
    UnknownEvent,
    WebhookTestEvent,
    WorkflowEvent,
    read_event,
)
from linkedapi_async.webhooks._receiver import (
    EventStream,
    WebhookReceiver,
    sign,
    verify,
)


__all__ = [
    "AccountEvent",
    "ConnectionEvent",
    "Event",
    "EventStream",
    "MessageEvent",
    "SignatureError",
    "UnknownEvent",
    "WebhookError",
    "WebhookReceiver",
    "WebhookTestEvent",
    "WorkflowEvent",
    "read_event",
    "sign",
    "verify",
]
