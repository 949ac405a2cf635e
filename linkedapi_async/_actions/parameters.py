"""Parameters of actions: their metadata, and the base class that validates them."""

from __future__ import annotations

import datetime as dt
import functools
import json
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import attrs

from linkedapi_async._actions.validators import (
    Boolean,
    Date,
    DateTime,
    Enum,
    Integer,
    InvalidValue,
    ListOf,
    Object,
    String,
    StringOrObject,
    TargetString,
    Validator,
    check_json,
    warn_unknown,
)
from linkedapi_async._types import BOTH, LINKED, Generation
from linkedapi_async._utils.codegen import compile_function
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import safe_repr, short_repr
from linkedapi_async.errors import ParameterError
from linkedapi_async.urls import TargetKind


PerGeneration: TypeAlias = Mapping[Generation, int | None]

METADATA_KEY = "linkedapi_async"

ClassT = typing.TypeVar("ClassT", bound="type[Validated]")


@attrs.frozen(kw_only=True)
class ParameterInfo:
    """The API's facts about one parameter."""

    target: bool = False
    """Whether it identifies what to act on: needed at the root, refused below."""
    generations: tuple[Generation, ...] = BOTH
    """The generations that know the parameter."""
    needed_in: tuple[Generation, ...] = ()
    """The generations that require it, although it is optional in others."""
    default: int | str | bool | PerGeneration | None = None
    """The API's default when it is not sent."""
    minimum: int | None = None
    """The smallest value, or the smallest number of characters or items."""
    maximum: int | PerGeneration | None = None
    """The largest value, or the largest number of characters or items."""
    enforced_in: tuple[Generation, ...] = ()
    """The generations that certainly refuse more than the maximum."""
    pattern: str | None = None
    """The regular expression of the strings that are documented."""
    kind: TargetKind | None = None
    """The kind of target, if it is the URL, URN or id of something on LinkedIn."""

    def maximum_in(self, generation: Generation) -> int | None:
        """Return the largest value that *generation* accepts, if it is known."""
        if isinstance(self.maximum, Mapping):
            return self.maximum.get(generation)
        return self.maximum

    @property
    def doubtful_maximum(self) -> int | None:
        """The largest documented value, if larger ones are not certainly refused."""
        known = {g: self.maximum_in(g) for g in self.generations}
        highest = max((m for m in known.values() if m is not None), default=None)
        certain = all(g in self.enforced_in for g, m in known.items() if m == highest)
        return None if certain else highest

    @property
    def certain_maximum(self) -> int | None:
        """The value above which every generation certainly refuses, if there is one."""
        known = {g: self.maximum_in(g) for g in self.generations}
        highest = max((m for m in known.values() if m is not None), default=None)
        open_ended = any(m is None for m in known.values())
        doubtful = any(
            m == highest and g not in self.enforced_in for g, m in known.items()
        )
        return None if open_ended or doubtful else highest


def info(**facts: Any) -> dict[str, ParameterInfo]:
    """Return the metadata of a field: see `ParameterInfo`."""
    return {METADATA_KEY: ParameterInfo(**facts)}


def target(
    kind: TargetKind | None, generations: tuple[Generation, ...] = BOTH
) -> dict[str, ParameterInfo]:
    """Return the metadata of a target: a field that identifies what to act on."""
    return info(target=True, minimum=1, kind=kind, generations=generations)


LINKED_ONLY = info(generations=LINKED)


def _validator_for_union(options: Sequence[Any]) -> Validator:
    if dt.datetime in options:
        return Date() if dt.date in options else DateTime()
    words = [a for a in options if typing.get_origin(a) is Literal]
    if words:
        return Enum(typing.get_args(words[0]))
    (nested,) = (option for option in options if option is not str)
    return StringOrObject(String(minimum=1), Object(nested))


