"""What a parameter is, and the check of its value: types, bounds, spelling."""

from __future__ import annotations

import functools
import sys
import types
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from linkedapi_async._compile import compiled
from linkedapi_async.errors import ParameterError, UnknownValueWarning


Generation: TypeAlias = Literal["account_api", "linked_api"]

ACCOUNT: tuple[Generation, ...] = ("account_api",)
LINKED: tuple[Generation, ...] = ("linked_api",)
BOTH: tuple[Generation, ...] = ("account_api", "linked_api")

PerGeneration: TypeAlias = Mapping[Generation, int | None]
KEY = "linkedapi_async"
ClassT = typing.TypeVar("ClassT", bound="type[Checked]")


@attrs.frozen(kw_only=True)
class Fact:
    """What the API says of one parameter."""

    target: bool = False
    """Whether it names what to act on: needed at the root, refused below."""
    only: tuple[Generation, ...] = BOTH
    """The generations that know the parameter."""
    needed_in: tuple[Generation, ...] = ()
    """The generations that insist on it although others do not."""
    default: int | str | bool | PerGeneration | None = None
    """What the API takes when it is not sent."""
    minimum: int | None = None
    """The least value, or the least number of characters or items."""
    maximum: int | PerGeneration | None = None
    """The largest value, or the largest number of characters or items."""
    firm: tuple[Generation, ...] = ()
    """Where going over the maximum is certainly an error of the API."""

    def maximum_in(self, generation: Generation) -> int | None:
        """Return the largest value that *generation* takes, if one is known."""
        if isinstance(self.maximum, Mapping):
            return self.maximum.get(generation)
        return self.maximum

    @property
    def ceiling(self) -> int | None:
        """What no generation takes more than, if that is certain."""
        known = {g: self.maximum_in(g) for g in self.only}
        highest = max((m for m in known.values() if m is not None), default=None)
        open_ended = any(m is None for m in known.values())
        doubtful = any(m == highest and g not in self.firm for g, m in known.items())
        return None if open_ended or doubtful else highest


def fact(**facts: Any) -> dict[str, Fact]:
    """Return the metadata of a field that carries these facts."""
    return {KEY: Fact(**facts)}


TARGET = fact(target=True, minimum=1)
LINKED_TARGET = fact(target=True, minimum=1, only=LINKED)
LINKED_ONLY = fact(only=LINKED)


def wire_name(name: str) -> str:
    """Return the JSON spelling of a Python name: ``basic_info``, ``basicInfo``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is spelt most like *name*, if any is alike."""
    import difflib  # noqa: PLC0415  # only errors need it

    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=cutoff)), None)


def warn_of(message: str) -> None:
    """Warn of an unknown value, at the line of the user's that it comes from."""
    frame, level = sys._getframe(), 1
    # Compiled functions have no file of their own, so the module's name decides.
    while frame.f_back and frame.f_globals.get(
        "__name__", "linkedapi_async"
    ).startswith("linkedapi_async"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UnknownValueWarning, stacklevel=level)


def shown(value: object) -> str:
    """Return *value* for an error message, not too long."""
    text = (
        ascii(value)
        if isinstance(value, str) and not _sendable(value)
        else (repr(value))
    )
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004


