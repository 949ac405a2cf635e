"""Outcomes that a test prescribes, and the actions that were started.

A prescribed outcome is checked at once against the result class of its action, so that a
mistake fails on the line that makes it.
"""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from linkedapi_async._actions.action import Action, AnyAction, nodes_of
from linkedapi_async._actions.custom import custom
from linkedapi_async._results.completion import Result, json_names_of
from linkedapi_async._types import Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.read import read_completion
from linkedapi_async.sandbox._completions import ActionFailure, CompletionFactory
from linkedapi_async.sandbox._definitions import loaded
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._responses import failure_of
from linkedapi_async.sandbox._tokens import account_name
from linkedapi_async.sandbox._world import SITE, Entity, World


ActionT = TypeVar("ActionT", bound=Action[Any, Any, Any])


@attrs.define(eq=False, kw_only=True)
class Script:
    """A prescribed outcome of actions or workflows; `Sandbox.script` returns it."""

    what: str
    """The action type that it matches; ``workflow`` for whole workflows."""
    used: int = 0
    """How often it was applied."""
    times: int | None = None
    """How often it is applied at most; None sets no maximum."""
    account: str | None = None
    """The name of the account that it matches; None matches all."""
    when: Callable[[Any], bool] | None = attrs.field(default=None, repr=False)
    """Returns whether it matches an action or a workflow."""
    result: Any = attrs.field(default=None, repr=False)
    """The whole result: result objects or JSON."""
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """The fields to replace in the made-up result."""
    error: ActionFailure | None = None
    """Why the action fails."""
    stopped: bool = False
    """Whether `stop` was called."""

    def stop(self) -> None:
        """Stop applying; workflows that have started keep their outcomes."""
        self.stopped = True

    def fits(self, account: str, what: Any) -> bool:
        """Return whether it applies to *what*, an action or a workflow."""
        if self.stopped or self.account not in {None, account}:
            return False
        if self.times is not None and self.used >= self.times:
            return False
        return self.when is None or self.when(what)


class Scripts:
    """All prescribed outcomes."""

    def __init__(self) -> None:
        self._rules: list[Script] = []

    def add(self, script: Script) -> Script:
        """Add a script."""
        if script.times is not None and script.times < 1:
            raise ValueError(f"times must be at least 1 or None, got {script.times!r}")
        self._rules.append(script)
        return script

    def claim(self, name: str, account: str, what: Any) -> Script | None:
        """Return the script that applies to *what*, if any, and count it.

        Scripts with *times* come first, in their order; then the newest other one.
        """
        rules = [rule for rule in self._rules if rule.what == name]
        limited = [rule for rule in rules if rule.times is not None]
        lasting = [rule for rule in reversed(rules) if rule.times is None]
        for rule in (*limited, *lasting):
            if rule.fits(account, what):
                rule.used += 1
                return rule
        return None

    def completion(
        self,
        make: Callable[[type[_ScriptedFactory]], _ScriptedFactory],
        account: str,
        definition: Any,
    ) -> Any:
        """Return the completion of a workflow to which a script applies, or None.

        It is made when the workflow starts, so that the order of the starts decides and
        not the order of the polls.
        """
        if not self._rules:
            return None
        workflow = loaded(definition)
        whole = self.claim("workflow", account, workflow)
        if whole is not None:
            return copy.deepcopy(whole.result)
        factory = make(_ScriptedFactory)
        factory.scripts = self
        completion = factory.completion(workflow, definition)
        # All others are made when they are read, so that they take no memory.
        return completion if factory.applied else None


