"""A workflow with placeholders, filled from one row at a time and checked.

``{{column}}`` inside of a text becomes the cell. A value that is nothing but one
placeholder takes the type that the parameter needs; where its cell is empty, the
parameter is left out. ``{{column?}}`` may be empty inside of a text, all others may not.
What a cell brings is never looked through for placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from linkedapi_async._actions.action import Roots
from linkedapi_async._actions.parameters import Validated, parameters_of
from linkedapi_async._actions.validators import (
    Boolean,
    Enum,
    Integer,
    ListOf,
    Object,
    String,
    StringOrObject,
    Validator,
)
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json, encode_json
from linkedapi_async._utils.spelling import json_name, nearest
from linkedapi_async._utils.text import short_repr
from linkedapi_async._wire.load import load_workflow
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
    """What is wrong with one row, or with the template."""

    reason: str
    path: str = ""
    """Where in the tree."""
    columns: tuple[str, ...] = ()
    """The columns that it comes from."""

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.columns))
        plural = "s" if len(self.columns) > 1 else ""
        where = [f"column{plural} {names}"] if names else []
        return ": ".join([*where, *filter(None, [self.path]), self.reason])


class _RenderError(Exception):  # a value, like Refused
    """A cell does not fit; *columns* says which."""

    def __init__(self, reason: str, columns: Sequence[str]) -> None:
        super().__init__(reason)
        self.columns = tuple(columns)


class Template:
    """A workflow definition with placeholders.

    Args:
        definition: A JSON object, or a list of them.
    """

    def __init__(self, definition: Any) -> None:
        self._definition = definition
        # Which columns a parameter is made of, by its action's path and its name.
        self._columns: dict[tuple[str, str], tuple[str, ...]] = {}
        self.problems: tuple[Problem, ...] = tuple(self._survey())

    @property
    def columns(self) -> list[str]:
        """The columns that it needs, in the order of the tree."""
        return [*dict.fromkeys(c for cs in self._columns.values() for c in cs)]

    def _survey(self) -> Iterator[Problem]:
        """Note where columns go, and yield what no row could mend."""
        for path, node in _nodes(self._definition):
            for name, value in node.items():
                if name == "then":
                    continue
                texts = [*_texts(value)]
                if name == "actionType" and any("{{" in text for text in texts):
                    yield Problem("actionType: no placeholder may stand here", path)
                    continue
                found = [
                    hole[1] for text in texts for hole in _PLACEHOLDER.finditer(text)
                ]
                if found:
                    self._columns[path, name] = tuple(dict.fromkeys(found))
                for text in texts:
                    rest = _PLACEHOLDER.sub("", text)
                    if "{{" in rest or "}}" in rest:
                        reason = f"{name}: {short_repr(text)} has half a placeholder"
                        yield Problem(reason, path)

    def missing(self, columns: Iterable[str]) -> Iterator[Problem]:
        """Yield what the *columns* of an input lack."""
        known = [*columns]
        for (path, name), needed in self._columns.items():
            for column in needed:
                if column not in known:
                    alike = nearest(column, known)
                    hint = (
                        f"did you mean {alike!r}?"
                        if alike
                        else f"there is: {', '.join(known)}"
                    )
                    yield Problem(f"{name}: no such column; {hint}", path, (column,))

    def fill(
        self, values: Mapping[str, Any], generation: Generation | None = None
    ) -> Roots | list[Problem]:
        """Return the checked workflow of one row, or all that is wrong with it.

        Args:
            values: Its cells by column.
            generation: The generation of the API that has to take it.
        """
        filling = _Renderer(values)
        definition = filling.tree(self._definition)
        if filling.problems:
            return filling.problems
        try:
            roots: Roots = load_workflow(definition)
        except InvalidDefinitionError as error:
            return [self._told(problem) for problem in error.problems]
        unfit = find_unsupported(roots, generation) if generation else ()
        return [self._told(problem) for problem in unfit] or roots

    def _told(self, problem: WorkflowError) -> Problem:
        columns: tuple[str, ...] = ()
        if isinstance(problem, ParameterError):
            # "st.searchPeople: filter" owns what is inside of the filter.
            inner = problem.owner.partition(": ")[2] or problem.parameter
            name = json_name(re.split(r"[\[. ]", inner)[0])
            columns = self._columns.get((problem.path, name), ())
        return Problem(problem.message, problem.path, columns)


def _nodes(definition: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Visit all actions of a definition, each with its path."""
    if isinstance(definition, list):
        stack = [(f"root[{n}]", node) for n, node in enumerate(definition)][::-1]
    else:
        stack = [("root", definition)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, dict):
            yield path, node
            then = node.get("then", [])
            below = then if isinstance(then, list) else [then]
            stack += [(f"{path}.then[{n}]", b) for n, b in enumerate(below)][::-1]


