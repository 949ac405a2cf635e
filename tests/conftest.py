"""Fixtures that several test files share."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run on asyncio in debug mode, so that nothing is forgotten or blocks."""
    return "asyncio", {"debug": True}