def validator_for(annotation: Any, known: ParameterInfo) -> Validator:
    """Return the validator of a parameter that is annotated so."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        options = [a for a in typing.get_args(annotation) if a is not type(None)]
        if len(options) > 1:
            return _validator_for_union(options)
        (annotation,) = options
    if typing.get_origin(annotation) is Sequence:
        (item,) = typing.get_args(annotation)
        return ListOf(
            validator_for(item, ParameterInfo(minimum=1)), known.certain_maximum
        )
    if known.kind is not None:
        return TargetString(known.kind)
    if annotation in {str, int}:
        bounds = (known.minimum, known.certain_maximum, known.doubtful_maximum)
        return String(*bounds, known.pattern) if annotation is str else Integer(*bounds)
    return Boolean() if annotation is bool else Object(annotation)


@attrs.frozen(eq=False)
class Parameter:
    """One parameter of a class: its names, its facts, its validator."""

    name: str
    json_name: str
    required: bool
    positional: bool
    info: ParameterInfo
    validator: Validator


def parameters_of(cls: type[Any]) -> tuple[Parameter, ...]:
    """Return the parameters of *cls*, resolved on first use: annotations are slow."""
    key: Any = cls  # mypy does not see that classes are hashable
    return _parameters(key)


@functools.cache
def _parameters(cls: Any) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(cls)
    found = []
    for field in attrs.fields(cls):
        if field.name in cls._not_parameters:
            continue
        known = field.metadata.get(METADATA_KEY, ParameterInfo())
        found.append(
            Parameter(
                name=field.name,
                json_name=json_name(field.name),
                required=field.default is attrs.NOTHING,
                positional=not field.kw_only,
                info=known,
                validator=validator_for(hints[field.name], known),
            )
        )
    return tuple(found)


@attrs.define(frozen=True, kw_only=True, repr=False, eq=False, init=False)
class Validated:
    """Base of all classes whose fields are parameters of the API.

    Their ``__init__`` is compiled on first use, for two reasons. It accepts any
    arguments and says clearly which one is wrong. And it checks all values in one
    expression, so that only doubtful values take extra time.
    """

    _not_parameters: typing.ClassVar[frozenset[str]] = frozenset({"extra_json"})

    extra_json: str | None = attrs.field(default=None, init=False)
    """Parameters that this version does not know, as JSON."""

    @property
    def extra(self) -> dict[str, Any]:
        """The parameters that this version does not know, in a new dict."""
        return {} if self.extra_json is None else json.loads(self.extra_json)

    def with_extra(self, extra: Mapping[str, Any]) -> Self:
        """Return this with parameters that this version does not know.

        They are sent as they are.

        Args:
            extra: JSON values under the API's names; they are added to the present ones.

        Raises:
            ParameterError: A name is known, or a value is not JSON.
        """
        cls: Any = type(self)
        known = {parameter.json_name for parameter in parameters_of(cls)}
        for name, value in extra.items():
            if name in known | {"actionType", "label", "then"}:
                self._refuse(name, "is a known parameter; set it by its own name")
            try:
                check_json({name: value})
            except InvalidValue as error:
                self._refuse(error.place.removeprefix("."), error.reason)
        made = object.__new__(cls)
        for field in field_names(cls):
            object.__setattr__(made, field, getattr(self, field))
        merged = json.dumps({**self.extra, **extra}, sort_keys=True)
        object.__setattr__(made, "extra_json", merged)
        return typing.cast("Self", made)

    def _check(self) -> None:
        """Check all parameters except lists one by one, and say which is wrong."""
        for parameter in parameters_of(type(self)):
            value = getattr(self, parameter.name)
            # Already checked, one by one, in the compiled ``__init__``.
            if isinstance(parameter.validator, ListOf):
                continue
            if value is not None:
                self._store(parameter.name, parameter.validator, value)
            elif parameter.required:
                self._refuse(parameter.name, "is required")

    def _store(self, name: str, validator: Validator, value: Any) -> None:
        try:
            checked = validator.check(value)
        except InvalidValue as error:
            self._refuse(name + error.place, error.reason)
        for doubt in validator.doubts(checked):
            warn_unknown(f"{self._owner()}: {name} {doubt}")
        object.__setattr__(self, name, checked)

    def _check_all_together(self) -> None:
        for name, reason in self._problems():
            self._refuse(name, reason)

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Return a problem between several parameters: (parameter, reason)."""
        return ()

    def _refuse(self, parameter: str, reason: str) -> typing.NoReturn:
        raise ParameterError(owner=self._owner(), parameter=parameter, reason=reason)

    @classmethod
    def _owner(cls) -> str:
        return f"params.{cls.__name__}"

    def _arguments(self) -> str:
        parts = []
        for parameter in parameters_of(type(self)):
            name, value = parameter.name, getattr(self, parameter.name)
            if value is not None:
                parts.append(
                    repr(value) if parameter.positional else f"{name}={value!r}"
                )
        return ", ".join(parts)

    def _values(self) -> tuple[Any, ...]:
        cls: Any = type(self)
        # The form of `then` in JSON does not matter.
        return tuple(getattr(self, n) for n in field_names(cls) if n != "as_list")

    # Not generated by attrs: one method per class would take a fifth of the import.
    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._values() == typing.cast("typing.Self", other)._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    @safe_repr
    def _repr_extra(self) -> str:
        return f".with_extra({self.extra!r})" if self.extra_json else ""

    @safe_repr
    def __repr__(self) -> str:
        return f"{self._owner()}({self._arguments()}){self._repr_extra()}"


