"""The long tests of the folder ``soak``, each with a small share of its work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


SOAK = Path(__file__).parents[1] / "soak"

SHARES = {
    "campaign_process": ("0.01", ("exit statuses",)),
    "campaigns": ("0.12", ("invited once",)),
    "damaged_journals": ("0.03", ("log missing: refused", "bytes of the file")),
    "fleet_kills": ("0.01", ("sent twice", "status of a frozen worker")),
    "fleet_pace": ("0.1", ("accepted in a day, of an account, at most",)),
    "http_answers": (
        "0.002",
        ("polls, parser http_parser", "starts, parser _http_parser"),
    ),
    "kills": ("0.03", ("library: twice", "batch: lost", "recover: kills")),
    "listening": ("0.01", ("100 starts, listening", "100 events with 2,000 rows")),
}
"""How much of each is done, and labels of what it prints."""


@pytest.mark.parametrize("name", SHARES)
def test_a_share_of_each_long_test_finds_no_violation(name: str) -> None:
    """Its promises hold, and it prints its figures."""
    if name.startswith("fleet") and sys.platform != "linux":
        pytest.skip("the workers are forked, which is safe on Linux only")
    share, labels = SHARES[name]
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", share, name],
        capture_output=True,
        text=True,
        check=False,
        # The development mode makes it slower, and its warnings are not read here.
        env={**os.environ, "PYTHONDEVMODE": ""},
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for label in labels:
        assert label in done.stdout


def test_each_long_test_has_a_share() -> None:
    """A new one is added to the table."""
    known = {path.stem for path in SOAK.glob("[!_]*.py")} - {"run"}

    assert known == SHARES.keys()
