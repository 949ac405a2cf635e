"""The types of the blocking proxies, made from the source of the asynchronous classes.

``python tests/blocking_stub.py`` writes ``linkedapi_async/blocking.pyi`` anew.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from linkedapi_async import admin, blocking, session
from linkedapi_async.journal import Journal
from linkedapi_async.session._endpoints import EndpointMethods
from linkedapi_async.session._methods import WorkflowMethods


PROXIES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "_Workflows": ("", (WorkflowMethods, EndpointMethods)),
    "Session": ("_Workflows", (session.Session,)),
    "Account": ("_Workflows", (session.Account,)),
    "WorkflowHandle": ("Generic[ResultT]", (session.WorkflowHandle,)),
    "AsCompleted": ("Generic[ResultT]", (session.AsCompleted,)),
    "ItemStream": ("Generic[ItemT]", (session.ItemStream,)),
    "Recovered": ("", (session.Recovered,)),
    "Journal": ("", (Journal,)),
    "Admin": ("", (admin.Admin,)),
    "SubscriptionCalls": ("", (admin.SubscriptionCalls,)),
    "AccountsCalls": ("", (admin.AccountsCalls,)),
    "LimitsCalls": ("", (admin.LimitsCalls,)),
    "WebhookCalls": ("", (admin.WebhookCalls,)),
    "ConnectionSession": ("", (admin.ConnectionSession,)),
}

RENAMED = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
"""What is entered and iterated without ``async``."""

OPENED = """
def open(self) -> Self: ...
def close(self) -> None: ...
"""
"""What only the proxies with a loop of their own have."""


class _WithoutAsync(ast.NodeTransformer):
    """Rewrites annotations and functions."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Leave out asynchronous inputs."""
        self.generic_visit(node)
        if isinstance(node.op, ast.BitOr) and "AsyncIterable" in ast.unparse(
            node.right
        ):
            return node.left
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Return the same function without ``async``."""
        return self.visit(ast.FunctionDef(**vars(node)))  # type: ignore[no-any-return]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Keep the signature only."""
        self.generic_visit(node)
        node.name = RENAMED.get(node.name, node.name)
        node.body = [ast.Expr(ast.Constant(...))]
        arguments = node.args
        kept = [
            (argument, default)
            for argument, default in zip(
                arguments.kwonlyargs, arguments.kw_defaults, strict=True
            )
            if argument.arg != "http"
        ]
        arguments.kwonlyargs = [argument for argument, _ in kept]
        arguments.kw_defaults = [default and ast.Constant(...) for _, default in kept]
        arguments.defaults = [ast.Constant(...) for _ in arguments.defaults]
        return node


def members(cls: Any, left_out: Collection[str]) -> Iterator[ast.stmt]:
    """Yield the declarations of what is public in *cls*, but for some names."""
    (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    names = [getattr(node, "name", "") for node in tree.body]
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and not ast.unparse(node).startswith("_"):
            yield ast.AnnAssign(node.target, node.annotation, None, simple=1)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name == "__init__":
            yield from attributes(node)
        decorators = {ast.unparse(each) for each in node.decorator_list}
        repeated = names.count(node.name) > 1 and not any(
            each == "property" or each.endswith(".setter") for each in decorators
        )
        if repeated and "overload" not in decorators:
            continue  # what stands behind the overloads
        is_opened = cls in {session.Session, admin.Admin}
        if node.name == "__init__" and not is_opened:
            continue
        own = node.name in RENAMED or node.name == "__init__"
        if (node.name.startswith("_") and not own) or node.name in left_out:
            continue
        made = _WithoutAsync().visit(node)
        assert isinstance(made, ast.FunctionDef)
        yield made


def attributes(init: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.stmt]:
    """Yield the public attributes that ``__init__`` declares."""
    for node in ast.walk(init):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Attribute)
            and not node.target.attr.startswith("_")
        ):
            yield ast.AnnAssign(
                ast.Name(node.target.attr), node.annotation, None, simple=1
            )


def declared_in(module: Any) -> dict[str, ast.stmt]:
    """Return what the names at the top of a module are: imports, types, variables."""
    found: dict[str, ast.stmt] = {}
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                one = ast.Import([alias])
                if isinstance(node, ast.ImportFrom):
                    one = ast.ImportFrom(node.module, [alias], 0)  # type: ignore[assignment]
                found[alias.asname or alias.name] = one
    for node in tree.body:
        if isinstance(node, ast.Assign) and "TypeVar(" in ast.unparse(node.value):
            found[ast.unparse(node.targets[0])] = node
        elif isinstance(node, ast.ClassDef | ast.AnnAssign):
            name = getattr(node, "name", "") or ast.unparse(node.target)  # type: ignore[union-attr]
            found[name] = ast.ImportFrom(module.__name__, [ast.alias(name)], 0)
    return found


def names_in(nodes: list[ast.stmt]) -> set[str]:
    """Return the names that declarations use, those in quotes included."""
    found = set()
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name):
                found.add(inner.id)
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                found |= {part for part in inner.value.split() if part.isidentifier()}
    return found


def stub() -> str:
    """Return the source of the stub."""
    known: dict[str, ast.stmt] = {}
    classes: list[ast.stmt] = []
    for name, (base, sources) in PROXIES.items():
        body: list[ast.stmt] = []
        for cls in sources:
            body += members(cls, getattr(getattr(blocking, name), "_left_out", ()))
            module = sys.modules[cls.__module__]
            known = {**declared_in(module), **known}
        if name in {"Session", "Admin"}:
            body += ast.parse(OPENED).body
        (made,) = ast.parse(f"class {name}{base and f'({base})'}: pass").body
        assert isinstance(made, ast.ClassDef)
        made.body = body
        classes.append(made)
    imports: dict[str, ast.stmt] = {}
    waiting = names_in(classes) - PROXIES.keys()
    while waiting:
        name = waiting.pop()
        if name in known and name not in imports:
            imports[name] = known[name]
            waiting |= names_in([known[name]]) - PROXIES.keys()
    listed = ast.parse(f"__all__ = {sorted(blocking.__all__)!r}").body
    first = [
        imports[n] for n in sorted(imports) if not isinstance(imports[n], ast.Assign)
    ]
    variables = [
        imports[n] for n in sorted(imports) if isinstance(imports[n], ast.Assign)
    ]
    typing = ast.parse("from typing import Generic, Self, TypeVar, overload").body
    tree = ast.Module([*typing, *first, *listed, *variables, *classes], [])
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


if __name__ == "__main__":
    Path(blocking.__file__).with_suffix(".pyi").write_text(stub(), encoding="utf-8")
