"""The command line as a process whose clock is ahead."""

from __future__ import annotations

from typing import Final


AHEAD: Final = """
import sys, time
ahead, real = float(sys.argv.pop(1)), time.time
time.time = lambda: real() + ahead
from linkedapi_async.cli import main
main()
"""
"""Its first argument is how far, in seconds; the others are those of the command line."""
