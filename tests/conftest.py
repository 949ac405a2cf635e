"""Fixtures that several test files share, and what holds for all tests."""

from __future__ import annotations

import asyncio.constants
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings


if TYPE_CHECKING:
    from cli_harness import Shell
    from postgres_server import PostgresServer

    from linkedapi_async.sandbox import Sandbox


# A busy machine is no failure of the code. A hundred properties share some minutes.
settings.register_profile(
    "tests",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

# In debug mode asyncio and aiohttp note where each callback, task and connection was
# made. One frame says it; whole stacks make the tests more than twice as slow.
asyncio.constants.DEBUG_STACK_DEPTH = 1  # type: ignore[misc]
traceback.extract_stack.__defaults__ = (None, 1)

# Under `nohup … &` these are ignored, which the commands under test would inherit.
for number in (signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        default = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage in property tests: what they reach is drawn by chance."""
    for item in items:
        if item.get_closest_marker("hypothesis") is not None:
            item.add_marker("no_cover")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run on asyncio in debug mode, so that nothing is forgotten or blocks."""
    return "asyncio", {"debug": True}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL server until this process has run its last test."""
    from postgres_server import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """Return the URL of an empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind that a queue can use."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'work.sqlite3'}"
    url: str = request.getfixturevalue("database")
    return url


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    """A sandbox that is fast, for the command line."""
    from cli_harness import sandbox_in_a_thread

    with sandbox_in_a_thread(speed=2000) as sandbox:
        yield sandbox


@pytest.fixture
def shell(
    box: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A folder for the command line, with tokens of the sandbox."""
    from cli_harness import FAST, TOKENS, Shell

    yield Shell.entered(
        tmp_path, monkeypatch, capsys, **TOKENS, **FAST, LINKED_API_BASE_URL=box.url
    )
    box.clear_faults()
