"""One LinkedIn account of a session, as users see it."""

from __future__ import annotations

import hashlib
from typing import Any

from linkedapi_async._utils.text import safe_repr
from linkedapi_async.errors import AccountPausedError
from linkedapi_async.policies import Pace
from linkedapi_async.session._handle import WorkflowHandle
from linkedapi_async.session._methods import NamedAccount, WorkflowMethods
from linkedapi_async.session._runner import Runner, drain


def default_name(identification_token: str) -> str:
    """Return the default name of an account, which does not reveal the token."""
    return hashlib.sha256(identification_token.encode()).hexdigest()[:12]


class Account(WorkflowMethods):
    """A LinkedIn account, as `Session.account` returns it.

    It runs its workflows one after another. The session has at most one start in
    progress for it, so the order in which the server accepted them is known.
    """

    def __init__(self, runner: Runner) -> None:
        self._own_runner = runner

    def _runner(self) -> Runner:
        return self._own_runner

    def _runner_of(self, account: NamedAccount) -> Runner:
        if account is not self:
            raise ValueError(
                f"account.as_completed() works on {self.name!r} alone; pass accounts= to "
                "session.as_completed()"
            )
        return self._own_runner

    @property
    def name(self) -> str:
        """Its name in the journal, in logs, stats and errors."""
        return self._own_runner.name

    @property
    def account_id(self) -> str | None:
        """The API's id of it, by which webhook events are matched.

        `Session.account` takes it, `linkedapi_async.admin.Admin.identify` looks it up,
        and an event of a workflow of the account reveals it.
        """
        return self._own_runner.account_id

    @account_id.setter
    def account_id(self, account_id: str | None) -> None:
        """Set the API's id of it."""
        self._own_runner.account_id = account_id

    @property
    def pace(self) -> Pace | None:
        """How much it may do, and when; None sets no limits."""
        pacer = self._own_runner.pacer
        return None if pacer is None else pacer.pace

    def has_token(self, identification_token: str) -> bool:
        """Return whether this is the account of an identification token."""
        return self._own_runner.has_token(identification_token)

    @property
    def paused(self) -> AccountPausedError | None:
        """Why the account starts nothing at present; None while it does.

        The API said that the account is signed out, has no subscription, or the like.
        Meanwhile its workflows are polled as rarely as queued ones.
        """
        return self._own_runner.paused

    def unpause(self) -> None:
        """Let the account start workflows again, after its problem is solved.

        The same happens when a workflow of the account completes.
        """
        self._own_runner.unpause()

    @property
    def handles(self) -> tuple[WorkflowHandle[Any], ...]:
        """All unfinished handles, in the order in which they were accepted."""
        return tuple(self._own_runner.handles.values())

    async def drain(
        self, timeout: float | None = None
    ) -> tuple[WorkflowHandle[Any], ...]:
        """Wait until all unfinished workflows have ended.

        Args:
            timeout: How long to wait, in seconds; None waits without a limit.

        Returns:
            The handles that have not ended when the time is up.
        """
        return await drain(self._own_runner.handles.values, timeout)

    @safe_repr
    def __repr__(self) -> str:
        return f"<Account {self.name}, {len(self._own_runner.handles)} unfinished>"
