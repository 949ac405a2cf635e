"""Validators: which values a parameter accepts."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import inspect
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final

from linkedapi_async._utils.spelling import nearest
from linkedapi_async._utils.text import is_encodable, short_repr
from linkedapi_async._utils.times import format_time, parse_time
from linkedapi_async.errors import UnknownValueWarning
from linkedapi_async.urls import TargetKind, check_target


def warn_unknown(
    message: str, category: type[UserWarning] = UnknownValueWarning
) -> None:
    """Emit a warning that points to the caller's line outside this package."""
    frame, level = inspect.currentframe(), 1
    # Compiled functions have no file of their own, so the module's name decides.
    while frame is not None and frame.f_globals.get(
        "__name__", "linkedapi_async"
    ).startswith("linkedapi_async"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


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
    """A description of what it accepts, with an article: ``a string``."""

    @property
    def fast_path_argument(self) -> Any:
        """Return the object that the expression of `fast_path` uses: often a class."""
        return None

    def fast_path(self, name: str, argument: str) -> str:
        """Return an expression that is true only for values that certainly fit.

        Args:
            name: The variable that holds the value.
            argument: The variable that holds `fast_path_argument`.
        """
        raise NotImplementedError

    def check(self, value: Any) -> Any:
        """Return *value* in the form in which it is stored.

        Raises:
            InvalidValue: It does not fit.
        """
        raise NotImplementedError

    def doubts(self, value: Any) -> Iterable[str]:  # noqa: ARG002
        """Return why the API may refuse a checked *value*, as predicates."""
        return ()

    def warn(self, value: Any, subject: str) -> None:
        """Warn of the doubts about a checked *value*; *subject* names it."""
        for doubt in self.doubts(value):
            warn_unknown(f"{subject} {doubt}")

    def _wrong(self, value: object) -> InvalidValue:
        return InvalidValue(f"must be {self.expected}, got {short_repr(value)}")


class _Bounded(Validator):
    """Base of validators with bounds.

    Args:
        minimum: The smallest value or length.
        maximum: The value or length above which the API certainly refuses.
        doubtful: The value or length above which the API may refuse.
    """

    def __init__(
        self,
        minimum: int | None = None,
        maximum: int | None = None,
        doubtful: int | None = None,
    ) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.doubtful = doubtful

    def _bounds_test(self, value: str) -> str:
        low = "" if self.minimum is None else f" and {value} >= {self.minimum}"
        highest = [m for m in (self.maximum, self.doubtful) if m is not None]
        return low + (f" and {value} <= {min(highest)}" if highest else "")


class String(_Bounded):
    """A string, within a length in characters."""

    expected = "a string"

    def __init__(
        self,
        minimum: int | None = None,
        maximum: int | None = None,
        doubtful: int | None = None,
        pattern: str | None = None,
    ) -> None:
        super().__init__(minimum, maximum, doubtful)
        self.pattern = None if pattern is None else re.compile(pattern)

    @property
    def fast_path_argument(self) -> Any:
        return None if self.pattern is None else self.pattern.fullmatch

    def fast_path(self, name: str, argument: str) -> str:
        bounds = self._bounds_test(f"len({name})")
        pattern = f" and {argument}({name})" if self.pattern else ""
        # Text beyond ASCII may have a lone surrogate, which `check` refuses.
        return f"type_of({name}) is str and {name}.isascii(){bounds}{pattern}"

    def doubts(self, value: Any) -> Iterable[str]:
        if self.pattern and not self.pattern.fullmatch(value):
            allowed = self.pattern.pattern
            return [f"is documented as {allowed}, got {value!r}; it is sent as it is"]
        if self.doubtful is not None and len(value) > self.doubtful:
            doubt = (
                f"has {len(value)} characters, above the documented maximum of "
                f"{self.doubtful}; it is sent as it is"
            )
            return [doubt]
        return ()

    def check(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise self._wrong(value)
        if not (value.isascii() or is_encodable(value)):
            raise InvalidValue(
                "must not have a lone surrogate, which JSON cannot carry, "
                f"got {short_repr(value)}"
            )
        if self.minimum and len(value) < self.minimum:
            reason = f"must have at least {self.minimum} character, got {value!r}"
            raise InvalidValue(reason)
        if self.maximum and len(value) > self.maximum:
            reason = f"must have at most {self.maximum} characters, got {len(value)}"
            raise InvalidValue(reason)
        return value


# The usual forms of targets, which are certainly right. `check_target` knows a hundred
# more spellings, and takes twenty times as long.
_USUAL_PAGES: Final[dict[TargetKind, str]] = {
    "person": r"in/(?!unavailable\b)[\w-]{3,}",
    "company": r"company/(?!unavailable\b)[\w-]+",
    "post": r"feed/update/urn:li:(?:activity|share|ugcPost):[0-9]+",
    "job": "jobs/view/[0-9]+",
    "nvPerson": r"in/A(?:Co|Cw|EM)AA[\w-]+",
    "nvCompany": "company/[0-9]+",
}

# A value is checked twice: for errors, and for doubts.
_judged = functools.lru_cache(maxsize=16)(check_target)

_targets_checked: ContextVar[bool] = ContextVar("targets_checked", default=True)


@contextlib.contextmanager
def unchecked_targets() -> Iterator[None]:
    """Accept any text as a target while this context is entered."""
    token = _targets_checked.set(False)
    try:
        yield
    finally:
        _targets_checked.reset(token)


class TargetString(String):
    """The URL, URN or id of a target, which is kept as it is."""

    def __init__(self, kind: TargetKind) -> None:
        super().__init__(minimum=1)
        self.kind: TargetKind = kind

    @property
    def fast_path_argument(self) -> Any:
        page = _USUAL_PAGES.get(self.kind)
        if page is None:
            return None
        return re.compile(rf"https://www\.linkedin\.com/{page}/?", re.ASCII).fullmatch

    def fast_path(self, name: str, argument: str) -> str:
        if self.kind not in _USUAL_PAGES:
            return "False"
        return f"type_of({name}) is str and {argument}({name})"

    def check(self, value: Any) -> Any:
        super().check(value)
        if _targets_checked.get():
            problem = _judged(self.kind, value)
            if problem is not None and problem.certain:
                raise InvalidValue(problem.reason)
        return value

    def doubts(self, value: Any) -> Iterator[str]:
        if _targets_checked.get():
            problem = _judged(self.kind, value)
            if problem is not None:
                yield problem.reason


class Integer(_Bounded):
    """A whole number within bounds."""

    expected = "a whole number"

    def fast_path(self, name: str, argument: str) -> str:  # noqa: ARG002
        return f"type_of({name}) is int{self._bounds_test(name)}"

    def doubts(self, value: Any) -> Iterator[str]:
        if self.doubtful is not None and value > self.doubtful:
            yield (
                f"is {value}, above the documented maximum of {self.doubtful}; "
                "it is sent as it is"
            )

    def check(self, value: Any) -> Any:
        # Not `isinstance`, because True is an int too.
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

    def doubts(self, value: Any) -> Iterator[str]:
        if value not in self.known:
            alike = nearest(value, self.known)
            hint = f"did you mean {alike!r}?" if alike else f"known: {self.known}"
            yield f"has the unknown value {value!r}, which is sent as it is; {hint}"


class DateTime(Validator):
    """A point in time: ISO text, or an aware datetime, which is kept as ISO text."""

    expected = "ISO 8601 text or a datetime"

    def fast_path(self, name: str, argument: str) -> str:  # noqa: ARG002
        return "False"

    def check(self, value: Any) -> Any:
        if isinstance(value, dt.datetime):
            if value.tzinfo is None:
                raise InvalidValue(
                    "must have a time zone: datetime.now(UTC), not datetime.now(), "
                    f"got {value!r}"
                )
            return format_time(value)
        if not (_is_iso(value) or is_template(value)):
            example = "such as 2026-11-28T09:00:00Z"
            got = short_repr(value)
            raise InvalidValue(f"must be {self.expected} {example}, got {got}")
        return value


def _is_iso(value: object) -> bool:
    if parse_time(value) is not None:
        return True
    # A year, or a month of one, is ISO 8601 too; Python does not read it.
    return isinstance(value, str) and bool(re.fullmatch(r"\d{4}(-\d{2})?", value))


def is_template(value: object) -> bool:
    """Return whether *value* has a placeholder, and is checked after it is filled."""
    return isinstance(value, str) and "{{" in value


class Date(DateTime):
    """A day or a point in time: a date is kept as ISO text too."""

    expected = "ISO 8601 text, a date or a datetime"

    def check(self, value: Any) -> Any:
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value.isoformat()
        return super().check(value)


class ListOf(Validator):
    """A list of values, kept as a tuple."""

    expected = "a list"

    def __init__(self, item: Validator, maximum: int | None = None) -> None:
        self.item = item
        self.maximum = maximum

    @property
    def fast_path_argument(self) -> Any:
        return self.item.fast_path_argument

    def fast_path(self, name: str, argument: str) -> str:
        if self.maximum is not None or isinstance(self.item, StringOrObject):
            return "False"
        item = self.item.fast_path("item", argument)
        return f"type_of({name}) is list and all([{item} for item in {name}])"

    def check(self, value: Any) -> Any:
        if isinstance(value, (str, bytes, bytearray)):
            text = short_repr(value)
            raise InvalidValue(f"must be a list, got {text}; write [{text}]")
        # The usual types first, because a test for an abstract class is slow.
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

    def doubts(self, value: Any) -> Iterable[str]:
        doubts = self.item.doubts
        return [doubt for item in value for doubt in doubts(item)]


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

    def doubts(self, value: Any) -> Iterable[str]:
        return self.text.doubts(value) if isinstance(value, str) else ()


def check_json(value: Any) -> None:
    """Check that *value* is a JSON value.

    Raises:
        InvalidValue: It is not, with the place inside it.
    """
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        String().check(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidValue(f"must be a JSON value, got {value}")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidValue(f"must have string keys, got {short_repr(key)}")
            String().check(key)
            _check_inside(item, f".{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_inside(item, f"[{index}]")
    else:
        raise InvalidValue(f"must be a JSON value, got {short_repr(value)}")


def _check_inside(value: Any, place: str) -> None:
    try:
        check_json(value)
    except InvalidValue as error:
        raise InvalidValue(error.reason, place + error.place) from None
