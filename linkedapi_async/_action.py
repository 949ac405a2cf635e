"""What an action is, the nesting rule, and the tree as text.

The base line of an action's class holds its three facts: where it may stand, what it
opens to its children, what it yields. All else follows from that line.
"""

from __future__ import annotations

import functools
import json
import keyword
import math
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, TypeVar

import attrs

from linkedapi_async._compile import compiled
from linkedapi_async._drawn import Drawn
from linkedapi_async._fields import (
    BOTH,
    KEY,
    Checked,
    Either,
    Fact,
    Generation,
    Many,
    Nested,
    Refused,
    Row,
    Text,
    nearest,
    rows,
    shown,
    slots,
    slotted,
)
from linkedapi_async._scopes import Anywhere, Root, Scope
from linkedapi_async.errors import NestingError, ParameterError, UnsupportedError


if typing.TYPE_CHECKING:
    from linkedapi_async._outcomes import Completion, Outcome

# The PEP 695 syntax would infer the variance of a phantom parameter wrongly.
WhereT = TypeVar("WhereT", contravariant=True)
OpensT = TypeVar("OpensT")
ResultT = TypeVar("ResultT", covariant=True)
ActionT = TypeVar("ActionT", bound="type[Action[Any, Any, Any]]")

Effect: TypeAlias = Literal["read", "write"]

ACTIONS: dict[str, type[Action[Any, Any, Any]]] = {}
"""Every known action by its type; the decorator fills it."""

_LABEL = Text()
_TYPE = Text(minimum=1)


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,)
)
def action(
    action_type: str,
    *,
    effect: Effect = "read",
    generations: tuple[Generation, ...] = BOTH,
    category: str | None = None,
    pair: bool = False,
    own_node: bool = True,
) -> Callable[[ActionT], ActionT]:
    """Declare an action: a frozen class that is its own builder function.

    Args:
        action_type: The API's name of it.
        effect: Whether it changes anything on LinkedIn.
        generations: The generations of the API that know it.
        category: The account limit that it counts against, in the API's words.
        pair: Whether all of its targets are needed at the root, not just one.
        own_node: Whether it leaves a node of its own in the completion.
    """

    def declare(cls: ActionT) -> ActionT:
        made = slotted(cls)
        made.effect = effect
        made.generations = generations
        made.category = category
        made.own_node = own_node
        made.pair = pair
        fields: Any = attrs.fields(made)
        made.targets = tuple(
            a.name for a in fields if a.metadata.get(KEY, Fact()).target
        )
        if action_type:
            made.action_type = action_type
            made.where, made.opens, made.result = _base_line(made)
            ACTIONS[action_type] = made
        return typing.cast("ActionT", made)

    return declare


def _base_line(cls: Any) -> tuple[tuple[type[Scope], ...], type[Scope], Any]:
    (base,) = cls.__orig_bases__
    where, opens, result = typing.get_args(base)
    return typing.get_args(where) or (where,), opens, result


