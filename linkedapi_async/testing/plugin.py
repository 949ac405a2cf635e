"""The pytest plugin: a sandbox and a session that live as long as a test function.

Switch it on with ``pytest_plugins = ["linkedapi_async.testing.plugin"]`` in a
``conftest.py``, or with ``-p linkedapi_async.testing.plugin``.

The sandbox and the session are entered around the test function, in its own loop and
task. So they work under pytest-asyncio, under anyio's plugin, and without either; this
plugin runs the test then. Other fixtures receive them before they are entered: they may
script the sandbox and read its URL, but not start workflows.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Generator, Iterator
from contextlib import AsyncExitStack, closing
from typing import Any

import attrs
import pytest
from anyio.from_thread import start_blocking_portal

from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session import Session
from linkedapi_async.testing._virtual_time import VirtualTime


SPEED = 1000.0
"""How much faster than the API a sandbox is in real time: workflows take 25 ms."""


@attrs.define
class _Around:
    """The contexts to enter around a test function, outermost first."""

    clock: VirtualTime | None = None
    sandbox: Sandbox | None = None
    session: Session | None = None

    async def enter(self, stack: AsyncExitStack) -> None:
        """Enter all contexts into *stack*."""
        if self.clock is not None:
            stack.enter_context(self.clock)
        for each in (self.sandbox, self.session):
            if each is not None:
                await stack.enter_async_context(each)


_AROUND = pytest.StashKey[_Around]()


def _around(request: pytest.FixtureRequest) -> _Around:
    item: pytest.Item = request.node
    return item.stash.setdefault(_AROUND, _Around())


def _is_async(item: Any) -> bool:
    return inspect.iscoroutinefunction(getattr(item, "obj", None))


def _check_async(request: pytest.FixtureRequest) -> None:
    if not _is_async(request.node):
        pytest.fail(
            f"{request.fixturename} needs an async test function without @given; "
            "use elsewhere: async with Sandbox() as sandbox, sandbox.session()",
            pytrace=False,
        )


@pytest.fixture
def linkedapi_sandbox_settings() -> dict[str, Any]:
    """The arguments of the sandbox; override this fixture to change them."""
    return {}


@pytest.fixture
def linkedapi_session_settings() -> dict[str, Any]:
    """The arguments of the session, as `Sandbox.session` takes them."""
    return {}


@pytest.fixture
def linkedapi_virtual_time(request: pytest.FixtureRequest) -> VirtualTime:
    """Virtual time in the test function, in which a day passes at once."""
    _check_async(request)
    clock = _around(request).clock = VirtualTime()
    return clock


@pytest.fixture
def linkedapi_sandbox(
    request: pytest.FixtureRequest, linkedapi_sandbox_settings: dict[str, Any]
) -> Iterator[Sandbox]:
    """A sandbox, a thousand times faster than the API unless time is virtual.

    For a synchronous test function it runs in a thread of its own.
    """
    speed = 1.0 if "linkedapi_virtual_time" in request.fixturenames else SPEED
    sandbox = Sandbox(**{"speed": speed, **linkedapi_sandbox_settings})
    with closing(sandbox.reserve()):
        if _is_async(request.node):
            _around(request).sandbox = sandbox
            yield sandbox
        else:
            with (
                start_blocking_portal() as portal,
                portal.wrap_async_context_manager(sandbox),
            ):
                yield sandbox


@pytest.fixture
def linkedapi_session(
    request: pytest.FixtureRequest,
    linkedapi_sandbox: Sandbox,
    linkedapi_session_settings: dict[str, Any],
) -> Session:
    """A session for the sandbox."""
    _check_async(request)
    session = linkedapi_sandbox.session(**linkedapi_session_settings)
    _around(request).session = session
    return session


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Enter the contexts of the fixtures around the test function."""
    around = item.stash.get(_AROUND, None)
    if around is None or not isinstance(item, pytest.Function):
        return (yield)
    test = item.obj

    # Async like the test, so that any plugin for async tests runs it.
    @functools.wraps(test)
    async def inside(*args: Any, **kwargs: Any) -> None:
        """Run the test inside the contexts."""
        async with AsyncExitStack() as stack:
            await around.enter(stack)
            await test(*args, **kwargs)

    item.obj = inside
    try:
        return (yield)
    finally:
        item.obj = test


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test function with these fixtures that no other plugin runs."""
    if _AROUND not in pyfuncitem.stash or not _is_async(pyfuncitem):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    given = {name: pyfuncitem.funcargs[name] for name in names}
    with asyncio.Runner() as runner:
        runner.run(pyfuncitem.obj(**given))
    return True
