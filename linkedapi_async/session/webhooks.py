"""Webhook events in a session: the public door to what `Session.listen` returns.

It is a module of its own because only programs that listen need to load it.
"""

from linkedapi_async.session._webhooks import WebhookSubscription


__all__ = ["WebhookSubscription"]
