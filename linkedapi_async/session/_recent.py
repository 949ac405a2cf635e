"""A bounded memory of the last keys."""

from __future__ import annotations

import hashlib
from typing import Final


MAX_REMEMBERED: Final = 100_000
"""How many keys are remembered; a repeat further back is not noticed."""


class RecentKeys:
    """Remembers the digests of the last keys, so that memory is bounded."""

    __slots__ = ("_digests", "_limit")

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._digests: dict[bytes, None] = {}

    def add(self, key: str) -> bool:
        """Remember *key*; return whether it is new."""
        data = key.encode(errors="surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest in self._digests:
            return False
        self._digests[digest] = None
        if len(self._digests) > self._limit:
            del self._digests[next(iter(self._digests))]
        return True
