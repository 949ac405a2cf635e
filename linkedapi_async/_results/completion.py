"""Completions: the result tree of a finished workflow."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

import attrs

from linkedapi_async._results.key import Key, KeyedT, as_key, writes
from linkedapi_async._results.outcome import (
    Outcome,
    Siblings,
    all_siblings,
    key_name,
    matches_key,
)
from linkedapi_async._results.rows import completion_rows
from linkedapi_async._results.table import Table, make_table
from linkedapi_async._utils.display import Displayable
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import ActionError, AmbiguousKeyError, ResultMissingError


@attrs.define(eq=False, repr=False, kw_only=True)
class Completion(Displayable):
    """The whole result tree of a finished workflow, one root or several."""

    raw: Any
    """The JSON as received: an object, or a list for an array workflow."""
    workflow_id: str | None = None
    """The workflow it belongs to."""
    top: Siblings = attrs.field(factory=lambda: Siblings((), ()))
    """The roots, and the actions that they came from."""

    @property
    def roots(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of the root actions, in order."""
        return self.top.outcomes

    @property
    def root(self) -> Outcome[Any]:
        """The outcome of the first root action."""
        return self.roots[0]

    @property
    def errors(self) -> tuple[ActionError, ...]:
        """The errors of all failed actions, in the order of the tree."""
        return tuple(o.error for o in self.walk() if o.error is not None)

    @property
    def written(self) -> tuple[Outcome[Any], ...]:
        """The outcomes of actions that changed something on LinkedIn, in order.

        Actions that this version does not know are included, because they may have.
        """
        return tuple(o for o in self.walk() if o.success and writes(o.action_type))

    def walk(self) -> Iterator[Outcome[Any]]:
        """Visit all outcomes, parents first."""
        for root in self.roots:
            yield from root.walk()

    @typing.overload
    def __getitem__(self, key: str) -> Any: ...

    @typing.overload
    def __getitem__(self, key: Key[KeyedT]) -> KeyedT: ...

    def __getitem__(self, key: Any) -> Any:
        """Return what *key* yielded, anywhere in the tree.

        Args:
            key: An action, the class of one, or a label.

        Raises:
            ActionError: It failed.
            ResultMissingError: No outcome matches.
            AmbiguousKeyError: Several outcomes match, as for actions in a loop.
        """
        if isinstance(key, str):
            return self.find(label=key).value()
        key = as_key(key)
        groups = [
            siblings
            for siblings in all_siblings(self.top)
            if any(matches_key(key, o) for o in siblings.outcomes)
        ]
        if len(groups) > 1:
            # If *key* is an action object that is in the tree once, it decides.
            own = [g for g in groups if any(action is key for action in g.actions)]
            groups = own if len(own) == 1 else groups
        if len(groups) > 1:
            raise AmbiguousKeyError(
                f"{key_name(key)} occurs in several places; use item[key] on each item, "
                "completion.all(key), or a label="
            )
        # Without a match, the error lists all outcomes of the tree.
        siblings = groups[0] if groups else Siblings(tuple(self.walk()), ())
        return siblings.pick(key).value()

    def get(self, key: Key[KeyedT]) -> KeyedT | None:
        """Return what *key* yielded, anywhere in the tree; None if it has no outcome.

        Args:
            key: An action, or the class of one.

        Raises:
            ActionError: It failed.
            AmbiguousKeyError: Several outcomes match, as for actions in a loop.
        """
        try:
            return self[key]
        except ResultMissingError:
            return None

    def all(self, key: Key[KeyedT]) -> tuple[Outcome[KeyedT], ...]:
        """Return all outcomes of *key*, by action type and label; loops give many."""
        key = as_key(key)
        return tuple(outcome for outcome in self.walk() if matches_key(key, outcome))

    def rows(self, key: Key[Any] | None = None) -> list[dict[str, Any]]:
        """Return all outcomes of *key* as flat rows: one for each item of a list.

        All rows have the same columns in the same order: the attributes of the result
        class, with dots for nested ones (``viewer_state.connection_degree``); ``extra``
        for data without an attribute; ``workflow_id``, ``action_type``, ``label`` and
        ``success``; ``asked.…``, the target of the action; ``error.type`` and
        ``error.message``; ``from.<action type>.…``, which page or item it came from. An
        action that failed or yields nothing gives one row, an empty list gives no row.
        The data of an unknown action is under ``data.…``, with dots and backslashes in
        its own names escaped by a backslash. Lists, and *extra*, stay JSON values.

        Args:
            key: An action or its class, as for `all`; by default all actions, with the
                columns that identify the action first.
        """
        return completion_rows(self.top, self.workflow_id, key)

    def table(self, key: Key[Any]) -> Table:
        """Return all outcomes of *key* as a table: a row for each item of a list.

        It has the rows of `rows`, in typed columns that follow from the action alone:
        they are the same for every completion, so that tables can be concatenated.
        `tables.table` makes one table of many completions, and describes the columns.

        Args:
            key: An action or its class, as for `all`.

        Raises:
            ImportError: The extra ``table`` is not installed.
        """
        return make_table([(self.top, self.workflow_id)], key)

    def find(self, *, label: str) -> Outcome[Any]:
        """Return the one outcome that has *label*.

        Raises:
            ResultMissingError: No outcome has it.
            AmbiguousKeyError: Several outcomes have it.
        """
        found = [outcome for outcome in self.walk() if outcome.label == label]
        if len(found) > 1:
            message = f"{len(found)} outcomes have the label {label!r}; use walk()"
            raise AmbiguousKeyError(message)
        if not found:
            labels = sorted({o.label for o in self.walk() if o.label is not None})
            present = ", ".join(map(repr, labels)) or "none"
            message = f"no outcome has the label {label!r}; labels: {present}"
            raise ResultMissingError(message)
        return found[0]

    @safe_repr
    def __repr__(self) -> str:
        types = ", ".join(outcome.action_type for outcome in self.roots)
        return f"<Completion of {types}, {len(self.errors)} errors>"
