"""The command drift: what the API has beyond this version, and its exit statuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_harness import Shell, sandbox_in_a_thread


@pytest.fixture
def shell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A shell that reads the changelog of a sandbox."""
    with sandbox_in_a_thread(speed=1000) as sandbox:
        yield Shell.entered(
            tmp_path, monkeypatch, capsys, LINKED_API_BASE_URL=sandbox.url
        )


def test_nothing_is_new(shell: Shell) -> None:
    """Without newer entries and differences the status is 0."""
    done = shell("drift")

    assert (0, "") == (done.status, done.out)
    assert done.err == (
        "no entries in the changelog, no differences to the official SDK\n"
    )


def test_newer_entries_are_listed(shell: Shell) -> None:
    """Each entry since a day is a line, and the status says that there are some."""
    done = shell("drift", "--since", "2026-07-13")

    assert 15 == done.status
    assert ["2026-07-20"] == [line[:10] for line in done.out.splitlines()]
    assert done.err.startswith("1 entry in the changelog")


def test_without_the_sdk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK only the changelog is read, and the last line says so."""
    monkeypatch.setitem(sys.modules, "linkedapi.core", None)
    done = shell("drift", "--since", "2026-04-01", "--format", "json")
    text = shell("drift")

    assert 15 == done.status
    assert json.loads(done.out)["sdk"] is None
    assert 4 == len(json.loads(done.out)["changelog"])
    assert (0, True) == (text.status, "linkedapi is not installed" in text.err)


def test_differences_to_the_sdk(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A difference is a line, with the operation, the kind and the name."""
    from linkedapi_async.cli import _drift
    from linkedapi_async.drift import Difference

    found = [Difference("fetchPerson", "parameter", "mood")]
    monkeypatch.setattr(_drift, "sdk_differences", lambda: found)
    done = shell("drift")
    data = shell("drift", "--format", "json")

    assert (15, "official SDK  fetchPerson: parameter mood\n") == (
        done.status,
        done.out,
    )
    assert "1 difference to" in done.err
    assert "mood" == json.loads(data.out)["sdk"][0]["name"]


def test_no_changelog(shell: Shell) -> None:
    """A changelog that cannot be read ends with the status of an API out of reach."""
    shell.set(LINKED_API_BASE_URL="http://127.0.0.1:9")
    done = shell("drift")

    assert (7, "") == (done.status, done.out)
    assert "127.0.0.1:9" in done.err
