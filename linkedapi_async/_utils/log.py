"""Log records: their `extra` fields, and the reason of an error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable


_log = logging.getLogger("linkedapi_async")


def log_extra(**facts: object) -> dict[str, object]:
    """Return the *facts* that are known as attributes of a log record."""
    return {f"linkedapi_{k}": fact for k, fact in facts.items() if fact is not None}


def error_reason(error: BaseException | None) -> str | None:
    """Return the API's reason or type of an error, or else the name of its class."""
    if error is None:
        return None
    reason = getattr(error, "reason", None) or getattr(error, "type", None)
    return reason if isinstance(reason, str) else type(error).__name__


async def log_errors(
    step: Awaitable[None], message: str, *values: object, **facts: object
) -> None:
    """Do *step*; log its error, because no result depends on it.

    Args:
        step: What is done.
        message: The message of the log, with placeholders for *values* and the error.
        values: What it shows.
        facts: What the log record has beside the reason.
    """
    try:
        await step
    except Exception as error:  # noqa: BLE001  # of whatever kind
        extra = log_extra(**facts, reason=error_reason(error))
        _log.error(message, *values, error, extra=extra)
