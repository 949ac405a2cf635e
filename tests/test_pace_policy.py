"""The pace of an account as a policy: what it takes, refuses and has from the API."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from linkedapi_async import Pace, Ramp, st
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import CATEGORIES
from linkedapi_async.admin import Limit, LimitUsage
from linkedapi_async.policies import PlatformUse
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import VirtualLoop


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_day": 25}, r"such as \{'stMessages': 25\}, got 25"),
        (
            {"per_day": {"stMessage": 25}},
            "one of the API's, got 'stMessage'; did you mean 'stMessages'. known: stP",
        ),
        ({"per_week": {5: 25}}, "one of the API's, got 5; known: stPerson"),
        ({"per_month": {"stMessages": -1}}, "of stMessages must be a whole number"),
        ({"per_day": {"stMessages": True}}, "of at least 0, got True"),
        ({"min_interval": -1}, "min_interval must be a number of at least 0, got -1"),
        ({"min_interval": math.inf}, "got inf"),
        ({"jitter": 1.5}, "jitter must be"),
        ({"hours": "Mon-Fri 09:00-17:00 Europe/Belin"}, "did you mean 'Europe/Berlin'"),
        ({"timezone": "Europe/Belin"}, "did you mean 'Europe/Berlin'"),
        ({"ramp": Ramp(5, 14)}, "ramp needs per_day="),
        ({"ramp": 5, "per_day": {"stMessages": 1}}, "ramp must be a Ramp, got 5"),
        ({"usage": [5]}, "usage must be a list of PlatformUse, got 5"),
        (
            {
                "usage": [
                    PlatformUse(category="stMessages", period="hourly", used=1, at=0)
                ]
            },
            "a period must be one of daily, weekly, monthly, got 'hourly'",
        ),
    ],
)
def test_wrong_paces(settings: dict[str, Any], message: str) -> None:
    """A wrong value is refused, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        Pace(**settings)


@pytest.mark.parametrize("wrong", [{"start": 0, "days": 1}, {"start": 1, "days": 0.5}])
def test_wrong_ramps(wrong: dict[str, Any]) -> None:
    """A ramp has whole numbers."""
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        Ramp(**wrong)


def test_a_pace_is_a_value() -> None:
    """It is frozen, equal to one of the same settings, pickled and copied."""
    given = {"stMessages": 25}
    pace = Pace(
        per_day=given, hours="Mon-Fri 09:00-17:00 Europe/Berlin", timezone="Asia/Tokyo"
    )
    given["stMessages"] = 1000

    assert {"stMessages": 25} == pace.per_day
    assert pace == pickle.loads(pickle.dumps(pace)) == copy.deepcopy(pace)
    assert pace == Pace(per_day=pace.per_day, hours=pace.hours, timezone="Asia/Tokyo")
    assert {"stMessages"} == pace.categories
    with pytest.raises(FrozenInstanceError):
        pace.min_interval = 5  # type: ignore[misc]


def test_a_ramp_grows_evenly() -> None:
    """From the start to the whole, by the same amount each day, and never beyond."""
    ramp = Ramp(start=5, days=4)

    assert [5, 10, 15, 20, 25, 25] == [ramp.allowance(25, day) for day in range(6)]
    assert [3, 3] == [ramp.allowance(3, day) for day in (0, 9)]


def test_the_categories_are_those_of_the_actions() -> None:
    """No action counts against a limit that a pace does not know."""
    assert {cls.category for cls in ACTIONS.values()} - {None} <= {*CATEGORIES}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run with virtual time."""
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.mark.anyio
async def test_limits_and_use_of_the_platform() -> None:
    """Enforced limits become allowances, and what was used by all is kept with them."""
    limits = {("stMessages", "daily"): 8, ("stConnectionRequests", "weekly"): 9}
    async with (
        Sandbox(duration=60, limits=limits, identification_tokens=["a"]) as box,
        box.session() as session,
        box.admin() as admin,
    ):
        await session.run(st.send_message("https://www.linkedin.com/in/ada", text="Hi"))
        account = session.default_account
        with pytest.raises(ValueError, match="id of the account is not known"):
            await Pace.from_api(admin, account)
        await admin.identify(session)
        await admin.limits.set(
            str(account.account_id),
            [
                Limit(category="stPosts", period="daily", max_value=1),
                Limit(
                    category="stReactions",
                    period="daily",
                    max_value=1,
                    is_enabled=False,
                ),
                Limit(category="stMessages", period="monthly", max_value=30),
            ],
        )
        found = await Pace.from_api(
            admin,
            account,
            per_day={"stMessages": 5, "stPosts": 4, "stComments": 3},
            min_interval=60,
        )
        same = await Pace.from_api(admin, str(account.account_id))

    assert {
        "stMessages": 5,
        "stConnectionRequests": 10,
        "stPosts": 1,
        "stComments": 3,
    } == found.per_day
    assert {"stConnectionRequests": 9} == found.per_week == same.per_week
    assert {"stMessages": 30} == found.per_month
    assert 60 == found.min_interval
    assert 8 == same.per_day["stMessages"]
    assert {("stMessages", "daily", 1), ("stMessages", "monthly", 1)} == {
        (use.category, use.period, use.used) for use in found.usage if use.used
    }


@pytest.mark.anyio
async def test_limits_that_are_not_known_set_no_allowance() -> None:
    """A category or period of a newer API is left out."""

    class Newer:
        """An Admin API that has more limits."""

        @property
        def limits(self) -> Newer:
            """The limits of its accounts."""
            return self

        async def get_usage(self, account_id: str) -> list[LimitUsage]:
            """Return two that this version does not know, and one without a number."""
            return [
                LimitUsage(category="stDances", period="daily", max_value=3),
                LimitUsage(category="stMessages", period="hourly", max_value=3),
                LimitUsage(category="stMessages", period="daily", current_value=2),
            ]

    found = await Pace.from_api(Newer(), "account-1")

    assert frozenset() == found.categories
    assert [("stMessages", 2)] == [(use.category, use.used) for use in found.usage]
