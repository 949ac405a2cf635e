"""The worker of ``fleet_demo.py``; ``linkedapi worker fleet_worker:worker`` runs it."""

from __future__ import annotations

import os

from linkedapi_async import Session
from linkedapi_async.fleet import Worker


async def token(account: str) -> str:
    """Return the token of an account; yours may come from a vault."""
    return f"token-of-{account}"


worker = Worker(
    os.environ["LINKED_API_QUEUE"],
    session=Session.from_env,
    token=token,
    ttl=3,
    interval=0.2,
)
