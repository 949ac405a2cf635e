"""What the items of a stream do to whom, with a limit."""

from __future__ import annotations

import hashlib
from typing import Any

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.acts import Act, acts_of
from linkedapi_async._utils.secret import Secret
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.errors import SuppressedError, WorkflowError
from linkedapi_async.session._deferral import may_write
from linkedapi_async.session._recent import MAX_REMEMBERED


class RecentActs:
    """Remembers what the last items do to whom, with their keys.

    Targets are kept as digests, so that memory is bounded.
    """

    __slots__ = ("_keys", "_limit")

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._keys: dict[bytes, str] = {}

    def add(self, key: str, workflow: Secret[Any]) -> SuppressedError | None:
        """Remember the acts of an item; return the error if another item has one.

        Args:
            key: The item's key.
            workflow: The workflow: actions, or JSON values.
        """
        found = None
        for act in _acts(workflow):
            first = self._add(key, act)
            if first != key and found is None:
                message = (
                    f"{act.action_type} to {act.target} is in the item {first!r} "
                    "already; nothing was sent for this one"
                )
                found = SuppressedError(message, target=str(act.target), key=first)
        return found

    def _add(self, key: str, act: Act) -> str:
        """Return the key of the first item with an act."""
        data = f"{act.kind} {act.target}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16).digest()
        first = self._keys.setdefault(digest, key)
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]
        return first


def _acts(secret: Secret[Any]) -> list[Act]:
    """Return the acts with a target; none of what is no workflow, which fails later."""
    workflow = secret.reveal()
    if isinstance(workflow, Action) and not may_write(workflow):
        return []  # in a tenth of the time, for each item that is done already
    if isinstance(workflow, Action | tuple):
        try:
            workflow = dump_workflow(workflow)
        except (WorkflowError, TypeError):
            return []
    return [act for act in acts_of(workflow) if act.target is not None]
