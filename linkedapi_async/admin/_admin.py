"""The `Admin` itself: its settings, its life cycle and its resources."""

from __future__ import annotations

import datetime as dt
import logging
import os
import ssl as ssl_module
from typing import TYPE_CHECKING, Any, Self

from linkedapi_async._http.connection import (
    MAX_RESPONSE_BYTES,
    ApiConnection,
    api_requests,
    check_count,
    check_type,
    read_environment,
)
from linkedapi_async._http.requests import (
    DEFAULT_CLIENT,
    DEFAULT_URL,
    validate_base_url,
)
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.admin._accounts import AccountsCalls
from linkedapi_async.admin._changelog import changelog_url_below
from linkedapi_async.admin._connection import AdminConnection
from linkedapi_async.admin._parameters import instant
from linkedapi_async.admin._resources import (
    LimitsCalls,
    SubscriptionCalls,
    WebhookCalls,
    object_reader,
)
from linkedapi_async.admin._results import AdminAccount, Changelog
from linkedapi_async.errors import RequestError, UnsupportedError
from linkedapi_async.policies import Polling, Retries


if TYPE_CHECKING:
    import aiohttp

    from linkedapi_async.session import Account, Session


_log = logging.getLogger("linkedapi_async")


ENVIRONMENT = {
    "LINKED_API_TOKEN": "linked_api_token",
    "LINKED_API_BASE_URL": "base_url",
}


