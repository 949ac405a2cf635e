"""The possible answers to a poll."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen


@frozen
class StillRunning:
    """The workflow has not finished."""

    status: str
    """The status as the API spells it."""

    reason: str | None = None
    """Why the workflow is pending, as the API spells it."""

    message: str | None = None
    """The explanation of the API for people, as it is."""


@frozen
class Ended:
    """The wait is over."""

    value: object
    """The result of the wait, or the error that ends it."""

    status: str | None = None
    """The last status, if it is known."""


@frozen
class PollFailed:
    """The answer does not say how the workflow is."""

    error: Exception
    """What happened."""

    kind: Literal["failed", "refused", "unknown"] = "failed"
    """Whether the poll failed, the token was refused, or the id is unknown.

    A failed poll never ends a wait; the other two do once they are repeated.
    """

    pause: float | None = None
    """Time in seconds for which the host wants no requests."""


PollAnswer: TypeAlias = StillRunning | Ended | PollFailed
