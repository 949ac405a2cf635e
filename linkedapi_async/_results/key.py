"""Keys of results: an action is the typed key of its own result."""

from __future__ import annotations

import typing
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar


KeyedT = TypeVar("KeyedT", covariant=True)


class ActionKey(Generic[KeyedT]):
    """The base of all actions, as keys of their results in a completion.

    A key matches outcomes by action type and label. If several siblings share both, its
    position among the actions of the workflow decides.
    """

    __slots__ = ()

    action_type: ClassVar[str]
    """The API's name of the action, such as ``st.openCompanyPage``."""
    targets: ClassVar[tuple[str, ...]]
    """The names of the parameters that name what to act on."""
    result: ClassVar[Any]
    """The type of the action's result."""
    has_outcome: ClassVar[bool]
    """Whether the completion has an outcome of it; loops have none."""
    if typing.TYPE_CHECKING:
        # attrs makes these as fields of the actions.
        @property
        def label(self) -> str | None:
            """The caller's tag, which the completion echoes."""
            ...

        @property
        def children(self) -> typing.Sequence[ActionKey[Any]]:
            """The actions nested under it."""
            ...


Key: TypeAlias = ActionKey[KeyedT] | type[ActionKey[KeyedT]]
"""An action, or its class if the completion has one outcome of that type."""

ACTIONS: dict[str, type[Any]] = {}
"""The class of every known action by its action type; the decorator fills it."""


def writes(action_type: str) -> bool:
    """Return whether an action changes something, or may because it is unknown."""
    action = ACTIONS.get(action_type)
    return action is None or action.effect == "write"


def as_key(key: Any) -> Key[Any]:
    """Return *key* if it is an action or the class of one.

    Raises:
        TypeError: It is not.
    """
    kind = key if isinstance(key, type) else type(key)
    if issubclass(kind, ActionKey) and isinstance(key.action_type, str):
        return typing.cast("Key[Any]", key)
    raise TypeError(f"a key must be an action or the class of one, got {key!r}")
