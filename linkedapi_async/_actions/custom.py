"""An action that this version does not know."""

from __future__ import annotations

import json
import keyword
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import attrs

from linkedapi_async._actions.action import LABEL, Action, AnyAction, action
from linkedapi_async._actions.scopes import Anywhere, Scope
from linkedapi_async._actions.validators import InvalidValue, String, check_json
from linkedapi_async._types import CATEGORIES
from linkedapi_async._utils.text import short_repr
from linkedapi_async.errors import ParameterError


_TYPE = String(minimum=1)


@action("", effect="write")
class custom(Action[Any, Any, Any]):  # noqa: N801
    """An action that this version does not know.

    It may be nested anywhere and anything may be nested under it. It counts as a write,
    so its start is never repeated. It yields plain JSON.
    """

    where: ClassVar[tuple[type[Scope], ...]] = (Anywhere,)
    opens: ClassVar[type[Scope]] = Anywhere
    result: ClassVar[Any] = Any
    _not_parameters = frozenset(
        {
            *("action_type", "json", "label", "children", "as_list", "extra_json"),
            "limit_category",
        }
    )

    action_type: str = attrs.field(kw_only=False)  # type: ignore[misc]
    # As text, because an action is hashable and never changes.
    json: str
    limit_category: str | None
    """The account limit that it counts against; not sent, and not compared."""

    def __init__(
        self,
        action_type: Any,
        /,
        *,
        label: str | None = None,
        children: Sequence[AnyAction] = (),
        category: str | None = None,
        **params: Any,
    ) -> None:
        """Build the action.

        Args:
            action_type: The API's name of it, such as ``"st.somethingNew"``.
            label: The caller's tag, echoed in the completion.
            children: The actions nested under it; `then` adds more.
            category: The account limit that it counts against, such as ``stMessages``,
                for a `Pace`. It is not sent; `from_json` takes a parameter of that name.
            params: Its parameters as JSON values, verbatim, under the API's names.
        """
        self._fill_checked(action_type, params, label)
        if category is not None and category not in CATEGORIES:
            known = ", ".join(CATEGORIES)
            reason = f"must be one of {known}, got {short_repr(category)}"
            self._refuse("category", reason)
        object.__setattr__(self, "limit_category", category)
        if children != ():
            self._nest(children)

    def _fill_checked(
        self, action_type: Any, params: dict[str, Any], label: str | None
    ) -> None:
        try:
            _TYPE.check(action_type)
        except InvalidValue as error:
            raise ParameterError(
                owner="custom", parameter="action_type", reason=error.reason
            ) from None
        for name, instead in {"then": "children", "actionType": "action_type"}.items():
            if name in params:
                reason = f"is not a parameter; use {instead}"
                raise ParameterError(owner=action_type, parameter=name, reason=reason)
        try:
            check_json(params)
        except InvalidValue as error:
            raise ParameterError(
                owner=action_type,
                parameter=error.place.removeprefix(".") or "params",
                reason=error.reason,
            ) from None
        self._fill(action_type, label, json.dumps(params), as_list=False)
        if label is not None:
            self._store("label", LABEL, label)

    def _fill(
        self, action_type: str, label: str | None, text: str, *, as_list: bool
    ) -> None:
        object.__setattr__(self, "action_type", action_type)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "children", ())
        object.__setattr__(self, "json", text)
        object.__setattr__(self, "as_list", as_list)
        object.__setattr__(self, "extra_json", None)
        object.__setattr__(self, "limit_category", None)

    @classmethod
    def from_json(
        cls, action_type: str, params: dict[str, Any], label: str | None
    ) -> Self:
        """Build an action whose parameters may have any name, ``children`` too."""
        self = cls.__new__(cls)
        self._fill_checked(action_type, params, label)
        return self

    @classmethod
    def raw(
        cls,
        action_type: str,
        params: dict[str, Any],
        *,
        label: str | None = None,
        children: Sequence[AnyAction] = (),
        as_list: bool = False,
    ) -> Self:
        """Build an action that is sent as it is, with nothing checked.

        Args:
            action_type: Its type; empty if *params* has it, or nothing does.
            params: All else of its JSON object, verbatim.
            label: The caller's tag, if *params* does not have it.
            children: The actions nested under it.
            as_list: Whether ``then`` is a list whatever the number of children.

        Raises:
            ParameterError: *params* is not JSON.
        """
        self = cls.__new__(cls)
        try:
            text = json.dumps(params, allow_nan=False)
        except (TypeError, ValueError) as error:
            reason = f"must be JSON: {error}"
            owner = action_type or "custom"
            raise ParameterError(
                owner=owner, parameter="params", reason=reason
            ) from None
        self._fill(action_type, label, text, as_list=as_list)
        object.__setattr__(self, "children", tuple(children))
        return self

    def with_extra(self, extra: Mapping[str, Any]) -> Self:
        """Return this action with more parameters.

        Raises:
            ParameterError: A value is not JSON.
        """
        made = self.raw(
            self.action_type,
            {**self.params, **extra},
            label=self.label,
            children=self.children,
            as_list=self.as_list,
        )
        object.__setattr__(made, "limit_category", self.limit_category)
        return made

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, in a new dict."""
        return typing.cast("dict[str, Any]", json.loads(self.json))

    def _values(self) -> tuple[Any, ...]:
        # Another order of the parameters is sent as it is, but the actions are equal.
        canonical = json.dumps(self.params, sort_keys=True)
        return self.action_type, canonical, self.label, self.children

    @classmethod
    def may_nest_under(cls, parent: type[AnyAction]) -> bool:  # noqa: ARG003
        """Return True, because it is unknown where it may be nested."""
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
            return f"custom.raw({', '.join(parts)})"
        if self.limit_category is not None:
            parts.append(f"category={self.limit_category!r}")
        if all(_is_plain_name(name) for name in params):
            parts += [f"{name}={value!r}" for name, value in params.items()]
        else:
            parts.append(f"**{params!r}")
        return f"custom({', '.join(parts)})"

    def _is_odd(self, params: dict[str, Any]) -> bool:
        """Return whether `__init__` would refuse *params* or the rest as they are."""
        if self.as_list:
            return True
        try:
            _TYPE.check(self.action_type)
            check_json([params, self.label])
        except InvalidValue:
            return True
        return not params.keys().isdisjoint(
            {"actionType", "category", "children", "label", "then"}
        )

    def _summary_line(self) -> str:
        tag = [] if self.label is None else [f"label={self.label!r}"]
        values = [f"{name}={value!r}" for name, value in self.params.items()]
        return " ".join([self.action_type or "(no actionType)", *tag, *values])


def _is_plain_name(name: str) -> bool:
    # Python normalizes a name beyond ASCII, possibly to another one.
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
