"""A workflow with placeholders, rendered for one row at a time and checked.

``{{column}}`` inside a text becomes the cell. A value that is a single placeholder takes
the type of its parameter; if its cell is empty, the parameter is omitted. Only
``{{column?}}`` may be empty inside a text. Cells are never searched for placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final

import attrs

from linkedapi_async._actions.action import Roots
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.texts import (
    leaves_gap,
    left_over,
    missing_value,
    nodes,
    texts,
)
from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    Validator,
    unchecked_targets,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._workflow_input import find_unsupported
from linkedapi_async.errors import InvalidDefinitionError, ParameterError, WorkflowError


_PLACEHOLDER: Final = re.compile(r"\{\{\s*([^{}]*?[^{}?\s])\s*(\?)?\s*\}\}")
_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}
_OMIT: Final[Any] = object()


@attrs.frozen
class Problem:
    """A problem of one row, or of the template."""

    reason: str
    path: str = ""
    """The path in the tree."""
    columns: tuple[str, ...] = ()
    """The columns that cause it."""

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.columns))
        plural = "s" if len(self.columns) > 1 else ""
        where = [f"column{plural} {names}"] if names else []
        return ": ".join([*where, *filter(None, [self.path]), self.reason])


class _RenderError(Exception):
    """A cell of *columns* does not fit."""

    def __init__(self, reason: str, columns: Sequence[str]) -> None:
        super().__init__(reason)
        self.columns = tuple(columns)


class Template:
    """A workflow definition with placeholders.

    Args:
        definition: A JSON object, or a list of them.
        allow_braces: Whether texts and cells may have braces like placeholders.
        allow_any_target: Whether targets may be of another kind than expected.
    """

    def __init__(
        self,
        definition: Any,
        *,
        allow_braces: bool = False,
        allow_any_target: bool = False,
    ) -> None:
        self._definition = definition
        self._allow_braces = allow_braces
        self._allow_any_target = allow_any_target
        # The columns of each parameter, by the path of its action and its name.
        self._columns: dict[tuple[str, str], tuple[str, ...]] = {}
        self.problems: tuple[Problem, ...] = tuple(self._survey())

    @property
    def columns(self) -> list[str]:
        """The columns that the template uses, in the order of the tree."""
        return [*dict.fromkeys(c for cs in self._columns.values() for c in cs)]

    def _survey(self) -> Iterator[Problem]:
        """Record the columns of each parameter, and yield problems of the template."""
        for path, node in nodes(self._definition):
            for name, value in node.items():
                if name == "then":
                    continue
                parts = [*texts(value)]
                if name == "actionType" and any("{{" in text for text in parts):
                    yield Problem("actionType must not have a placeholder", path)
                    continue
                columns = [
                    found[1] for text in parts for found in _PLACEHOLDER.finditer(text)
                ]
                if columns:
                    self._columns[path, name] = tuple(dict.fromkeys(columns))
                for text in parts:
                    rest = left_over(_PLACEHOLDER.sub("", text))
                    if rest and not self._allow_braces:
                        reason = (
                            f"{name}: {short_repr(text)} has {rest!r}, which is no "
                            "placeholder such as {{column}}; replace it, or pass "
                            "--allow-braces"
                        )
                        yield Problem(reason, path)

    def missing(
        self, columns: Iterable[str], key: str | None = None
    ) -> Iterator[Problem]:
        """Yield a problem for each used column that is not in *columns*.

        Args:
            columns: The columns of the input.
            key: The column with the keys, if one has them.
        """
        known = [*columns]
        if key is not None and key not in known:
            yield Problem(f"--key: no such column; {_hint(key, known)}", "", (key,))
        for (path, name), used in self._columns.items():
            for column in used:
                if column not in known:
                    reason = f"{name}: no such column; {_hint(column, known)}"
                    yield Problem(reason, path, (column,))

    def render(
        self,
        values: Mapping[str, Any],
        generation: Generation | None = None,
        *,
        any_target: bool = False,
    ) -> Roots | list[Problem]:
        """Return the checked workflow of one row, or the problems of the row.

        Args:
            values: Its cells by column.
            generation: The generation of the API to check against.
            any_target: Whether to skip the check of targets, as earlier versions did.
        """
        renderer = _RowRenderer(values, allow_braces=self._allow_braces)
        definition = renderer.tree(self._definition)
        if renderer.problems:
            return renderer.problems
        any_target = any_target or self._allow_any_target
        targets = unchecked_targets() if any_target else nullcontext()
        try:
            with targets:
                roots: Roots = load_workflow(definition)
        except InvalidDefinitionError as error:
            return [self._with_columns(problem) for problem in error.problems]
        problems = find_unsupported(roots, generation) if generation else ()
        return [self._with_columns(problem) for problem in problems] or roots

    def _with_columns(self, problem: WorkflowError) -> Problem:
        columns: tuple[str, ...] = ()
        if isinstance(problem, ParameterError):
            # "st.searchPeople: filter" is the owner of parameters inside the filter.
            inner = problem.owner.partition(": ")[2] or problem.parameter
            name = json_name(re.split(r"[\[. ]", inner)[0])
            columns = self._columns.get((problem.path, name), ())
        return Problem(message_of(problem), "", columns)


def _hint(column: str, known: list[str]) -> str:
    alike = nearest(column, known)
    return f"did you mean {alike!r}?" if alike else f"columns: {', '.join(known)}"


class _RowRenderer:
    """Render a definition with the cells of one row."""

    def __init__(self, values: Mapping[str, Any], *, allow_braces: bool) -> None:
        self._values = values
        self._allow_braces = allow_braces
        self.problems: list[Problem] = []

    def tree(self, definition: Any) -> Any:
        """Return a definition, or a list of them, with the placeholders replaced."""
        if isinstance(definition, list):
            return [
                self._action(node, f"root[{n}]") for n, node in enumerate(definition)
            ]
        return self._action(definition, "root")

    def _action(self, node: Any, path: str) -> Any:
        if not isinstance(node, dict):
            return node
        validators = _validators(ACTIONS.get(node.get("actionType", "")))
        rendered: dict[str, Any] = {}
        for name, value in node.items():
            if name == "then":
                many = isinstance(value, list)
                below = [
                    self._action(child, f"{path}.then[{n}]")
                    for n, child in enumerate(value if many else [value])
                ]
                rendered[name] = below if many else below[0]
                continue
            try:
                filled = self._value(value, validators.get(name))
            except _RenderError as error:
                reason = f"{name}: {error}"
                self.problems.append(Problem(reason, path, error.columns))
                continue
            if filled is not _OMIT:
                rendered[name] = filled
        return rendered

    def _value(self, value: Any, validator: Validator | None) -> Any:
        """Return *value* rendered; *validator* is that of its parameter."""
        if isinstance(value, str):
            placeholder = _PLACEHOLDER.fullmatch(value)
            if placeholder:
                return self._typed(placeholder[1], validator)
            return self._joined(value)
        if isinstance(value, list):
            inner = validator.item if isinstance(validator, ListOf) else None
            items = [self._value(item, inner) for item in value]
            return [item for item in items if item is not _OMIT]
        if isinstance(value, dict):
            nested = (
                validator.nested if isinstance(validator, StringOrObject) else validator
            )
            validators = _validators(nested.cls if isinstance(nested, Object) else None)
            pairs = {k: self._value(v, validators.get(k)) for k, v in value.items()}
            return {k: v for k, v in pairs.items() if v is not _OMIT}
        return value

    def _joined(self, text: str) -> str:
        """Return a text with its placeholders replaced."""
        parts: list[str] = []
        empty: list[int] = []
        end = 0
        for placeholder in _PLACEHOLDER.finditer(text):
            cell = self._text(placeholder)
            parts += [text[end : placeholder.start()], cell]
            end = placeholder.end()
            if not cell.strip():
                empty.append(len(parts) - 1)
        parts.append(text[end:])
        joined = "".join(parts)
        if any(leaves_gap(parts, index) for index in empty):
            columns = [found[1] for found in _PLACEHOLDER.finditer(text)]
            message = f"an empty cell leaves a gap: {short_repr(joined)}"
            raise _RenderError(message, columns)
        return joined

    def _text(self, placeholder: re.Match[str]) -> str:
        """Return a cell as a part of a text."""
        column, optional = placeholder[1], placeholder[2]
        cell = self._cell(column)
        if isinstance(cell, str) and (cell.strip() or optional):
            return self._validate_text(cell, column)
        if cell is None and optional:
            return ""
        if isinstance(cell, int | float):
            return encode_json(cell).decode()
        if cell is None or isinstance(cell, str):
            reason = f"the cell is empty; write {{{{{column}?}}}} if it may be empty"
        else:
            reason = f"expected a string, got {short_repr(cell)}"
        raise _RenderError(reason, [column])

    def _typed(self, column: str, validator: Validator | None) -> Any:
        """Return a cell that is a whole value, in the type of its parameter."""
        cell = self._cell(column)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return _OMIT
        try:
            converted = _converted(cell, validator)
        except ValueError:
            reason = f"expected {_expected(validator)}, got {short_repr(cell)}"
            raise _RenderError(reason, [column]) from None
        for text in texts(converted):
            self._validate_text(text, column)
        return converted

    def _validate_text(self, text: str, column: str) -> str:
        """Return *text* of a cell if it may be sent."""
        if missing_value(text.strip()):
            reason = f"the cell is {text.strip()!r}, a missing value"
            raise _RenderError(reason, [column])
        found = None if self._allow_braces else left_over(text)
        if found:
            reason = (
                f"the cell has the left-over placeholder {found!r}; replace it, or pass "
                "--allow-braces"
            )
            raise _RenderError(reason, [column])
        return text

    def _cell(self, column: str) -> Any:
        if column not in self._values:
            raise _RenderError("no such column in this row", [column])
        return self._values[column]


def _validators(cls: type[Validated] | None) -> dict[str, Validator]:
    return (
        {}
        if cls is None
        else {row.json_name: row.validator for row in parameters_of(cls)}
    )


def _expected(validator: Validator | None) -> str:
    if isinstance(validator, Boolean):
        return "yes or no"
    if isinstance(validator, Object):
        return "a JSON object"
    return "a value" if validator is None else validator.expected


def _converted(cell: Any, validator: Validator | None) -> Any:
    """Return *cell* in the type of *validator*; values with a type keep it.

    Raises:
        ValueError: The cell is no such value.
    """
    if isinstance(validator, String | Enum):
        number = isinstance(cell, int | float) and not isinstance(cell, bool)
        return encode_json(cell).decode() if number else cell
    if not isinstance(cell, str):
        return cell
    return _parsed(cell, cell.strip(), validator)


def _parsed(cell: str, text: str, validator: Validator | None) -> Any:
    """Return *text*, the cell without white space around it, in *validator*'s type."""
    if isinstance(validator, Integer):
        return int(text)
    if isinstance(validator, Boolean):
        if text.casefold() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.casefold()]
    if isinstance(validator, ListOf):
        listed = decode_json(text.encode()) if text[0] == "[" else text.split(";")
        return [
            _converted(i, validator.item) for i in map(_stripped, listed) if i != ""
        ]
    if isinstance(validator, Object) or (
        isinstance(validator, StringOrObject) and text[0] == "{"
    ):
        return decode_json(text.encode())
    return cell


def _stripped(item: Any) -> Any:
    return item.strip() if isinstance(item, str) else item
