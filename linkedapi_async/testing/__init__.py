"""Helpers for tests of code that uses this library: virtual time, assertions, fixtures.

::

    pytest_plugins = ["linkedapi_async.testing.plugin"]

    async def test_campaign(linkedapi_sandbox, linkedapi_session):
        await campaign(linkedapi_session)
        assert_started(linkedapi_sandbox, st.send_message(text="Hello"), times=3)

`plugin` needs pytest, `strategies` needs hypothesis; neither is a dependency.
"""

from linkedapi_async.testing._assertions import assert_started
from linkedapi_async.testing._virtual_time import VirtualLoop, VirtualTime, run_virtual


__all__ = ["VirtualLoop", "VirtualTime", "assert_started", "run_virtual"]
