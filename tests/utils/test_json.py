"""The JSON codec is the same with and without orjson."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as hs
from strategies import json_values, odd_values

from linkedapi_async._utils import json as with_orjson


@pytest.fixture(scope="module")
def standard() -> ModuleType:
    """Return the module as it is on a Python that has no orjson."""
    spec = importlib.util.spec_from_file_location("json_codec", with_orjson.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # None makes an import fail, as if the package were not installed.
        patch.setitem(sys.modules, "orjson", None)
        spec.loader.exec_module(module)
    return module


def without_floats(value: Any) -> bool:
    """Return whether there is no float in *value*."""
    if isinstance(value, dict):
        return all(map(without_floats, value.values()))
    if isinstance(value, list):
        return all(map(without_floats, value))
    return not isinstance(value, float)


@given(json_values.filter(without_floats))
def test_the_same_bytes(standard: ModuleType, value: Any) -> None:
    """A value is encoded to the same bytes, so that a key stays the same."""
    assert with_orjson.encode_json(value) == standard.encode_json(value)


@given(json_values)
def test_the_same_values(standard: ModuleType, value: Any) -> None:
    """What either of them has encoded, both decode to the same value."""
    for codec in (with_orjson, standard):
        body = codec.encode_json(value)
        assert with_orjson.decode_json(body) == standard.decode_json(body)


@pytest.mark.parametrize(
    "value", ["\ud800", {"a": "\udfff"}, 2**64, -(10**40), "é\u2028\x00", 1.5]
)
def test_what_orjson_refuses(standard: ModuleType, value: Any) -> None:
    """Lone surrogates and whole numbers of any size survive both."""
    for codec in (with_orjson, standard):
        assert value == codec.decode_json(codec.encode_json(value))


@given(hs.binary())
def test_the_same_bytes_are_no_json(standard: ModuleType, body: bytes) -> None:
    """Both read the same bodies."""
    outcomes = []
    for codec in (with_orjson, standard):
        try:
            outcomes.append(repr(codec.decode_json(body)))
        except ValueError:
            outcomes.append("not JSON")
    assert outcomes[0] == outcomes[1]


def test_a_workflow_runs_without_orjson() -> None:
    """The library and its sandbox work where orjson cannot be imported."""
    program = """
        import sys
        sys.modules["orjson"] = None
        import asyncio
        import linkedapi_async
        from linkedapi_async import st
        from linkedapi_async.sandbox import Sandbox

        async def main():
            async with Sandbox(speed=1000) as sandbox, sandbox.session() as session:
                page = st.open_company_page("https://www.linkedin.com/company/acme")
                employees = st.retrieve_company_employees(limit=3)
                company = await session.run(page.then(employees))
                print(len(company[employees]))

        asyncio.run(main())
    """
    # The development mode reports slow callbacks on standard error.
    environ = {name: os.environ[name] for name in os.environ if name != "PYTHONDEVMODE"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ("3\n", "") == (done.stdout, done.stderr)


@given(odd_values)
def test_deep_json_is_json(value: Any) -> None:
    """The writer without a limit of depth writes what the standard library does."""
    assert json.dumps(value, separators=(",", ":")) == with_orjson.encode_deep_json(
        value
    )
