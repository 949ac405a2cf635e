"""The formats of a picture: text, Mermaid, HTML."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any, TypeAlias

import attrs

from linkedapi_async._results.completion import Completion
from linkedapi_async.draw._escape import mermaid, terminal_text, xml
from linkedapi_async.draw._tree import (
    LIMIT,
    NodeState,
    SummaryLine,
    build_tree,
    format_counts,
    reasons,
)


MARKS: dict[NodeState, str] = {
    "planned": "",
    "succeeded": "✓",
    "mixed": "≈",
    "failed": "✗",
    "hidden": "",
}

WRITES = "✎"
"""The mark after an action that changes something on LinkedIn."""

Piece: TypeAlias = tuple[str, str]
"""A style, and the text that has it."""


def _summary(completion: Completion) -> str:
    """Return how many outcomes there are, how many failed, and why."""
    total = sum(1 for _ in completion.walk())
    failed = reasons(completion.walk())
    words = f"{total:,} {'outcome' if total == 1 else 'outcomes'}"
    if not failed:
        return f"{words}, none failed"
    return f"{words}, {failed.total():,} failed ({format_counts(failed)})"


def _headed(line: SummaryLine) -> tuple[str, str]:
    """Return the name and the tag of *line*, with a colon if a note follows."""
    end = ":" if line.note else ""
    return (line.name, line.tag + end) if line.tag else (line.name + end, "")


# For terminals


def draw(
    what: Any,
    *,
    ascii: bool = False,
    color: bool = False,
    width: int = 88,
    limit: int = LIMIT,
) -> str:
    """Return *what* as a tree for a terminal.

    A workflow shows the parameters that were set, and ``✎`` at actions that write. A
    completion shows the result of each action; the iterations of a loop are summarised
    in one line, such as ``48 of 50, 2 failed (personNotFound ×2)``.

    Args:
        what: A workflow, a tuple of roots, a definition as a dict, a list or JSON
            whether it is legal or not, or a completion.
        ascii: Whether to use ASCII only.
        color: Whether to use colours, as ANSI escapes.
        width: How many columns a line has where it can be broken.
        limit: How many actions are shown at most.

    Raises:
        WorkflowError: *what* is something else.
    """
    pen = _TextRenderer(ascii=ascii, color=color, width=width)
    top = build_tree(what, limit)
    lines = [*pen.tree(top)]
    if isinstance(what, Completion):
        lines.append(pen.styled("dim", pen.plain(_summary(what))))
    return "\n".join(lines)


_ASCII = {"├─ ": "|- ", "└─ ": "`- ", "│  ": "|  ", "✓": "+", "✗": "x", "≈": "~"}

_ASCII[WRITES] = "(w)"

_ANSI = {
    "name": "1",
    "tag": "36",
    "dim": "2",
    "writes": "33",
    "succeeded": "32",
    "mixed": "33",
    "failed": "31",
}


@attrs.frozen(kw_only=True)
class _TextRenderer:
    """The renderer of a tree for a terminal."""

    ascii: bool
    color: bool
    width: int

    def plain(self, text: str) -> str:
        """Return text from outside, escaped."""
        return terminal_text(text, ascii=self.ascii)

    def styled(self, style: str, text: str) -> str:
        """Return *text* in a style, if there are colours and it has one."""
        code = _ANSI.get(style)
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text

    def _own(self, text: str) -> str:
        return _ASCII.get(text, text) if self.ascii else text

    def tree(self, top: SummaryLine) -> Iterator[str]:
        """Yield the lines of all below *top*; several roots are siblings."""
        if len(top.children) > 1:
            yield from self._branches(top, "")
            return
        (root,) = top.children
        yield from self._line(root, "", "")
        yield from self._branches(root, "")

    def _branches(self, parent: SummaryLine, indent: str) -> Iterator[str]:
        for number, child in enumerate(parent.children, 1):
            last = number == len(parent.children)
            below = indent + self._own("   " if last else "│  ")
            yield from self._line(
                child, indent + self._own("└─ " if last else "├─ "), below
            )
            yield from self._branches(child, below)

    def _line(self, line: SummaryLine, first: str, below: str) -> Iterator[str]:
        """Yield *line* as text, broken if it is too long.

        Args:
            line: The line of the tree.
            first: The indent before it.
            below: The indent before its children.
        """
        rest = below + self._own("│  " if line.children else "   ")
        front, pieces, column = first, list[Piece](), len(first)
        for style, text in self._pieces(line):
            if pieces and column + len(text) > self.width:
                yield self._joined(front, pieces)
                front, pieces, column = rest, [], len(rest)
            pieces.append((style, text))
            column += len(text) + 1
        yield self._joined(front, pieces)

    def _joined(self, front: str, pieces: list[Piece]) -> str:
        """Return a line, with or without colours."""
        words = (self.styled(style, text) for style, text in pieces)
        return self.styled("dim", front) + " ".join(words)

    def _pieces(self, line: SummaryLine) -> Iterator[Piece]:
        if line.state == "hidden":
            yield "dim", self.plain(line.note)
            return
        if MARKS[line.state]:
            yield line.state, self._own(MARKS[line.state])
        name, tag = _headed(line)
        yield "name", self.plain(name)
        if tag:
            yield "tag", self.plain(tag)
        if line.writes:
            yield "writes", self._own(WRITES)
        for parameter in line.parameters:
            yield "", self.plain(parameter)
        if line.note:
            yield "" if line.state == "succeeded" else line.state, self.plain(line.note)


# For Mermaid

MERMAID = 50_000
"""The largest diagram that Mermaid accepts, in characters: its maxTextSize."""

EDGES = 100
"""How many actions a diagram shows at most; a larger one is not readable."""

_CLASSES: dict[str, str] = {
    "writes": "stroke:#d97706,stroke-width:3px",
    "succeeded": "stroke:#16a34a,stroke-width:3px",
    "mixed": "stroke:#d97706,stroke-width:3px",
    "failed": "stroke:#dc2626,stroke-width:3px",
    "hidden": "stroke-dasharray:5 5",
}


def to_mermaid(what: Any, *, limit: int = EDGES) -> str:
    """Return *what* as a flowchart for Mermaid, which GitHub and notebooks draw.

    Args:
        what: As for `draw`.
        limit: How many actions are shown at most.

    Raises:
        WorkflowError: *what* is something else.

    https://mermaid.js.org/syntax/flowchart.html
    """
    text = "\n".join(_flowchart(build_tree(what, limit)))
    # Mermaid shows an error instead of a diagram that is larger.
    while len(text) > MERMAID and limit > 1:
        limit //= 2
        text = "\n".join(_flowchart(build_tree(what, limit)))
    return text + "\n"


def _flowchart(top: SummaryLine) -> Iterator[str]:
    yield "flowchart TD"
    numbers = itertools.count()
    classes: dict[str, list[str]] = {}
    before = None
    for root in top.children:
        node = yield from _nodes(root, numbers, classes)
        if before is not None:
            yield f"  {before} -. then .-> {node}"
        before = node
    for name, nodes in classes.items():
        yield f"  classDef {name} {_CLASSES[name]}"
        yield f"  class {','.join(nodes)} {name}"


def _nodes(
    line: SummaryLine, numbers: Iterator[int], classes: dict[str, list[str]]
) -> Generator[str, None, str]:
    """Yield the statements of *line* and of all below it; return its node."""
    node = f"n{next(numbers)}"
    style = "writes" if line.writes else line.state
    if style in _CLASSES:
        classes.setdefault(style, []).append(node)
    mark = MARKS[line.state]
    # A no-break space, so that the mark stays with the beginning of a long name.
    title = (f"{mark}#160;" if mark else "") + mermaid(line.name)
    title += f"#160;{WRITES}" if line.writes else ""
    texts = [line.tag, *line.parameters, line.note]
    rows = [mermaid(text) for text in texts if text]
    rows = rows if line.state == "hidden" else [f"<b>{title}</b>", *rows]
    yield f'  {node}["{"<br/>".join(rows)}"]'
    for child in line.children:
        below = yield from _nodes(child, numbers, classes)
        yield f"  {node} --> {below}"
    return node


# For notebooks and pages

# As far from white as from black: a contrast of 4.5 : 1 and more on either.
_COLORS = {
    "succeeded": "#178742",
    "mixed": "#a56808",
    "failed": "#e02d2d",
    "tag": "#107f9e",
    "writes": "#a56808",
    "hidden": "#757575",
}

_FONT = "font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"

_LIST = "list-style:none;margin:0;padding:0"

_BELOW = (
    "list-style:none;margin:0 0 0 4px;padding:0 0 0 18px;border-left:1px solid #8888"
)


def to_html(what: Any, *, limit: int = LIMIT) -> str:
    """Return *what* as a piece of HTML, without scripts or anything to be fetched.

    Args:
        what: As for `draw`.
        limit: How many actions are shown at most.

    Raises:
        WorkflowError: *what* is something else.
    """
    items = "".join(map(_item, build_tree(what, limit).children))
    end = ""
    if isinstance(what, Completion):
        end = f'<div style="color:{_COLORS["hidden"]}">{xml(_summary(what))}</div>'
    return f'<div style="{_FONT}"><ul style="{_LIST}">{items}</ul>{end}</div>'


def _item(line: SummaryLine) -> str:
    """Return *line* and all below it as an item of a list, to be folded."""
    words = " ".join(_words(line))
    if not line.children:
        return f"<li>{words}</li>"
    below = "".join(map(_item, line.children))
    return (
        f'<li><details open="open"><summary>{words}</summary>'
        f'<ul style="{_BELOW}">{below}</ul></details></li>'
    )


def _words(line: SummaryLine) -> Iterator[str]:
    if line.state == "hidden":
        yield _colored("hidden", line.note)
        return
    if MARKS[line.state]:
        yield _colored(line.state, MARKS[line.state])
    name, tag = _headed(line)
    yield f"<b>{xml(name)}</b>"
    if tag:
        yield _colored("tag", tag)
    if line.writes:
        yield f'<span style="color:{_COLORS["writes"]}" title="writes">{WRITES}</span>'
    for parameter in line.parameters:
        yield f"<span>{xml(parameter)}</span>"
    if line.note:
        yield _colored(line.state, line.note)


def _colored(style: str, text: str) -> str:
    return f'<span style="color:{_COLORS[style]}">{xml(text)}</span>'


def bundle(
    what: Any,
    include: Collection[str] | None = None,
    exclude: Collection[str] | None = None,
) -> dict[str, str]:
    """Return *what* in all formats that a notebook can show, by media type.

    Args:
        what: As for `draw`.
        include: The media types to return; None for all.
        exclude: The media types to leave out.

    https://ipython.readthedocs.io/en/stable/config/integrating.html
    """
    forms: dict[str, Callable[[Any], str]] = {
        "text/plain": draw,
        "text/html": to_html,
        "text/vnd.mermaid": to_mermaid,
    }
    return {
        name: form(what)
        for name, form in forms.items()
        if (include is None or name in include) and name not in (exclude or ())
    }
