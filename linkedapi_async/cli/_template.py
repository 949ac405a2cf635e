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

from linkedapi_async import _wire
from linkedapi_async._action import ACTIONS
from linkedapi_async._fields import (
    Checked,
    Choice,
    Either,
    Flag,
    Generation,
    Many,
    Nested,
    Spec,
    Text,
    Whole,
    nearest,
    rows,
    shown,
    wire_name,
)
from linkedapi_async._wire import Roots
from linkedapi_async.cli import _source
from linkedapi_async.errors import (
    InvalidDefinitionError,
    ParameterError,
    WorkflowError,
)


_HOLE: Final = re.compile(r"\{\{\s*([^{}]*?[^{}?\s])\s*(\?)?\s*\}\}")
_WORDS: Final = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
}
_LEFT_OUT: Final[Any] = object()


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


class _Misfit(Exception):  # noqa: N818  # a value, like Refused
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
                found = [hole[1] for text in texts for hole in _HOLE.finditer(text)]
                if found:
                    self._columns[path, name] = tuple(dict.fromkeys(found))
                for text in texts:
                    rest = _HOLE.sub("", text)
                    if "{{" in rest or "}}" in rest:
                        reason = f"{name}: {shown(text)} has half a placeholder"
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
        filling = _Filling(values)
        definition = filling.tree(self._definition)
        if filling.problems:
            return filling.problems
        try:
            roots: Roots = _wire.load_workflow(definition)
        except InvalidDefinitionError as error:
            return [self._told(problem) for problem in error.problems]
        unfit = _source.unfit(roots, generation) if generation else ()
        return [self._told(problem) for problem in unfit] or roots

    def _told(self, problem: WorkflowError) -> Problem:
        columns: tuple[str, ...] = ()
        if isinstance(problem, ParameterError):
            # "st.searchPeople: filter" owns what is inside of the filter.
            inner = problem.owner.partition(": ")[2] or problem.parameter
            name = wire_name(re.split(r"[\[. ]", inner)[0])
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


class _Filling:
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
            except _Misfit as misfit:
                reason = f"{name}: {misfit}"
                self.problems.append(Problem(reason, path, misfit.columns))
                continue
            if filled is not _LEFT_OUT:
                made[name] = filled
        return made

    def _value(self, value: Any, spec: Spec | None) -> Any:
        """Return *value* filled; *spec* says what is due, if that is known."""
        if isinstance(value, str):
            hole = _HOLE.fullmatch(value)
            return self._typed(hole[1], spec) if hole else _HOLE.sub(self._text, value)
        if isinstance(value, list):
            inner = spec.item if isinstance(spec, Many) else None
            items = [self._value(item, inner) for item in value]
            return [item for item in items if item is not _LEFT_OUT]
        if isinstance(value, dict):
            nested = spec.nested if isinstance(spec, Either) else spec
            specs = _specs(nested.cls if isinstance(nested, Nested) else None)
            pairs = {k: self._value(v, specs.get(k)) for k, v in value.items()}
            return {k: v for k, v in pairs.items() if v is not _LEFT_OUT}
        return value

    def _text(self, hole: re.Match[str]) -> str:
        """Return the cell that stands inside of a text."""
        cell, optional = self._cell(hole[1]), hole[2]
        if isinstance(cell, str) and (cell.strip() or optional):
            return cell
        if cell is None and optional:
            return ""
        if isinstance(cell, int | float):
            return _wire.encode(cell).decode()
        what = "is empty" if cell is None or isinstance(cell, str) else "is no text"
        reason = f"the cell {what}; write {{{{{hole[1]}?}}}} where it may be empty"
        raise _Misfit(reason, [hole[1]])

    def _typed(self, column: str, spec: Spec | None) -> Any:
        """Return a cell that is all of a value, in the type that is due."""
        cell = self._cell(column)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return _LEFT_OUT
        try:
            return _converted(cell, spec)
        except ValueError:
            reason = f"{_due(spec)} is due, got {shown(cell)}"
            raise _Misfit(reason, [column]) from None

    def _cell(self, column: str) -> Any:
        if column not in self._values:
            message = "no such column in this row"
            raise _Misfit(message, [column])
        return self._values[column]


def _specs(cls: type[Checked] | None) -> dict[str, Spec]:
    return {} if cls is None else {row.wire: row.spec for row in rows(cls)}


def _due(spec: Spec | None) -> str:
    if isinstance(spec, Flag):
        return "yes or no"
    if isinstance(spec, Nested):
        return "a JSON object"
    return "a value" if spec is None else spec.due


def _converted(cell: Any, spec: Spec | None) -> Any:
    """Return *cell* as what *spec* needs; what has a type already keeps it.

    Raises:
        ValueError: It is none.
    """
    if isinstance(spec, Text | Choice):
        number = isinstance(cell, int | float) and not isinstance(cell, bool)
        return _wire.encode(cell).decode() if number else cell
    if not isinstance(cell, str):
        return cell
    return _parsed(cell, cell.strip(), spec)


def _parsed(cell: str, text: str, spec: Spec | None) -> Any:
    """Return what *text*, the cell without its margins, says to *spec*."""
    if isinstance(spec, Whole):
        return int(text)
    if isinstance(spec, Flag):
        if text.casefold() not in _WORDS:
            raise ValueError(text)
        return _WORDS[text.casefold()]
    if isinstance(spec, Many):
        listed = _wire.decode(text.encode()) if text[0] == "[" else text.split(";")
        return [_converted(i, spec.item) for i in map(_stripped, listed) if i != ""]
    if isinstance(spec, Nested) or (isinstance(spec, Either) and text[0] == "{"):
        return _wire.decode(text.encode())
    return cell


def _stripped(item: Any) -> Any:
    return item.strip() if isinstance(item, str) else item
