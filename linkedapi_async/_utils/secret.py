"""A container for values that must not be shown."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar, final


T = TypeVar("T")

T_co = TypeVar("T_co", covariant=True)


@final
class Secret(Generic[T_co]):
    """Holds a token, a webhook secret, or what contains one.

    Error trackers serialise the variables of every frame: strings, mappings and lists
    by their content, attributes by ``vars()``, all else by ``repr()``. None of these
    shows what a `Secret` holds, so variables and attributes hold the `Secret`, and
    `reveal` is called within the expression that needs the value.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T_co) -> None:
        self._value = value

    @staticmethod
    def optional(value: T | None) -> Secret[T] | None:
        """Return a `Secret` of *value*, or None without one."""
        return None if value is None else Secret(value)

    def reveal(self) -> T_co:
        """Return the value; never assign it to a variable."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
