"""The long test of damaged journals, with a small share of its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_damaged_journals_lose_no_row_silently() -> None:
    """A damaged journal opens with every row, or an error of the tree says why not."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.03", "damaged_journals"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for label in ("log missing: refused", "bytes of the file"):
        assert label in done.stdout