def _sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Refused(Exception):  # noqa: N818
    """A value does not fit; *place* says where inside it."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place


class Spec:
    """What values a field takes; `check` returns the value or raises `Refused`."""

    due: str

    @property
    def kind(self) -> Any:
        """What `sure` needs to know: a class, or the known words."""
        return None

    def sure(self, name: str, kind: str) -> str:
        """Return an expression that is true only of values that certainly fit."""
        raise NotImplementedError

    def check(self, value: Any) -> Any:
        """Return *value* as it is kept.

        Raises:
            Refused: It does not fit.
        """
        raise NotImplementedError

    def warn(self, value: Any) -> None:
        """Warn of words in a checked *value* that are not known."""

    def _wrong(self, value: object) -> Refused:
        return Refused(f"{self.due} is due, got {shown(value)}")


def _within(value: str, minimum: int | None, maximum: int | None) -> str:
    low = "" if minimum is None else f" and {value} >= {minimum}"
    return low + ("" if maximum is None else f" and {value} <= {maximum}")


class Text(Spec):
    """A string, within a length in characters."""

    due = "a string"

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def sure(self, name: str, kind: str) -> str:  # noqa: ARG002
        text = f"type_of({name}) is str and {name}.isascii()"
        return text + _within(f"len({name})", self.minimum, self.maximum)

    def check(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise self._wrong(value)
        if not (value.isascii() or _sendable(value)):
            reason = f"{shown(value)} has a lone surrogate, which no JSON can carry"
            raise Refused(reason)
        if self.minimum and len(value) < self.minimum:
            raise Refused(f"at least {self.minimum} character is due, got {value!r}")
        if self.maximum and len(value) > self.maximum:
            reason = f"at most {self.maximum} characters are allowed, got {len(value)}"
            raise Refused(reason)
        return value


class Whole(Spec):
    """A whole number within bounds."""

    due = "a whole number"

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def sure(self, name: str, kind: str) -> str:  # noqa: ARG002
        return f"type_of({name}) is int" + _within(name, self.minimum, self.maximum)

    def check(self, value: Any) -> Any:
        if type(value) is not int:
            raise self._wrong(value)
        if self.minimum is not None and value < self.minimum:
            raise Refused(f"at least {self.minimum} is due, got {value}")
        if self.maximum is not None and value > self.maximum:
            raise Refused(f"at most {self.maximum} is allowed, got {value}")
        return value


class Flag(Spec):
    """True or False."""

    due = "True or False"

    def sure(self, name: str, kind: str) -> str:  # noqa: ARG002
        return f"type_of({name}) is bool"

    def check(self, value: Any) -> Any:
        if type(value) is not bool:
            raise self._wrong(value)
        return value


class Choice(Spec):
    """One of the known words; an unknown one passes with a warning."""

    due = "a string"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    @property
    def kind(self) -> Any:
        return self.known

    def sure(self, name: str, kind: str) -> str:
        return f"type_of({name}) is str and {name} in {kind}"

    def check(self, value: Any) -> Any:
        if value in self.known:
            return value
        return Text(minimum=1).check(value)

    def warn(self, value: Any) -> None:
        if value in self.known:
            return
        alike = nearest(value, self.known)
        hint = f"did you mean {alike!r}?" if alike else f"known: {self.known}"
        warn_of(f"{value!r} is not a known value and is sent as it is; {hint}")


class Many(Spec):
    """A list of values, kept as a tuple."""

    due = "a list"

    def __init__(self, item: Spec, maximum: int | None = None) -> None:
        self.item = item
        self.maximum = maximum

    def check(self, value: Any) -> Any:
        if isinstance(value, (str, bytes, bytearray)):
            reason = f"a list is due, got {shown(value)}; write [{shown(value)}]"
            raise Refused(reason)
        if type(value) not in {list, tuple} and not isinstance(value, Sequence):
            raise self._wrong(value)
        if self.maximum is not None and len(value) > self.maximum:
            reason = f"at most {self.maximum} items are allowed, got {len(value)}"
            raise Refused(reason)
        check = self.item.check
        index = 0
        checked = []
        try:
            for index, item in enumerate(value):  # noqa: B007  # told in the error
                checked.append(check(item))
        except Refused as refused:
            place = f"[{index}]{refused.place}"
            raise Refused(refused.reason, place) from None
        return tuple(checked)

    def warn(self, value: Any) -> None:
        if isinstance(self.item, Choice):
            for item in value:
                self.item.warn(item)


class Nested(Spec):
    """An object of a parameter class."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    @property
    def due(self) -> str:  # type: ignore[override]
        return f"a params.{self.cls.__name__}"

    @property
    def kind(self) -> Any:
        return self.cls

    def sure(self, name: str, kind: str) -> str:
        return f"isinstance({name}, {kind})"

    def check(self, value: Any) -> Any:
        if not isinstance(value, self.cls):
            raise self._wrong(value)
        return value


