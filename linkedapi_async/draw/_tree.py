"""The lines of a picture: the parts of a workflow or a completion that are shown.

All formats have the same lines. Their number is bounded for any input: the tree is cut
where it is too wide, too deep or too long, and the actions left out are counted.
Nothing here is recursive, because completions may be nested without end.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import attrs

from linkedapi_async._actions.action import Action
from linkedapi_async._actions.custom import custom
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._results.completion import Completion, Outcome, Result, Siblings
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.dump import dump_value
from linkedapi_async.draw._escape import LONG, shortened
from linkedapi_async.errors import WorkflowError


NodeState: TypeAlias = Literal["planned", "succeeded", "mixed", "failed", "hidden"]
"""The state of one action or of many; a hidden line describes what was left out."""

LIMIT = 200
"""How many actions are shown by default."""

WIDEST = 50
"""How many actions are shown side by side at most."""

DEEPEST = 30
"""How many actions are shown one below the other at most."""

COUNTED = 200_000
"""How many of the actions left out are counted."""

PARAMETERS = 8
"""How many parameters of one action are shown at most."""

KINDS = 3
"""How many kinds of counted things are named."""


@attrs.define(eq=False, kw_only=True)
class SummaryLine:
    """One line of a tree: an action, or all outcomes of one action in a loop."""

    action_type: str = ""
    label: str | None = None
    parameters: Sequence[str] = ()
    """Each as ``name=value``, with the value in JSON."""
    note: str = ""
    """Its result or its error; in a hidden line, the whole text."""
    state: NodeState = "planned"
    writes: bool = False
    """Whether it is planned to change anything on LinkedIn."""
    children: list[SummaryLine] = attrs.field(factory=list)

    @property
    def name(self) -> str:
        """The action type, shortened."""
        return shortened(self.action_type) or "(no actionType)"

    @property
    def tag(self) -> str:
        """The label in JSON, shortened; empty without a label."""
        return "" if self.label is None else _json(self.label)


class Source(Protocol):
    """A node, from which a line is made."""

    def line(self) -> SummaryLine:
        """Return the line, without what is below it."""
        ...

    def below(self) -> Sequence[Source]:
        """Return its children."""
        ...

    def types(self) -> Iterator[str]:
        """Yield the types of all actions in it and below it."""
        ...


def build_tree(what: Any, limit: int) -> SummaryLine:
    """Return a line without a text, which has the roots of *what* as its children.

    Args:
        what: A workflow, a definition of one, or a completion.
        limit: How many actions are shown at most.

    Raises:
        WorkflowError: It is something else.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit!r}")
    top = SummaryLine()
    allowance = iter(range(COUNTED))
    # Level by level, so that a long branch does not hide its neighbours.
    unread = deque([(top, _sources(what), 0)])
    while unread:
        parent, sources, depth = unread.popleft()
        shown = min(limit, WIDEST) if depth < DEEPEST else 0
        for source in sources[:shown]:
            line = source.line()
            parent.children.append(line)
            unread.append((line, source.below(), depth + 1))
        limit -= len(parent.children)
        if sources[shown:]:
            note = _counted(sources[shown:], allowance)
            parent.children.append(SummaryLine(state="hidden", note=note))
    if not top.children:
        top.children.append(SummaryLine(state="hidden", note="(no actions)"))
    return top


def _counted(sources: Sequence[Source], allowance: Iterator[int]) -> str:
    """Return how many actions there are, as long as the *allowance* lasts."""
    types = itertools.chain.from_iterable(source.types() for source in sources)
    counted = Counter(found for found, _ in zip(types, allowance, strict=False))
    if next(allowance, None) is None:
        return f"… more than {COUNTED:,} more"
    return f"… {counted.total():,} more: {format_counts(counted)}"


def _sources(what: Any) -> Sequence[Source]:
    """Return the roots of *what*."""
    if isinstance(what, Completion):
        return _outcome_nodes([what.top], looped=False)
    if isinstance(what, str | bytes | bytearray):
        what = _decoded(what)
    many = isinstance(what, list | tuple)
    roots = what if many else [what]
    for index, root in enumerate(roots):
        if not isinstance(root, Action | dict):
            message = (
                "expected a workflow, a definition or a completion, "
                f"got {short_repr(root)}"
            )
            raise WorkflowError(message, path=f"root[{index}]" if many else "root")
    return [WorkflowNode(root) for root in roots]


def _decoded(text: str | bytes | bytearray) -> Any:
    # A lone surrogate is drawn, escaped, rather than refused.
    body = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    try:
        return decode_json(bytes(body))
    except ValueError as error:
        raise WorkflowError(f"not JSON: {error}", path="root") from None


# Workflows


