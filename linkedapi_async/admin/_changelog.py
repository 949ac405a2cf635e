"""The public changelog of the API, which needs no token."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from linkedapi_async._http.connection import MAX_RESPONSE_BYTES, ApiConnection
from linkedapi_async._http.requests import DEFAULT_URL, ApiRequests, validate_base_url
from linkedapi_async._utils.secret import Secret
from linkedapi_async.admin._connection import AdminConnection
from linkedapi_async.admin._parameters import instant
from linkedapi_async.admin._resources import object_reader
from linkedapi_async.admin._results import Changelog
from linkedapi_async.policies import Polling, Retries


if TYPE_CHECKING:
    import aiohttp

CHANGELOG_URL = "https://linkedapi.io/api/changelog"


def changelog_url_below(base_url: str) -> str:
    """Return where the changelog is that belongs to the API at *base_url*."""
    if base_url.rstrip("/") == DEFAULT_URL:
        return CHANGELOG_URL
    return f"{base_url.rstrip('/')}/api/changelog"


async def fetch_changelog(
    since: str | dt.date | None = None,
    *,
    url: str = CHANGELOG_URL,
    retries: Retries | None = None,
    http: aiohttp.ClientSession | None = None,
    trust_env: bool = False,
    proxy: str | None = None,
    request_timeout: float = 60.0,
    allow_insecure_http: bool = False,
) -> Changelog:
    """Return the public list of changes of the API; no token is needed or sent.

    Args:
        since: A date, or a datetime with a time zone, as such or in ISO 8601. A
            release is dated by the first day of its week and counts until its last.
        url: The address of the changelog; https, or http on loopback.
        retries: When a failed request is retried.
        http: An `aiohttp.ClientSession` of your own; it is never closed here.
        trust_env: Whether proxies come from the environment.
        proxy: The URL of a proxy.
        request_timeout: The longest time for one request, in seconds.
        allow_insecure_http: Whether *url* may be plain http off loopback.

    Raises:
        ParameterError: *since* is not a date.
        ValueError: A setting has a value that is not allowed.
        RequestError: The API refused, or did not answer.
    """
    way = Secret.optional(proxy)
    del proxy  # so that no frame shows it
    query = {}
    if since is not None:
        query["since"] = str(instant("changelog", "since", since))
    address = validate_base_url(url, allow_insecure_http=allow_insecure_http)
    connection = AdminConnection(
        ApiConnection(
            "changelog",
            ApiRequests("linked_api", address, Secret("")),
            retries=retries,
            http=http,
            trust_env=trust_env,
            ssl=True,
            proxy=way,
            request_timeout=request_timeout,
            max_response_bytes=MAX_RESPONSE_BYTES,
            connections=1,
        ),
        Polling(),
        per_minute=100,
    )
    connection.open()
    try:
        return await connection.get_public(address, query, object_reader(Changelog))
    finally:
        await connection.aclose()
