"""The JSON codec."""

from __future__ import annotations

import json
import typing
from typing import Any

import orjson


def encode_json(value: Any) -> bytes:
    """Return *value* as JSON in UTF-8."""
    try:
        return orjson.dumps(value)
    except TypeError:  # what orjson refuses: a lone surrogate, more than 64 bits
        return json.dumps(value, separators=(",", ":")).encode()


_DIGITS = bytes(ord("0" if chr(byte).isdecimal() else " ") for byte in range(256))

_BEYOND_64_BITS = b"0" * 20


def decode_json(body: bytes) -> Any:
    """Return the JSON value of *body*.

    Raises:
        ValueError: It is not JSON.
    """
    # orjson would make a float of a number with as many digits, and lose some of them.
    if _BEYOND_64_BITS in body.translate(_DIGITS):
        return _decode_slowly(body)
    try:
        return orjson.loads(body)
    except ValueError:
        # A truncated emoji is a lone surrogate, which must not lose a completion.
        return _decode_slowly(body)


def _decode_slowly(body: bytes | bytearray | str) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None


def _refuse_constant(name: str) -> typing.NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