@attrs.frozen(eq=False)
class WorkflowNode:
    """An action that was not run, or the JSON of one, which need not be legal."""

    action: Action[Any, Any, Any] | dict[str, Any]

    def line(self) -> SummaryLine:
        """Return its type, label and parameters."""
        action_type, label, parameters = self._facts()
        known = ACTIONS.get(action_type)
        named = [
            f"{shortened(str(name))}={_json(value)}"
            for name, value in itertools.islice(parameters.items(), PARAMETERS)
        ]
        if len(parameters) > PARAMETERS:
            named.append(f"… {len(parameters) - PARAMETERS} more parameters")
        return SummaryLine(
            action_type=action_type,
            label=label,
            parameters=named,
            writes=known is None or known.effect == "write",
        )

    def _facts(self) -> tuple[str, str | None, dict[str, Any]]:
        action = self.action
        if isinstance(action, custom):
            return action.action_type, action.label, action.params
        if isinstance(action, Action):
            values = {
                parameter.json_name: dump_value(value)
                for parameter in parameters_of(type(action))
                if (value := getattr(action, parameter.name)) is not None
            }
            return action.action_type, action.label, values
        values, action_type, label = dict(action), "", None
        if isinstance(values.get("actionType"), str):
            action_type = values.pop("actionType") or ""
        if isinstance(values.get("label"), str):
            label = values.pop("label")
        if _nested(action) or values.get("then") == []:
            del values["then"]
        return action_type, label, values

    def below(self) -> Sequence[Source]:
        """Return the actions nested in it."""
        return [WorkflowNode(child) for child in _children(self.action)]

    def types(self) -> Iterator[str]:
        """Yield the types of it and of all below it."""
        stack = [self.action]
        while stack:
            action = stack.pop()
            if isinstance(action, Action):
                yield action.action_type
            else:
                found = action.get("actionType")
                yield found if isinstance(found, str) else ""
            stack += _children(action)


def _children(action: Action[Any, Any, Any] | dict[str, Any]) -> Sequence[Any]:
    return action.children if isinstance(action, Action) else _nested(action)


def _nested(definition: dict[str, Any]) -> list[dict[str, Any]]:
    then: Any = definition.get("then")
    nodes: list[Any] = then if isinstance(then, list) else [then]
    return nodes if all(isinstance(node, dict) for node in nodes) else []


# Completions


@attrs.frozen(eq=False)
class OutcomeNode:
    """The outcomes of one action: one, or one for each turn of a loop."""

    outcomes: list[Outcome[Any]]
    """At least one."""
    looped: bool

    def line(self) -> SummaryLine:
        """Return its type and label, and its result or its error."""
        first = self.outcomes[0]
        failures = sum(not outcome.success for outcome in self.outcomes)
        state: NodeState = "mixed" if failures else "succeeded"
        return SummaryLine(
            action_type=first.action_type,
            label=first.label,
            note=self._score(failures) if self.looped else _note(first),
            state="failed" if failures == len(self.outcomes) else state,
        )

    def _score(self, failures: int) -> str:
        turns = len(self.outcomes)
        score = f"{turns - failures:,} of {turns:,}"
        if failures:
            score += f", {failures:,} failed ({format_counts(reasons(self.outcomes))})"
        lists = [o.data for o in self.outcomes if isinstance(o.data, list)]
        return f"{score}, {_count(lists)}" if lists else score

    def below(self) -> Sequence[Source]:
        """Return the outcomes nested in it, with those of a loop together."""
        groups = itertools.chain.from_iterable(o.branches for o in self.outcomes)
        return _outcome_nodes(
            groups, looped=self.looped or any(map(_is_list, self.outcomes))
        )

    def types(self) -> Iterator[str]:
        """Yield the types of all outcomes in it and below."""
        for outcome in self.outcomes:
            for inner in outcome.walk():
                yield inner.action_type


def _outcome_nodes(groups: Iterable[Siblings], *, looped: bool) -> Sequence[Source]:
    """Return a node for each position among siblings, over all *groups* of them."""
    nodes: dict[tuple[str, str | None, int], list[Outcome[Any]]] = {}
    for siblings in groups:
        before: Counter[tuple[str, str | None]] = Counter()
        for outcome in siblings.outcomes:
            # Siblings of one name are distinguished by their position.
            name = (outcome.action_type, outcome.label)
            nodes.setdefault((*name, before[name]), []).append(outcome)
            before[name] += 1
    return [OutcomeNode(outcomes, looped) for outcomes in nodes.values()]


def _is_list(outcome: Outcome[Any]) -> bool:
    return isinstance(outcome.raw, dict) and isinstance(outcome.raw.get("data"), list)


def reasons(outcomes: Iterable[Outcome[Any]]) -> Counter[str]:
    """Return how many failed for which reason."""
    return Counter(o.error.type for o in outcomes if o.error is not None)


def _note(outcome: Outcome[Any]) -> str:
    """Return the result or the error of one outcome, as text."""
    data = outcome.data
    if outcome.error is not None:
        reason = outcome.error.type
        message = outcome.error.message.partition(f": {reason}: ")[2]
        return f"{shortened(reason)}: {shortened(message, 2 * LONG)}"
    if isinstance(data, list):
        return _count([data])
    if not isinstance(data, Result):
        return "" if data is None else _json(data)
    name = getattr(data, "name", None)
    return f"{type(data).__name__} {_json(name)}" if name else type(data).__name__


def _count(lists: Iterable[list[Any]]) -> str:
    items = list(itertools.chain.from_iterable(lists))
    typed = items and isinstance(items[0], Result)
    return f"{len(items):,} × {type(items[0]).__name__ if typed else 'item'}"


def format_counts(counted: Counter[str]) -> str:
    """Return ``a ×3, b ×2``: the most frequent first, the rare ones left out."""
    named = [
        f"{shortened(name) or '(no actionType)'} ×{count:,}"
        for name, count in counted.most_common(KINDS)
    ]
    return ", ".join(named + ["…"] * (len(counted) > KINDS))


def _json(value: Any) -> str:
    """Return *value* in JSON, shortened."""
    if isinstance(value, str):
        return json.dumps(shortened(value), ensure_ascii=False)
    try:
        return shortened(json.dumps(value, ensure_ascii=False, default=repr))
    except (RecursionError, TypeError, ValueError):
        return f"({type(value).__name__})"
