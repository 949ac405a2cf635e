"""The interface of a store of contacts."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from linkedapi_async.urls import normalize_url, sort_of_id


class Name(NamedTuple):
    """One name of a person, as a digest."""

    digest: bytes
    """16 bytes of the SHA-256 of its canonical form."""
    sort: str
    """The kind of id that the name is; empty if it is no id."""

    @classmethod
    def of(cls, name: str) -> Name:
        """Return the `Name` of a URL or URN."""
        canonical = normalize_url(name)
        data = canonical.encode(errors="surrogatepass")
        return cls(hashlib.sha256(data).digest()[:16], sort_of_id(canonical))


@attrs.frozen
class Previous:
    """An earlier contact that prevents a reservation."""

    number: int
    """Which of the acts to reserve it is, from 0 on."""
    since: float
    """When it was reserved or kept, in seconds since 1970."""
    kept: bool
    """Whether it took place; otherwise that is not known yet."""


class ContactStore(ABC):
    """A store of contacts.

    Every method is one transaction, and its changes are stored when it returns. Several
    sessions and processes may use a store at the same time.
    """

    @abstractmethod
    async def open(self) -> None:
        """Open the store.

        Raises:
            JournalError: It cannot be opened.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Finish the pending calls, then close; closing twice does no harm."""

    @abstractmethod
    async def reserve(
        self,
        claim: bytes,
        attempt: bytes,
        acts: Sequence[tuple[str, Name]],
        *,
        now: float,
        since: float,
    ) -> Previous | None:
        """Reserve all of *acts*, or none of them.

        Args:
            claim: The owner of the reservation. Its earlier reservations that were not
                kept are no obstacle, because it was proven that nothing was sent.
            attempt: The attempt of the claim.
            acts: The acts that will be done, each with its kind and target.
            now: The time, in seconds since 1970.
            since: Only contacts after this time are obstacles.

        Returns:
            The first obstacle; None if all acts are reserved.
        """

    @abstractmethod
    async def release(self, claim: bytes, attempt: bytes | None = None) -> None:
        """Remove what a claim has, because nothing was sent.

        Args:
            claim: As for `reserve`.
            attempt: Only the reservations of this attempt; None means all.
        """

    @abstractmethod
    async def keep(self, claim: bytes) -> None:
        """Record that what a claim has reserved took place."""

    @abstractmethod
    async def connect(self, names: Sequence[Name]) -> None:
        """Record that *names* belong to one person.

        Ids are permanent, public names are not: a public name leaves its person when it
        is connected to another id of the same sort. Ids that contradict each other are
        not connected.
        """

    @abstractmethod
    async def names(self, name: Name) -> frozenset[bytes]:
        """Return the digests of all names that are known for a person."""

    @abstractmethod
    async def forget(self, name: Name) -> bool:
        """Erase a person with all names and contacts; return whether it was known."""