class Admin:
    """Administers the subscription, the accounts, the limits and the webhook of a client.

    An async context manager, bound to the event loop that enters it. The calls are
    grouped by the API's names: ``await admin.accounts.get_all()``.

    A failed call is retried if that is safe: if it only reads, or never reached the
    API. A change that was sent but not answered is not retried: the error is a
    `ConnectionFailedError` whose ``sent`` is True, or a `ProtocolError`, and has a note
    that it is unknown whether the change was made.

    Args:
        linked_api_token: The main token of the current API; the older one has no
            administration.
        base_url: The address of the API; https, or http on loopback.
        client: The name of your program in the header ``client``, at most 100
            characters; by default that of this library and its version.
        changelog_url: The address of the changelog, which needs no token; by default
            that of the API, or ``/api/changelog`` below another *base_url*.
        polling: When connection sessions are polled.
        retries: When a failed request is retried.
        http: An `aiohttp.ClientSession` of your own; it is never closed here.
        trust_env: Whether proxies come from the environment.
        ssl: As aiohttp takes it; False switches the check of certificates off.
        proxy: The URL of a proxy.
        request_timeout: The longest time for one request, in seconds.
        max_response_bytes: The size of the largest answer that is read, in bytes.
        connections: How many connections are open at most.
        per_minute: How many requests are sent at most in any 60 seconds; the API
            accepts 100. Further ones wait, first come, first served.
        allow_insecure_http: Whether *base_url* may be plain http off loopback.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        linked_api_token: str,
        base_url: str = DEFAULT_URL,
        client: str = DEFAULT_CLIENT,
        changelog_url: str | None = None,
        polling: Polling | None = None,
        retries: Retries | None = None,
        http: aiohttp.ClientSession | None = None,
        trust_env: bool = False,
        ssl: ssl_module.SSLContext | bool = True,
        proxy: str | None = None,
        request_timeout: float = 60.0,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        connections: int = 10,
        per_minute: int = 100,
        allow_insecure_http: bool = False,
    ) -> None:
        main, way = Secret(linked_api_token), Secret.optional(proxy)
        del linked_api_token, proxy  # so that no frame shows them
        check_type("polling", polling, Polling, None)
        check_type("changelog_url", changelog_url, str, None)
        check_count("per_minute", per_minute)
        requests = api_requests(
            linked_api_token=main,
            base_url=base_url,
            client=client,
            allow_insecure_http=allow_insecure_http,
        )
        if changelog_url is None:
            changelog_url = changelog_url_below(requests.base_url)
        self._changelog_url = validate_base_url(
            changelog_url, allow_insecure_http=allow_insecure_http
        )
        self._host = ApiConnection(
            "Admin",
            requests,
            retries=retries,
            http=http,
            trust_env=trust_env,
            ssl=ssl,
            proxy=way,
            request_timeout=request_timeout,
            max_response_bytes=max_response_bytes,
            connections=connections,
        )
        self.retries: Retries = self._host.retries
        self.polling: Polling = polling or Polling()
        self._connection = AdminConnection(self._host, self.polling, per_minute)
        self.subscription: SubscriptionCalls = SubscriptionCalls(self._connection)
        self.accounts: AccountsCalls = AccountsCalls(self._connection)
        self.limits: LimitsCalls = LimitsCalls(self._connection)
        self.webhook: WebhookCalls = WebhookCalls(self._connection)

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """Return an `Admin` with its token from the environment.

        It reads ``LINKED_API_TOKEN`` and ``LINKED_API_BASE_URL``; empty ones count as
        absent.

        Args:
            settings: Everything else, as for `Admin`.

        Raises:
            ValueError: The token is missing, or a variable has a value that is not
                allowed; the message names the variable.
        """
        found = read_environment(ENVIRONMENT, Secret(os.environ))
        given = Secret({**found.reveal(), **settings})
        settings.clear()  # so that no frame shows a token
        if "linked_api_token" not in given.reveal():
            raise ValueError("set LINKED_API_TOKEN, or pass linked_api_token=")
        return cls(**given.reveal())

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self._host.requests.base_url

    async def open(self) -> Self:
        """Open it and return it; the same as entering it. `aclose` closes it.

        Raises:
            RuntimeError: It was opened before.
        """
        self._connection.open()
        return self

    async def aclose(self) -> None:
        """Close it; the same as leaving it. To close it again does nothing."""
        if self._connection.state != "closed":
            await self.__aexit__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self._connection.aclose()

    async def changelog(self, since: str | dt.date | None = None) -> Changelog:
        """Return the public list of changes of the API; no token is sent.

        Args:
            since: A date, or a datetime with a time zone, as such or in ISO 8601. A
                release is dated at the end of its week, so the same one may come again.
        """
        query = {}
        if since is not None:
            query["since"] = str(instant("changelog", "since", since))
        return await self._connection.get_public(
            self._changelog_url, query, object_reader(Changelog)
        )

    async def identify(self, session: Session) -> tuple[Account, ...]:
        """Set the ``account_id`` of a session's accounts, by which webhooks name them.

        They are matched by their identification tokens. Where the API withholds a
        token, the profile of the account is requested and matched by its address.

        Args:
            session: An entered session; name its accounts with `Session.account` first.

        Returns:
            The accounts without a match; their ``account_id`` is unchanged.
        """
        found = await self.accounts.get_all()
        records = [r for r in found.accounts or () if r.id is not None]
        withheld = [r for r in records if r.identification_token is None and r.url]
        unmatched = []
        for account in session.accounts:
            id = next((r.id for r in records if _is_of(r, account)), None)
            if id is None and withheld:
                address = await _profile_address(account)
                ids = [r.id for r in withheld if address and _address(r.url) == address]
                # If two records have one profile, a guess could be wrong.
                id = ids[0] if len(ids) == 1 else None
            if id is None:
                unmatched.append(account)
            else:
                account.account_id = id
        return tuple(unmatched)

    @safe_repr
    def __repr__(self) -> str:
        return f"<Admin at {self.base_url}, {self._host.state}>"


def _is_of(record: AdminAccount, account: Account) -> bool:
    token = record.identification_token
    return token is not None and account.has_token(token)


async def _profile_address(account: Account) -> str:
    """Return the address of the profile of an account; empty if it is unknown."""
    try:
        info = await account.info()
    except (RequestError, UnsupportedError) as error:
        _log.warning(
            "Could not read the profile of account %s: %s",
            account.name,
            error,
            extra=log_extra(account=account.name, reason=error_reason(error)),
        )
        return ""
    return _address(info.url)


def _address(url: str | None) -> str:
    """Return the address of a profile in one form for all its spellings."""
    return (url or "").partition("?")[0].rstrip("/").casefold()
