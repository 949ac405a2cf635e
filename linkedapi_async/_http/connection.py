"""The part that `Session` and `Admin` share: checked settings, tokens, connections."""

from __future__ import annotations

import asyncio
import math
import random
import ssl as ssl_module
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import aiohttp

from linkedapi_async._http.caller import RateLimiter, RetryingCaller, Transport
from linkedapi_async._http.requests import (
    ApiRequests,
    validate_base_url,
    validate_client,
    validate_token,
)
from linkedapi_async._http.transport import AiohttpTransport, HttpSettings
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import safe_repr
from linkedapi_async.policies import Retries, RetryBudget


MAX_RESPONSE_BYTES = 32 * 1024 * 1024

LifecycleState: TypeAlias = Literal["not entered", "open", "closed"]


class ApiConnection:
    """The connections to one host, with one main token and one retry budget.

    Args:
        owner: The name of the class that a user enters, for messages.
        requests: The requests of the API, with the main token.
        retries: When a failed request is retried; None means the defaults.
        http: The user's client; None opens one.
        trust_env: Whether proxies come from the environment.
        ssl: As aiohttp takes it.
        proxy: The URL of a proxy.
        request_timeout: The longest time for one request, in seconds.
        max_response_bytes: The size of the largest answer that is read, in bytes.
        connections: How many connections are open at most.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting has a value that is not allowed.
    """

    def __init__(
        self,
        owner: str,
        requests: ApiRequests,
        *,
        retries: Retries | None,
        http: aiohttp.ClientSession | None,
        trust_env: bool,
        ssl: ssl_module.SSLContext | bool,
        proxy: Secret[Any] | None,
        request_timeout: float,
        max_response_bytes: int,
        connections: int,
    ) -> None:
        check_type("retries", retries, Retries, None)
        check_type("http", http, aiohttp.ClientSession, None)
        check_type("trust_env", trust_env, bool)
        check_type("ssl", ssl, ssl_module.SSLContext, bool)
        if proxy is not None:
            check_type("proxy", proxy.reveal(), str)
        check_positive("request_timeout", request_timeout)
        check_count("max_response_bytes", max_response_bytes)
        check_count("connections", connections)
        self.requests: ApiRequests = requests
        self.retries: Retries = retries or Retries()
        self.rng: random.Random = random.Random()  # noqa: S311  # spreads waits only
        self.connections: int = connections
        self._owner = owner
        self._http = http
        self._budget = RetryBudget(self.retries.budget)
        self._settings = HttpSettings(
            timeout=request_timeout,
            max_response_bytes=max_response_bytes,
            connections=connections,
            ssl=ssl,
            proxy=proxy,
            trust_env=trust_env,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: AiohttpTransport
        self.state: LifecycleState = "not entered"

    def open(self) -> AiohttpTransport:
        """Bind to the running event loop and return the transport.

        Raises:
            RuntimeError: It was opened before, or no asyncio event loop runs here.
        """
        if self.state != "not entered":
            message = f"the {self._owner} was entered before; make another one"
            raise RuntimeError(message)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                f"the {self._owner} needs asyncio, because aiohttp does; elsewhere, "
                f"such as under trio, use linkedapi_async.blocking.{self._owner} in a "
                "thread"
            ) from None
        self._transport = AiohttpTransport(self._settings, self._http)
        self.state = "open"
        return self._transport

    def caller(self, limiter: RateLimiter, transport: Transport) -> RetryingCaller:
        """Return a caller that sends over *transport* when *limiter* admits it."""
        return RetryingCaller(
            transport=transport,
            limiter=limiter,
            retries=self.retries,
            budget=self._budget,
            rng=self.rng,
        )

    def check_open(self) -> None:
        """Check that it is open, in the running event loop.

        Raises:
            RuntimeError: It is not.
        """
        owner = self._owner
        if self.state != "open":
            raise RuntimeError(
                f"the {owner} is {self.state}; use it inside: async with {owner}(…)"
            )
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                f"the {owner} was entered in another event loop; make one in each loop"
            )

    async def aclose(self) -> None:
        """Close the connections, but not the user's client."""
        self.state = "closed"
        await self._transport.aclose()

    @safe_repr
    def __repr__(self) -> str:
        requests = self.requests
        return f"<ApiConnection {requests.generation} at {requests.base_url}, {self.state}>"


def api_requests(
    *,
    linked_api_token: Secret[Any] | None,
    account_api_token: Secret[Any] | None = None,
    base_url: str,
    client: str,
    allow_insecure_http: bool,
) -> ApiRequests:
    """Return the requests of the generation that the one given token belongs to.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: Not exactly one token is given, or a value is not allowed.
    """
    check_type("base_url", base_url, str)
    check_type("allow_insecure_http", allow_insecure_http, bool)
    name = validate_client(client)
    url = validate_base_url(base_url, allow_insecure_http=allow_insecure_http)
    if linked_api_token is not None and account_api_token is None:
        token = validate_token("linked_api_token", linked_api_token)
        return ApiRequests("linked_api", url, token, name)
    if account_api_token is not None and linked_api_token is None:
        token = validate_token("account_api_token", account_api_token)
        return ApiRequests("account_api", url, token, name)
    raise ValueError("pass exactly one of linked_api_token= and account_api_token=")


def read_environment(
    names: Mapping[str, str], variables: Secret[Mapping[str, str]]
) -> Secret[dict[str, Any]]:
    """Return the parameters that environment variables set; empty ones count as unset.

    Args:
        names: The parameter for each variable.
        variables: The environment; it is not shown, because it contains tokens.

    Raises:
        ValueError: A variable has white space or anything outside printable ASCII.
    """
    found = [name for name in names if variables.reveal().get(name)]
    for name in found:
        validate_token(name, Secret(variables.reveal()[name]))
    return Secret({names[name]: variables.reveal()[name] for name in found})


def check_type(name: str, value: object, *allowed: type | None) -> None:
    """Check that *value* is of an *allowed* type; None allows None.

    Raises:
        TypeError: It is not.
    """
    for each in allowed:
        if value is None if each is None else isinstance(value, each):
            return
    names = [each.__name__ for each in allowed if each is not None]
    raise TypeError(
        f"{name} must be {_with_article(' or '.join(names))}, got {_shown(value)}"
    )


def check_positive(name: str, value: object) -> None:
    """Check that *value* is a positive, finite number.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not positive and finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {_shown(value)}")
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be greater than 0 and finite, got {value}")


def check_count(name: str, value: object) -> None:
    """Check that *value* is a whole number of at least 1.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is less than 1.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {_shown(value)}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'AEIOU' else 'a'} {noun}"


def _shown(value: object) -> str:
    """Return a number or a class; of all else only the type, as it may be secret."""
    if value is None or isinstance(value, int | float):
        return repr(value)
    if isinstance(value, type):
        return f"the class {value.__name__}; did you forget the parentheses?"
    return _with_article(type(value).__name__)
