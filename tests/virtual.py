"""Virtual time, and chance without chance."""

from __future__ import annotations

import random

from linkedapi_async.testing import VirtualLoop, run_virtual


__all__ = ["Middle", "VirtualLoop", "run_virtual"]


class Middle(random.Random):
    """A source of chance that always takes the middle: no jitter."""

    def random(self) -> float:
        """Return one half."""
        return 0.5
