"""Actions and the nesting rule.

The base class of an action states three facts: where it may be nested, what it opens to
its children, what it yields. Everything else is derived from them.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, ClassVar, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

import attrs

from linkedapi_async._actions.parameters import (
    METADATA_KEY,
    ParameterInfo,
    Validated,
    build_class,
    field_names,
    parameters_of,
)
from linkedapi_async._actions.scopes import Anywhere, Root, Scope
from linkedapi_async._actions.validators import String
from linkedapi_async._results.completion import Completion, Outcome
from linkedapi_async._results.key import ACTIONS, ActionKey
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async._utils.display import Displayable
from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import safe_repr, short_repr
from linkedapi_async.errors import NestingError, ParameterError


# With the PEP 695 syntax, the wrong variance of an unused parameter would be inferred.
WhereT = TypeVar("WhereT", contravariant=True)

OpensT = TypeVar("OpensT")

ResultT = TypeVar("ResultT", covariant=True)

ActionT = TypeVar("ActionT", bound="type[Action[Any, Any, Any]]")

Effect: TypeAlias = Literal["read", "write"]

LABEL = String()
"""The validator of labels."""


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,)
)
def action(
    action_type: str,
    *,
    effect: Effect = "read",
    generations: tuple[Generation, ...] = BOTH,
    category: str | None = None,
    needs_all_targets: bool = False,
    has_outcome: bool = True,
) -> Callable[[ActionT], ActionT]:
    """Declare an action: a frozen class that is its own builder function.

    Args:
        action_type: The API's name of it.
        effect: Whether it changes anything on LinkedIn.
        generations: The generations of the API that know it.
        category: The account limit that it counts against, in the API's words.
        needs_all_targets: Whether the root needs all of its targets, not only one.
        has_outcome: Whether it has an outcome of its own in the completion.
    """

    def declare(cls: ActionT) -> ActionT:
        made = build_class(cls)
        made.effect = effect
        made.generations = generations
        made.category = category
        made.has_outcome = has_outcome
        made.needs_all_targets = needs_all_targets
        fields: Any = attrs.fields(made)
        made.targets = tuple(
            a.name
            for a in fields
            if a.metadata.get(METADATA_KEY, ParameterInfo()).target
        )
        # `Action` itself and `custom` have no type of their own.
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
class Action(
    Validated, Displayable, ActionKey[ResultT], Generic[WhereT, OpensT, ResultT]
):
    """One step of a workflow, with the steps nested under it.

    Immutable and hashable; equal when type, parameters, label and children are.
    """

    action_type: ClassVar[str]
    """The API's name of the action, such as ``st.openCompanyPage``."""
    effect: ClassVar[Effect]
    """Whether it changes anything on LinkedIn (``write``) or only reads (``read``)."""
    generations: ClassVar[tuple[Generation, ...]]
    """The generations of the API that know it."""
    category: ClassVar[str | None]
    """The account limit it counts against, such as ``stMessages``."""
    has_outcome: ClassVar[bool]
    """Whether it has an outcome of its own in the completion; loops have none."""
    where: ClassVar[tuple[type[Scope], ...]]
    """The scopes it may be nested in."""
    opens: ClassVar[type[Scope]]
    """The scope it opens to its children."""
    result: ClassVar[Any]
    """The type of what it yields."""
    targets: ClassVar[tuple[str, ...]]
    """The names of the parameters that identify what to act on."""
    needs_all_targets: ClassVar[bool]
    """Whether the root needs all of its targets, not just one."""
    _not_parameters: ClassVar[frozenset[str]] = frozenset(
        {"label", "children", "as_list", "extra_json"}
    )

    label: str | None = None
    children: Sequence[Action[OpensT, Any, Any]] = ()
    as_list: bool = attrs.field(default=False, init=False)
    """Whether ``then`` was a list in JSON, and stays one; it is not compared."""

    def _check(self) -> None:
        super()._check()
        if self.label is not None:
            self._store("label", LABEL, self.label)

    def _nest(self, children: Any) -> None:
        if isinstance(children, Action) or not isinstance(children, Sequence):
            reason = f"must be a list of actions, got {short_repr(children)}"
            self._refuse("children", reason)
        self._check_children(children, 0)
        object.__setattr__(self, "children", tuple(children))

    def _check_children(self, children: Sequence[Any], start: int) -> None:
        for index, child in enumerate(children, start):
            if (
                # The usual case first: the reason is computed only for a mistake.
                isinstance(child, Action)
                and self.opens in child.where
                and not (child.targets and given_targets(child))
            ):
                continue
            place = f"then[{index}]"
            if not isinstance(child, Action):
                self._refuse(place, f"must be an action, got {describe(child)}")
            given = given_targets(child)
            problem = nesting_error(type(child), given, type(self), place)
            if problem is not None:
                raise problem

    def then(self, *children: Action[OpensT, Any, Any]) -> Self:
        """Return this action with *children* nested under it, after those it has.

        Raises:
            NestingError: A child cannot be nested here.
            ParameterError: A child has a target of its own although it inherits one.
        """
        self._check_children(children, len(self.children))
        # This action has been checked, and a copy costs a third of building it again.
        cls: Any = type(self)
        return typing.cast("Self", copier(cls)(self, (*self.children, *children)))

    def walk(self) -> Iterator[Action[Any, Any, Any]]:
        """Visit this action and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def read(self, completion: Completion) -> ResultT:
        """Return what this action, as a root, yields in *completion*.

        `Session.run` and `WorkflowHandle.result` call this. Call it yourself for a
        completion that was read without its workflow.

        Raises:
            ActionError: It failed.
            ResultMissingError: The completion has no outcome of it.
            AmbiguousKeyError: Several outcomes match it.
        """
        return self.read_outcome(completion.top.pick(self))

    def read_outcome(self, outcome: Outcome[Any]) -> ResultT:
        """Return what this action yields, from its own *outcome*.

        Raises:
            ActionError: It failed.
        """
        return typing.cast("ResultT", outcome.value())

    @classmethod
    def may_nest_under(cls, parent: type[Action[Any, Any, Any]]) -> bool:
        """Return whether this action may be nested under *parent*."""
        return parent.opens is Anywhere or parent.opens in cls.where

    @classmethod
    def _owner(cls) -> str:
        return cls.action_type

    def _call(self) -> str:
        arguments = self._arguments()
        if self.label is not None:
            label = f"label={self.label!r}"
            arguments = f"{arguments}, {label}" if arguments else label
        module = type(self).__module__.rpartition(".")[2]
        return f"{module}.{type(self).__name__}({arguments})"

    @safe_repr
    def __repr__(self) -> str:
        text = self._call() + self._repr_extra()
        if not self.children:
            return text
        return f"{text}.then({', '.join(map(repr, self.children))})"

    def _summary_line(self) -> str:
        values = [
            f"{parameter.json_name}={value!r}"
            for parameter in parameters_of(type(self))
            if (value := getattr(self, parameter.name)) is not None
        ]
        tag = [] if self.label is None else [f"label={self.label!r}"]
        extra = [f"{name}={value!r}" for name, value in self.extra.items()]
        return " ".join([self.action_type, *tag, *values, *extra])

    def __str__(self) -> str:
        lines = [self._summary_line()]
        for index, child in enumerate(self.children, 1):
            last = index == len(self.children)
            first, *below = str(child).split("\n")
            lines.append(f"{'└─ ' if last else '├─ '}{first}")
            lines += [f"{'   ' if last else '│  '}{line}" for line in below]
        return "\n".join(lines)


Workflow: TypeAlias = Action[Root, Any, ResultT]
"""An action tree that can start: its action may be a root."""

AnyAction: TypeAlias = Action[Any, Any, Any]
"""An action of any type."""

ActionClass: TypeAlias = type[AnyAction]
"""The class of an action."""

Roots: TypeAlias = AnyAction | tuple[AnyAction, ...]
"""A workflow: one root, or the roots of an array workflow in order."""


class Copier(Protocol):
    """Copies an action with other children, which it does not check."""

    def __call__(
        self,
        action: AnyAction,
        children: tuple[AnyAction, ...],
        *,
        as_list: bool = False,
    ) -> Any:
        """Return the copy."""
        ...


@functools.cache
def copier(cls: Any) -> Copier:
    """Return a function that copies an action, as one of *cls* with other children."""
    # Compiled, because `then` copies an action for every child that it nests: a loop
    # over the fields takes twice as long.
    values = {name: f"action.{name}" for name in field_names(cls)}
    values |= {"children": "children", "as_list": "as_list or action.as_list"}
    names: dict[str, Any] = {"cls": cls, "new": object.__new__}
    names |= {f"set_{name}": getattr(cls, name).__set__ for name in values}
    lines = ["def copy(action, children, *, as_list=False):", "  made = new(cls)"]
    lines += [f"  set_{name}(made, {value})" for name, value in values.items()]
    copy: Copier = compile_function("copy", [*lines, "  return made"], names)
    return copy


def given_targets(action: AnyAction) -> list[str]:
    """Return the names of the targets that *action* has."""
    return [name for name in action.targets if getattr(action, name) is not None]


def describe(value: object) -> str:
    """Return *value* for a message, with advice if it is nearly an action."""
    shown = short_repr(value)
    if isinstance(value, type) and issubclass(value, Action):
        return f"{shown}; call it: {value.__name__}()"
    if isinstance(value, list | tuple):
        return f"{shown}; pass its actions one by one, with *"
    if isinstance(value, dict | str | bytes):
        return f"{shown}; load_workflow() makes actions of JSON"
    return shown


def allowed_in(scope: type[Scope]) -> list[str]:
    """Return the action types that may be nested in *scope*."""
    names = [name for name, cls in ACTIONS.items() if scope in cls.where]
    return sorted(names, key=lambda name: name.startswith("nv."))


def nesting_error(
    cls: ActionClass, given: Collection[str], parent: ActionClass | None, path: str
) -> NestingError | ParameterError | None:
    """Return why an action cannot be nested where it is, if it cannot.

    Args:
        cls: The action's class.
        given: The names of the targets that it has.
        parent: The class of the action above it; None at the root.
        path: Its place in the tree.
    """
    if Anywhere in cls.where:
        return None
    if parent is None:
        return _root_error(cls, given, path)
    if not cls.may_nest_under(parent):
        allowed = allowed_in(parent.opens)
        return NestingError(
            path=path,
            offender=cls.action_type,
            parent=parent.action_type,
            allowed=allowed,
            nearest=nearest(cls.action_type, allowed),
        )
    if given and parent.opens is not Anywhere:
        return ParameterError(
            owner=cls.action_type,
            parameter=" and ".join(given),
            reason=f"cannot be set under {parent.action_type}, which supplies it; "
            "leave it out",
            path=path,
        )
    return None


def _root_error(
    cls: ActionClass, given: Collection[str], path: str
) -> NestingError | ParameterError | None:
    if Root not in cls.where:
        return NestingError(
            path=path,
            offender=cls.action_type,
            parent=None,
            allowed=allowed_in(Root),
            nearest=None,
        )
    needed = cls.targets
    if needed and (len(given) < len(needed) if cls.needs_all_targets else not given):
        return ParameterError(
            owner=cls.action_type,
            parameter=(" and " if cls.needs_all_targets else " or ").join(needed),
            reason="is required at the root",
            path=path,
        )
    return None


def paths(root: AnyAction, path: str = "root") -> Iterator[tuple[str, AnyAction]]:
    """Visit *root* and all below it, each with its path."""
    yield path, root
    for index, child in enumerate(root.children):
        yield from paths(child, f"{path}.then[{index}]")


def roots_of(workflow: Roots) -> tuple[AnyAction, ...]:
    """Return the roots of *workflow* in order, as `Session.start` takes them."""
    return workflow if isinstance(workflow, tuple) else (workflow,)


def nodes_of(workflow: Roots) -> Iterator[AnyAction]:
    """Visit all actions of *workflow*, parents first."""
    for root in roots_of(workflow):
        yield from root.walk()


def named_roots(workflow: Roots) -> Iterator[tuple[str, AnyAction]]:
    """Visit the roots of *workflow*, each with its path."""
    if isinstance(workflow, tuple):
        for index, root in enumerate(workflow):
            yield f"root[{index}]", root
    else:
        yield "root", workflow


def action_types(roots: Roots | None) -> tuple[str, ...]:
    """Return the action types of the *roots* of a workflow; empty if it is unknown."""
    return () if roots is None else tuple(r.action_type for r in roots_of(roots))
