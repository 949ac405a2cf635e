"""Webhook events: checked, typed, and each reported once.

`WebhookReceiver.handle` is a handler for aiohttp applications. `WebhookReceiver.receive`
accepts headers and body from any other framework. `verify` and `read_event` do its two
steps without memory::

    receiver = WebhookReceiver(secret)
    app.router.add_post("/hook", receiver.handle)
    async for event in receiver.events():
        ...

Events are delivered at least once, in any order. https://linkedapi.io/docs/webhooks
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
from linkedapi_async.webhooks._receiver import EventStream, WebhookReceiver
from linkedapi_async.webhooks._signature import sign, verify


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
