"""What can go wrong, as one tree.

::

    LinkedApiError
    ├─ WorkflowError (ValueError)          nothing was sent
    │  ├─ NestingError                     an action stands where it may not
    │  ├─ ParameterError                   a parameter is wrong, unknown or missing
    │  ├─ InvalidDefinitionError           all problems of a JSON definition
    │  └─ UnsupportedError                 the API generation in use lacks it
    ├─ RequestError                        the API or the way to it refused
    │  ├─ AuthenticationError              a token is missing, wrong or expired
    │  ├─ AccountPausedError               the account cannot work at present
    │  ├─ RejectedError                    this request was refused
    │  ├─ RateLimitedError                 too many requests
    │  ├─ ProtocolError                    the answer makes no sense
    │  └─ ConnectionFailedError (ConnectionError)
    ├─ StartUnknownError                   sent, but nobody knows whether it was taken
    ├─ WorkflowFailedError                 the workflow as a whole failed
    ├─ WorkflowCancelledError
    ├─ WorkflowNotFoundError (LookupError)
    ├─ WaitTimeoutError (TimeoutError)     the wait ended, the workflow goes on
    ├─ SessionClosedError
    ├─ JournalError                        what was started could not be noted or read
    │  └─ JournalLockedError               somebody else has the journal open
    ├─ NotConnectedError                   nobody connected the LinkedIn account
    │  └─ ConnectionPendingError (TimeoutError)
    ├─ WebhookError (ValueError)           a delivery that cannot be taken
    │  └─ SignatureError                   its signature is missing, wrong or old
    ├─ ActionError                         one action of a finished workflow failed
    ├─ AmbiguousKeyError (KeyError)
    └─ ResultMissingError (KeyError)

All of them pickle and copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from linkedapi_async._utils.text import printable


if TYPE_CHECKING:
    from linkedapi_async._results.completion import Completion

ErrorT = TypeVar("ErrorT", bound="LinkedApiError")


class UnknownValueWarning(UserWarning):
    """A value or action type that this version does not know is sent as it is."""


def _rebuild(cls: type[ErrorT], args: tuple[Any, ...]) -> ErrorT:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class LinkedApiError(Exception):
    """Base of everything that this library raises on purpose.

    Attributes:
        message: What happened, in words.
        workflow_id: The workflow it happened to, where one is known.
    """

    def __init__(self, message: str, *, workflow_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        # Text of a server must not forge lines in a log or act on a terminal.
        message = printable(self.message)
        if self.workflow_id is None:
            return message
        return f"{message} [workflow {self.workflow_id}]"

    def __copy__(self) -> Self:
        error = _rebuild(type(self), self.args)
        error.__dict__.update(self.__dict__)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # The state comes third, for it may lead back to the error.
        return (_rebuild, (type(self), self.args), self.__dict__)


class WorkflowError(LinkedApiError, ValueError):
    """The workflow is wrong; nothing was sent.

    Attributes:
        path: Where in the tree, such as ``root.then[1].then[0]``; empty where the
            offender was built on its own.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.path}: {text}" if self.path else text


class NestingError(WorkflowError):
    """An action stands where it may not.

    Attributes:
        offender: The action type that may not stand there.
        parent: The action type above it, or None at the root.
        allowed: The action types that may stand there.
        nearest: The allowed one that is spelt most alike, if any is.
    """

    def __init__(
        self,
        *,
        path: str,
        offender: str,
        parent: str | None,
        allowed: Sequence[str],
        nearest: str | None,
    ) -> None:
        place = "at the root" if parent is None else f"under {parent}"
        hint = f"; did you mean {nearest}?" if nearest else ""
        # 40 action types may stand at the root: a list of them helps nobody.
        many = parent is None
        names = "a search, an open page, …" if many else ", ".join(allowed) or "none"
        super().__init__(
            f"{offender} cannot stand {place}; allowed there: {names}{hint}",
            path=path,
        )
        self.offender = offender
        self.parent = parent
        self.allowed: tuple[str, ...] = tuple(allowed)
        self.nearest = nearest


