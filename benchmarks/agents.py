"""Count the tokens that a model reads of the tools of a server for agents.

Every request of a model has the list of tools, so each token of it is paid for each time.
The tokenizer o200k of the package bpe-openai brings its table and needs no network.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from _table import Figure, report

from linkedapi_async.agents._tools import tools


VENDOR = 20_035
"""The tokens of the tools of Linked API's own server, sixty of them, in November 2026."""

LIMIT = 1_200


def listed(*, allow_writes: bool) -> str:
    """Return the tools as a client gets them."""
    found = [
        tool.model_dump(by_alias=True, mode="json", exclude_none=True)
        for tool in tools(allow_writes=allow_writes)
    ]
    return json.dumps(found, separators=(",", ":"))


def main() -> int:
    """Count and print the table; return 1 if there are more tokens than the limit."""
    encoding: Any = importlib.import_module("bpe_openai").get_encoding("o200k_base")
    figures = [
        Figure(name, len(encoding.encode(text)), "", LIMIT, VENDOR)
        for name, text in (
            ("tools that only read", listed(allow_writes=False)),
            ("tools that write", listed(allow_writes=True)),
        )
    ]
    return report("tokens of the list of tools, o200k", figures, ("ours", "vendor"))


if __name__ == "__main__":
    sys.exit(main())
