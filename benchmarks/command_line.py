"""Measure `linkedapi --help` against importing the library.

Both run in processes of their own, in turn, so that other load slows both.
"""

from __future__ import annotations

import subprocess
import sys
import time

from _table import Figure, report


PAIRS = 31
LIMIT = 1.3
HELP = ("-m", "linkedapi_async", "--help")
IMPORT = ("-c", "import linkedapi_async")


def seconds(*words: str) -> float:
    """Return the seconds that a Python process takes."""
    begin = time.perf_counter()
    # -P: the installed package, which has bytecode, and not the folder of the project.
    command = [sys.executable, "-P", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begin


def main() -> int:
    """Measure and print the table; return 1 if the ratio is over its limit."""
    seconds(*HELP)
    pairs = [(seconds(*HELP), seconds(*IMPORT)) for _ in range(PAIRS)]
    figure = Figure.of_pairs("linkedapi --help", pairs, "ms", LIMIT)
    return report(f"medians of {PAIRS} pairs", [figure], ("--help", "import"))


if __name__ == "__main__":
    sys.exit(main())
