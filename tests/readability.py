"""Measure how easy the project is to read: ``python tests/readability.py``.

It prints one table, and exits with 1 if a figure is out of its limits. Imports for type
checkers and imports in functions count.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "linkedapi_async"
# Expressions that a reader who knows the field, but not this project, has to guess.
UNCLEAR = re.compile(
    r"\b(is due|nobody|somebody|mend(s|ed)?|is none|asked for|told|hands? (it )?over"
    r"|stands?|rooms?|whoever)\b"
)


class Module(NamedTuple):
    """A module of the package."""

    text: str
    tree: ast.Module


class Figure(NamedTuple):
    """A figure, and the limits that it must keep."""

    name: str
    value: float
    least: float = 0.0
    most: float = float("inf")

    @property
    def missed(self) -> bool:
        """Whether it is out of its limits."""
        return not self.least <= self.value <= self.most

    def __str__(self) -> str:
        limits = "" if self.most == float("inf") else f"{self.least:g} to {self.most:g}"
        end = "  MISSED" if self.missed else ""
        return f"{self.name:<64}{self.value:>10.5g}{limits:>12}{end}".rstrip()


def read_modules() -> dict[str, Module]:
    """Return the modules of the package by their names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        found[name.removesuffix(".__init__")] = Module(text, ast.parse(text))
    return found


def imported(module: Module, known: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from known & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def largest_circle(modules: dict[str, Module]) -> set[str]:
    """Return the largest set of modules that all import each other, by way of others.

    A package's ``__init__`` re-exports names of its own modules, which is no circle.
    """
    known = set(modules)
    graph = {
        name: {
            target
            for target in known & set(imported(module, known))
            if not f"{name}.".startswith(f"{target}.")
        }
        for name, module in modules.items()
    }
    reached = {name: reachable(graph, name) for name in graph}
    circles = [
        {other for other in below if name in reached[other]}
        for name, below in reached.items()
    ]
    return max(circles, key=len)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return all that *start* imports, also by way of others."""
    found: set[str] = set()
    rest = [start]
    while rest:
        new = graph[rest.pop()] - found
        found |= new
        rest += new
    return found


def private_attributes(module: Module) -> Iterator[ast.Attribute]:
    """Yield the private attributes of anything but ``self``, ``cls`` and ``super()``."""
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Attribute)
            and re.match(r"_(?!_)", node.attr)
            and ast.unparse(node.value) not in {"self", "cls", "super()"}
        ):
            yield node


def comments(module: Module) -> int:
    """Return how many lines have a comment; those for tools do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return sum(
        token.type == tokenize.COMMENT
        and not re.match(r"#\s*(noqa|type:|pragma)", token.string)
        for token in tokens
    )


def code_lines(module: Module) -> int:
    """Return the number of lines that are neither empty nor in a docstring."""
    texts = {
        number
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(module.text.splitlines(), 1)
    return sum(bool(line.strip()) and number not in texts for number, line in lines)


def figures() -> list[Figure]:
    """Return all figures."""
    modules = read_modules()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pages = [path.read_text(encoding="utf-8") for path in ROOT.glob("docs/**/*.md")]
    texts = [readme, *pages, *(module.text for module in modules.values())]
    core = [
        module.text
        for name, module in modules.items()
        if not re.match(r"linkedapi_async\.(sandbox|testing|cli)\b", name)
    ]
    share = sum(map(comments, modules.values())) / sum(
        map(code_lines, modules.values())
    )
    return [
        Figure("modules", len(modules)),
        Figure(
            "lines without sandbox, testing and cli", len("".join(core).splitlines())
        ),
        Figure(
            "modules in the largest circle of imports",
            len(largest_circle(modules)),
            most=2,
        ),
        Figure(
            "private attributes of other objects",
            sum(len([*private_attributes(module)]) for module in modules.values()),
            most=20,
        ),
        Figure(
            "private modules at the top of the package",
            sum(not path.name.startswith("__") for path in PACKAGE.glob("_*.py")),
            most=3,
        ),
        Figure(
            "unclear expressions", sum(len(UNCLEAR.findall(t)) for t in texts), most=20
        ),
        Figure("lines of the README", len(readme.splitlines()), most=220),
        Figure("comments, in percent of the lines of code", 100 * share, 2, 4),
    ]


if __name__ == "__main__":
    table = figures()
    sys.stdout.writelines(f"{figure}\n" for figure in table)
    sys.exit(any(figure.missed for figure in table))
