"""Assertions on what a sandbox was asked to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._utils.text import short_repr


if TYPE_CHECKING:
    from linkedapi_async.sandbox import Sandbox


ActionT = TypeVar("ActionT", bound=Action[Any, Any, Any])

MOST = 20
"""Lines of a message that list what was started."""


def assert_started(
    sandbox: Sandbox,
    action: ActionT | type[ActionT],
    *,
    times: int | None = None,
    account: str | None = None,
) -> list[ActionT]:
    """Assert that an action was started, wherever in a workflow it stood.

    Args:
        sandbox: Where it was started.
        action: Its class; or an action of which all that is set, but for the children,
            is the same.
        times: How often; 0 for not at all, None for at least once.
        account: The identification token whose workflows are meant; by default all.

    Returns:
        The actions that fit, in the order in which they were started.

    Raises:
        AssertionError: It was not; the message lists what was started instead.
    """
    __tracebackhide__ = True
    cls: Any = action if isinstance(action, type) else type(action)
    if not issubclass(cls, Action):
        message = f"an action, or the class of one, is due, got {short_repr(action)}"
        raise TypeError(message)
    started: Callable[..., list[Any]] = sandbox.started
    alike = started(cls, account)
    found = [a for a in alike if isinstance(action, type) or _fits(action, a)]
    if len(found) == times or (found and times is None):
        return found
    what = cls.action_type if isinstance(action, type) else _first_line(action)
    due = "at least once" if times is None else _times(times)
    instead = alike or started(Action, account)
    text = "\n".join(_listed([_first_line(each) for each in instead]))
    message = f"{what} was started {_times(len(found))}, not {due}; {text}"
    raise AssertionError(message)


def _fits(action: Any, found: Any) -> bool:
    """Return whether *found* has all that is set in *action*."""
    names = ["label", *(row.name for row in parameters_of(type(action)))]
    set_ = [name for name in names if getattr(action, name) is not None]
    return all(getattr(action, name) == getattr(found, name) for name in set_)


def _first_line(action: Any) -> str:
    """Return *action* as text, without its children."""
    return str(action).partition("\n")[0]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _listed(lines: list[str]) -> Iterator[str]:
    if not lines:
        yield "nothing was started"
        return
    yield "this was started:"
    for line in lines[:MOST]:
        yield f"  {line}"
    if len(lines) > MOST:
        yield f"  … and {len(lines) - MOST} more"
