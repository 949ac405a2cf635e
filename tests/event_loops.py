"""Event loops of the tests: every real one, and one with virtual time."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from linkedapi_async.testing import VirtualLoop, run_virtual


__all__ = ["Middle", "VirtualLoop", "every_loop", "run_virtual", "virtual_time"]


class Middle(random.Random):
    """A random number generator that always gives one half, so nothing jitters."""

    def random(self) -> float:
        """Return one half."""
        return 0.5


virtual_time = pytest.mark.parametrize(
    "anyio_backend",
    [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual")],
)
"""Runs a test with virtual time, in which hours of waiting take no time."""


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
