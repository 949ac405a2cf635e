"""The results file of a batch: one line of JSON for each row and attempt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import attrs

from linkedapi_async._results.completion import Completion
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._utils.json import decode_json
from linkedapi_async._wire.read import read_completion
from linkedapi_async.cli._batch_rows import KeyedRow, key_digest
from linkedapi_async.cli._console import Console
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._messages import message_of
from linkedapi_async.cli._progress import BatchProgress
from linkedapi_async.errors import LinkedApiError
from linkedapi_async.export import ExportError, JsonlWriter
from linkedapi_async.journal import EndStatus


_COMPLETED: Final = "completed"

SUPPRESSED: Final = "suppressed"
"""The status of a row that was not started, because its target was contacted."""


REFUSED: Final = "refused"
"""The status of a row that the API refused, or that is wrong."""


@attrs.frozen(kw_only=True)
class BatchFiles:
    """The files of a batch, and the command that runs it again."""

    results: Path
    journal: Path
    queue: str | None
    limit: int
    wait: bool
    retry_failed: bool
    again: bool
    command: str

    def retry_command(self) -> str:
        """Return the command that starts failed rows again."""
        return f"{self.command}{'' if self.retry_failed else ' --retry-failed'}"

    def report_end(
        self, progress: BatchProgress, console: Console, *, suppressed: str, decide: str
    ) -> None:
        """Show what needs a decision, over all runs.

        Args:
            progress: The counts.
            console: Where it is shown.
            suppressed: The text for rows that were not started.
            decide: The command to decide on unknown starts.
        """
        if progress.suppressed:
            console.info(f"{progress.suppressed} {suppressed}; see {self.results}")
        if progress.unknown:
            console.info(
                f"{progress.unknown} may have been started; to decide on them, run: "
                f"{decide}"
            )
        if progress.failed:
            console.info(
                f"{progress.failed} failed, see {self.results}; retry them with: "
                f"{self.retry_command()}"
            )


@attrs.frozen
class FailedRow:
    """A row whose last attempt failed."""

    wrote: bool | None
    """Whether an action wrote to LinkedIn; None if that is unknown."""


@attrs.define
class PastResults:
    """The results of earlier runs, by `key_digest`."""

    done: set[int] = attrs.field(factory=set)
    failed: dict[int, FailedRow] = attrs.field(factory=dict)
    attempts: dict[int, int] = attrs.field(factory=dict)
    """The number of attempts, if it is more than one."""
    suppressed: set[int] = attrs.field(factory=set)
    """Rows that were not started, because their target was contacted."""
    cursors: dict[int, int] = attrs.field(factory=dict)
    """The cursor of the last result that came from a queue."""

    def has_ended(self, digest: int) -> bool:
        """Return whether a row has a line."""
        return self.knows(digest) or digest in self.suppressed

    def knows(self, digest: int) -> bool:
        """Return whether a row has a result."""
        return digest in self.done or digest in self.failed

    def add(self, line: Any) -> None:
        """Add one line; of several attempts the last one counts."""
        digest = key_digest(line["key"])
        if "cursor" in line:
            self.cursors[digest] = int(line["cursor"])
        if line["status"] == SUPPRESSED:
            self.suppressed.add(digest)
            return
        if "attempt" in line:
            self.attempts[digest] = int(line["attempt"])
        if succeeded(line):
            self.failed.pop(digest, None)
            self.done.add(digest)
        else:
            self.failed[digest] = FailedRow(_wrote(line))


def succeeded(line: Any) -> bool:
    """Return whether a line is of a workflow that completed without a failed root."""
    if line["status"] != _COMPLETED:
        return False
    completion = line["completion"]
    roots = completion if isinstance(completion, list) else [completion]
    return all(root.get("success") is True for root in roots)


def _wrote(line: Any) -> bool | None:
    """Return whether a failed workflow wrote to LinkedIn, by its completion."""
    if line["status"] != _COMPLETED:
        return False if line["status"] == REFUSED else None
    return any(
        outcome.success and _may_write(outcome.action_type)
        for outcome in read_completion(line["completion"]).walk()
    )


def _may_write(action_type: str) -> bool:
    known = ACTIONS.get(action_type)
    return known is None or known.effect == "write"


def read_results(path: Path) -> PastResults:
    """Return the results in a file.

    Raises:
        CommandError: The file has a line that no batch wrote.
    """
    past = PastResults()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                past.add(decode_json(line))
            except (ValueError, TypeError, KeyError, AttributeError, LinkedApiError):
                raise CommandError(
                    f"{path}:{number}: not a result of a batch; pass another --out"
                ) from None
    return past


@attrs.frozen
class ResultsFile:
    """Write results, each on disk before its workflow is acknowledged."""

    path: Path
    writer: JsonlWriter

    def write(
        self,
        item: KeyedRow,
        account: str,
        workflow_id: str | None,
        status: EndStatus | Literal["suppressed", "refused"] | None,
        detail: Any,
        *,
        cursor: int | None = None,
    ) -> str | None:
        """Write one line.

        Args:
            item: The row.
            account: The name of its account.
            workflow_id: The id of its workflow.
            status: How the workflow ended.
            detail: The completion, or the reason of the failure, as JSON values.
            cursor: That of the result, if it came from a queue.

        Returns:
            Why the row failed; None if it succeeded.

        Raises:
            CommandError: The file cannot be written.
        """
        line: dict[str, Any] = {
            "key": item.key,
            "line": item.row.line,
            "account": account,
            "workflowId": workflow_id,
            "status": status,
            "input": item.row.values,
        }
        if cursor is not None:
            line["cursor"] = cursor
        if item.attempt > 1:
            line["attempt"] = item.attempt
        errors: list[str] = []
        if status == _COMPLETED:
            completion = read_completion(detail, workflow_id=workflow_id)
            line |= {"errors": _error_facts(completion), "completion": detail}
            errors = [*map(message_of, completion.errors)]
        elif detail is not None:
            line["failure"] = detail
        try:
            self.writer.write(line)
        except (OSError, ExportError) as error:
            message = f"{self.path}: {getattr(error, 'strerror', None) or error}"
            raise CommandError(message) from error
        return None if succeeded(line) else next(iter(errors), str(status))


def _error_facts(completion: Completion) -> list[dict[str, Any]]:
    return [
        {"actionType": e.action_type, "type": e.type, "message": e.message}
        for e in completion.errors
    ]
