"""Outcomes that a test prescribes, and the account of what was started.

What is prescribed is checked at once against the class that an action yields, so that
a slip of the pen fails where it was made.
"""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from linkedapi_async._actions.action import Action, named_roots
from linkedapi_async._actions.custom import custom
from linkedapi_async._results.outcome import Result, json_names_of
from linkedapi_async._types import Generation
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.read import read_completion
from linkedapi_async.sandbox._completions import (
    ActionFailure,
    AnyAction,
    CompletionFactory,
)
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._responses import account_name, failure_of, loaded
from linkedapi_async.sandbox._world import SITE, Entity, World


ActionT = TypeVar("ActionT", bound=Action[Any, Any, Any])


@attrs.define(eq=False, kw_only=True)
class Script:
    """What some actions, or whole workflows, come to; `Sandbox.script` makes it."""

    what: str
    """The action type that is meant; ``workflow`` where whole ones are."""
    used: int = 0
    """How often it was met."""
    times: int | None = None
    """How often it is met at most; None for any number."""
    account: str | None = None
    """The name of the account that is meant; None for any."""
    when: Callable[[Any], bool] | None = attrs.field(default=None, repr=False)
    """What says of an action, or of a workflow, whether it is meant."""
    result: Any = attrs.field(default=None, repr=False)
    """What is yielded, and nothing else: result objects, or JSON."""
    fields: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """What is yielded beside all that is made up."""
    error: ActionFailure | None = None
    """Why the action fails."""
    stopped: bool = False
    """Whether `stop` was called."""

    def stop(self) -> None:
        """Let it be met no more; what has started keeps what it was given."""
        self.stopped = True

    def fits(self, account: str, what: Any) -> bool:
        """Return whether it is meant for *what*, an action or a workflow."""
        if self.stopped or self.account not in {None, account}:
            return False
        if self.times is not None and self.used >= self.times:
            return False
        return self.when is None or self.when(what)


class Scripts:
    """All that was prescribed."""

    def __init__(self) -> None:
        self._rules: list[Script] = []

    def add(self, script: Script) -> Script:
        """Take one more script."""
        if script.times is not None and script.times < 1:
            message = f"times: 1 or more is due, or None, got {script.times!r}"
            raise ValueError(message)
        self._rules.append(script)
        return script

    def claim(self, name: str, account: str, what: Any) -> Script | None:
        """Return the script that *what* meets, if any, and count it.

        Those for a number of times come first, in their order; then the newest one.
        """
        rules = [rule for rule in self._rules if rule.what == name]
        limited = [rule for rule in rules if rule.times is not None]
        lasting = [rule for rule in reversed(rules) if rule.times is None]
        for rule in (*limited, *lasting):
            if rule.fits(account, what):
                rule.used += 1
                return rule
        return None

    def settled(
        self,
        world: World,
        generation: Generation,
        account: str,
        broken: Mapping[str, ActionFailure],
        definition: Any,
    ) -> Any:
        """Return the completion of a workflow that meets any script, or None.

        It is settled when the workflow starts: in the order of the starts, however
        they are asked for later.
        """
        if not self._rules:
            return None
        workflow = loaded(definition)
        whole = self.claim("workflow", account, workflow)
        if whole is not None:
            return copy.deepcopy(whole.result)
        maker = _ScriptedFactory(world, generation, account, broken)
        maker.scripts = self
        completion = maker.completion(workflow, definition)
        return completion if maker.met else None


class _ScriptedFactory(CompletionFactory):
    """Makes completions in which some outcomes are prescribed."""

    scripts: Scripts
    met = False

    def _node(self, action: AnyAction, raw: Any, on: Entity | None) -> dict[str, Any]:
        script = self.scripts.claim(action.action_type, self._account, action)
        if script is None:
            return super()._node(action, raw, on)
        self.met = True
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
        """Return what an action yields by *script*, with children that it leaves out."""
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
        """Return who or what a prescribed item of a list leads to, for its children."""
        (told,) = _read(action.action_type, [item])
        links = (getattr(told, name, None) for name in _LINKS)
        url = next((link for link in links if link), f"{SITE}/in/scripted-{index + 1}")
        loops = [child.action_type.partition(".")[2] for child in action.children]
        find = _FINDERS.get(loops[0]) if loops else None
        thing = Entity(url, {"name": ""}) if find is None else find(self._world, url)
        # What the item says of itself is what its page says.
        same = {
            name: value
            for name in thing.facts
            if isinstance(value := getattr(told, name, None), str | int)
        }
        return Entity(thing.key, {**thing.facts, **same})


_LINKS = ("public_url", "hashed_url", "profile_url", "url", "job_url")
"""Where items of lists say what they lead to."""
_FINDERS: dict[str, Callable[[World, str], Entity]] = {
    "doForPeople": World.person,
    "doForCompanies": World.company,
    "doForPosts": World.post,
    "doForJobs": World.job,
}