def _texts(value: Any) -> Iterator[str]:
    """Visit all texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


class _Renderer:
    """One pass through a definition with the cells of one row."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.problems: list[Problem] = []

    def tree(self, definition: Any) -> Any:
        """Return a definition, or a list of them, filled."""
        if isinstance(definition, list):
            return [
                self._action(node, f"root[{n}]") for n, node in enumerate(definition)
            ]
        return self._action(definition, "root")

    def _action(self, node: Any, path: str) -> Any:
        if not isinstance(node, dict):
            return node
        specs = _specs(ACTIONS.get(node.get("actionType", "")))
        made: dict[str, Any] = {}
        for name, value in node.items():
            if name == "then":
                many = isinstance(value, list)
                below = [
                    self._action(child, f"{path}.then[{n}]")
                    for n, child in enumerate(value if many else [value])
                ]
                made[name] = below if many else below[0]
                continue
            try:
                filled = self._value(value, specs.get(name))
            except _RenderError as misfit:
                reason = f"{name}: {misfit}"
                self.problems.append(Problem(reason, path, misfit.columns))
                continue
            if filled is not _OMIT:
                made[name] = filled
        return made

    def _value(self, value: Any, spec: Validator | None) -> Any:
        """Return *value* filled; *spec* says what is due, if that is known."""
        if isinstance(value, str):
            hole = _PLACEHOLDER.fullmatch(value)
            return (
                self._typed(hole[1], spec)
                if hole
                else _PLACEHOLDER.sub(self._text, value)
            )
        if isinstance(value, list):
            inner = spec.item if isinstance(spec, ListOf) else None
            items = [self._value(item, inner) for item in value]
            return [item for item in items if item is not _OMIT]
        if isinstance(value, dict):
            nested = spec.nested if isinstance(spec, StringOrObject) else spec
            specs = _specs(nested.cls if isinstance(nested, Object) else None)
            pairs = {k: self._value(v, specs.get(k)) for k, v in value.items()}
            return {k: v for k, v in pairs.items() if v is not _OMIT}
        return value

    def _text(self, hole: re.Match[str]) -> str:
        """Return the cell that stands inside of a text."""
        cell, optional = self._cell(hole[1]), hole[2]
        if isinstance(cell, str) and (cell.strip() or optional):
            return cell
        if cell is None and optional:
            return ""
        if isinstance(cell, int | float):
            return encode_json(cell).decode()
        what = "is empty" if cell is None or isinstance(cell, str) else "is no text"
        reason = f"the cell {what}; write {{{{{hole[1]}?}}}} where it may be empty"
        raise _RenderError(reason, [hole[1]])

    def _typed(self, column: str, spec: Validator | None) -> Any:
        """Return a cell that is all of a value, in the type that is due."""
        cell = self._cell(column)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return _OMIT
        try:
            return _converted(cell, spec)
        except ValueError:
            reason = f"{_due(spec)} is due, got {short_repr(cell)}"
            raise _RenderError(reason, [column]) from None

    def _cell(self, column: str) -> Any:
        if column not in self._values:
            message = "no such column in this row"
            raise _RenderError(message, [column])
        return self._values[column]


def _specs(cls: type[Validated] | None) -> dict[str, Validator]:
    return (
        {}
        if cls is None
        else {row.json_name: row.validator for row in parameters_of(cls)}
    )


def _due(spec: Validator | None) -> str:
    if isinstance(spec, Boolean):
        return "yes or no"
    if isinstance(spec, Object):
        return "a JSON object"
    return "a value" if spec is None else spec.expected


def _converted(cell: Any, spec: Validator | None) -> Any:
    """Return *cell* as what *spec* needs; what has a type already keeps it.

    Raises:
        ValueError: It is none.
    """
    if isinstance(spec, String | Enum):
        number = isinstance(cell, int | float) and not isinstance(cell, bool)
        return encode_json(cell).decode() if number else cell
    if not isinstance(cell, str):
        return cell
    return _parsed(cell, cell.strip(), spec)


def _parsed(cell: str, text: str, spec: Validator | None) -> Any:
    """Return what *text*, the cell without its margins, says to *spec*."""
    if isinstance(spec, Integer):
        return int(text)
    if isinstance(spec, Boolean):
        if text.casefold() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.casefold()]
    if isinstance(spec, ListOf):
        listed = decode_json(text.encode()) if text[0] == "[" else text.split(";")
        return [_converted(i, spec.item) for i in map(_stripped, listed) if i != ""]
    if isinstance(spec, Object) or (
        isinstance(spec, StringOrObject) and text[0] == "{"
    ):
        return decode_json(text.encode())
    return cell


def _stripped(item: Any) -> Any:
    return item.strip() if isinstance(item, str) else item
