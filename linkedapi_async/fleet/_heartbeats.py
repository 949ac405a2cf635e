"""Records which workers are alive, and which of them replace dead ones."""

from __future__ import annotations

import sqlalchemy as sa

from linkedapi_async.fleet._database import Database
from linkedapi_async.fleet._schema import now, workers


REMEMBERED = 86_400.0
"""How long the row of a dead worker is kept, in seconds.

A suspended process may claim an item before it notices that it was replaced.
"""


class Heartbeats:
    """The heartbeats of all workers in one database.

    Args:
        database: The queue's.
        executor: The name of this worker.
        ttl: How long after its last heartbeat this worker counts as dead, in seconds.
    """

    def __init__(self, database: Database, executor: str, ttl: float) -> None:
        self._database = database
        self._executor = executor
        self._ttl = ttl

    async def enter(self) -> None:
        """Register this worker."""

        def step(connection: sa.Connection) -> None:
            beat = now(connection)
            new = {"executor": self._executor, "beat": beat, "ttl": self._ttl}
            connection.execute(sa.insert(workers).values(new))

        await self._database.do(step)

    async def beat(self) -> bool:
        """Record a heartbeat; return False if another worker has taken over."""

        def step(connection: sa.Connection) -> bool:
            own = (workers.c.executor == self._executor) & workers.c.successor.is_(None)
            changed = connection.execute(
                sa.update(workers).where(own).values(beat=now(connection))
            )
            return bool(changed.rowcount)

        return await self._database.do(step)

    async def leave(self) -> None:
        """Remove this worker."""
        own = workers.c.executor == self._executor
        await self._database.do(
            lambda found: found.execute(sa.delete(workers).where(own))
        )

    async def claim(self) -> list[str]:
        """Return the dead workers that this worker is to replace.

        A worker whose successor died meanwhile is claimed again. So is a worker that
        was replaced already, until its row is removed, because it may have claimed
        items after it woke up.
        """

        def step(connection: sa.Connection) -> list[str]:
            """Become the successor of dead workers."""
            time, c = now(connection), workers.c
            claimed = connection.execute(
                sa.update(workers)
                .where(
                    # Its own ttl decides, because it relies on it.
                    c.beat + c.ttl < time,
                    c.executor != self._executor,
                    c.successor.is_(None) | (c.succeeded_at < time - self._ttl),
                )
                .values(successor=self._executor, succeeded_at=time)
                .returning(c.executor)
            )
            return list(claimed.scalars())

        return await self._database.do(step)

    async def forget(self, executor: str) -> None:
        """Remove a replaced worker, if it has been dead for long."""

        def step(connection: sa.Connection) -> None:
            c = workers.c
            gone = c.beat + c.ttl < now(connection) - REMEMBERED
            connection.execute(sa.delete(workers).where(c.executor == executor, gone))

        await self._database.do(step)
