"""The LinkedIn accounts of a client, and the wait for people to connect more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import attrs

from linkedapi_async._http.failure_rules import classify_failure
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.admin._connection import AdminConnection
from linkedapi_async.admin._resources import (
    Calls,
    list_reader,
    named_object_reader,
    object_reader,
)
from linkedapi_async.admin._results import (
    AccountList,
    AdminAccount,
    ConnectionProgress,
    NewToken,
    Reparse,
    shortened,
)
from linkedapi_async.errors import (
    ConnectionPendingError,
    NotConnectedError,
    ProtocolError,
    RequestError,
)


ENDED = frozenset({"cancelled", "error", "expired"})
"""How a connection session ends without an account."""

UNSEEN = 5
"""How many polls of a successful session may pass before its account is missing."""


def _accounts(raw: Any) -> AccountList:
    list_reader("accounts", AdminAccount)(raw)  # without accounts it is an error
    return object_reader(AccountList)(raw)


class AccountsCalls(Calls):
    """The LinkedIn accounts, and the sessions in which people connect them.

    https://linkedapi.io/docs/admin-accounts
    """

    async def get_all(self) -> AccountList:
        """Return the connected accounts, and the sessions that connect more.

        For an account that must be connected again, the API opens a session if none is
        open.
        """
        return await self._ask("accounts.getAll", _accounts)

    async def disconnect(self, account_id: str) -> None:
        """Remove an account with its browser profile and its proxy, for good."""
        await self._do("accounts.disconnect", account_id=account_id)

    async def reparse_account_info(self, account_id: str) -> Reparse:
        """Start a workflow in the background that reads the account's own profile."""
        call, read = "accounts.reparseAccountInfo", object_reader(Reparse)
        return await self._change(call, read, account_id=account_id)

    async def regenerate_identification_token(self, account_id: str) -> NewToken:
        """Return a new identification token; the old one becomes invalid at once."""
        call = "accounts.regenerateIdentificationToken"
        read = object_reader(NewToken)
        return await self._change(call, read, account_id=account_id)

    async def create_connection_session(self) -> ConnectionSession:
        """Return a session in which a person connects another LinkedIn account.

        The existing accounts are read first, so that the new one can be recognised.

        Raises:
            RejectedError: ``noAvailableSeats``, ``dailyConnectionAttemptsExceeded``.
        """
        known = _seen(await self.get_all())
        return await self._change(
            "accounts.createConnectionSession",
            lambda raw: self._opened(raw, "sessionId", "connectionLink", known=known),
        )

    async def create_reconnection_session(self, account_id: str) -> ConnectionSession:
        """Return a session in which a person connects an account again.

        Args:
            account_id: The account, whose status is ``reconnection_required``.
        """
        names = ("reconnectionSessionId", "reconnectionLink")
        return await self._change(
            "accounts.createReconnectionSession",
            lambda raw: self._opened(raw, *names, account_id=account_id),
            account_id=account_id,
        )

    def _opened(
        self, raw: Any, id_name: str, link_name: str, **facts: Any
    ) -> ConnectionSession:
        fields = raw if isinstance(raw, dict) else {}
        session_id, link = fields.get(id_name), fields.get(link_name)
        if not isinstance(session_id, str) or not session_id:
            raise ProtocolError(f"the answer has no {id_name}")
        link = link if isinstance(link, str) else None
        return ConnectionSession(self, session_id, link, raw=raw, **facts)

    async def get_connection_session(self, session_id: str) -> ConnectionProgress:
        """Return the progress of a connection or reconnection session.

        Raises:
            RejectedError: ``sessionNotFound``.
        """
        call = "accounts.getConnectionSession"
        read = named_object_reader("session", ConnectionProgress)
        return await self._ask(call, read, session_id=session_id)

    async def cancel_connection_session(self, session_id: str) -> None:
        """Cancel a connection session that has not ended.

        Raises:
            RejectedError: ``sessionNotFound``.
        """
        await self._do("accounts.cancelConnectionSession", session_id=session_id)

    async def wait_connected(
        self,
        session_id: str,
        *,
        known: Mapping[str, str | None] | None = None,
        account_id: str | None = None,
        timeout: float | None = None,
    ) -> AdminAccount:
        """Wait until a person has connected an account, and return the account.

        The API does not say which account belongs to a session, so it is the one that
        is new. Failed requests do not end the wait; errors of the API do.

        Args:
            session_id: The connection session.
            known: The accounts that existed before, as in `ConnectionSession.known`;
                by default those that exist now.
            account_id: The account that is connected again, if it is a reconnection.
            timeout: The longest wait, in seconds; 0 polls once, None means the
                deadline of the policy (24 hours).

        Raises:
            NotConnectedError: The session was cancelled, expired or failed; or several
                accounts are new.
            ConnectionPendingError: The timeout passed; the session goes on.
            RejectedError: ``sessionNotFound``.
        """
        late = known is None and account_id is None
        if late:
            known = _seen(await self.get_all())
        wait = _Wait(self, session_id, known or {}, account_id)
        account = await wait.ask(all_new=late)
        if account is not None:
            return account
        deadline = self._connection.polling.deadline
        seconds = deadline if timeout is None else timeout
        with anyio.move_on_after(seconds):
            return await wait.until_connected(self._connection)
        message = (
            f"the account was not connected within {seconds:g} s; the session "
            f"{shortened(session_id)} is {wait.status or 'unknown'} and goes on"
        )
        raise ConnectionPendingError(message, session_id=session_id, status=wait.status)


