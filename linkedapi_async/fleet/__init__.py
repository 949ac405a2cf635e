"""Beyond one machine: a queue in a database, and the workers that run it.

::

    async with Queue("postgresql://…/work") as queue:  # in any process, without tokens
        await queue.submit("sales-17", workflow, key="hello/ada")

    worker = Worker("postgresql://…/work", session=Session.from_env, token=token)
    await worker.run()  # on each host

A write is sent at most once unless you decide otherwise, even after crashes. An unknown
start waits for your decision. Each result is delivered at least once. The items of an
account run one after another, in the order in which they were submitted.

It needs DBOS, which brings SQLAlchemy and psycopg: the extra ``dbos``.
"""

from __future__ import annotations


try:
    import dbos as _dbos
except ImportError:
    raise ImportError(
        "linkedapi_async.fleet needs DBOS: pip install 'linkedapi-async[dbos]'"
    ) from None

from linkedapi_async.fleet._done import Done
from linkedapi_async.fleet._items import Tokens
from linkedapi_async.fleet._queue import (
    ItemState,
    Progress,
    Queue,
    QueuedItem,
    Submission,
    UnknownStart,
)
from linkedapi_async.fleet._starts import ItemEndStatus
from linkedapi_async.fleet._worker import Worker


del _dbos

__all__ = [
    "Done",
    "ItemEndStatus",
    "ItemState",
    "Progress",
    "Queue",
    "QueuedItem",
    "Submission",
    "Tokens",
    "UnknownStart",
    "Worker",
]