@functools.cache
def field_names(cls: Any) -> tuple[str, ...]:
    """Return the names of all fields of *cls*."""
    return tuple(a.name for a in attrs.fields(cls))


def build_class(cls: Any) -> Any:
    """Make *cls* a frozen attrs class with slots and an ``__init__`` of our own."""
    made = attrs.define(
        cls, frozen=True, kw_only=True, repr=False, eq=False, init=False
    )
    if "__init__" not in made.__dict__:

        def first(self: Any, *args: Any, **kwargs: Any) -> None:
            made.__init__ = _compiled_init(made)
            made.__init__(self, *args, **kwargs)

        first.__wrapped__ = made.__attrs_init__  # type: ignore[attr-defined]  # help()
        made.__init__ = first
    return made


def _compiled_init(cls: Any) -> Any:
    # Not `type`: parameters have that name.
    names = {"cls": cls, "wrong_call": _wrong_call, "type_of": type}
    by_position = [a.name for a in attrs.fields(cls) if not a.kw_only]
    by_name = [a.name for a in attrs.fields(cls) if a.kw_only and a.init]
    not_init = {a.name: a.default for a in attrs.fields(cls) if not a.init}
    sure: list[str] = []
    lines = ["  if surplus or unknown: raise wrong_call(cls, surplus, unknown)"]
    # Stored by the slots' setters, because assignments to a frozen object are refused.
    for name in (*by_position, *by_name):
        names[f"set_{name}"] = getattr(cls, name).__set__
        lines.append(f"  set_{name}(self, {name})")
    for name, default in not_init.items():
        names[f"set_{name}"] = getattr(cls, name).__set__
        lines.append(f"  set_{name}(self, {default!r})")
    for parameter in parameters_of(cls):
        name, validator = parameter.name, parameter.validator
        argument = f"validator_{name}"
        names[argument] = validator.fast_path_argument
        test = validator.fast_path(name, argument)
        if isinstance(validator, ListOf):
            names[f"list_{name}"] = validator
            store = f"self._store({name!r}, list_{name}, {name})"
            lines.append(f"  if {name} is not None:")
            lines.append(f"    if {test}: set_{name}(self, tuple({name}))")
            lines.append(f"    else: {store}")
        else:
            optional = "" if parameter.required else f"{name} is None or "
            sure.append(f"({optional}{test})")
    if "label" in by_name:
        sure.append("(label is None or type_of(label) is str and label.isascii())")
        lines.append("  if children != (): self._nest(children)")
    if sure:
        lines.append(f"  if not ({' and '.join(sure)}): self._check()")
    if any("_problems" in vars(base) for base in cls.__mro__ if base is not Validated):
        lines.append("  self._check_all_together()")
    arguments = [
        "self",
        *(f"{name}=None" for name in by_position),
        "*surplus",
        *(f"{name}={'()' if name == 'children' else None}" for name in by_name),
        "**unknown",
    ]
    made = compile_function(
        "__init__", [f"def __init__({', '.join(arguments)}):", *lines], names
    )
    made.__wrapped__ = cls.__attrs_init__
    return made


def _wrong_call(
    cls: Any, surplus: tuple[Any, ...], unknown: dict[str, Any]
) -> ParameterError:
    """Return what is wrong with arguments that belong to no field."""
    fields = {name: a for name, a in attrs.fields_dict(cls).items() if a.init}
    owner = cls._owner()
    for name in unknown:
        reason = unknown_parameter(name, fields)
        return ParameterError(owner=owner, parameter=name, reason=reason)
    positional = ", ".join(name for name, a in fields.items() if not a.kw_only)
    reason = (
        f"is one argument too many; only {positional} is accepted by position, "
        "pass the others by name"
    )
    if not positional:
        reason = "is not accepted by position; pass parameters by name"
    return ParameterError(owner=owner, parameter=short_repr(surplus[0]), reason=reason)


def unknown_parameter(name: str, known: Collection[str]) -> str:
    """Return what to say of a parameter *name* that is not among the *known* ones."""
    alike = nearest(name, known)
    if alike is not None:
        return f"is not a parameter; did you mean {alike}?"
    return f"is not a parameter; known: {', '.join(known) or 'none'}"


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,)
)
def parameters(cls: ClassT) -> ClassT:
    """Make *cls* a frozen parameter class, all of it keyword-only."""
    return typing.cast("ClassT", build_class(cls))