def _seen(found: AccountList) -> dict[str, str | None]:
    """Return when each account was connected, by its id."""
    return {a.id: a.connected_at for a in found.accounts or () if a.id is not None}


@attrs.frozen(eq=False, repr=False)
class ConnectionSession:
    """A session in which a person connects a LinkedIn account."""

    _calls: AccountsCalls
    session_id: str
    """The id; it opens the page, so it is a secret."""
    link: str | None
    """The page that the person opens in a browser."""
    raw: Any = attrs.field(kw_only=True)
    """The JSON as received."""
    known: Mapping[str, str | None] | None = attrs.field(default=None, kw_only=True)
    """When each earlier account was connected, by its id.

    With it and the id, `AccountsCalls.wait_connected` can wait in another process.
    """
    account_id: str | None = attrs.field(default=None, kw_only=True)
    """The account that is connected again, if it is a reconnection."""

    async def progress(self) -> ConnectionProgress:
        """Return its progress."""
        return await self._calls.get_connection_session(self.session_id)

    async def cancel(self) -> None:
        """Cancel it."""
        await self._calls.cancel_connection_session(self.session_id)

    async def wait(self, timeout: float | None = None) -> AdminAccount:
        """Wait until the person has finished, and return the account.

        Args:
            timeout: The longest wait, in seconds; 0 polls once, None means 24 hours.

        Raises:
            NotConnectedError: It was cancelled, expired or failed; or several accounts
                are new.
            ConnectionPendingError: The timeout passed; the session goes on.
        """
        return await self._calls.wait_connected(
            self.session_id,
            known=self.known,
            account_id=self.account_id,
            timeout=timeout,
        )

    @safe_repr
    def __repr__(self) -> str:
        return f"<ConnectionSession {shortened(self.session_id)}>"


class _Wait:
    """One wait for a person to connect an account."""

    def __init__(
        self,
        calls: AccountsCalls,
        session_id: str,
        known: Mapping[str, str | None],
        account_id: str | None,
    ) -> None:
        self._calls = calls
        self._session_id = session_id
        self._known = known
        self._account_id = account_id
        self._unseen = 0
        self.status: str | None = None

    async def until_connected(self, connection: AdminConnection) -> AdminAccount:
        number = 1
        while True:
            number += 1
            # The first poll was the call itself, so the policy's first wait is over.
            await connection.sleep_before_poll(number)
            account = await self.ask()
            if account is not None:
                return account

    async def ask(self, *, all_new: bool = False) -> AdminAccount | None:
        """Poll once; return the account if it is connected by now.

        Args:
            all_new: Whether the known accounts were read too late, so that the account
                may be among them.
        """
        try:
            progress = await self._calls.get_connection_session(self._session_id)
            self.status = progress.status
            if self.status in ENDED:
                raise self._ended(f"the session {self._name} ended as {self.status}")
            if self.status != "success":
                return None
            return self._new(
                await self._calls.get_all(), {} if all_new else self._known
            )
        except RequestError as error:
            if classify_failure(error) == "api_error":
                raise
            return None

    @property
    def _name(self) -> str:
        return shortened(self._session_id)

    def _new(
        self, found: AccountList, known: Mapping[str, str | None]
    ) -> AdminAccount | None:
        accounts = [a for a in found.accounts or () if a.id is not None]
        if self._account_id is not None:
            new = [a for a in accounts if a.id == self._account_id]
        else:
            # An account that is connected again has another time.
            unknown = object()
            new = [
                a for a in accounts if known.get(str(a.id), unknown) != a.connected_at
            ]
        if len(new) == 1:
            return new[0]
        self._unseen += 1
        if new:
            # A wrong guess would return the token of another person's account.
            message = (
                f"the session {self._name} succeeded, and {len(new)} accounts are new: "
                "choose among error.candidates"
            )
            raise self._ended(message, new)
        if self._unseen >= UNSEEN:
            message = f"the session {self._name} succeeded, but no account is new"
            raise self._ended(message)
        return None

    def _ended(
        self, message: str, candidates: Sequence[AdminAccount] = ()
    ) -> NotConnectedError:
        return NotConnectedError(
            message,
            session_id=self._session_id,
            status=self.status,
            candidates=candidates,
        )