@action("")
class Action(Checked, Drawn, Generic[WhereT, OpensT, ResultT]):
    """One step of a workflow, with the steps nested under it.

    Immutable and hashable; equal when type, parameters, label and children are.
    """

    action_type: ClassVar[str]
    """The API's name of the action, such as ``st.openCompanyPage``."""
    effect: ClassVar[Effect]
    """Whether it changes anything on LinkedIn (``write``) or only looks (``read``)."""
    generations: ClassVar[tuple[Generation, ...]]
    """The generations of the API that know it."""
    category: ClassVar[str | None]
    """The account limit it counts against, such as ``stMessages``."""
    own_node: ClassVar[bool]
    """Whether it leaves a node of its own in the completion; loops do not."""
    where: ClassVar[tuple[type[Scope], ...]]
    """The scopes it may stand in."""
    opens: ClassVar[type[Scope]]
    """The scope it opens to its children."""
    result: ClassVar[Any]
    """The type of what it yields."""
    targets: ClassVar[tuple[str, ...]]
    """The names of the parameters that name what to act on."""
    pair: ClassVar[bool]
    """Whether all of its targets are needed at the root, not just one."""
    _not_parameters: ClassVar[frozenset[str]] = frozenset({"label", "children"})

    label: str | None = None
    children: Sequence[Action[OpensT, Any, Any]] = ()

    def _check(self) -> None:
        # Named, because attrs makes a new class and leaves `super()` with the old one.
        Checked._check(self)
        if self.label is not None:
            self._store("label", _LABEL, self.label)

    def _nest(self, children: Any) -> None:
        if isinstance(children, Action) or not isinstance(children, Sequence):
            reason = f"a list of actions is due, got {shown(children)}"
            self._refuse("children", reason)
        self._check_children(children, 0)
        object.__setattr__(self, "children", tuple(children))

    def _check_children(self, children: Sequence[Any], start: int) -> None:
        for index, child in enumerate(children, start):
            if (
                isinstance(child, Action)
                and self.opens in child.where
                and not (child.targets and child.given())
            ):
                continue
            place = f"then[{index}]"
            if not isinstance(child, Action):
                hint = f"; call it: {child.__name__}()" if _is_action(child) else ""
                self._refuse(place, f"an action is due, got {shown(child)}{hint}")
            problem = misplaced(type(child), child.given(), type(self), place)
            if problem is not None:
                raise problem

    def then(self, *children: Action[OpensT, Any, Any]) -> Self:
        """Return this action with *children* nested under it, after those it has.

        Raises:
            NestingError: A child may not stand here.
            ParameterError: A child names a target although its parent hands one over.
        """
        self._check_children(children, len(self.children))
        # What stands has been checked: copying it costs a third of building anew.
        cls: Any = type(self)
        copied = _copier(cls)
        return typing.cast("Self", copied(self, (*self.children, *children)))

    def walk(self) -> Iterator[Action[Any, Any, Any]]:
        """Visit this action and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def read(self, completion: Completion) -> ResultT:
        """Return what this action, at the root, yields in *completion*.

        `Session.run` and `WorkflowHandle.result` do it by themselves; this is for a
        completion that was read without its workflow.

        Raises:
            ActionError: It failed.
            ChildMissingError: It is not there.
            AmbiguousKeyError: Several are there and it does not tell which.
        """
        return self._yielded(completion.home.pick(self))

    def _yielded(self, outcome: Outcome[Any]) -> ResultT:
        """Return what it yields, from its own outcome; the place for another view."""
        return typing.cast("ResultT", outcome.value())

    @classmethod
    def stands_under(cls, parent: type[Action[Any, Any, Any]]) -> bool:
        """Return whether the nesting rule lets this action stand under *parent*."""
        return parent.opens is Anywhere or parent.opens in cls.where

    @classmethod
    def _owner(cls) -> str:
        return cls.action_type

    def given(self) -> list[str]:
        """Return the names of the targets that are given."""
        return [name for name in self.targets if getattr(self, name) is not None]

    def _call(self) -> str:
        arguments = self._arguments()
        if self.label is not None:
            label = f"label={self.label!r}"
            arguments = f"{arguments}, {label}" if arguments else label
        module = type(self).__module__.rpartition(".")[2]
        return f"{module}.{type(self).__name__}({arguments})"

    def __repr__(self) -> str:
        if not self.children:
            return self._call()
        return f"{self._call()}.then({', '.join(map(repr, self.children))})"

    def _line(self) -> str:
        values = [
            f"{row.wire}={value!r}"
            for row in rows(type(self))
            if (value := getattr(self, row.name)) is not None
        ]
        tag = [] if self.label is None else [f"label={self.label!r}"]
        return " ".join([self.action_type, *tag, *values])

    def __str__(self) -> str:
        return "\n".join([self._line(), *_branches(self)])


Workflow: TypeAlias = Action[Root, Any, ResultT]
"""An action tree that may start: its root stands at the root."""


@functools.cache
def _copier(cls: Any) -> Callable[[Any, tuple[Any, ...]], Any]:
    """Return what copies an action of *cls* with other children."""
    names = {f"set_{name}": getattr(cls, name).__set__ for name in slots(cls)}
    values = {name: f"self.{name}" for name in slots(cls)} | {"children": "children"}
    lines = ["def copied(self, children):", "  made = new(cls)"]
    lines += [f"  set_{name}(made, {value})" for name, value in values.items()]
    lines.append("  return made")
    scope = {**names, "cls": cls, "new": object.__new__}
    made = compiled("copied", lines, scope)
    return typing.cast("Callable[[Any, tuple[Any, ...]], Any]", made)


def _branches(parent: Action[Any, Any, Any]) -> Iterator[str]:
    for index, child in enumerate(parent.children):
        last = index == len(parent.children) - 1
        yield ("└─ " if last else "├─ ") + child._line()
        for line in _branches(child):
            yield ("   " if last else "│  ") + line


def _is_action(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Action)


def standing_in(scope: type[Scope]) -> list[str]:
    """Return the action types that may stand in *scope*."""
    names = [name for name, cls in ACTIONS.items() if scope in cls.where]
    return sorted(names, key=lambda name: name.startswith("nv."))


def misplaced(
    cls: type[Action[Any, Any, Any]],
    given: Collection[str],
    parent: type[Action[Any, Any, Any]] | None,
    path: str,
) -> NestingError | ParameterError | None:
    """Return why an action may not stand where it does, if it may not.

    Args:
        cls: The action's class.
        given: The names of the targets that it has.
        parent: The class of the action above it; None at the root.
        path: Where it stands.
    """
    if issubclass(cls, custom):
        return None
    if parent is None:
        return _misplaced_root(cls, given, path)
    if not cls.stands_under(parent):
        allowed = standing_in(parent.opens)
        return NestingError(
            path=path,
            offender=cls.action_type,
            parent=parent.action_type,
            allowed=allowed,
            nearest=nearest(cls.action_type, allowed),
        )
    if given and not issubclass(parent, custom):
        return ParameterError(
            owner=cls.action_type,
            parameter=" and ".join(given),
            reason=f"not allowed here, {parent.action_type} hands it over; leave it out",
            path=path,
        )
    return None


def _misplaced_root(
    cls: type[Action[Any, Any, Any]], given: Collection[str], path: str
) -> NestingError | ParameterError | None:
    if Root not in cls.where:
        return NestingError(
            path=path,
            offender=cls.action_type,
            parent=None,
            allowed=standing_in(Root),
            nearest=None,
        )
    needed = cls.targets
    if needed and (len(given) < len(needed) if cls.pair else not given):
        return ParameterError(
            owner=cls.action_type,
            parameter=(" and " if cls.pair else " or ").join(needed),
            reason="is required at the root",
            path=path,
        )
    return None


def paths(
    root: Action[Any, Any, Any], path: str = "root"
) -> Iterator[tuple[str, Action[Any, Any, Any]]]:
    """Visit *root* and all below it, each with its path."""
    yield path, root
    for index, child in enumerate(root.children):
        yield from paths(child, f"{path}.then[{index}]")


def misfits(
    root: Action[Any, Any, Any], generation: Generation, path: str = "root"
) -> Iterator[UnsupportedError | ParameterError]:
    """Yield what *generation* of the API does not take of a tree that is legal."""
    for place, node in paths(root, path):
        if generation not in node.generations:
            yield _lacking(node.action_type, generation, place)
            continue
        yield from _parameter_misfits(node, node.action_type, generation, place)
        if node.children and generation not in node.opens.generations:
            what = f"{node.action_type} with children"
            yield _lacking(what, generation, place)


def _lacking(what: str, generation: Generation, path: str) -> UnsupportedError:
    other = "linked_api" if generation == "account_api" else "account_api"
    tokens = {"account_api": "account_api_token", "linked_api": "linked_api_token"}
    message = (
        f"{what} does not exist in the {generation} generation; a session with "
        f"{tokens[other]}= has it, check=False sends it all the same"
    )
    return UnsupportedError(message, generation=generation, path=path)


def _parameter_misfits(
    owner: Checked, name: str, generation: Generation, path: str
) -> Iterator[UnsupportedError | ParameterError]:
    cls: Any = type(owner)
    for row in _doubtful(cls, generation):
        value = getattr(owner, row.name)
        if value is None:
            if generation in row.fact.needed_in:
                reason = f"is required in the {generation} generation"
                yield ParameterError(
                    owner=name, parameter=row.name, reason=reason, path=path
                )
            continue
        if generation not in row.fact.only:
            yield _lacking(f"{name}: {row.name}", generation, path)
            continue
        highest = row.fact.maximum_in(generation)
        if highest is not None and generation in row.fact.firm:
            size = value if isinstance(value, int) else len(value)
            if size > highest:
                reason = f"the {generation} generation takes at most {highest}"
                yield ParameterError(
                    owner=name, parameter=row.name, reason=reason, path=path
                )
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Checked):
                inside = f"{name}: {row.name}"
                yield from _parameter_misfits(inner, inside, generation, path)


@functools.cache
def _doubtful(cls: Any, generation: Generation) -> tuple[Row, ...]:
    """Return the parameters of *cls* that *generation* may not take: mostly none."""
    return tuple(
        row
        for row in rows(cls)
        if generation not in row.fact.only
        or generation in (*row.fact.needed_in, *row.fact.firm)
        or isinstance(row.spec, Many | Nested | Either)
    )


@action("", effect="write")
class custom(Action[Any, Any, Any]):  # noqa: N801
    """An action that this version does not know.

    It may stand anywhere and anything may stand under it. It counts as a write, so its
    start is never repeated. It yields plain JSON.
    """

    where: ClassVar[tuple[type[Scope], ...]] = ()
    opens: ClassVar[type[Scope]] = Anywhere
    result: ClassVar[Any] = Any
    _not_parameters = frozenset({"label", "children", "action_type", "json", "as_list"})

    action_type: str = attrs.field(kw_only=False)  # type: ignore[misc]
    json: str
    as_list: bool

    def __init__(
        self,
        action_type: Any,
        /,
        *,
        label: str | None = None,
        children: Sequence[Action[Any, Any, Any]] = (),
        **params: Any,
    ) -> None:
        """Build the action.

        Args:
            action_type: The API's name of it, such as ``"st.somethingNew"``.
            label: The caller's tag, echoed in the completion.
            children: The actions nested under it; `then` adds more.
            params: Its parameters as JSON values, verbatim, under the API's names.
        """
        self._fill_checked(action_type, params, label)
        if children != ():
            self._nest(children)

    def _fill_checked(
        self, action_type: Any, params: dict[str, Any], label: str | None
    ) -> None:
        try:
            _TYPE.check(action_type)
        except Refused as refused:
            raise ParameterError(
                owner="custom", parameter="action_type", reason=refused.reason
            ) from None
        for name, instead in {"then": "children", "actionType": "action_type"}.items():
            if name in params:
                reason = f"not a parameter; use {instead}"
                raise ParameterError(owner=action_type, parameter=name, reason=reason)
        try:
            check_json(params)
        except Refused as refused:
            raise ParameterError(
                owner=action_type,
                parameter=refused.place.removeprefix(".") or "params",
                reason=refused.reason,
            ) from None
        self._fill(action_type, label, json.dumps(params), as_list=False)
        if label is not None:
            self._store("label", _LABEL, label)

    def _fill(
        self, action_type: str, label: str | None, text: str, *, as_list: bool
    ) -> None:
        object.__setattr__(self, "action_type", action_type)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "children", ())
        object.__setattr__(self, "json", text)
        object.__setattr__(self, "as_list", as_list)

    @classmethod
    def loaded(
        cls, action_type: str, params: dict[str, Any], label: str | None
    ) -> Self:
        """Build an action whose parameters may have any name, ``children`` too."""
        new = cls.__new__(cls)
        new._fill_checked(action_type, params, label)
        return new

    @classmethod
    def verbatim(
        cls,
        action_type: str,
        params: dict[str, Any],
        *,
        label: str | None = None,
        children: Sequence[Action[Any, Any, Any]] = (),
        as_list: bool = False,
    ) -> Self:
        """Build an action that is sent as it is, with nothing checked.

        Args:
            action_type: Its type; empty where *params* say, or nothing does.
            params: All else of its JSON object, verbatim.
            label: The caller's tag, where *params* do not have it.
            children: The actions nested under it.
            as_list: Whether ``then`` is a list whatever the number of children.

        Raises:
            ParameterError: They are no JSON at all.
        """
        new = cls.__new__(cls)
        try:
            text = json.dumps(params, allow_nan=False)
        except (TypeError, ValueError) as error:
            reason = f"JSON is due: {error}"
            owner = action_type or "custom"
            raise ParameterError(
                owner=owner, parameter="params", reason=reason
            ) from None
        new._fill(action_type, label, text, as_list=as_list)
        object.__setattr__(new, "children", tuple(children))
        return new

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, in a dict of one's own."""
        return typing.cast("dict[str, Any]", json.loads(self.json))

    def _values(self) -> tuple[Any, ...]:
        canonical = json.dumps(self.params, sort_keys=True)
        return self.action_type, canonical, self.as_list, self.label, self.children

    @classmethod
    def stands_under(cls, parent: type[Action[Any, Any, Any]]) -> bool:  # noqa: ARG003
        """Return True: nobody knows where it may stand."""
        return True

    def _refuse(self, parameter: str, reason: str) -> typing.NoReturn:
        owner = self.action_type or "custom"
        raise ParameterError(owner=owner, parameter=parameter, reason=reason)

    def _call(self) -> str:
        params = self.params
        parts = [repr(self.action_type)]
        if self.label is not None:
            parts.append(f"label={self.label!r}")
        if self._is_odd(params):
            parts.insert(1, repr(params))
            if self.as_list:
                parts.append("as_list=True")
            return f"custom.verbatim({', '.join(parts)})"
        if all(_is_plain_name(name) for name in params):
            parts += [f"{name}={value!r}" for name, value in params.items()]
        else:
            parts.append(f"**{params!r}")
        return f"custom({', '.join(parts)})"

    def _is_odd(self, params: dict[str, Any]) -> bool:
        """Return whether `__init__` would not take *params* and the rest as they are."""
        if self.as_list:
            return True
        try:
            _TYPE.check(self.action_type)
            check_json([params, self.label])
        except Refused:
            return True
        return not params.keys().isdisjoint({"actionType", "children", "label", "then"})

    def _line(self) -> str:
        tag = [] if self.label is None else [f"label={self.label!r}"]
        values = [f"{name}={value!r}" for name, value in self.params.items()]
        return " ".join([self.action_type or "(no actionType)", *tag, *values])


def _is_plain_name(name: str) -> bool:
    # Python reads a name beyond ASCII in its normal form, which may be another one.
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def check_json(value: Any) -> None:
    """Check that *value* is a JSON value.

    Raises:
        Refused: It is not, with the place inside it.
    """
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _LABEL.check(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            reason = f"a JSON value is due, got {value}"
            raise Refused(reason)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                reason = f"a string is due as a key, got {shown(key)}"
                raise Refused(reason)
            _LABEL.check(key)
            _check_inside(item, f".{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_inside(item, f"[{index}]")
    else:
        reason = f"a JSON value is due, got {shown(value)}"
        raise Refused(reason)


def _check_inside(value: Any, place: str) -> None:
    try:
        check_json(value)
    except Refused as refused:
        raise Refused(refused.reason, place + refused.place) from None
