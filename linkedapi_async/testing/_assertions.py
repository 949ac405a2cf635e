"""Assertions on the actions that a sandbox has started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._utils.text import short_repr


if TYPE_CHECKING:
    from linkedapi_async.sandbox import Sandbox


ActionT = TypeVar("ActionT", bound=Action[Any, Any, Any])

MAX_LINES = 20
"""The maximum number of started actions that a message lists."""


def assert_started(
    sandbox: Sandbox,
    action: ActionT | type[ActionT],
    *,
    times: int | None = None,
    account: str | None = None,
) -> list[ActionT]:
    """Assert that an action was started, at any place in a workflow.

    Args:
        sandbox: The sandbox that started it.
        action: Its class, or an action whose parameters and label, as far as they are
            set, are equal. Children do not matter.
        times: The expected number; None means at least once.
        account: The identification token of the account; by default any.

    Returns:
        The matching actions, in the order of their starts.

    Raises:
        AssertionError: The number differs; the message lists what was started.
    """
    __tracebackhide__ = True
    cls: Any = action if isinstance(action, type) else type(action)
    if not issubclass(cls, Action):
        message = f"action must be an action or its class, got {short_repr(action)}"
        raise TypeError(message)
    started: Callable[..., list[Any]] = sandbox.started
    candidates = started(cls, account)
    found = [a for a in candidates if isinstance(action, type) or _fits(action, a)]
    if len(found) == times or (found and times is None):
        return found
    what = cls.action_type if isinstance(action, type) else _summary(action)
    expected = "at least once" if times is None else _times(times)
    instead = candidates or started(Action, account)
    text = "\n".join(_listed([_summary(each) for each in instead]))
    message = f"{what} was started {_times(len(found))}, not {expected}; {text}"
    raise AssertionError(message)


def _summary(action: Any) -> str:
    """Return an action without its children, in one line."""
    return str(action).partition("\n")[0]


def _fits(action: Any, found: Any) -> bool:
    """Return whether *found* has all the values that are set in *action*."""
    names = ["label", *(row.name for row in parameters_of(type(action)))]
    set_ = [name for name in names if getattr(action, name) is not None]
    return all(getattr(action, name) == getattr(found, name) for name in set_)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _listed(lines: list[str]) -> Iterator[str]:
    if not lines:
        yield "nothing was started"
        return
    yield "this was started:"
    for line in lines[:MAX_LINES]:
        yield f"  {line}"
    if len(lines) > MAX_LINES:
        yield f"  … and {len(lines) - MAX_LINES} more"