class _ScriptedFactory(CompletionFactory):
    """Makes completions with prescribed outcomes."""

    scripts: Scripts
    applied = False

    def _node(self, action: AnyAction, raw: Any, on: Entity | None) -> dict[str, Any]:
        script = self.scripts.claim(action.action_type, self._account, action)
        if script is None:
            return super()._node(action, raw, on)
        self.applied = True
        node: dict[str, Any] = {"actionType": action.action_type}
        if action.label is not None:
            node["label"] = action.label
        node["success"] = script.error is None
        if script.error is not None:
            node["error"] = dict(zip(("type", "message"), script.error, strict=True))
            return node
        data = self._scripted(script, action, raw, self._target(action) or on)
        return {**node, "data": data} if data or isinstance(data, list) else node

    def _scripted(
        self, script: Script, action: AnyAction, raw: Any, on: Entity | None
    ) -> Any:
        """Return the result by *script*, with the children that it does not prescribe."""
        item = _item_class(action.result)
        if item is not None and script.result is not None:
            given = _as_json(script.result, self._generation)
            return [
                self._nesting(each, action, raw, self._visited(action, each, index))
                for index, each in enumerate(given)
            ]
        added = _named(action.result, script.fields, self._generation)
        if item is not None:
            return [
                self._nesting(self._filled(item, thing) | added, action, raw, thing)
                for thing in self._list(action, item, on)
            ]
        data: dict[str, Any] = {}
        if script.result is not None:
            data = _as_json(script.result, self._generation)
        elif action.result is not types.NoneType:
            data = self._filled(action.result, self._page(action, on)) | added
        return self._nesting(data, action, raw, on)

    def _nesting(
        self, data: dict[str, Any], action: AnyAction, raw: Any, on: Entity | None
    ) -> dict[str, Any]:
        then = None if "then" in data else self._then(action, raw, on)
        return data if then is None else {**data, "then": then}

    def _visited(self, action: AnyAction, item: dict[str, Any], index: int) -> Entity:
        """Return the entity that a prescribed list item refers to, for its children."""
        (result,) = _read(action.action_type, [item])
        links = (getattr(result, name, None) for name in _LINKS)
        url = next((link for link in links if link), f"{SITE}/in/scripted-{index + 1}")
        loops = [child.action_type.partition(".")[2] for child in action.children]
        find = _FINDERS.get(loops[0]) if loops else None
        thing = Entity(url, {"name": ""}) if find is None else find(self._world, url)
        # The page of the entity repeats the facts of the item.
        same = {
            name: value
            for name in thing.facts
            if isinstance(value := getattr(result, name, None), str | int)
        }
        return Entity(thing.key, {**thing.facts, **same})


_LINKS = ("public_url", "hashed_url", "profile_url", "url", "job_url")
"""The attributes of list items that refer to an entity, best first."""
_FINDERS: dict[str, Callable[[World, str], Entity]] = {
    "doForPeople": World.person,
    "doForCompanies": World.company,
    "doForPosts": World.post,
    "doForJobs": World.job,
}


class ScriptingMixin:
    """The methods of a sandbox that prescribe outcomes and list what was started."""

    log: RequestLog

    def __init__(self) -> None:
        self._scripts = Scripts()

    def script(
        self,
        action: type[ActionT],
        result: Any = None,
        *,
        fields: Mapping[str, Any] | None = None,
        error: str | None = None,
        message: str | None = None,
        times: int | None = None,
        when: Callable[[ActionT], bool] | None = None,
        account: str | None = None,
    ) -> Script:
        """Prescribe the outcome of actions in workflows that start from now on.

        An action in a loop is decided anew for each item. The outcomes of nested
        actions are made up, unless *result* has a ``then`` of its own. Of the scripts
        that match, those with *times* apply first, in their order; then the newest one.

        Args:
            action: The class of the actions, such as ``st.open_company_page``.
            result: The whole result: a result object or a JSON object of the API; for
                an action that yields a list, a list of these.
            fields: Instead of *result*: the fields to replace in the made-up result, by
                attribute or JSON name; for a list in each item.
            error: The API's error type, such as ``personNotFound``: the action fails.
            message: The message of the error.
            times: To how many actions it applies; by default to all.
            when: Returns whether it applies to an action, given the action.
            account: The identification token whose workflows it applies to.

        Returns:
            The script, which counts how often it was ``used``; ``stop()`` ends it.

        Raises:
            TypeError: *action* is not the class of an action with an outcome.
            ValueError: The action does not yield such a result.
        """
        _check_class(action)
        if error is not None and (fields is not None or result is not None):
            text = f"{action.action_type}: pass error= without result= and fields="
            raise ValueError(text)
        if fields is not None and result is not None:
            raise ValueError(f"{action.action_type}: pass result= or fields=, not both")
        if result is not None:
            _check(action, _as_json(result, "linked_api"))
        if fields is not None:
            named = _named(action.result, fields, "linked_api", action.action_type)
            listed = _item_class(action.result) is not None
            _check(action, [named] if listed else named)
        failure = None if error is None else failure_of(error, message)
        return self._scripts.add(
            Script(
                what=action.action_type,
                times=times,
                account=account and account_name(account),
                when=when,
                # A copy, because the caller may go on changing what it passed.
                result=copy.deepcopy(result),
                fields=dict(fields or {}),
                error=None if failure is None else (failure.reason, failure.message),
            )
        )

    def script_workflow(
        self,
        completion: Any,
        *,
        times: int | None = None,
        when: Callable[[Any], bool] | None = None,
        account: str | None = None,
    ) -> Script:
        """Prescribe the whole completion of workflows that start from now on.

        Args:
            completion: Its JSON, such as ``Completion.raw`` of a recorded one; it is
                not checked.
            times: To how many workflows it applies; by default to all.
            when: Returns whether it applies to a workflow, given an action or a tuple
                of actions.
            account: The identification token whose workflows it applies to.

        Returns:
            The script, as `script` does.

        Raises:
            TypeError: *completion* is neither an object nor a list.
        """
        if not isinstance(completion, dict | list):
            raise TypeError(f"completion must be JSON, got {short_repr(completion)}")
        return self._scripts.add(
            Script(
                what="workflow",
                times=times,
                account=account and account_name(account),
                when=when,
                result=copy.deepcopy(completion),
            )
        )

    def started(
        self, action: type[ActionT], account: str | None = None
    ) -> list[ActionT]:
        """Return the started actions of a class in order, including nested ones.

        Args:
            action: The class, such as ``st.send_message``.
            account: The identification token whose workflows are searched; by default
                all workflows are.
        """
        return [
            node
            for workflow in self._recorded(account)
            for node in nodes_of(loaded(workflow.definition))
            if isinstance(node, action)
        ]

    def _recorded(self, account: str | None) -> Iterator[RecordedWorkflow]:
        name = account and account_name(account)
        return (w for w in self.log.workflows if name in {None, w.account})


