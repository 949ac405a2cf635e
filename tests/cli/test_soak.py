"""The long test that kills commands, with a small share of its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_killed_commands_send_nothing_twice_and_lose_nothing() -> None:
    """The library, `batch` and `recover` survive kills at random moments."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.03", "kills"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for label in ("library: twice", "batch: lost", "recover: kills"):
        assert label in done.stdout
