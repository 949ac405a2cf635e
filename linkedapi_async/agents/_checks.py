"""The check of a definition before anything is sent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from linkedapi_async._actions.action import Roots, named_roots, roots_of
from linkedapi_async._actions.acts import acts_key
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.texts import find_doubts, nodes
from linkedapi_async._results.key import writes
from linkedapi_async._types import Generation
from linkedapi_async._utils.text import printable
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async.draw import draw
from linkedapi_async.errors import InvalidDefinitionError, WorkflowError
from linkedapi_async.explain import explain


@attrs.frozen(kw_only=True)
class Check:
    """A definition, and its problems."""

    roots: Roots | None
    """The workflow; None if the definition is invalid."""
    problems: tuple[str, ...]
    """The problems for which it must not be sent, each with its place in the tree."""
    warnings: tuple[str, ...]
    """The warnings, with which it may be sent."""

    @property
    def definition(self) -> Any:
        """The definition as it is sent; it needs a valid workflow."""
        return dump_workflow(cast("Roots", self.roots))

    @property
    def writes(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The actions that write to LinkedIn as JSON, each with its path."""
        return tuple(
            (path, node)
            for path, node in nodes(self.definition)
            if writes(node["actionType"])
        )

    @property
    def written(self) -> tuple[str, ...]:
        """The paths and types of the actions that write."""
        return tuple(f"{path}: {node['actionType']}" for path, node in self.writes)

    @property
    def key(self) -> str | None:
        """The key of its writes: actions and their targets; None if it only reads."""
        return acts_key(self.definition)

    def question(self, account: str) -> str:
        """Return the question whether it may write, for the user.

        Args:
            account: The name of the account.
        """
        lines = [f"Write to LinkedIn as {account}?", "", draw(self.roots), ""]
        # The drawing shortens texts, and the user must see what people will read.
        for path, node in self.writes:
            lines += [
                f"{path} {name}: {json.dumps(value, ensure_ascii=False)}"
                for name, value in node.items()
                if name not in {"actionType", "label", "then"}
            ]
        return printable("\n".join(lines), lines=True)

    def facts(self, generation: Generation) -> dict[str, Any]:
        """Return the check as JSON values, with a drawing and an estimate."""
        facts: dict[str, Any] = {
            "valid": not self.problems,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }
        if self.roots is not None:
            roots = roots_of(self.roots)
            facts |= {
                "writes": list(self.written),
                "drawing": draw(self.roots),
                "estimate": str(explain(*roots, generation=generation)),
            }
        return facts


def check_definition(
    definition: Any,
    generation: Generation,
    describe: Callable[[Exception], str] = str,
) -> Check:
    """Return the check of *definition*.

    Args:
        definition: The workflow as JSON values, or as JSON.
        generation: The generation of the API that it is for.
        describe: Turns an error into text.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        roots, problems = _loaded(definition)
    doubts = []
    if roots is not None:
        problems = [
            problem
            for path, root in named_roots(roots)
            for problem in unsupported_in(root, generation, path)
        ]
        doubts = [describe(doubt) for doubt in find_doubts(dump_workflow(roots))]
    texts = [str(warning.message) for warning in caught]
    return Check(
        roots=roots,
        problems=tuple(map(describe, problems)),
        warnings=tuple(dict.fromkeys([*texts, *doubts])),
    )


def _loaded(definition: Any) -> tuple[Roots | None, Sequence[WorkflowError]]:
    try:
        return load_workflow(definition), ()
    except InvalidDefinitionError as error:
        return None, error.problems
