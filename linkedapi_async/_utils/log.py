"""Log records: their `extra` fields, and the reason of an error."""

from __future__ import annotations


def log_extra(**facts: object) -> dict[str, object]:
    """Return the *facts* that are known as attributes of a log record."""
    return {f"linkedapi_{k}": fact for k, fact in facts.items() if fact is not None}


def error_reason(error: BaseException | None) -> str | None:
    """Return the API's reason or type of an error, or else the name of its class."""
    if error is None:
        return None
    reason = getattr(error, "reason", None) or getattr(error, "type", None)
    return reason if isinstance(reason, str) else type(error).__name__
