"""The long tests of the folder ``soak``, with a small share of their work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


SOAK = Path(__file__).parents[2] / "soak"


def test_fuzzed_answers_raise_nothing_odd_and_send_nothing_twice() -> None:
    """Any HTTP answer, read by both parsers, ends in the error tree."""
    done = subprocess.run(
        [sys.executable, SOAK / "run.py", "--share", "0.002", "http_answers"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    for label in ("polls, parser http_parser", "starts, parser _http_parser"):
        assert label in done.stdout
