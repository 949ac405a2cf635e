"""The event loops that what talks is tested on."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from virtual import VirtualLoop


virtual_time = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual")],
)
"""Hours of waiting take no time; for a test of what talks."""


@pytest.fixture(
    name="anyio_backend",
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(
                sys.platform == "win32", reason="uvloop is not for Windows"
            ),
        ),
    ],
)
def every_loop(request: pytest.FixtureRequest) -> Any:
    """Run on asyncio in debug mode, and on uvloop."""
    return request.param
