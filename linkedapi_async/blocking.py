"""The session and the Admin API without asyncio: the same names, called from any thread.

::

    from linkedapi_async import st
    from linkedapi_async.blocking import Session

    with Session(linked_api_token="…", identification_token="…") as session:
        person = session.run(st.open_person_page(url, basic_info=True))

A session has an event loop in a thread of its own, where it starts and polls workflows.
Every method and attribute of the asynchronous classes exists here with the same name: a
coroutine there is a blocking method here, and ``async for`` becomes ``for``. Arguments,
results and errors are the same, except `aiohttp` objects (``http=``) and webhooks
(``listen``), which belong to an event loop of your own.

It may be used from many threads at once, and also if an event loop is running already,
such as in a notebook. It does not survive a fork: open it in the process that uses it.
Ctrl-C ends a wait like a cancellation: the workflow goes on, and its id is kept.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import operator
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final, Self, TypeVar

import anyio.to_thread
import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal

from linkedapi_async import admin, journal, session
from linkedapi_async._actions.action import Action
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr


__all__ = [
    "Account",
    "AccountsCalls",
    "Admin",
    "AsCompleted",
    "ConnectionSession",
    "ItemStream",
    "Journal",
    "LimitsCalls",
    "Recovered",
    "Session",
    "SubscriptionCalls",
    "WebhookCalls",
    "WorkflowHandle",
]

ProxyT = TypeVar("ProxyT", bound="type[_Proxy]")

_PROXIES: Final[dict[Any, Any]] = {}
"""The blocking class of each asynchronous one."""

_OF_JOURNAL: Final = {
    *("row", "rows", "state", "key_of", "unknown", "failed", "deferred"),
    *("adopt", "discard", "retry", "retry_failed", "forget_delivered"),
}

_END: Final = object()
"""Marks the end of an iterator, because a `StopIteration` cannot leave a coroutine."""


class _LoopThread:
    """An event loop in a thread of its own, while it is open."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._manager: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None
        self.has_ended: bool = False
        """Whether it was open before."""

    @property
    def is_inherited(self) -> bool:
        """Whether it was made in a process that has forked this one."""
        return self._pid != os.getpid()

    def open(self) -> None:
        """Start the thread."""
        self._manager = start_blocking_portal("asyncio")
        self._portal = self._manager.__enter__()

    def close(self) -> None:
        """End the thread."""
        manager, self._manager, self._portal = self._manager, None, None
        if manager is not None:
            self.has_ended = True
            manager.__exit__(None, None, None)

    def call(self, work: Callable[[], Any]) -> Any:
        """Run *work*, or the coroutine that it returns, in the loop; return the result.

        If there is no loop, before and after, *work* runs in the caller's thread.
        """
        if self.is_inherited:
            raise RuntimeError(
                "the session was opened in another process, and its thread does not "
                "survive a fork: open one in this process"
            )
        if self._portal is None:
            found = work()
            if inspect.iscoroutine(found):
                found.close()
                raise RuntimeError(
                    "the session is not open: use it as: with Session(…) as session"
                )
            return found
        future = self._portal.start_task_soon(_finish, work)
        try:
            return future.result()
        except BaseException:
            # Such as Ctrl-C: the result is no longer needed.
            future.cancel()
            raise


async def _finish(work: Callable[[], Any]) -> Any:
    found = work()
    # Not every awaitable: a handle is one, and may be the result itself.
    return await found if inspect.iscoroutine(found) else found


