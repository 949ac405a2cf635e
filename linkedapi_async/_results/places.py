"""Places: the outcomes of a completion in order, each with the actions above it."""

from __future__ import annotations

import typing
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Final

import attrs

from linkedapi_async._results.completion import (
    Outcome,
    Result,
    Siblings,
    json_names_of,
    matches_key,
)
from linkedapi_async._results.key import ActionKey, Key, as_key


IDENTITY: Final = (
    *("name", "title", "public_url", "hashed_url", "url", "job_url", "post_url"),
    *("comment_url", "profile_url", "urn"),
)
"""The attributes that identify a person, company or item, if its class has them."""


@attrs.frozen
class Step:
    """An action above an outcome."""

    action_type: str
    values: dict[str, Any]
    """Its label, its targets, and the attributes that identify its page or item."""


@attrs.frozen
class LocatedOutcome:
    """An outcome with its context."""

    outcome: Outcome[Any]
    action: ActionKey[Any] | None
    """The action that it came from, if the workflow is known."""
    above: tuple[Step, ...]
    """The actions above it, outermost first."""

    @property
    def targets(self) -> dict[str, Any]:
        """The targets of the action, if the workflow is known."""
        action = self.action
        names = () if action is None else action.targets
        values = {name: getattr(action, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def sent(self) -> Any:
        """The data as received."""
        raw = self.outcome.raw
        return raw.get("data") if isinstance(raw, dict) else raw

    @property
    def error_message(self) -> Any:
        """Why it failed; unlike the error's text, this does not name the action."""
        raw = self.outcome.raw
        error = raw.get("error") if isinstance(raw, dict) else None
        return error.get("message") if isinstance(error, dict) else error

    def items(self, cls: Any) -> Iterator[Any]:
        """Visit the results of a known action, one for each item of a list.

        An action that failed or yields nothing gives one, an empty list gives none.

        Args:
            cls: The class of the results; see `class_of`.
        """
        data, sent = self.outcome.data, self.sent
        if isinstance(data, list) and isinstance(sent, list):
            yield from data
        elif isinstance(data, Result):
            yield data
        # The action failed, yields nothing, or did not yield the expected list.
        elif not isinstance(data, list) or Result(raw=sent).extra:
            yield cls(raw=sent)


def walk_places(roots: Siblings, key: Key[Any] | None) -> Iterator[LocatedOutcome]:
    """Visit the places of all outcomes of *key*, or of all, parents first."""
    key = None if key is None else as_key(key)
    stack = [*_places(roots, ())][::-1]
    # Not recursive: the depth of a completion has no limit.
    while stack:
        place = stack.pop()
        if key is None or matches_key(key, place.outcome):
            yield place
        stack += [*_below(place)][::-1]


def _places(siblings: Siblings, above: tuple[Step, ...]) -> Iterator[LocatedOutcome]:
    """Visit the outcomes of *siblings*, each with the action that it came from."""
    waiting: dict[tuple[str, str | None], deque[ActionKey[Any]]] = defaultdict(deque)
    for action in siblings.actions:
        waiting[action.action_type, action.label].append(action)
    for outcome in siblings.outcomes:
        same = waiting[outcome.action_type, outcome.label]
        yield LocatedOutcome(outcome, same.popleft() if same else None, above)


def _below(place: LocatedOutcome) -> Iterator[LocatedOutcome]:
    """Visit the places of the outcomes nested in *place*, in each item of a list."""
    outcome = place.outcome
    data = outcome.data
    items = data if isinstance(data, list) else []
    owners = {id(item.nested): item for item in items if isinstance(item, Result)}
    for siblings in outcome.branches:
        owner = owners.get(id(siblings)) if isinstance(data, list) else data
        own = {"label": outcome.label, **place.targets, **_identity(owner)}
        step = Step(outcome.action_type, own)
        yield from _places(siblings, (*place.above, step))


def _identity(owner: Any) -> dict[str, Any]:
    cls: Any = type(owner)
    known = json_names_of(cls) if isinstance(owner, Result) else {}
    return {name: getattr(owner, name) for name in IDENTITY if name in known}


def class_of(result: Any) -> Any:
    """Return the class of an action's results: that of its items, if it yields a list.

    It is `Result` for an action that yields nothing.
    """
    options = (result, *typing.get_args(result))
    found = [o for o in options if isinstance(o, type) and issubclass(o, Result)]
    return found[0] if found else Result
