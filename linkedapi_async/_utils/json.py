"""The JSON codec."""

from __future__ import annotations

import json
import typing
from typing import Any, Final


_HAS_ORJSON: bool
try:
    import orjson
except ImportError:  # no wheel exists for Python without a global lock
    _HAS_ORJSON = False
else:
    _HAS_ORJSON = True


MAX_DEPTH: Final = 250
"""The maximum depth of a value that is to be stored."""


def encode_json(value: Any) -> bytes:
    """Return *value* as JSON in UTF-8."""
    if not _HAS_ORJSON:
        return _encode_slowly(value)
    try:
        return orjson.dumps(value)
    except TypeError:  # orjson refuses these: a lone surrogate, more than 64 bits
        return _encode_slowly(value)


def _encode_slowly(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, separators=(",", ":")).encode()


def encode_deep_json(value: Any) -> str:
    """Return *value* as JSON, slowly, with any depth."""
    parts: list[str] = []
    # Not recursive. Finished text is in a tuple, because that is no JSON value.
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            parts += part
        elif isinstance(part, dict | list) and part:
            begin, end = "{}" if isinstance(part, dict) else "[]"
            inner: list[Any] = [(begin,)]
            for name in part:
                if isinstance(part, dict):
                    inner += ((json.dumps(name), ":"), part[name], (",",))
                else:
                    inner += (name, (",",))
            inner[-1] = (end,)
            pending += reversed(inner)
        else:
            parts.append(json.dumps(part))
    return "".join(parts)


def is_too_deep(value: Any) -> bool:
    """Return whether *value* is nested more than `MAX_DEPTH` levels deep.

    Reading JSON and writing it have different limits, which depend on the stack.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


# Maps every byte that is not a digit to a space, and every digit to a zero.
_DIGITS = bytes(ord("0" if chr(byte).isdecimal() else " ") for byte in range(256))

_BEYOND_64_BITS = b"0" * 20


def decode_json(body: bytes) -> Any:
    """Return the JSON value of *body*.

    Raises:
        ValueError: It is not JSON.
    """
    # orjson turns such a long number into a float, which loses digits.
    if not _HAS_ORJSON or _BEYOND_64_BITS in body.translate(_DIGITS):
        return decode_json_exactly(body)
    try:
        return orjson.loads(body)
    except ValueError:
        # A truncated emoji is a lone surrogate, which must not lose a completion.
        return decode_json_exactly(body)


def decode_json_exactly(body: bytes | bytearray | str) -> Any:
    """Return the JSON value of *body*, with all digits and lone surrogates, slowly.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> typing.NoReturn:
    raise ValueError(f"{name} is not JSON")
