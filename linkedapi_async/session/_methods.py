"""The methods that sessions and accounts share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar, overload

from linkedapi_async._actions.action import Roots, Workflow
from linkedapi_async._http.requests import validate_workflow_id
from linkedapi_async._http.responses import WorkflowStatus
from linkedapi_async._utils.secret import Secret
from linkedapi_async.session._as_completed import AsCompleted, text_key
from linkedapi_async.session._endpoints import EndpointMethods
from linkedapi_async.session._handle import WorkflowHandle
from linkedapi_async.session._runner import Runner


class NamedAccount(Protocol):
    """An account of a session."""

    @property
    def name(self) -> str:
        """Its name in the journal, in logs, stats and errors."""
        ...


T = TypeVar("T")

WorkflowItem: TypeAlias = (
    Workflow[T] | tuple[str, Workflow[T]] | tuple[str, Workflow[T], NamedAccount | str]
)
"""An item of `as_completed`: a workflow, with its key and its account if it has them."""

T1 = TypeVar("T1")

T2 = TypeVar("T2")

T3 = TypeVar("T3")

T4 = TypeVar("T4")

T5 = TypeVar("T5")

T6 = TypeVar("T6")


class WorkflowMethods(EndpointMethods):
    """Start, run, attach, poll and cancel workflows, and read account data."""

    @overload
    async def run(
        self,
        workflow: Workflow[T1],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> T1: ...
    @overload
    async def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2]: ...
    @overload
    async def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3]: ...
    @overload
    async def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4]: ...
    @overload
    async def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        w5: Workflow[T5],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4, T5]: ...
    @overload
    async def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        w5: Workflow[T5],
        w6: Workflow[T6],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4, T5, T6]: ...
    @overload
    async def run(
        self, *workflow: Workflow[T], timeout: float | None = ..., check: bool = ...
    ) -> tuple[T, ...]: ...
    @overload
    async def run(
        self,
        definition: dict[str, Any] | list[dict[str, Any]],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> Any: ...
    async def run(
        self, *workflow: Any, timeout: float | None = None, check: bool = True
    ) -> Any:
        """Start a workflow, wait for it, return what its root yields.

        Several workflows are the roots of one array workflow and give a tuple.

        Args:
            workflow: What to run; a dict or list as in the API's docs works too.
            timeout: How long to wait for the result, in seconds; see
                `WorkflowHandle.completion`. The wait for the account's pace may take as
                long, too.
            check: As for `start`.

        Raises:
            LinkedApiError: As for `start` and `WorkflowHandle.result`.
        """
        roots = Secret(workflow)
        del workflow  # so that no frame shows its texts
        handle = await self._runner().start(roots, check=check, max_wait=timeout)
        return await handle.result(timeout)

    @overload
    async def start(
        self, workflow: Workflow[T1], /, *, check: bool = ..., key: str | None = ...
    ) -> WorkflowHandle[T1]: ...
    @overload
    async def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2]]: ...
    @overload
    async def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2, T3]]: ...
    @overload
    async def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2, T3, T4]]: ...
    @overload
    async def start(
        self, *workflow: Workflow[T], check: bool = ..., key: str | None = ...
    ) -> WorkflowHandle[tuple[T, ...]]: ...
    @overload
    async def start(
        self,
        definition: dict[str, Any] | list[dict[str, Any]],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[Any]: ...
    async def start(
        self, *workflow: Any, check: bool = True, key: str | None = None
    ) -> WorkflowHandle[Any]:
        """Start a workflow; return its handle as soon as the server has accepted it.

        Cancelling this call loses no id: a start that is in progress ends in the
        background, its handle is in `handles`, and a warning names its id.

        Args:
            workflow: What to start; several are the roots of one array workflow. A
                dict or list as in the API's docs works too.
            check: False sends a dict or list exactly as it is, and does not check a
                built workflow against the API generation.
            key: Your identifier of it, as in `as_completed`. With a journal it is
                started at most once over all runs, and calling this again returns the
                same workflow.

        Raises:
            WorkflowError: Something is wrong with the workflow; nothing was sent.
            RejectedError: The API refused it.
            AccountPausedError: The account cannot work at present.
            PaceError: The pace of the account allows it only after the deadline of
                `Polling`; nothing was sent.
            AuthenticationError: A token is wrong.
            ConnectionFailedError: The API cannot be reached; it was not started.
            StartUnknownError: It was sent, and it is unknown whether the server
                accepted it.
            SessionClosedError: The session was closed before it was sent.
            JournalError: The key is being started, or belongs to another account.
            TypeError: The key is no string.

        https://linkedapi.io/docs/executing-workflows
        """
        roots = Secret(workflow)
        del workflow  # so that no frame shows its texts
        if key is None:
            return await self._runner().start(roots, check=check)
        return await self._runner().start_once(roots, check=check, key=text_key(key))

    @overload
    def attach(
        self, workflow_id: str, workflow: Workflow[T], *, key: str | None = ...
    ) -> WorkflowHandle[T]: ...
    @overload
    def attach(
        self, workflow_id: str, workflow: Roots | None = ..., *, key: str | None = ...
    ) -> WorkflowHandle[Any]: ...
    def attach(
        self, workflow_id: str, workflow: Any = None, *, key: str | None = None
    ) -> WorkflowHandle[Any]:
        """Return a handle for a workflow that was started elsewhere or earlier.

        Args:
            workflow_id: The API's id of it.
            workflow: The workflow that was sent, for typed results that distinguish
                equal siblings; a tuple of roots for an array workflow.
            key: The key that it was started with in another process. Its reservations
                and its counts against the pace are settled when the workflow ends.

        Raises:
            ValueError: The id is malformed, or is attached with another workflow.
        """
        return self._runner().attach(workflow_id, workflow, key=key)

    @overload
    def attach_all(
        self,
        workflow_ids: Iterable[str],
        workflow: Workflow[T],
        *,
        ordered: bool = ...,
    ) -> tuple[WorkflowHandle[T], ...]: ...
    @overload
    def attach_all(
        self,
        workflow_ids: Iterable[str],
        workflow: Roots | None = ...,
        *,
        ordered: bool = ...,
    ) -> tuple[WorkflowHandle[Any], ...]: ...
    def attach_all(
        self,
        workflow_ids: Iterable[str],
        workflow: Any = None,
        *,
        ordered: bool = False,
    ) -> tuple[WorkflowHandle[Any], ...]:
        """Return handles for workflows that were started elsewhere or earlier.

        Args:
            workflow_ids: The API's ids of them.
            workflow: The workflow that each of them was started with, as for `attach`.
            ordered: Whether the account accepted them in this order. If so, their ends
                are noticed as early as those of workflows that the session started. In
                unknown order, the ends of a thousand are noticed about twenty minutes
                late, with as many requests. It has no effect while other workflows of
                the account are unfinished in this session.

        Raises:
            ValueError: An id is malformed, or is attached with another workflow.
        """
        if isinstance(workflow_ids, str):
            raise TypeError("attach_all takes many ids: put this one in a list")
        return self._runner().attach_all(workflow_ids, workflow, ordered=ordered)

    async def status(self, workflow_id: str) -> WorkflowStatus:
        """Return the status of a workflow, by one request.

        Raises:
            WorkflowNotFoundError: The API does not know the id.
            RequestError: The API refused, or did not answer.
        """
        runner = self._runner()
        runner.runtime.check_open()
        return await runner.status(validate_workflow_id(workflow_id))

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a workflow by its id; return whether it was cancelled.

        Raises:
            UnsupportedError: The account_api generation cannot cancel.
            RequestError: The API refused, or did not answer.
        """
        runner = self._runner()
        runner.runtime.check_open()
        return await runner.cancel(validate_workflow_id(workflow_id))

    @overload
    def as_completed(
        self,
        workflows: Iterable[WorkflowItem[T]] | AsyncIterable[WorkflowItem[T]],
        *,
        accounts: Iterable[NamedAccount] | None = ...,
        limit: int = ...,
        wait: bool = ...,
        once: bool = ...,
        check: bool = ...,
    ) -> AsCompleted[T]: ...
    @overload
    def as_completed(
        self,
        workflows: Iterable[Any] | AsyncIterable[Any],
        *,
        accounts: Iterable[NamedAccount] | None = ...,
        limit: int = ...,
        wait: bool = ...,
        once: bool = ...,
        check: bool = ...,
    ) -> AsCompleted[Any]: ...
    def as_completed(
        self,
        workflows: Iterable[Any] | AsyncIterable[Any],
        *,
        accounts: Iterable[NamedAccount] | None = None,
        limit: int = 100,
        wait: bool = False,
        once: bool = True,
        check: bool = True,
    ) -> AsCompleted[Any]:
        """Run many workflows; yield each handle when it has finished.

        An async context manager and an async iterator::

            async with session.as_completed(workflows, limit=500) as done:
                async for handle in done:
                    ...
            print(done.deferred)

        An item that could not be built or started is yielded too: its `workflow_id` is
        None and its `result()` raises. Only an error of the input itself is raised,
        after the items in progress were yielded. After leaving early, no further items
        are started.

        An item with a key that was held back by its account, a limit, the token or the
        host, and has certainly changed nothing on LinkedIn, is not yielded but
        *deferred*. Another one of the *accounts* runs it, unless it was started before,
        or it runs when the cause has ended. The stream ends when nothing more can be
        done at present; `AsCompleted.deferred` lists the deferred items. An account
        that cannot work takes no items. With a journal, the next stream with the same
        items continues with those that are left: it tries each account and limit at
        once, with one item.

        Args:
            workflows: Any iterable or async iterable of workflows, definitions, tuples
                of roots, ``(key, workflow)`` pairs with unique strings as keys, or
                ``(key, workflow, account)`` for an item that only this account may run.
                A repeated key is an error within the last 100,000 keys; further back, a
                journal skips what was delivered.
            accounts: The accounts that share the items: each takes the next one when it
                has a free slot. By default the one of this object.
            limit: How many workflows are in flight on each account at most, including
                finished ones that the body has not received. This bounds the memory.
            wait: Whether to wait until every item has ended, even for days. If it is
                unknown when a cause will end, one item tries again: after a limit when
                the next day begins, otherwise once an hour.
            once: Whether to suppress an item with a key that does the same to a person
                as an earlier item, even with another text: it is not started and has a
                `SuppressedError` with the key of the first item. The stream remembers
                the last 100,000 acts; see `linkedapi_async.contacts` for more. Pass
                False to send several messages to one person.
            check: As for `start`.

        Raises:
            ValueError: *limit* is less than 1, or *accounts* are none of this session.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit!r}")
        runners = [self._runner()] if accounts is None else self._runners_of(accounts)
        return AsCompleted(
            workflows, runners, limit=limit, check=check, wait=wait, once=once
        )

    def _runners_of(self, accounts: Iterable[NamedAccount]) -> list[Runner]:
        """Return the runners of accounts of the same session."""
        found = {account.name: account for account in accounts}
        if not found:
            raise ValueError("accounts must have at least one account")
        return [self._runner_of(account) for account in found.values()]

    @abstractmethod
    def _runner_of(self, account: NamedAccount) -> Runner:
        """Return the runner of an account.

        Raises:
            ValueError: It is of another session.
        """
