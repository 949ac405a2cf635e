"""The drift check: what the API's changelog and the official SDK have beyond us."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
import sys
import types
from typing import Any

import pytest
from linkedapi import operations as sdk
from linkedapi.core import Operation
from linkedapi.types import LinkedApiModel

from linkedapi_async import drift, st
from linkedapi_async._wire.read import structure
from linkedapi_async.admin import Changelog


RECORDED: Any = json.loads(
    (pathlib.Path(__file__).parent / "data" / "changelog.json").read_text("utf-8")
)


def test_the_sdk_has_nothing_that_the_catalogue_lacks() -> None:
    """Every operation, parameter and result of SDK 1.4.7 has a name here."""
    assert [] == drift.sdk_differences()


class NewParams(LinkedApiModel):
    """Parameters of an operation, one of them new."""

    person_url: str
    warmth: int | None = None


class Mood(LinkedApiModel):
    """A result that no action here yields."""

    name: str | None = None
    mood_score: int | None = None


class SendMessage(Operation[NewParams, list[Mood]]):
    """An operation that is known, with what is not."""

    operation_name = "sendMessage"


class ReadMinds(Operation[NewParams, None]):
    """An operation that is not known."""

    operation_name = "readMinds"


class CheckConnectionStatus(Operation[NewParams, None]):
    """An operation that is one action here."""

    operation_name = "checkConnectionStatus"


def test_what_the_sdk_has_beyond_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new operation, parameter and attribute are each reported by name."""
    newer = types.ModuleType("linkedapi.operations")
    newer.__dict__.update(
        SendMessage=SendMessage,
        ReadMinds=ReadMinds,
        CheckConnectionStatus=CheckConnectionStatus,
        CustomWorkflow=sdk.CustomWorkflow,
        Operation=Operation,
        text="not an operation",
    )
    monkeypatch.setitem(sys.modules, "linkedapi.operations", newer)

    assert [
        "sendMessage: parameter warmth",
        "sendMessage: result moodScore",
        "operation readMinds",
        "checkConnectionStatus: parameter warmth",
    ] == [str(difference) for difference in drift.sdk_differences()]


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing SDK is an error of its own, which callers can tell apart."""
    monkeypatch.setitem(sys.modules, "linkedapi.core", None)
    with pytest.raises(ModuleNotFoundError):
        drift.sdk_differences()


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("Fixes and polish.", ()),
        ("st.openPersonPage takes basicInfo", ()),
        (
            "nv.readMinds is new, and st.searchPeople has moodFilter",
            ("nv.readMinds", "moodFilter"),
        ),
        ("moodFilter, moodFilter and LinkedIn", ("moodFilter",)),
    ],
)
def test_unknown_names(text: str, unknown: tuple[str, ...]) -> None:
    """Names in the style of the API that the catalogue lacks are found, each once."""
    assert unknown == drift.unknown_names(text)


def test_entries_of_a_recorded_changelog() -> None:
    """Entries of weeks that ended before the catalogue was made are left out."""
    changelog = structure(RECORDED, Changelog)
    everything = drift.entries_since(changelog, dt.date.min)
    newer = drift.entries_since(changelog, dt.date(2026, 7, 1))

    assert sum(len(release["items"]) for release in RECORDED["entries"]) == len(
        everything
    )
    assert [entry.date for entry in newer] == [
        release["date"]
        for release in RECORDED["entries"]
        for _ in release["items"]
        if release["date"] >= "2026-06-25"
    ]
    assert 0 < len(newer) < len(everything)


def test_an_entry_without_a_date_counts() -> None:
    """What cannot be placed in time is shown rather than hidden."""
    raw = {"entries": [{"items": [{"title": "st.somethingNew"}]}, {"date": "soon"}]}
    (entry,) = drift.entries_since(structure(raw, Changelog))

    assert drift.ChangelogEntry("", "st.somethingNew", ("st.somethingNew",)) == entry


def test_an_empty_changelog_has_no_entries() -> None:
    """An answer without entries gives none."""
    assert [] == drift.entries_since(structure({}, Changelog))


def test_every_action_is_known() -> None:
    """The check never marks what the catalogue has."""
    assert () == drift.unknown_names(f"{st.open_company_page.action_type} companyUrl")