def _item_class(result: Any) -> Any:
    """Return the class of the items of a list result; None for other results."""
    return typing.get_args(result)[0] if typing.get_origin(result) is list else None


def _as_json(value: Any, generation: Generation) -> Any:
    """Return result objects as JSON of a generation, and other values unchanged."""
    if isinstance(value, Result):
        cls: Any = type(value)
        return {
            _spelt(names, generation): _as_json(each, generation)
            for name, names in json_names_of(cls).items()
            if (each := getattr(value, name)) is not None
        }
    if isinstance(value, dict):
        return {name: _as_json(each, generation) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each, generation) for each in value]
    return value


def _spelt(names: Sequence[str], generation: Generation) -> str:
    # The newest name comes first.
    return names[0] if generation == "linked_api" else names[-1]


def _named(
    result: Any, fields: Mapping[str, Any], generation: Generation, owner: str = ""
) -> dict[str, Any]:
    """Return *fields* by the JSON names of a generation."""
    cls = _item_class(result) or result
    known = {} if cls is types.NoneType else json_names_of(cls)
    json_names = {name for names in known.values() for name in names}
    named = {}
    for name, value in fields.items():
        if name not in known and name not in json_names:
            raise _unknown(owner, name, [*known, *json_names])
        key = _spelt(known[name], generation) if name in known else name
        named[key] = _as_json(value, generation)
    return named


def _unknown(owner: str, name: str, known: Sequence[str]) -> ValueError:
    alike = nearest(name, known)
    hint = f"did you mean {alike}?" if alike else f"known: {', '.join(known) or 'none'}"
    return ValueError(f"{owner}: {name} is not a result field; {hint}")


def _check_class(action: Any) -> None:
    """Raise a `TypeError` unless *action* is the class of an action with an outcome."""
    if isinstance(action, Action):
        name = type(action).__name__
        raise TypeError(
            f"pass the class of an action, {name}, not an action; "
            "when= selects single actions"
        )
    is_class = isinstance(action, type) and issubclass(action, Action)
    if not is_class or action in {Action, custom}:
        raise TypeError(f"pass the class of an action, got {short_repr(action)}")
    if not action.has_outcome:
        message = f"{action.action_type} has no outcome of its own; script its children"
        raise TypeError(message)


def _check(action: type[AnyAction], data: Any) -> None:
    """Raise a `ValueError` with the place unless an action may yield *data*."""
    name = action.action_type
    listed = _item_class(action.result) is not None
    items = data if isinstance(data, list) else [data]
    if isinstance(data, list) != listed or not all(isinstance(i, dict) for i in items):
        what = "a list of results" if listed else "one result"
        raise ValueError(
            f"{name}: result must be {what}, each an object or a dict, "
            f"got {short_repr(data)}"
        )
    read = _read(name, data)
    if read is None:
        for extra in {*data} - {"then"}:
            message = f"{name}: {extra} is not a result field; it yields nothing"
            raise ValueError(message)
        return
    for index, each in enumerate(read if listed else [read]):
        _check_shown(f"{name}[{index}]" if listed else name, each)


def _read(action_type: str, data: Any) -> Any:
    """Return *data* as a client parses it."""
    node = {"actionType": action_type, "success": True, "data": data}
    return read_completion(node).root.data


def _check_shown(place: str, result: Result) -> None:
    """Check that the attributes show all data of *result* and of nested results."""
    cls: Any = type(result)
    json_names = json_names_of(cls)
    for name, value in result.extra.items():
        known = [each for names in json_names.values() for each in names]
        if name in known:
            raise ValueError(
                f"{place}: {name} has a type that it cannot have: {short_repr(value)}"
            )
        raise _unknown(place, name, known)
    for name in json_names:
        value = getattr(result, name)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Result):
                _check_shown(f"{place}.{name}", inner)
