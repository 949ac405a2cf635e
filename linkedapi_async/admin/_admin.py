"""The `Admin` itself: one client, its connections and its calls."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import random
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

from linkedapi_async._http.caller import RetryingCaller
from linkedapi_async._http.failure_rules import RequestKind
from linkedapi_async._http.rate_limit import SlidingWindow
from linkedapi_async._http.requests import (
    COMMON_HEADERS,
    DEFAULT_URL,
    ApiRequests,
    Headers,
    Request,
    validate_base_url,
    validate_token,
)
from linkedapi_async._http.responses import (
    read_empty_result,
    read_result,
    read_without_envelope,
)
from linkedapi_async._http.transport import AiohttpTransport, HttpSettings
from linkedapi_async.admin._accounts import AccountsCalls
from linkedapi_async.admin._parameters import instant
from linkedapi_async.admin._resources import (
    LimitsCalls,
    SubscriptionCalls,
    WebhookCalls,
    object_reader,
)
from linkedapi_async.admin._results import (
    Changelog,
)
from linkedapi_async.errors import RequestError, UnsupportedError
from linkedapi_async.policies import Polling, Retries, RetryBudget
from linkedapi_async.session._session import MAX_RESPONSE_BYTES, Counters


if TYPE_CHECKING:
    import aiohttp

    from linkedapi_async.session import Session
    from linkedapi_async.session._account import Account


_log = logging.getLogger("linkedapi_async")

T = TypeVar("T")

CHANGELOG_URL = "https://linkedapi.io/api/changelog"

SPAN = 60.0
"""The span in which requests are counted, in seconds."""

ENVIRONMENT = {
    "LINKED_API_TOKEN": "linked_api_token",
    "LINKED_API_BASE_URL": "base_url",
}


def _undecided(error: RequestError) -> RequestError:
    error.add_note(
        "The change was sent and not answered: look whether it was made before you "
        "make it again."
    )
    return error


class Admin:
    """Administers the subscription, the accounts, the limits and the webhook of a client.

    An async context manager, bound to the event loop that enters it. The calls stand in
    groups, by the API's names: ``await admin.accounts.get_all()``.

    A call that fails is sent again where that is safe: one that only asks, or that never
    reached the API. A change that was sent and not answered is not: the error is a
    `ConnectionFailedError` whose ``sent`` is True, or a `ProtocolError`, and a note on
    it says that nobody knows.

    Args:
        linked_api_token: The main token of the current API; the older one has no
            administration.
        base_url: Where the API is; https, or http on loopback.
        changelog_url: Where the changelog is, which needs no token; by default that of
            the API, or ``/api/changelog`` below another *base_url*.
        polling: When to ask for a connection session.
        retries: When to repeat a request that failed.
        http: An `aiohttp.ClientSession` of your own; it is never closed here.
        trust_env: Whether proxies come from the environment.
        ssl: As aiohttp takes it; False switches the check of certificates off.
        proxy: The URL of a proxy.
        request_timeout: The longest that one request may take, in seconds.
        max_response_bytes: The largest answer that is read, in bytes.
        connections: How many connections are open at most.
        per_minute: How many requests are sent at most in any 60 seconds; the API takes
            100. Further ones wait, first come, first served.
        allow_insecure_http: Whether *base_url* may be plain http off loopback.

    Raises:
        ValueError: A token that no header can carry, or an address that is none.
    """

    def __init__(
        self,
        *,
        linked_api_token: str,
        base_url: str = DEFAULT_URL,
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
        url = validate_base_url(base_url, allow_insecure_http=allow_insecure_http)
        token = validate_token("linked_api_token", linked_api_token)
        if isinstance(per_minute, bool) or not isinstance(per_minute, int):
            message = f"per_minute: a whole number is due, got {per_minute!r}"
            raise TypeError(message)
        if per_minute < 1:
            message = f"per_minute: at least 1 is due, got {per_minute}"
            raise ValueError(message)
        if changelog_url is None:
            own = url != DEFAULT_URL
            changelog_url = f"{url}/api/changelog" if own else CHANGELOG_URL
        self._changelog_url = validate_base_url(
            changelog_url, allow_insecure_http=allow_insecure_http
        )
        self._api = ApiRequests("linked_api", url, token)
        self._headers = self._api.admin_headers()
        self.polling: Polling = polling or Polling()
        self.retries: Retries = retries or Retries()
        self.subscription: SubscriptionCalls = SubscriptionCalls(self)
        self.accounts: AccountsCalls = AccountsCalls(self)
        self.limits: LimitsCalls = LimitsCalls(self)
        self.webhook: WebhookCalls = WebhookCalls(self)
        self._rng = random.Random()  # noqa: S311  # spreads waits, guards nothing
        self._settings = HttpSettings(
            timeout=request_timeout,
            max_response_bytes=max_response_bytes,
            connections=connections,
            ssl=ssl,
            proxy=proxy,
            trust_env=trust_env,
        )
        self._borrowed = http
        self._per_minute = per_minute
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """Return an `Admin` with its token from the environment.

        It reads ``LINKED_API_TOKEN`` and ``LINKED_API_BASE_URL``; empty ones count as
        absent.

        Args:
            settings: Everything else, as for `Admin`.

        Raises:
            ValueError: The token is missing, or a variable holds none; its name is in
                the message.
        """
        found = {name: os.environ[name] for name in ENVIRONMENT if os.environ.get(name)}
        for name, value in found.items():
            validate_token(name, value)
        named = {ENVIRONMENT[name]: value for name, value in found.items()}
        given: dict[str, Any] = {**named, **settings}
        if "linked_api_token" not in given:
            message = "LINKED_API_TOKEN is due, it is not set"
            raise ValueError(message)
        return cls(**given)

    @property
    def base_url(self) -> str:
        """Where the API is."""
        return self._api.base_url

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            message = "an Admin is entered once: make another one"
            raise RuntimeError(message)
        self._loop = asyncio.get_running_loop()
        self._http = AiohttpTransport(self._settings, self._borrowed)
        self._window = SlidingWindow(self._http, self._per_minute, SPAN)
        self._caller = RetryingCaller(
            http=self._window,
            gate=self._window,
            retries=self.retries,
            budget=RetryBudget(self.retries.budget),
            rng=self._rng,
            counts=Counters(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._check_open()
        self._closed = True
        self._window.close()
        await self._http.aclose()

    def _check_open(self) -> None:
        if self._loop is None or self._closed:
            message = "use it as: async with Admin(…) as admin"
            raise RuntimeError(message)
        if self._loop is not asyncio.get_running_loop():
            message = "an Admin works in the event loop that entered it only"
            raise RuntimeError(message)

    async def _call(
        self,
        call: str,
        kind: RequestKind,
        read: Callable[[Any], T],
        values: Any = None,
        *,
        void: bool = False,
    ) -> T:
        self._check_open()
        return await self._caller.call(
            self._api.admin(call, values),
            self._headers,
            kind,
            read,
            unknown=_undecided,
            unwrap=read_empty_result if void else read_result,
        )

    async def changelog(self, since: str | dt.date | None = None) -> Changelog:
        """Return the public list of what changed in the API; no token is sent.

        Args:
            since: A date, or a datetime with a time zone, as such or in ISO 8601. A
                release counts as shipped at the end of its week, so the same one may
                come again: its date tells.
        """
        self._check_open()
        url = self._changelog_url
        if since is not None:
            url += "?" + urlencode({"since": instant("changelog", "since", since)})
        return await self._caller.call(
            Request("GET", url),
            Headers(COMMON_HEADERS),
            "ask",
            object_reader(Changelog),
            unknown=_undecided,
            unwrap=read_without_envelope,
        )

    async def identify(self, session: Session) -> tuple[Account, ...]:
        """Set the ``account_id`` of a session's accounts, by which webhooks name them.

        They are matched by their identification tokens. Where the API does not tell a
        token, the account is asked for its profile, and matched by the address of it.

        Args:
            session: An entered session; name its accounts with `Session.account` first.

        Returns:
            The accounts that fit none of the API's; their ``account_id`` stays as it is.
        """
        if session._identification_token is not None:
            session._on()
        found = await self.accounts.get_all()
        records = [r for r in found.accounts or () if r.id is not None]
        by_token = {r.identification_token: r.id for r in records}
        untold = [r for r in records if r.identification_token is None and r.url]
        strangers = []
        for token, account in session._accounts.items():
            id = by_token.get(token)
            if id is None and untold:
                url = await _profile(account)
                ids = [r.id for r in untold if url and _address(r.url or "") == url]
                # Two records of one profile: which of them it is, nobody can tell.
                id = ids[0] if len(ids) == 1 else None
            if id is None:
                strangers.append(account)
            else:
                account.account_id = id
        return tuple(strangers)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._loop else "not entered"
        return f"<Admin at {self._api.base_url}, {state}>"


async def _profile(account: Account) -> str | None:
    """Return the address of the profile of an account, if the API tells it."""
    try:
        info = await account.info()
    except (RequestError, UnsupportedError) as error:
        _log.warning("Account %s could not be asked who it is: %s", account.name, error)
        return None
    return _address(info.url or "")


def _address(url: str) -> str:
    """Return the address of a profile without what differs and does not matter."""
    return url.partition("?")[0].rstrip("/").casefold()
