"""The long test of a campaign that cron sends, with a small share of its people."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_killed_batches_invite_each_person_once() -> None:
    """Runs of the command that are killed leave no person out, and none twice."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.01", "campaign_process"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "exit statuses" in done.stdout
