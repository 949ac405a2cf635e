"""The long test of a campaign over days, with a small share of its people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_each_person_is_invited_once() -> None:
    """Over days, limits, a signed-out account and many sessions nobody is left out."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.12", "campaigns"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "invited once" in done.stdout