class Either(Spec):
    """A plain string or an object of a parameter class."""

    def __init__(self, text: Text, nested: Nested) -> None:
        self.text = text
        self.nested = nested

    @property
    def due(self) -> str:  # type: ignore[override]
        return f"a string or {self.nested.due}"

    def check(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text.check(value)
        if not isinstance(value, self.nested.cls):
            raise self._wrong(value)
        return value


def _spec(annotation: Any, known: Fact) -> Spec:
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        options = [a for a in typing.get_args(annotation) if a is not type(None)]
        words = [a for a in options if typing.get_origin(a) is Literal]
        if words:
            return Choice(typing.get_args(words[0]))
        if len(options) > 1:
            (nested,) = (option for option in options if option is not str)
            return Either(Text(minimum=1), Nested(nested))
        (annotation,) = options
    if typing.get_origin(annotation) is Sequence:
        (item,) = typing.get_args(annotation)
        return Many(_spec(item, Fact(minimum=1)), known.ceiling)
    bounds = (known.minimum, known.ceiling)
    if annotation is str:
        return Text(*bounds)
    if annotation is int:
        return Whole(*bounds)
    return Flag() if annotation is bool else Nested(annotation)


@attrs.frozen(eq=False)
class Row:
    """One parameter of a class: its names, its facts, its check."""

    name: str
    wire: str
    required: bool
    positional: bool
    fact: Fact
    spec: Spec


def rows(cls: type[Any]) -> tuple[Row, ...]:
    """Return the parameters of *cls*, resolved on first use: annotations are dear."""
    cached: tuple[Row, ...] | None = cls._rows
    if cached is None:
        hints = typing.get_type_hints(cls)
        cached = tuple(
            Row(
                name=a.name,
                wire=wire_name(a.name),
                required=a.default is attrs.NOTHING,
                positional=not a.kw_only,
                fact=a.metadata.get(KEY, Fact()),
                spec=_spec(hints[a.name], a.metadata.get(KEY, Fact())),
            )
            for a in attrs.fields(cls)
            if a.name not in cls._not_parameters
        )
        cls._rows = cached
    return cached


class Checked:
    """Base of all classes whose fields are parameters of the API.

    Their ``__init__`` is compiled on first use, for two reasons. It takes any arguments
    and says clearly which one is wrong; and it checks what is nearly always right in
    one expression, so that only a value in doubt costs more than being stored.
    """

    __slots__ = ()
    _not_parameters: typing.ClassVar[frozenset[str]] = frozenset()
    _rows: typing.ClassVar[tuple[Row, ...] | None] = None

    def _check(self) -> None:
        """Check the parameters but lists one by one, and say which is wrong."""
        for row in rows(type(self)):
            value = getattr(self, row.name)
            if isinstance(row.spec, Many):
                continue
            if value is not None:
                self._store(row.name, row.spec, value)
            elif row.required:
                self._refuse(row.name, "is required")

    def _store(self, name: str, spec: Spec, value: Any) -> None:
        try:
            checked = spec.check(value)
        except Refused as refused:
            self._refuse(name + refused.place, refused.reason)
        spec.warn(checked)
        object.__setattr__(self, name, checked)

    def _check_all_together(self) -> None:
        for name, reason in self._problems():
            self._refuse(name, reason)

    def _problems(self) -> Iterable[tuple[str, str]]:
        """Return what is wrong between parameters: (parameter, reason)."""
        return ()

    def _refuse(self, parameter: str, reason: str) -> typing.NoReturn:
        raise ParameterError(owner=self._owner(), parameter=parameter, reason=reason)

    @classmethod
    def _owner(cls) -> str:
        return f"params.{cls.__name__}"

    def _arguments(self) -> str:
        parts = []
        for row in rows(type(self)):
            value = getattr(self, row.name)
            if value is not None:
                parts.append(repr(value) if row.positional else f"{row.name}={value!r}")
        return ", ".join(parts)

    def _values(self) -> tuple[Any, ...]:
        cls: Any = type(self)
        return tuple(getattr(self, name) for name in slots(cls))

    # Written once for all: generated for each class they take a fifth of the import.
    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._values() == typing.cast("typing.Self", other)._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        return f"{self._owner()}({self._arguments()})"


@functools.cache
def slots(cls: Any) -> tuple[str, ...]:
    """Return the names of all fields of *cls*."""
    return tuple(a.name for a in attrs.fields(cls))


def slotted(cls: Any) -> Any:
    """Make *cls* a frozen attrs class with slots and an ``__init__`` of our own."""
    made = attrs.define(
        cls, frozen=True, kw_only=True, repr=False, eq=False, init=False
    )
    made._rows = None  # not the base's
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
    by_name = [a.name for a in attrs.fields(cls) if a.kw_only]
    specs = {row.name: row for row in rows(cls)}
    sure, lines = (
        [],
        ["  if surplus or unknown: raise wrong_call(cls, surplus, unknown)"],
    )
    for name in (*by_position, *by_name):
        names[f"set_{name}"] = getattr(cls, name).__set__
        lines.append(f"  set_{name}(self, {name})")
    for name, row in specs.items():
        if isinstance(row.spec, Many):
            names[f"spec_{name}"] = row.spec
            lines.append(
                f"  if {name} is not None: self._store({name!r}, spec_{name}, {name})"
            )
        else:
            names[f"spec_{name}"] = row.spec.kind
            test = row.spec.sure(name, f"spec_{name}")
            sure.append(f"({test})" if row.required else f"({name} is None or {test})")
    extra = [] if cls._problems is Checked._problems else ["_check_all_together"]
    if "label" in by_name:
        sure.append("(label is None or type_of(label) is str and label.isascii())")
        lines.append("  if children != (): self._nest(children)")
    if sure:
        lines.append(f"  if not ({' and '.join(sure)}): self._check()")
    lines += [f"  self.{method}()" for method in extra]
    arguments = [
        "self",
        *(f"{name}=None" for name in by_position),
        "*surplus",
        *(f"{name}={'()' if name == 'children' else None}" for name in by_name),
        "**unknown",
    ]
    made = compiled(
        "__init__", [f"def __init__({', '.join(arguments)}):", *lines], names
    )
    made.__wrapped__ = cls.__attrs_init__
    return made


def _wrong_call(
    cls: Any, surplus: tuple[Any, ...], unknown: dict[str, Any]
) -> ParameterError:
    """Return what is wrong with arguments that no field takes."""
    fields = attrs.fields_dict(cls)
    owner = cls._owner()
    for name in unknown:
        alike = nearest(name, fields)
        hint = f"did you mean {alike}?" if alike else f"known: {', '.join(fields)}"
        reason = f"unknown; {hint}"
        return ParameterError(owner=owner, parameter=name, reason=reason)
    takes = [name for name, a in fields.items() if not a.kw_only]
    reason = f"only {', '.join(takes) or 'nothing'} goes by position; name the others"
    return ParameterError(owner=owner, parameter=shown(surplus[0]), reason=reason)


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,)
)
def parameters(cls: ClassT) -> ClassT:
    """Make *cls* a frozen parameter class, all of it keyword-only."""
    return typing.cast("ClassT", slotted(cls))