class ParameterError(WorkflowError):
    """A parameter is wrong, unknown or missing.

    Attributes:
        owner: The action type or the parameter class it belongs to.
        parameter: Its name, with the place inside it where that matters.
        reason: What is wrong with it, and what would be right.
    """

    def __init__(
        self, *, owner: str, parameter: str, reason: str, path: str = ""
    ) -> None:
        super().__init__(f"{owner}: {parameter}: {reason}", path=path)
        self.owner = owner
        self.parameter = parameter
        self.reason = reason

    def at(self, path: str) -> ParameterError:
        """Return the same error for another *path*."""
        return ParameterError(
            owner=self.owner, parameter=self.parameter, reason=self.reason, path=path
        )


class InvalidDefinitionError(WorkflowError):
    """A workflow definition has problems; all of them are listed.

    Attributes:
        problems: One error for each, in the order of the tree.
    """

    def __init__(self, problems: Iterable[WorkflowError]) -> None:
        self.problems: tuple[WorkflowError, ...] = tuple(problems)
        many = len(self.problems) != 1
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"{len(self.problems)} problem{'s' if many else ''}:\n{lines}\n"
            "check=False sends a definition as it is.",
        )

    def __str__(self) -> str:
        return self.message


class UnsupportedError(WorkflowError):
    """The API generation in use does not have what was asked of it.

    Attributes:
        generation: ``account_api`` or ``linked_api``.
    """

    def __init__(self, message: str, *, generation: str, path: str = "") -> None:
        super().__init__(message, path=path)
        self.generation = generation


class RequestError(LinkedApiError):
    """The API, or the way to it, refused a request.

    Attributes:
        type: The API's error type, where it gave one.
        http_status: The HTTP status, where there was an answer.
        sent: Whether the request may have reached the server.
    """

    sent: bool = True

    def __init__(
        self,
        message: str,
        *,
        type: str | None = None,
        http_status: int | None = None,
        workflow_id: str | None = None,
    ) -> None:
        super().__init__(message, workflow_id=workflow_id)
        self.type = type
        self.http_status = http_status

    def __str__(self) -> str:
        facts = [printable(self.type)] if self.type else []
        if self.http_status is not None:
            facts.append(f"HTTP {self.http_status}")
        return super().__str__() + (f" ({', '.join(facts)})" if facts else "")


class AuthenticationError(RequestError):
    """A token is missing, wrong or expired."""


class AccountPausedError(RequestError):
    """The LinkedIn account cannot work at present; ``type`` says why."""

    @property
    def reason(self) -> str | None:
        """The API's word for what has to be mended, same as ``type``."""
        return self.type


class RejectedError(RequestError):
    """The API refused this request; asking again gives the same answer."""


class RateLimitedError(RequestError):
    """Too many requests.

    Attributes:
        retry_after: The API's ``Retry-After`` in seconds, if it sent one.
    """

    MAX_PAUSE: ClassVar[float] = 3600.0
    """The longest pause that a ``Retry-After`` causes, in seconds."""

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        type: str | None = None,
        http_status: int | None = None,
        workflow_id: str | None = None,
    ) -> None:
        super().__init__(
            message, type=type, http_status=http_status, workflow_id=workflow_id
        )
        self.retry_after = retry_after

    @property
    def pause(self) -> float | None:
        """How long this library waits because of `retry_after`, in seconds."""
        if self.retry_after is None:
            return None
        return min(self.retry_after, self.MAX_PAUSE)


class ProtocolError(RequestError):
    """The answer is not one that the API gives."""