class ScriptingMixin:
    """What a sandbox offers to tests: outcomes by script, and what was started."""

    seen: RequestLog

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
        """Prescribe what actions of a class come to, in workflows started from now on.

        What an action in a loop comes to is decided anew for each item. Nested actions
        go on being made up, unless *result* has a ``then`` of its own. Of the scripts
        that fit, those with *times* come first, in their order; then the newest one.

        Args:
            action: The class, such as ``st.open_company_page``.
            result: Exactly what it yields: a result object or a JSON object of the
                API, for a list a list of these. Nothing else is made up.
            fields: Instead of *result*: what to change in what is made up, by
                attribute or JSON name; in each item, where a list is yielded.
            error: The API's error type, such as ``personNotFound``: it fails.
            message: The API's message to that.
            times: How many actions are meant; by default all.
            when: Says of an action, with its parameters, whether it is meant.
            account: The identification token whose workflows are meant.

        Returns:
            The script, which counts how often it was ``used``; ``stop()`` ends it.

        Raises:
            TypeError: *action* is no class of an action that leaves an outcome.
            ValueError: The action does not yield that.
        """
        _check_class(action)
        if error is not None and (fields is not None or result is not None):
            text = f"{action.action_type}: an error comes without result= and fields="
            raise ValueError(text)
        if fields is not None and result is not None:
            text = f"{action.action_type}: give result= or fields=, not both"
            raise ValueError(text)
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
        """Prescribe the whole completion of workflows that are started from now on.

        Args:
            completion: Its JSON, such as ``Completion.raw`` of one that was recorded;
                nothing in it is checked.
            times: How many workflows are meant; by default all.
            when: Says of a workflow, an action or a tuple of them, whether it is meant.
            account: The identification token whose workflows are meant.

        Returns:
            The script, as `script` does.

        Raises:
            TypeError: *completion* is neither an object nor a list.
        """
        if not isinstance(completion, dict | list):
            text = f"a completion in JSON is due, got {short_repr(completion)}"
            raise TypeError(text)
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
        """Return the actions of a class that were started, nested ones too, in order.

        Args:
            action: The class, such as ``st.send_message``.
            account: The identification token whose workflows are meant.
        """
        return [
            node
            for workflow in self._seen(account)
            for node in _nodes(workflow)
            if isinstance(node, action)
        ]

    def _seen(self, account: str | None) -> Iterator[RecordedWorkflow]:
        name = account and account_name(account)
        return (w for w in self.seen.workflows if name in {None, w.account})


def _nodes(workflow: RecordedWorkflow) -> Iterator[AnyAction]:
    for _, root in named_roots(loaded(workflow.definition)):
        yield from root.walk()


def _item_class(result: Any) -> Any:
    """Return what a list consists of; None where no list is yielded."""
    return typing.get_args(result)[0] if typing.get_origin(result) is list else None


def _as_json(value: Any, generation: Generation) -> Any:
    """Return result objects as the JSON of a generation; all else as it is."""
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
    # Names are given newest first.
    return names[0] if generation == "linked_api" else names[-1]


def _named(
    result: Any, fields: Mapping[str, Any], generation: Generation, owner: str = ""
) -> dict[str, Any]:
    """Return *fields* under the names that a generation has for them."""
    cls = _item_class(result) or result
    known = {} if cls is types.NoneType else json_names_of(cls)
    wires = {wire for names in known.values() for wire in names}
    named = {}
    for name, value in fields.items():
        if name not in known and name not in wires:
            raise _unknown(owner, name, [*known, *wires])
        wire = _spelt(known[name], generation) if name in known else name
        named[wire] = _as_json(value, generation)
    return named


def _unknown(owner: str, name: str, known: Sequence[str]) -> ValueError:
    alike = nearest(name, known)
    hint = f"did you mean {alike}?" if alike else f"known: {', '.join(known) or 'none'}"
    return ValueError(f"{owner}: {name}: unknown; {hint}")


def _check_class(action: Any) -> None:
    """Check that *action* is a class whose outcomes can be prescribed.

    Raises:
        TypeError: It is not.
    """
    if isinstance(action, Action):
        hint = f"; the class is {type(action).__name__}, when= tells them apart"
        message = f"the class of an action is due, got one of its kind{hint}"
        raise TypeError(message)
    is_class = isinstance(action, type) and issubclass(action, Action)
    if not is_class or action in {Action, custom}:
        message = f"the class of an action is due, got {short_repr(action)}"
        raise TypeError(message)
    if not action.has_outcome:
        message = f"{action.action_type} has no outcome of its own; what it holds does"
        raise TypeError(message)


def _check(action: type[AnyAction], data: Any) -> None:
    """Check that an action of this class may yield *data*.

    Raises:
        ValueError: It may not, with the place.
    """
    name = action.action_type
    listed = _item_class(action.result) is not None
    items = data if isinstance(data, list) else [data]
    if isinstance(data, list) != listed or not all(isinstance(i, dict) for i in items):
        what = "a list of results" if listed else "a result"
        message = (
            f"{name}: {what} is due, an object or a dict each, got {short_repr(data)}"
        )
        raise ValueError(message)
    read = _read(name, data)
    if read is None:
        for extra in {*data} - {"then"}:
            message = f"{name}: {extra}: unknown; it yields nothing"
            raise ValueError(message)
        return
    for index, each in enumerate(read if listed else [read]):
        _check_shown(f"{name}[{index}]" if listed else name, each)


def _read(action_type: str, data: Any) -> Any:
    """Return *data* as a client reads it."""
    node = {"actionType": action_type, "success": True, "data": data}
    return read_completion(node).root.data


def _check_shown(place: str, result: Result) -> None:
    """Check that attributes show all there is, in *result* and inside of it."""
    cls: Any = type(result)
    wires = json_names_of(cls)
    for name, value in result.extra.items():
        known = [wire for names in wires.values() for wire in names]
        if name in known:
            message = (
                f"{place}: {name}: not of a type that it may have: {short_repr(value)}"
            )
            raise ValueError(message)
        raise _unknown(place, name, known)
    for name in wires:
        value = getattr(result, name)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Result):
                _check_shown(f"{place}.{name}", inner)
