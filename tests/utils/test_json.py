"""JSON is written however it is nested."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from strategies import odd_values

from linkedapi_async._utils.json import encode_deep_json


@given(odd_values)
def test_deep_json_is_json(value: Any) -> None:
    """The writer without a limit of depth writes what the standard library does."""
    assert json.dumps(value, separators=(",", ":")) == encode_deep_json(value)
