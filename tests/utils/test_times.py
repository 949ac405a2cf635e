"""The present moment, by the real clock or by a virtual one."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

import pytest

from linkedapi_async._utils.times import from_timestamp, set_wall_time, wall_time
from linkedapi_async.testing import run_virtual


def test_virtual_time_passes() -> None:
    """In a loop with a virtual clock, a day has passed after a day."""

    async def main() -> tuple[float, float]:
        """Sleep for a day."""
        before = wall_time()
        await asyncio.sleep(86400)
        return before, wall_time()

    before, after = run_virtual(main())

    assert after - before >= 86399
    assert abs(before - time.time()) < 600


def test_the_real_clock_counts_where_it_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a computer was asleep, its clock is ahead of that of the loop."""

    async def main() -> float:
        """Let an hour pass that the loop does not know."""
        before = wall_time()
        real = time.time()
        monkeypatch.setattr(time, "time", lambda: real + 3600)
        after = wall_time()
        monkeypatch.setattr(time, "time", lambda: real - 3600)
        assert wall_time() >= before  # a clock that is put back
        return after - before

    assert run_virtual(main()) >= 3599


@pytest.mark.parametrize("zone", [None, dt.UTC])
def test_a_moment_can_be_set(zone: dt.tzinfo | None) -> None:
    """A test may choose the date; then only the clock of its loop counts."""

    async def main() -> dt.datetime:
        """Sleep for an hour on a day of the past."""
        set_wall_time(dt.datetime(2020, 2, 29, 23, 0, 30, tzinfo=zone))
        await asyncio.sleep(3600)
        return from_timestamp(wall_time())

    found = run_virtual(main())

    assert dt.datetime(2020, 3, 1, tzinfo=dt.UTC) == found.replace(
        microsecond=0, second=0
    )
