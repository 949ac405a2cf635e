"""Many workflows in, finished handles out, never more than a limit at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, Self, cast

import anyio

from linkedapi_async._actions.action import Action
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import short_repr
from linkedapi_async.session._handle import ManagedHandle, WorkflowHandle
from linkedapi_async.session._journaling import ALREADY_DELIVERED
from linkedapi_async.session._recent import RecentKeys
from linkedapi_async.session._runner import Runner


class AsCompleted:
    """An async iterator over finished handles; `Session.as_completed` returns it.

    It acquires a slot before it reads an item of the input, and releases the slot when
    the body requests the next handle, so the limit bounds what is in memory.
    """

    def __init__(
        self,
        workflows: Iterable[Any] | AsyncIterable[Any],
        runner: Runner,
        *,
        limit: int,
        check: bool,
    ) -> None:
        self._next_item = _item_source(workflows)
        self._runner = runner
        self._check = check
        self._slots = asyncio.Semaphore(limit)
        self._finished: asyncio.Queue[ManagedHandle | None] = asyncio.Queue()
        self._running: set[asyncio.Task[None]] = set()
        self._feeder: asyncio.Task[None] | None = None
        self._keys = RecentKeys()
        self._input_error: Exception | None = None
        self._feeder_done = False
        self._current: ManagedHandle | None = None

    async def __aenter__(self) -> Self:
        if self._feeder is not None:
            message = "as_completed() can be entered once: call it again"
            raise RuntimeError(message)
        self._runner.runtime.check_open()
        self._feeder = asyncio.create_task(self._feed())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._running, cast("asyncio.Task[None]", self._feeder)]
        for task in tasks:
            task.cancel()
        # The bound is for an input that does not react to its cancellation.
        with anyio.move_on_after(self._runner.runtime.request_timeout, shield=True):
            await asyncio.wait(tasks)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WorkflowHandle[Any]:
        if self._feeder is None:
            message = "use it as: async with session.as_completed(…) as done"
            raise RuntimeError(message)
        if self._current is not None:
            # The body takes the next handle once it has dealt with this one.
            self._current.acknowledge()
            self._current = None
            self._slots.release()
        since = self._runner.runtime.now()
        handle = await self._finished.get()
        if handle is not None:
            handle.deliver(since)
            self._current = handle
            return handle
        # The end stays, for later calls.
        self._finished.put_nowait(None)
        if self._input_error is not None:
            raise self._input_error
        raise StopAsyncIteration

    async def _feed(self) -> None:
        try:
            while True:
                await self._slots.acquire()
                self._runner.runtime.poller.check_running()
                task = asyncio.create_task(self._run(Secret(await self._next_item())))
                self._running.add(task)
                task.add_done_callback(self._ended)
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001  # the input's own, kept for the body
            self._input_error = error
        self._feeder_done = True
        if not self._running:
            self._finished.put_nowait(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._feeder_done and not self._running:
            self._finished.put_nowait(None)

    async def _known(self, key: str, workflow: Secret[Any]) -> Any:
        if not self._keys.add(key):
            message = f"the key {key!r} came twice; keys must be unique"
            raise ValueError(message)
        return await self._runner.recall(key, workflow)

    async def _run(self, item: Secret[Any]) -> None:
        # Workflows contain personal messages, which no frame shows to a tracker.
        key: str | None = None
        workflow = item
        try:
            key, workflow = _split_key(item)
            known = None if key is None else await self._known(key, workflow)
            if known is ALREADY_DELIVERED:
                # No handle is yielded, with which the body would release it.
                self._slots.release()
                return
            handle = known or await self._runner.start(
                _roots(workflow), check=self._check, key=key, wait_for_pace=False
            )
        except Exception as error:  # noqa: BLE001  # the handle's result() raises it
            handle = ManagedHandle(
                self._runner, workflow.reveal(), error=error, key=key
            )
        # Whatever ends the wait: the handle is yielded, and its result() raises it.
        with contextlib.suppress(Exception):
            await handle.wait_for_end()
        self._finished.put_nowait(handle)


def _split_key(secret: Secret[Any]) -> tuple[str | None, Secret[Any]]:
    """Return the key and the workflow of an item, which may have no key."""
    item = secret.reveal()
    if not isinstance(item, tuple) or len(item) != 2:  # noqa: PLR2004
        return None, secret
    key, workflow = item
    if isinstance(key, str):
        return key, Secret(workflow)
    if isinstance(key, Action | dict):
        # An array workflow of two roots.
        return None, secret
    shown = short_repr(key)
    message = f"the key of an item must be a string, got {shown}; pass str({shown})"
    raise TypeError(message)


def _roots(secret: Secret[Any]) -> Secret[tuple[Any, ...]]:
    workflow = secret.reveal()
    return secret if isinstance(workflow, tuple) else Secret((workflow,))


def _item_source(
    workflows: Iterable[Any] | AsyncIterable[Any],
) -> Callable[[], Awaitable[Any]]:
    """Return what draws the next item, or raises `StopAsyncIteration`."""
    if isinstance(workflows, AsyncIterable):
        return aiter(workflows).__anext__
    if isinstance(workflows, Action | dict | str):
        message = "as_completed takes many workflows: put this one in a list"
        raise TypeError(message)
    try:
        iterator = iter(workflows)
    except TypeError:
        message = f"as_completed takes many workflows, got {short_repr(workflows)}"
        raise TypeError(message) from None

    async def next_item() -> Any:
        try:
            return next(iterator)
        except StopIteration:
            raise StopAsyncIteration from None

    return next_item
