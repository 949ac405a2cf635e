"""The long test of listening beside a large journal, with a small share of its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_the_cost_of_listening_is_measured() -> None:
    """Starts are measured with and without listening, events by the journal's size."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.01", "listening"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for label in ("100 starts, listening", "100 events with 2,000 rows"):
        assert label in done.stdout
