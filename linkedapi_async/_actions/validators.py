"""Validators: which values a parameter takes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any

from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import is_encodable, short_repr
from linkedapi_async.errors import UnknownValueWarning


def warn_unknown(message: str) -> None:
    """Warn of an unknown value, at the caller's line outside this package."""
    frame, level = inspect.currentframe(), 1
    # Compiled functions have no file of their own, so the module's name decides.
    while frame is not None and frame.f_globals.get(
        "__name__", "linkedapi_async"
    ).startswith("linkedapi_async"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UnknownValueWarning, stacklevel=level)


class InvalidValue(Exception):  # noqa: N818
    """A value does not fit; *place* says where inside it.

    The reason is a predicate, such as ``must be at least 1, got 0``.
    """

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.place = place


class Validator:
    """Checks the values of one parameter."""

    expected: str
    """What it accepts, with an article: ``a string``."""

    @property
    def fast_path_argument(self) -> Any:
        """Return what the expression of `fast_path` refers to: a class, or the words."""
        return None

    def fast_path(self, name: str, argument: str) -> str:
        """Return an expression that is true only of values that certainly fit.

        Args:
            name: The variable that holds the value.
            argument: The variable that holds `fast_path_argument`.
        """
        raise NotImplementedError

    def check(self, value: Any) -> Any:
        """Return *value* as it is kept.

        Raises:
            InvalidValue: It does not fit.
        """
        raise NotImplementedError

    def warn(self, value: Any) -> None:
        """Warn of unknown words in a checked *value*."""

    def _wrong(self, value: object) -> InvalidValue:
        return InvalidValue(f"must be {self.expected}, got {short_repr(value)}")


def _bounds_test(value: str, minimum: int | None, maximum: int | None) -> str:
    low = "" if minimum is None else f" and {value} >= {minimum}"
    return low + ("" if maximum is None else f" and {value} <= {maximum}")


class String(Validator):
    """A string, within a length in characters."""

    expected = "a string"

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def fast_path(self, name: str, argument: str) -> str:  # noqa: ARG002
        text = f"type_of({name}) is str and {name}.isascii()"
        return text + _bounds_test(f"len({name})", self.minimum, self.maximum)

    def check(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise self._wrong(value)
        if not (value.isascii() or is_encodable(value)):
            reason = (
                "must not have a lone surrogate, which JSON cannot carry, "
                f"got {short_repr(value)}"
            )
            raise InvalidValue(reason)
        if self.minimum and len(value) < self.minimum:
            reason = f"must have at least {self.minimum} character, got {value!r}"
            raise InvalidValue(reason)
        if self.maximum and len(value) > self.maximum:
            reason = f"must have at most {self.maximum} characters, got {len(value)}"
            raise InvalidValue(reason)
        return value


class Integer(Validator):
    """A whole number within bounds."""

    expected = "a whole number"

    def __init__(self, minimum: int | None = None, maximum: int | None = None) -> None:
        self.minimum = minimum
        self.maximum = maximum

    def fast_path(self, name: str, argument: str) -> str:  # noqa: ARG002
        bounds = _bounds_test(name, self.minimum, self.maximum)
        return f"type_of({name}) is int{bounds}"

    def check(self, value: Any) -> Any:
        if type(value) is not int:
            raise self._wrong(value)
        if self.minimum is not None and value < self.minimum:
            raise InvalidValue(f"must be at least {self.minimum}, got {value}")
        if self.maximum is not None and value > self.maximum:
            raise InvalidValue(f"must be at most {self.maximum}, got {value}")
        return value


class Boolean(Validator):
    """True or False."""

    expected = "True or False"

    def fast_path(self, name: str, argument: str) -> str:  # noqa: ARG002
        return f"type_of({name}) is bool"

    def check(self, value: Any) -> Any:
        if type(value) is not bool:
            raise self._wrong(value)
        return value


class Enum(Validator):
    """One of the known words; an unknown one passes with a warning."""

    expected = "a string"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    @property
    def fast_path_argument(self) -> Any:
        return self.known

    def fast_path(self, name: str, argument: str) -> str:
        return f"type_of({name}) is str and {name} in {argument}"

    def check(self, value: Any) -> Any:
        if value in self.known:
            return value
        return String(minimum=1).check(value)

    def warn(self, value: Any) -> None:
        if value in self.known:
            return
        alike = nearest(value, self.known)
        hint = f"did you mean {alike!r}?" if alike else f"known: {self.known}"
        warn_unknown(f"{value!r} is not a known value and is sent as it is; {hint}")


class ListOf(Validator):
    """A list of values, kept as a tuple."""

    expected = "a list"

    def __init__(self, item: Validator, maximum: int | None = None) -> None:
        self.item = item
        self.maximum = maximum

    def check(self, value: Any) -> Any:
        if isinstance(value, (str, bytes, bytearray)):
            text = short_repr(value)
            raise InvalidValue(f"must be a list, got {text}; write [{text}]")
        if type(value) not in {list, tuple} and not isinstance(value, Sequence):
            raise self._wrong(value)
        if self.maximum is not None and len(value) > self.maximum:
            reason = f"must have at most {self.maximum} items, got {len(value)}"
            raise InvalidValue(reason)
        check = self.item.check
        index = 0
        checked = []
        try:
            for index, item in enumerate(value):  # noqa: B007  # for the message
                checked.append(check(item))
        except InvalidValue as error:
            place = f"[{index}]{error.place}"
            raise InvalidValue(error.reason, place) from None
        return tuple(checked)

    def warn(self, value: Any) -> None:
        if isinstance(self.item, Enum):
            for item in value:
                self.item.warn(item)


class Object(Validator):
    """An object of a parameter class."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"a params.{self.cls.__name__}"

    @property
    def fast_path_argument(self) -> Any:
        return self.cls

    def fast_path(self, name: str, argument: str) -> str:
        return f"isinstance({name}, {argument})"

    def check(self, value: Any) -> Any:
        if not isinstance(value, self.cls):
            raise self._wrong(value)
        return value


class StringOrObject(Validator):
    """A plain string or an object of a parameter class."""

    def __init__(self, text: String, nested: Object) -> None:
        self.text = text
        self.nested = nested

    @property
    def expected(self) -> str:  # type: ignore[override]
        return f"a string or {self.nested.expected}"

    def check(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text.check(value)
        if not isinstance(value, self.nested.cls):
            raise self._wrong(value)
        return value
