"""The request for each call; no socket in sight.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Awaitable
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
from multidict import CIMultiDict

from linkedapi_async._types import Generation
from linkedapi_async._utils.json import encode_json
from linkedapi_async._version import __version__


DEFAULT_URL = "https://api.linkedapi.io"

Method: TypeAlias = Literal["GET", "POST", "DELETE"]

COMMON_HEADERS = {
    "client": f"linkedapi-async/{__version__}",
    "User-Agent": f"linkedapi-async/{__version__}",
    "Accept": "application/json",
    "Content-Type": "application/json",
}

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")

_TOKEN = re.compile(r"[\x21-\x7e]+")


@attrs.define
class Request:
    """One HTTP request, without the tokens."""

    method: Method
    url: str
    body: bytes | None = None
    after: Awaitable[None] | None = attrs.field(default=None, eq=False)
    """What must have happened before it is sent; it may be built before."""


def validate_token(name: str, token: object) -> str:
    """Return *token* if it can be sent in a header; errors do not show it."""
    if not isinstance(token, str):
        message = f"{name}: a string is due, got {type(token).__name__}"
        raise TypeError(message)
    if not _TOKEN.fullmatch(token):
        message = (
            f"{name}: a token is one word of printable ASCII without white space; this "
            f"one is {'empty' if not token else 'not'}"
        )
        raise ValueError(message)
    return token


def validate_workflow_id(workflow_id: object) -> str:
    """Return *workflow_id* if it is one path segment."""
    if not isinstance(workflow_id, str) or not _ID.fullmatch(workflow_id):
        message = (
            "a workflow id is 1 to 200 letters, digits, - or _, got "
            f"{str(workflow_id)[:60]!r}"
        )
        raise ValueError(message)
    return workflow_id


def validate_base_url(base_url: str, *, allow_insecure_http: bool) -> str:
    """Return *base_url* without a trailing slash, if tokens may be sent there."""
    parts = urlsplit(base_url)
    host = parts.hostname
    if parts.scheme not in {"http", "https"} or not host or parts.port == 0:
        message = f"base_url: https://host is due, got {base_url!r}"
        raise ValueError(message)
    if re.search(r"[?#\s]", base_url) or "@" in parts.netloc:
        message = "base_url: only scheme, host, port and path are allowed"
        raise ValueError(message)
    insecure = parts.scheme == "http" and not _is_loopback(host)
    if insecure and not allow_insecure_http:
        message = (
            f"base_url: {base_url!r} would send the tokens unencrypted; use https, or "
            "pass allow_insecure_http=True"
        )
        raise ValueError(message)
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Headers(CIMultiDict[str]):
    """Headers with tokens in them, which debuggers and trackers do not get to see."""

    def __repr__(self) -> str:
        return f"<Headers {', '.join(self)}>"


@attrs.frozen(repr=False)
class ApiRequests:
    """The requests of one generation of the API, for one main token."""

    generation: Generation
    base_url: str
    token: str

    @property
    def _older(self) -> bool:
        return self.generation == "account_api"

    @functools.cached_property
    def _workflows(self) -> str:
        return self.base_url + ("/account/workflows" if self._older else "/workflows")

    def headers(self, identification_token: str) -> Headers:
        """Return the headers of every request for one account."""
        main = "account-api-token" if self._older else "linked-api-token"
        return Headers(
            {
                main: self.token,
                "identification-token": identification_token,
                **COMMON_HEADERS,
            }
        )

    def admin_headers(self) -> Headers:
        """Return the headers of every request that is for no account."""
        return Headers({"linked-api-token": self.token, **COMMON_HEADERS})

    def admin(self, call: str, parameters: Any = None) -> Request:
        """Return the request for a call of the Admin API."""
        # https://linkedapi.io/docs/admin-overview
        body = None if parameters is None else encode_json(parameters)
        return Request("POST", f"{self.base_url}/admin/{call}", body)

    def direct(self, method: Method, path: str, body: Any = None) -> Request:
        """Return the request to an endpoint that needs no workflow."""
        home = self.base_url + ("/account" if self._older else "")
        return Request(method, home + path, None if body is None else encode_json(body))

    def start(self, definition: Any) -> Request:
        """Return the request that starts a workflow."""
        return Request("POST", self._workflows, encode_json(definition))

    def status(self, workflow_id: str) -> Request:
        """Return the request that asks for a workflow."""
        return Request("GET", f"{self._workflows}/{workflow_id}")

    def cancel(self, workflow_id: str) -> Request:
        """Return the request that cancels a workflow."""
        return Request("DELETE", f"{self._workflows}/{workflow_id}")
