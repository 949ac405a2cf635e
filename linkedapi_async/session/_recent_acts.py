"""A bounded memory of the acts of a stream's items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.acts import Act, acts_by_digest
from linkedapi_async._utils.secret import Secret
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.errors import SuppressedError, WorkflowError
from linkedapi_async.session._deferral import may_write
from linkedapi_async.session._recent import MAX_REMEMBERED


class RecentActs:
    """Remembers the acts of the last items, with their keys.

    Targets are kept as digests, so that memory is bounded.
    """

    __slots__ = ("_keys", "_limit")

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._keys: dict[bytes, str] = {}

    def add(self, key: str, acts: Mapping[bytes, Act]) -> SuppressedError | None:
        """Remember the acts of an item; return an error if another item has one.

        Args:
            key: The item's key.
            acts: Its acts, by the digests of their targets.
        """
        found = None
        for digest, act in acts.items():
            first = self._keys.setdefault(digest, key)
            if len(self._keys) > self._limit:
                del self._keys[next(iter(self._keys))]
            if first != key and found is None:
                message = (
                    f"{act.action_type} to {act.target} is in the item {first!r} "
                    "already; nothing was sent for this one"
                )
                found = SuppressedError(message, target=str(act.target), key=first)
        return found


def acts_of_item(secret: Secret[Any]) -> dict[bytes, Act]:
    """Return the acts that have a target; none if it is no workflow.

    Args:
        secret: The workflow: actions, or JSON values.
    """
    workflow = secret.reveal()
    if isinstance(workflow, Action) and not may_write(workflow):
        return {}  # fast path, in a tenth of the time
    if isinstance(workflow, Action | tuple):
        try:
            workflow = dump_workflow(workflow)
        except (WorkflowError, TypeError):
            return {}
    return acts_by_digest(workflow)
