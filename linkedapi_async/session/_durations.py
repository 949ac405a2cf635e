"""How long workflows take, as a session learns and stores it."""

from __future__ import annotations

import functools
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Protocol

from linkedapi_async._actions.action import Roots, nodes_of
from linkedapi_async._polling.arrival import total_time
from linkedapi_async._polling.durations import (
    MAX_KINDS,
    DurationLearner,
    DurationRecord,
    Estimate,
)
from linkedapi_async._utils.log import error_reason, log_extra
from linkedapi_async._utils.text import safe_repr
from linkedapi_async._wire.load import load_workflow


STORE_INTERVAL: Final = 600.0
"""Minimum time in seconds between two writes to the journal, but for the last one."""

_log = logging.getLogger("linkedapi_async")


def as_roots(workflow: tuple[Any, ...]) -> Roots:
    """Return the roots of a workflow, as `Session.start` takes it."""
    (first,) = workflow if len(workflow) == 1 else (workflow,)
    if isinstance(first, dict | list):
        loaded: Roots = load_workflow(first, check=False)
        return loaded
    roots: Roots = first
    return roots


def duration_kind(workflow: Roots | None) -> int | None:
    """Return one number for all workflows that should take about the same time.

    It depends on the types of their actions and on the size of their limits. It is the
    same in every process, because journals keep it.
    """
    if workflow is None:
        return None
    return _digest(
        tuple(
            (node.action_type, limit.bit_length() if isinstance(limit, int) else None)
            for node in nodes_of(workflow)
            for limit in (getattr(node, "limit", None),)
        )
    )


@functools.lru_cache(MAX_KINDS)
def _digest(kind: tuple[object, ...]) -> int:
    """Return a number of 64 bits for *kind*, one object for all workflows of it."""
    text = repr(kind).encode(errors="backslashreplace")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), signed=True)


class Durations:
    """How long workflows take, as a session has learnt it; see `Session.durations`.

    It learns from each end that it notices, for at most 1,000 kinds of workflows.
    Workflows are of one kind if they have the same action types in the same places, and
    limits of about the same size. A journal keeps it for the next session.
    """

    def __init__(self, learner: DurationLearner) -> None:
        self._learner = learner

    def estimate(self, *workflow: Any) -> Estimate | None:
        """Return how long workflows of the same kind as *workflow* run.

        The time in which they wait in the queue of their account does not count.

        Args:
            workflow: A workflow as for `Session.start`; several are the roots of one
                array workflow.

        Returns:
            The median in seconds, and an interval for eight cases in ten; None until
            the session has noticed five ends of that kind.
        """
        return self._learner.estimate(duration_kind(as_roots(workflow)))

    def estimate_all(
        self, workflows: Mapping[Any, int], *, accounts: int = 1
    ) -> Estimate | None:
        """Return how long several accounts take to run many workflows, shared evenly.

        Args:
            workflows: How often each workflow is run, such as a `collections.Counter`;
                a tuple of roots is an array workflow.
            accounts: How many accounts there are.

        Returns:
            The median in seconds, and an interval for eight cases in ten; None until
            the session has noticed five ends of each kind.
        """
        kinds: Counter[Hashable] = Counter()
        for workflow, times in workflows.items():
            kinds[duration_kind(workflow)] += times
        return total_time(self._learner, kinds, accounts)

    def __len__(self) -> int:
        """Return the number of kinds of which something is known."""
        return len(self._learner)

    @safe_repr
    def __repr__(self) -> str:
        return f"<Durations of {len(self)} kinds of workflows>"


class DurationRecords(Protocol):
    """A store of learnt durations: a journal, or a store that processes share."""

    async def durations(self) -> Sequence[tuple[Any, ...]]:
        """Return the stored durations; some of them may be damaged."""
        ...

    async def store_durations(self, records: Iterable[DurationRecord]) -> None:
        """Store the durations, ordered by the time of the last end, oldest first."""
        ...


class DurationStore:
    """Stores what a session learns, in its journal or in a store that processes share.

    Neither damaged data nor a failed write is an error: the session learns anew.

    Args:
        learner: Learns the durations.
        records: Where they are stored, if anywhere.
    """

    def __init__(
        self, learner: DurationLearner, records: DurationRecords | None
    ) -> None:
        self._learner = learner
        self._records = records
        self._stored = 0
        self._store_at = -math.inf

    async def load(self) -> None:
        """Load what earlier sessions have learnt."""
        if self._records is not None:
            try:
                self._learner.restore(await self._records.durations())
            except Exception as error:  # noqa: BLE001  # whatever damage may do
                self._report("read", error)

    def store_if_old(
        self, now: float, spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        """Write what was learnt in a task, unless that was done a short time ago."""
        if self._records is None or now < self._store_at:
            return
        if self._store_at > -math.inf:
            spawn(self.store())
        self._store_at = now + STORE_INTERVAL

    async def store(self) -> None:
        """Write what was learnt, if anything was."""
        if self._records is None or self._stored == self._learner.observed:
            return
        self._stored = self._learner.observed
        try:
            await self._records.store_durations(self._learner.records())
        except Exception as error:  # noqa: BLE001  # no result depends on it
            self._report("store", error)

    def _report(self, verb: str, error: Exception) -> None:
        _log.info(
            "The journal could not %s how long workflows take, so the session "
            "learns it anew: %s",
            verb,
            error,
            extra=log_extra(reason=error_reason(error)),
        )
