"""What `linkedapi --help` takes, against importing the library: a ratio of medians.

Both are processes of their own, in turn, so that what else the machine does is shared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


PAIRS = 31
REACH = 1.3
HELP = ("-m", "linkedapi_async", "--help")
IMPORT = ("-c", "import linkedapi_async")


def seconds(*words: str) -> float:
    """Return how long a Python process takes."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    return time.perf_counter() - begin


def main() -> int:
    """Measure and print the table; return 1 if the ratio misses its reach."""
    seconds(*HELP)
    pairs = [(seconds(*HELP), seconds(*IMPORT)) for _ in range(PAIRS)]
    told, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    how = statistics.median(a / b for a, b in pairs)
    name = f"median of {PAIRS} pairs"
    print(f"{name:<40} {'--help':>8} {'import':>8}      ratio    reach")
    print(
        f"{'linkedapi --help':<40} {told * 1e3:8.0f} {bare * 1e3:8.0f} ms "
        f"{how:7.2f} × {REACH:6.2f} ×"
    )
    return int(how > REACH)


if __name__ == "__main__":
    sys.exit(main())
