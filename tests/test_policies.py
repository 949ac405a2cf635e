"""Policies accept sane numbers only, and turn them into waits."""

from __future__ import annotations

import math
import random

import pytest
from attrs.exceptions import FrozenInstanceError
from event_loops import Middle
from hypothesis import given
from hypothesis import strategies as st

from linkedapi_async.policies import Polling, Retries


BAD = [
    pytest.param(
        Polling,
        {"initial_delay": -1},
        "initial_delay must be a number of at least 0",
        id="neg",
    ),
    pytest.param(
        Polling, {"initial_delay": True}, "initial_delay must be a number", id="bool"
    ),
    pytest.param(Polling, {"initial_delay": "3"}, "got '3'", id="text"),
    pytest.param(Polling, {"initial_delay": math.nan}, "got nan", id="nan"),
    pytest.param(Polling, {"initial_delay": math.inf}, "got inf", id="infinite"),
    pytest.param(Polling, {"interval": 0}, "interval must be .* than 0", id="zero"),
    pytest.param(
        Polling, {"growth": 0.9}, "growth must be .* of at least 1", id="shrinking"
    ),
    pytest.param(
        Polling,
        {"max_interval": 2},
        r"at least interval \(3\), got 2",
        id="below-interval",
    ),
    pytest.param(
        Polling,
        {"max_interval": math.inf},
        "max_interval must be",
        id="infinite-maximum",
    ),
    pytest.param(
        Polling, {"jitter": 1}, "of at least 0 and less than 1, got 1", id="all"
    ),
    pytest.param(
        Polling, {"queued_interval": 0}, "queued_interval must be", id="queued"
    ),
    pytest.param(Polling, {"late_cost": 0}, r"0 \(or None\), got 0", id="free"),
    pytest.param(Polling, {"initial_delay": None}, "got None", id="none"),
    pytest.param(Polling, {"deadline": 0}, r"\(or math.inf\), got 0", id="deadline"),
    pytest.param(Retries, {"attempts": 0}, "whole number of at least 1", id="none"),
    pytest.param(Retries, {"attempts": True}, "got True", id="bool-attempts"),
    pytest.param(Retries, {"attempts": 1.5}, "got 1.5", id="half"),
    pytest.param(Retries, {"initial_delay": 0}, "initial_delay must be", id="delay"),
    pytest.param(Retries, {"growth": 0}, "growth must be", id="growth"),
    pytest.param(
        Retries,
        {"max_delay": 0.1},
        r"least initial_delay \(0.5\), got 0.1",
        id="low-maximum",
    ),
    pytest.param(Retries, {"jitter": -0.1}, "jitter must be", id="jitter"),
]


@pytest.mark.parametrize(("policy", "fields", "words"), BAD)
def test_bad_number(policy: type, fields: dict[str, object], words: str) -> None:
    """A number out of range raises an error that names its field."""
    with pytest.raises(ValueError, match=words):
        policy(**fields)


def test_defaults() -> None:
    """The defaults are the documented ones, and a deadline may be infinite."""
    polling = Polling()

    assert (10, 3, 1.1, 15, 0.2, 120, 86400, 2.5) == (
        polling.initial_delay,
        polling.interval,
        polling.growth,
        polling.max_interval,
        polling.jitter,
        polling.queued_interval,
        polling.deadline,
        polling.late_cost,
    )

    assert math.inf == Polling(deadline=math.inf).deadline


def test_frozen() -> None:
    """A policy cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        Polling().initial_delay = 3  # type: ignore[misc]


def test_head_schedule() -> None:
    """A head waits *initial_delay*, then from *interval* up to *max_interval*."""
    polling = Polling(growth=2)
    waits = [polling.wait(n, Middle()) for n in (0, 1, 2, 3, 4, 5, 6, 99_999)]

    assert [10, 10, 3, 6, 12, 15, 15, 15] == waits


def test_long_wait() -> None:
    """A month of polls does not overflow."""

    assert 15 == Polling().wait(10**7, Middle())


def test_tail_limits_head() -> None:
    """No wait of a head is longer than *queued_interval*."""
    polling = Polling(queued_interval=4)

    assert [4, 3, 4] == [polling.wait(n, Middle()) for n in (1, 2, 50)]


def test_slow_schedule() -> None:
    """Outside working hours, waits begin at *max_interval* and grow."""
    polling = Polling(growth=2)

    assert [15, 30, 60, 120, 120] == [
        polling.slow_wait(n, Middle()) for n in (1, 2, 3, 4, 5)
    ]

    assert 7 == Polling(queued_interval=7).slow_wait(1, Middle())


@given(n=st.integers(1, 10_000), seed=st.integers())
def test_jitter(n: int, seed: int) -> None:
    """Jitter changes a wait by its fraction, but never extends *queued_interval*."""
    polling, rng = Polling(), random.Random(seed)
    plain = polling.wait(n, Middle())

    assert 0.8 * plain <= polling.wait(n, rng) <= 1.2 * plain

    assert 96 <= polling.tail_wait(rng) <= 120


def test_fixed() -> None:
    """A fixed policy polls evenly."""
    polling = Polling.fixed(5)

    assert {5.0} == {polling.wait(n, random.Random(n)) for n in range(1, 30)}

    assert 120 == polling.queued_interval

    assert 300 == Polling.fixed(300).queued_interval


@pytest.mark.parametrize("seconds", [0, -1, "5", True, math.inf])
def test_fixed_bad(seconds: float) -> None:
    """A fixed policy without a sane interval raises an error."""
    with pytest.raises(ValueError, match="must be a number"):
        Polling.fixed(seconds)


def test_faster() -> None:
    """All waits get shorter, but not the deadline; a late second costs more."""
    expected = Polling(
        initial_delay=0.1,
        interval=0.03,
        max_interval=0.15,
        queued_interval=1.2,
        late_cost=250,
    )

    assert expected == Polling().faster(100)

    with pytest.raises(ValueError, match="factor must be"):
        Polling().faster(0)


def test_retry_schedule() -> None:
    """The first attempt does not wait; later waits grow up to *max_delay*."""
    retries = Retries(max_delay=3)
    waits = [retries.wait(attempt, Middle()) for attempt in (1, 2, 3, 4, 5, 99_999)]

    assert [0, 0.5, 1, 2, 3, 3] == waits

    assert 0.25 <= retries.wait(2, random.Random(1)) <= 0.75
