"""The policies hold sane numbers only, and turn them into waits."""

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
        "initial_delay must be a number at least 0",
        id="neg",
    ),
    pytest.param(
        Polling, {"initial_delay": True}, "initial_delay must be a number", id="bool"
    ),
    pytest.param(Polling, {"initial_delay": "3"}, "not '3'", id="text"),
    pytest.param(Polling, {"initial_delay": math.nan}, "not nan", id="nan"),
    pytest.param(Polling, {"initial_delay": math.inf}, "not inf", id="infinite"),
    pytest.param(Polling, {"interval": 0}, "interval must be .* than 0", id="zero"),
    pytest.param(Polling, {"growth": 0.9}, "growth must be .* least 1", id="shrinking"),
    pytest.param(
        Polling, {"max_interval": 2}, r"at least interval \(3\), not 2", id="cap"
    ),
    pytest.param(
        Polling, {"max_interval": math.inf}, "max_interval must be", id="endless-cap"
    ),
    pytest.param(Polling, {"jitter": 1}, "at least 0 and less than 1, not 1", id="all"),
    pytest.param(Polling, {"queued_interval": 0}, "queued_interval must be", id="tail"),
    pytest.param(Polling, {"deadline": 0}, r"\(or math.inf\), not 0", id="deadline"),
    pytest.param(Retries, {"attempts": 0}, "whole number of at least 1", id="none"),
    pytest.param(Retries, {"attempts": True}, "not True", id="bool-attempts"),
    pytest.param(Retries, {"attempts": 1.5}, "not 1.5", id="half"),
    pytest.param(Retries, {"initial_delay": 0}, "initial_delay must be", id="first"),
    pytest.param(Retries, {"growth": 0}, "growth must be", id="growth"),
    pytest.param(
        Retries,
        {"max_delay": 0.1},
        r"least initial_delay \(0.5\), not 0.1",
        id="low-cap",
    ),
    pytest.param(Retries, {"jitter": -0.1}, "jitter must be", id="jitter"),
]


@pytest.mark.parametrize(("policy", "fields", "words"), BAD)
def test_bad_number(policy: type, fields: dict[str, object], words: str) -> None:
    """A number out of range is refused by the name of its field."""
    with pytest.raises(ValueError, match=words):
        policy(**fields)


def test_defaults() -> None:
    """The defaults are those of the design, and a deadline may be infinite."""
    polling = Polling()

    assert (10, 3, 1.1, 15, 0.2, 120, 86400) == (
        polling.initial_delay,
        polling.interval,
        polling.growth,
        polling.max_interval,
        polling.jitter,
        polling.queued_interval,
        polling.deadline,
    )

    assert math.inf == Polling(deadline=math.inf).deadline


def test_frozen() -> None:
    """A policy cannot be changed."""
    with pytest.raises(FrozenInstanceError):
        Polling().initial_delay = 3  # type: ignore[misc]


def test_head_schedule() -> None:
    """The waits of a head begin with *first*, then grow from *interval* to *cap*."""
    polling = Polling(growth=2)
    waits = [polling.wait(n, Middle()) for n in (0, 1, 2, 3, 4, 5, 6, 99_999)]

    assert [10, 10, 3, 6, 12, 15, 15, 15] == waits


def test_long_wait() -> None:
    """A month of polls does not overflow."""

    assert 15 == Polling().wait(10**7, Middle())


def test_tail_limits_head() -> None:
    """No wait of a head is longer than *tail*."""
    polling = Polling(queued_interval=4)

    assert [4, 3, 4] == [polling.wait(n, Middle()) for n in (1, 2, 50)]


def test_slow_schedule() -> None:
    """A lane that rests is asked after *cap*, then more and more rarely."""
    polling = Polling(growth=2)

    assert [15, 30, 60, 120, 120] == [
        polling.slow_wait(n, Middle()) for n in (1, 2, 3, 4, 5)
    ]

    assert 7 == Polling(queued_interval=7).slow_wait(1, Middle())


@given(n=st.integers(1, 10_000), seed=st.integers())
def test_jitter(n: int, seed: int) -> None:
    """Jitter moves a wait by its fraction at most, and never makes *tail* longer."""
    polling, rng = Polling(), random.Random(seed)
    plain = polling.wait(n, Middle())

    assert 0.8 * plain <= polling.wait(n, rng) <= 1.2 * plain

    assert 96 <= polling.tail_wait(rng) <= 120


def test_fixed() -> None:
    """A fixed policy asks evenly."""
    polling = Polling.fixed(5)

    assert {5.0} == {polling.wait(n, random.Random(n)) for n in range(1, 30)}

    assert 120 == polling.queued_interval

    assert 300 == Polling.fixed(300).queued_interval


@pytest.mark.parametrize("seconds", [0, -1, "5", True, math.inf])
def test_fixed_bad(seconds: float) -> None:
    """A fixed policy without a sane interval is refused."""
    with pytest.raises(ValueError, match="must be a number"):
        Polling.fixed(seconds)


def test_faster() -> None:
    """Everything is faster but the deadline."""
    expected = Polling(
        initial_delay=0.1, interval=0.03, max_interval=0.15, queued_interval=1.2
    )

    assert expected == Polling().faster(100)

    with pytest.raises(ValueError, match="factor must be"):
        Polling().faster(0)


def test_retry_schedule() -> None:
    """The first attempt is at once; the waits before the others grow up to *cap*."""
    retries = Retries(max_delay=3)
    waits = [retries.wait(attempt, Middle()) for attempt in (1, 2, 3, 4, 5, 99_999)]

    assert [0, 0.5, 1, 2, 3, 3] == waits

    assert 0.25 <= retries.wait(2, random.Random(1)) <= 0.75