class _Proxy:
    """An object of the asynchronous library, called from any thread."""

    __slots__ = ("_target", "_thread")

    _of: ClassVar[Any]
    _left_out: ClassVar[frozenset[str]] = frozenset()
    """The names of attributes that must be used in the loop."""

    def __init__(self, target: Any, thread: _LoopThread) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_thread", thread)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in self._left_out:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self)
        member = inspect.getattr_static(type(self._target), name, None)
        if inspect.isfunction(member):
            return self._method(member)
        return self._call(lambda: getattr(self._target, name))

    def __setattr__(self, name: str, value: Any) -> None:
        self._call(lambda: setattr(self._target, name, value))

    def __dir__(self) -> Iterable[str]:
        names = {name for name in dir(self._target) if not name.startswith("_")}
        return sorted(names - self._left_out)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Proxy) and self._target is other._target

    def __hash__(self) -> int:
        return hash(id(self._target))

    @safe_repr
    def __repr__(self) -> str:
        return f"<blocking {self._target!r}>"

    def _method(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def method(*args: Any, **kwargs: Any) -> Any:
            # Tokens and texts are among them, which no frame may show to an error
            # tracker.
            given = Secret((tuple(map(_asynchronous, args)), kwargs.copy()))
            del args
            kwargs.clear()

            def work() -> Any:
                return function(self._target, *given.reveal()[0], **given.reveal()[1])

            return self._call(work)

        return method

    def _call(self, work: Callable[[], Any]) -> Any:
        return self._wrapped(self._thread.call(work))

    def _wrapped(self, value: Any) -> Any:
        """Return *value* with blocking objects in place of asynchronous ones."""
        if isinstance(value, tuple | list):
            items = [self._wrapped(item) for item in value]
            return value if all(map(operator.is_, items, value)) else type(value)(items)
        if isinstance(value, session.Recovered):
            return Recovered(
                handles=self._wrapped(value.handles),
                unknown=value.unknown,
                other_accounts=value.other_accounts,
            )
        for cls in type(value).__mro__:
            if cls in _PROXIES:
                return _PROXIES[cls](value, self._thread)
        return value


def _asynchronous(value: Any) -> Any:
    return value._target if isinstance(value, _Proxy) else value  # noqa: SLF001  # its own


def _proxy_of(cls: Any) -> Callable[[ProxyT], ProxyT]:
    def declare(proxy: ProxyT) -> ProxyT:
        proxy._of = cls  # noqa: SLF001  # a class of this module
        _PROXIES[cls] = proxy
        return proxy

    return declare


class _Entered(_Proxy):
    """A blocking object that is entered and left within an open session."""

    __slots__ = ()

    def __enter__(self) -> Self:
        self._thread.call(self._target.__aenter__)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.call(lambda: self._target.__aexit__(None, None, None))


class _Iterated(_Entered):
    """A blocking object that is iterated within an open session."""

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        found = self._call(self._next)
        if found is _END:
            raise StopIteration
        return found

    async def _next(self) -> Any:
        try:
            return await self._target.__anext__()
        except StopAsyncIteration:
            return _END


class _Opened(_Proxy):
    """A blocking object that has a loop of its own while it is open."""

    __slots__ = ()

    _left_out = frozenset({"aclose", "open"})

    def __init__(self, **settings: Any) -> None:
        given = Secret({**settings})
        settings.clear()  # so that no frame shows a token
        if given.reveal().get("http") is not None:
            raise TypeError(
                "http= is an aiohttp.ClientSession, which belongs to an event loop of "
                "its own; use the asynchronous session"
            )
        super().__init__(self._of(**given.reveal()), _LoopThread())

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """Return one with its tokens from the environment; see the asynchronous one."""
        given = Secret({**settings})
        settings.clear()
        made = object.__new__(cls)
        _Proxy.__init__(made, cls._of.from_env(**given.reveal()), _LoopThread())
        return made

    def open(self) -> Self:
        """Open it; the same as entering it, for notebooks and consoles.

        If it is still open when the program ends, it is closed then.
        """
        self._thread.open()
        try:
            self._thread.call(self._target.__aenter__)
        except BaseException:
            self._thread.close()
            raise
        # Otherwise the end of the program would wait for the thread for ever.
        atexit.register(self._close_at_exit)
        return self

    def _close_at_exit(self) -> None:
        if not self._thread.is_inherited:
            self.close()

    def close(self) -> None:
        """Close it; the same as leaving it. To close it again does nothing."""
        if self._thread.has_ended:
            return
        atexit.unregister(self._close_at_exit)
        try:
            self._thread.call(lambda: self._target.__aexit__(None, None, None))
        finally:
            self._thread.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


class _Workflows(_Proxy):
    """The methods of sessions and accounts that differ from the asynchronous ones."""

    __slots__ = ()

    _left_out = frozenset({"listen"})

    def as_completed(
        self,
        workflows: Iterable[Any],
        *,
        accounts: Iterable[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run many workflows; yield each handle when it has finished.

        The input is read in threads, so it may block, and may use the session.
        """
        # A plain iterable would be read in the thread of the loop, which must not wait.
        one = isinstance(workflows, Action | dict | str) or not hasattr(
            workflows, "__iter__"
        )
        items = workflows if one else _in_threads(iter(workflows))
        shared = None if accounts is None else [*map(_asynchronous, accounts)]
        return self._call(
            lambda: self._target.as_completed(items, accounts=shared, **options)
        )


async def _in_threads(items: Iterator[Any]) -> AsyncIterator[Any]:
    while (item := await anyio.to_thread.run_sync(next, items, _END)) is not _END:
        yield item


@_proxy_of(session.Session)
class Session(_Opened, _Workflows):
    """Runs workflows on the accounts of one main token, without asyncio.

    A context manager; the arguments are those of `linkedapi_async.Session`.
    """

    __slots__ = ()

    _left_out = frozenset({"aclose", "listen", "open"})


@_proxy_of(session.Account)
class Account(_Workflows):
    """One LinkedIn account of a session."""

    __slots__ = ()


@_proxy_of(session.WorkflowHandle)
class WorkflowHandle(_Proxy):
    """A workflow that was started; `result` waits for it."""

    __slots__ = ()


@_proxy_of(session.AsCompleted)
class AsCompleted(_Iterated):
    """Finished handles, in a ``for`` loop within a ``with`` block."""

    __slots__ = ()


@_proxy_of(session.ItemStream)
class ItemStream(_Iterated):
    """New items, such as messages, in a ``for`` loop."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Recovered:
    """What earlier runs have left unfinished, as `Session.recover` returns it."""

    handles: tuple[Any, ...]
    """Workflows that have not ended or were not delivered, in order of their starts."""
    unknown: tuple[journal.Row, ...]
    """Starts with an unknown outcome; decide with `Journal.adopt` or `discard`."""
    other_accounts: tuple[journal.Row, ...]
    """Rows of accounts that this session does not have."""


@_proxy_of(journal.Journal)
class Journal(_Proxy):
    """The journal of a session, while the session is open: its rows, and decisions."""

    __slots__ = ()

    # The other methods are for sessions, which write to it.
    _left_out = frozenset(dir(journal.Journal)) - _OF_JOURNAL


@_proxy_of(admin.Admin)
class Admin(_Opened):
    """Administers a client, without asyncio.

    A context manager; the arguments are those of `linkedapi_async.admin.Admin`.
    """

    __slots__ = ()


@_proxy_of(admin.SubscriptionCalls)
class SubscriptionCalls(_Proxy):
    """The calls of ``Admin.subscription``."""

    __slots__ = ()


@_proxy_of(admin.AccountsCalls)
class AccountsCalls(_Proxy):
    """The calls of ``Admin.accounts``."""

    __slots__ = ()


@_proxy_of(admin.LimitsCalls)
class LimitsCalls(_Proxy):
    """The calls of ``Admin.limits``."""

    __slots__ = ()


@_proxy_of(admin.WebhookCalls)
class WebhookCalls(_Proxy):
    """The calls of ``Admin.webhook``."""

    __slots__ = ()


@_proxy_of(admin.ConnectionSession)
class ConnectionSession(_Proxy):
    """A link with which a person connects an account; `wait` waits for that."""

    __slots__ = ()
