"""Signatures of webhook deliveries."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from linkedapi_async._utils.secret import Secret
from linkedapi_async.errors import SignatureError
from linkedapi_async.webhooks._events import Body, plain_bytes


SIGNATURE_HEADER: Final = "linked-api-signature"

TIMESTAMP_HEADER: Final = "linked-api-signature-timestamp"

TOLERANCE: Final = 300.0
"""How far the time of a signature may be from the clock's, either way, in seconds."""

_CODE = re.compile(r"[0-9a-f]{64}")

# A timestamp has fewer digits; more would only take long to convert.
_TIMESTAMP = re.compile(r"[0-9]{1,20}")


class _HasItems(Protocol):
    """Headers of a library that has pairs but no `Mapping`."""

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return the pairs of name and value."""
        ...


AnyHeaders: TypeAlias = Mapping[Any, Any] | _HasItems | Iterable[tuple[Any, Any]]
"""A mapping, or pairs of name and value, as text or bytes; case does not matter."""


def verify(
    headers: AnyHeaders,
    body: Body,
    *,
    secrets: str | Iterable[str],
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Refuse a delivery that Linked API did not sign, or not recently.

    Args:
        headers: The headers of the request.
        body: Its body, byte for byte as received.
        secrets: The secret of the webhook; while it is rotated, the old one too.
        now: The Unix time in seconds; by default the clock's.
        tolerance: How far the time of the signature may be from *now*, either way, in
            seconds.

    Raises:
        SignatureError: The signature is missing, malformed, wrong, old, or of the future.
        ValueError: There is no secret, or one that cannot be right.
        TypeError: *body* is not bytes, or *headers* are not headers.
    """
    given = Secret(secrets)
    del secrets  # so that no frame shows them
    keys = signing_keys(given)
    check_tolerance(tolerance)
    when = time.time() if now is None else now
    check_signature(read_signature(headers, when, tolerance), plain_bytes(body), keys)


class Signature(NamedTuple):
    """The headers of a signature."""

    timestamp: str
    code: str


def read_signature(headers: AnyHeaders, now: float, tolerance: float) -> Signature:
    """Return the signature in *headers*, before the body is known.

    Raises:
        SignatureError: A header is missing or malformed, or the time is out of bounds.
    """
    pairs = _pairs(headers)
    timestamp = _header(pairs, TIMESTAMP_HEADER, _TIMESTAMP)
    code = _header(pairs, SIGNATURE_HEADER, _CODE)
    age = now - int(timestamp)
    # The comparison is false for NaN too, so a clock without a time refuses.
    if not abs(age) <= tolerance:
        raise SignatureError(
            f"the signature is {age:.0f} s old, and {tolerance:g} s either way are "
            "allowed: a replayed delivery, or a wrong clock"
        )
    return Signature(timestamp, code)


def check_signature(
    signature: Signature, body: bytes, keys: tuple[Secret[bytes], ...]
) -> None:
    """Refuse a *body* that none of *keys* signed.

    Raises:
        SignatureError: The signature does not match.
    """
    # All keys are compared, so that the duration reveals nothing.
    matches = [
        hmac.compare_digest(_code(key, signature.timestamp, body), signature.code)
        for key in keys
    ]
    if not any(matches):
        many = f"any of {len(keys)} secrets" if len(keys) > 1 else "the secret"
        raise SignatureError(f"the signature does not match the body and {many}")


def _code(key: Secret[bytes], timestamp: str, body: bytes) -> str:
    code = hmac.new(key.reveal(), f"{timestamp}.".encode(), hashlib.sha256)
    code.update(body)
    return code.hexdigest()


def sign(body: Body, *, secret: str, now: float | None = None) -> dict[str, str]:
    """Return the headers with which Linked API signs a delivery, to test a receiver.

    Args:
        body: The body to sign.
        secret: The secret of the webhook.
        now: The Unix time in seconds; by default the clock's.

    Raises:
        ValueError: *secret* cannot be right.
        TypeError: *body* is not bytes.
    """
    given = Secret(secret)
    del secret  # so that no frame shows it
    (key,) = signing_keys(given)
    timestamp = str(int(time.time() if now is None else now))
    code = _code(key, timestamp, plain_bytes(body))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: code}


def _header(pairs: list[tuple[Any, Any]], name: str, form: re.Pattern[str]) -> str:
    values = [value for key, value in pairs if _plain(key).lower() == name]
    if not values:
        raise SignatureError(
            f"the header {name} is missing; is signing on for this webhook?"
        )
    value = _plain(values[0])
    if len(values) > 1 or not form.fullmatch(value):
        raise SignatureError(f"the header {name} is malformed")
    return value


def _pairs(headers: AnyHeaders) -> list[tuple[Any, Any]]:
    items = getattr(headers, "items", None)
    try:
        pairs: Any = headers if items is None else items()
        return [(name, value) for name, value in pairs]
    except (TypeError, ValueError):
        message = "headers must be a mapping, or pairs of name and value"
        raise TypeError(message) from None


def _plain(value: object) -> str:
    # ASGI has bytes. A list means that the header was not sent exactly once.
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def signing_keys(secrets: Secret[Any]) -> tuple[Secret[bytes], ...]:
    """Return the keys of one secret or of several; errors do not show them."""
    if isinstance(secrets.reveal(), str):
        secrets = Secret((secrets.reveal(),))
    given = [Secret(each) for each in secrets.reveal()]
    if not given:
        raise ValueError("no secret: signatures cannot be checked")
    for secret in given:
        if not isinstance(secret.reveal(), str):
            kind = type(secret.reveal()).__name__
            raise TypeError(f"a secret must be a string, got {kind}")
        if not secret.reveal() or secret.reveal() != secret.reveal().strip():
            raise ValueError("a secret must not be empty or have space around it")
        if not secret.reveal().isprintable():
            raise ValueError("a secret must not have control characters")
    # https://linkedapi.io/docs/webhooks: the hex digits themselves are the key
    return tuple(Secret(secret.reveal().encode()) for secret in given)


def check_tolerance(tolerance: float) -> None:
    """Check that *tolerance* is a number of seconds.

    Raises:
        ValueError: It is negative or not finite.
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be at least 0 seconds, got {tolerance!r}")
