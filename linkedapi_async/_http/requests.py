"""The requests of the API, without any input or output.

https://linkedapi.io/docs/executing-workflows
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
from multidict import CIMultiDict

from linkedapi_async._types import Generation
from linkedapi_async._utils.json import encode_json
from linkedapi_async._utils.secret import Secret
from linkedapi_async._utils.text import short_repr
from linkedapi_async._version import __version__


DEFAULT_URL = "https://api.linkedapi.io"

Method: TypeAlias = Literal["GET", "POST", "DELETE"]

DEFAULT_CLIENT = f"linkedapi-async/{__version__}"

COMMON_HEADERS = {
    "User-Agent": DEFAULT_CLIENT,
    "Accept": "application/json",
    "Content-Type": "application/json",
}

_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")

_CLIENT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?")

_TOKEN = re.compile(r"[\x21-\x7e]+")


SHORTEST_REDACTED = 8
"""The length from which a token is removed from answers; shorter ones may be words."""

REDACTED = b"[redacted]"


@attrs.define
class Request:
    """One HTTP request, without the tokens."""

    method: Method
    url: str
    body: bytes | None = attrs.field(default=None, repr=False)


def validate_token(name: str, token: Secret[Any]) -> Secret[str]:
    """Return *token* if a header can carry it; errors do not show it.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, or has white space or anything outside printable ASCII.
    """
    if not isinstance(token.reveal(), str):
        raise TypeError(f"{name} must be a string, got {type(token.reveal()).__name__}")
    if not token.reveal():
        raise ValueError(f"{name} is empty; pass the token from the platform")
    if not _TOKEN.fullmatch(token.reveal()):
        raise ValueError(
            f"{name} must be printable ASCII without white space; look for a line "
            "break or a quote copied with it"
        )
    return token


def validate_client(client: object) -> str:
    """Return *client* if it can name this program in the header ``client``.

    Raises:
        TypeError: It is not a string.
        ValueError: It is empty, too long, or has more than printable ASCII.
    """
    if not isinstance(client, str):
        raise TypeError(f"client must be a string, got {type(client).__name__}")
    if not _CLIENT.fullmatch(client):
        raise ValueError(
            "client must be 1 to 100 characters of printable ASCII without white space "
            f"around them, got {client[:60]!r}"
        )
    return client


def validate_workflow_id(workflow_id: object) -> str:
    """Return *workflow_id* if it is one path segment.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(workflow_id, str) or not _ID.fullmatch(workflow_id):
        raise ValueError(
            "a workflow id must be 1 to 200 letters, digits, - or _, got "
            f"{short_repr(workflow_id)}"
        )
    return workflow_id


def validate_base_url(base_url: str, *, allow_insecure_http: bool) -> str:
    """Return *base_url* without a trailing slash, if tokens may be sent there.

    Raises:
        ValueError: It is not such an address.
    """
    parts = urlsplit(base_url)
    host = parts.hostname
    # Paths are added at the end, and a user name would be sent to the host.
    if "@" in parts.netloc or re.search(r"[?#\s]", base_url):
        raise ValueError("base_url must have only a scheme, host, port and path")
    if parts.scheme not in {"http", "https"} or not host or parts.port == 0:
        raise ValueError(f"base_url must be like https://host, got {base_url!r}")
    insecure = parts.scheme == "http" and not is_loopback(host)
    if insecure and not allow_insecure_http:
        raise ValueError(
            f"base_url {base_url!r} would send the tokens unencrypted; use https, or "
            "pass allow_insecure_http=True"
        )
    return base_url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@attrs.frozen
class Headers:
    """The headers of a request; those that are tokens are opaque."""

    tokens: Mapping[str, Secret[str]] = attrs.field(factory=dict)
    client: str = DEFAULT_CLIENT
    """The name of the program, as the API's statistics show it."""

    def reveal(self) -> CIMultiDict[str]:
        """Return all headers with their values; never assign them to a variable."""
        shown = {name: token.reveal() for name, token in self.tokens.items()}
        return CIMultiDict({**shown, "client": self.client, **COMMON_HEADERS})

    def redact(self, content: bytes) -> bytes:
        """Return *content* without the tokens, in case a server echoes them."""
        for pattern in self._redacted.reveal():
            content = content.replace(pattern, REDACTED)
        return content

    @functools.cached_property
    def _redacted(self) -> Secret[tuple[bytes, ...]]:
        """The texts to redact: tokens as they are, and as JSON strings escape them."""
        patterns: dict[bytes, None] = {}
        for token in self.tokens.values():
            if len(token.reveal()) >= SHORTEST_REDACTED:
                patterns[token.reveal().encode()] = None
                patterns[encode_json(token.reveal())[1:-1]] = None
        return Secret(tuple(patterns))


@attrs.frozen
class ApiRequests:
    """The requests of one generation of the API, for one main token."""

    generation: Generation
    base_url: str
    token: Secret[str]
    client: str = DEFAULT_CLIENT

    @property
    def _older(self) -> bool:
        return self.generation == "account_api"

    @functools.cached_property
    def _workflows(self) -> str:
        return self.base_url + ("/account/workflows" if self._older else "/workflows")

    def headers(self, identification_token: Secret[str]) -> Headers:
        """Return the headers of every request for one account."""
        main = "account-api-token" if self._older else "linked-api-token"
        tokens = {main: self.token, "identification-token": identification_token}
        return Headers(tokens, self.client)

    def admin_headers(self) -> Headers:
        """Return the headers of every request to the Admin API."""
        return Headers({"linked-api-token": self.token}, self.client)

    def admin(self, call: str, parameters: Any = None) -> Request:
        """Return the request for a call of the Admin API."""
        # https://linkedapi.io/docs/admin-overview
        body = None if parameters is None else encode_json(parameters)
        return Request("POST", f"{self.base_url}/admin/{call}", body)

    def direct(self, method: Method, path: str, body: Any = None) -> Request:
        """Return the request to an endpoint that needs no workflow."""
        root = self.base_url + ("/account" if self._older else "")
        return Request(method, root + path, None if body is None else encode_json(body))

    def start(self, definition: Any) -> Request:
        """Return the request that starts a workflow."""
        return Request("POST", self._workflows, encode_json(definition))

    def status(self, workflow_id: str) -> Request:
        """Return the request that polls a workflow."""
        return Request("GET", f"{self._workflows}/{workflow_id}")

    def cancel(self, workflow_id: str) -> Request:
        """Return the request that cancels a workflow."""
        return Request("DELETE", f"{self._workflows}/{workflow_id}")