class ConnectionFailedError(RequestError, ConnectionError):
    """No answer: no connection, a broken one, or time ran out.

    ``http_status`` is the status of a proxy that refused to connect.
    """

    def __init__(
        self, message: str, *, sent: bool, http_status: int | None = None
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.sent = sent


class StartUnknownError(LinkedApiError):
    """The start was sent, and nobody knows whether it was taken.

    Starting again may do everything twice. The account's history in the platform
    shows whether the workflow runs.

    Attributes:
        account: The ``name`` of the account it was sent for.
        candidates: The ids of workflows that it may have become, by webhook events.
    """

    def __init__(
        self, message: str, *, account: str, candidates: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.account = account
        self.candidates: tuple[str, ...] = candidates


class WorkflowFailedError(LinkedApiError):
    """The workflow as a whole failed.

    Attributes:
        reason: The API's word for it, such as ``linkedinAccountSignedOut``.
        explanation: The API's words on it.
        raw: The completion in JSON, if one came all the same; else None.
    """

    def __init__(
        self,
        *,
        reason: str,
        message: str,
        raw: Any = None,
        workflow_id: str | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}", workflow_id=workflow_id)
        self.reason = reason
        self.explanation = message
        self.raw: Any = raw


class WorkflowCancelledError(LinkedApiError):
    """The workflow was cancelled."""

    def __init__(self, *, workflow_id: str | None = None) -> None:
        super().__init__("the workflow was cancelled", workflow_id=workflow_id)


class WorkflowNotFoundError(LinkedApiError, LookupError):
    """The API does not know this workflow id."""

    def __init__(self, *, workflow_id: str) -> None:
        super().__init__("the API knows no such workflow", workflow_id=workflow_id)


class WaitTimeoutError(LinkedApiError, TimeoutError):
    """The wait ended; the workflow goes on.

    Attributes:
        handle: Wait on with it; None after pickling.
    """

    def __init__(self, *, seconds: float, handle: Any, workflow_id: str) -> None:
        super().__init__(
            f"not finished after {seconds:g} s; the workflow goes on, wait on with "
            "handle.result() or session.attach()",
            workflow_id=workflow_id,
        )
        self.handle = handle

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args), {**self.__dict__, "handle": None})


class SessionClosedError(LinkedApiError):
    """The session was closed while this was open; the workflow goes on."""

    def __init__(self, *, workflow_id: str | None = None) -> None:
        advice = "; session.attach() with its id waits on" if workflow_id else ""
        super().__init__(f"the session was closed{advice}", workflow_id=workflow_id)


class JournalError(LinkedApiError):
    """The journal could not note or read what was started.

    What was asked of it is not on disk: the file is damaged, the disk is full, the
    journal is closed, or the step does not follow from the one before it.
    """


class JournalLockedError(JournalError):
    """Somebody else has the journal open.

    Attributes:
        path: The file of the journal.
    """

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"the journal {path} is open in another session or process; end that one, "
            "or give each its own file"
        )
        self.path = path


class NotConnectedError(LinkedApiError):
    """A session in which somebody connects a LinkedIn account brought no account.

    Attributes:
        session_id: The connection session; whoever has it can open its page.
        status: The API's last word on it, such as ``expired`` or ``cancelled``;
            ``success`` if it is not known which account was connected.
        candidates: The accounts that may have been connected, if there are several.
    """

    def __init__(
        self,
        message: str,
        *,
        session_id: str,
        status: str | None,
        candidates: Sequence[Any] = (),
    ) -> None:
        super().__init__(message)
        self.session_id = session_id
        self.status = status
        self.candidates: tuple[Any, ...] = tuple(candidates)


class ConnectionPendingError(NotConnectedError, TimeoutError):
    """Nobody has finished connecting the account in time; the session goes on."""


class WebhookError(LinkedApiError, ValueError):
    """What came to a webhook cannot be taken.

    Its words are for the one who runs the receiver; the sender gets the status only.

    Attributes:
        status: The HTTP status to answer with: 400 no event, 401 not signed as it must
            be, 408 too slow, 413 too large, 503 later, when there is room again.
    """

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class SignatureError(WebhookError):
    """The signature of a delivery is missing, wrong, too old or from the future."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=401)


class ActionError(LinkedApiError):
    """One action of a finished workflow failed.

    Attributes:
        type: The API's error type, such as ``personNotFound``.
        action_type: The action that failed.
        label: Its label, if it has one.
        completion: Everything the workflow brought, so nothing is lost.
    """

    def __init__(
        self,
        *,
        type: str,
        message: str,
        action_type: str,
        label: str | None,
        completion: Completion,
    ) -> None:
        tag = f" ({label!r})" if label is not None else ""
        super().__init__(
            f"{action_type}{tag}: {type}: {message}",
            workflow_id=completion.workflow_id,
        )
        self.type = type
        self.action_type = action_type
        self.label = label
        self.completion = completion


class AmbiguousKeyError(LinkedApiError, KeyError):
    """Several outcomes fit the key."""


class ResultMissingError(LinkedApiError, KeyError):
    """No outcome fits the key."""
