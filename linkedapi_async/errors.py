"""The errors of this library, as one tree.

::

    LinkedApiError
    ├─ WorkflowError (ValueError)          the workflow is wrong; nothing was sent
    │  ├─ NestingError                     an action is nested in the wrong place
    │  ├─ ParameterError                   a parameter is wrong, unknown or missing
    │  ├─ InvalidDefinitionError           a JSON definition has problems
    │  ├─ AllowanceError                   it may do more than its pace ever allows
    │  └─ UnsupportedError                 this API generation does not have it
    ├─ RequestError                        a request failed
    │  ├─ AuthenticationError              a token is missing, wrong or expired
    │  ├─ AccountPausedError               the account cannot work at present
    │  ├─ RejectedError                    the API refused the request
    │  ├─ RateLimitedError                 there were too many requests
    │  ├─ ProtocolError                    the answer is not one of the API
    │  └─ ConnectionFailedError (ConnectionError)
    ├─ PaceError                           the pace allows no start yet; nothing was sent
    ├─ SuppressedError                     the target was contacted; nothing was sent
    ├─ StartUnknownError                   it is unknown whether a start was accepted
    ├─ WorkflowFailedError                 the workflow as a whole failed
    ├─ WorkflowCancelledError              the workflow was cancelled
    ├─ WorkflowNotFoundError (LookupError)
    ├─ WaitTimeoutError (TimeoutError)     the wait ended, the workflow goes on
    ├─ SessionClosedError                  the session was closed during a wait
    ├─ PollingCrashedError (RuntimeError)  the session polls and starts nothing more
    ├─ JournalError                        the journal could not be written or read
    │  └─ JournalLockedError               another session has the journal open
    ├─ QueueError                          a queue could not be used or changed
    ├─ NotConnectedError                   no LinkedIn account was connected
    │  └─ ConnectionPendingError (TimeoutError)
    ├─ WebhookError (ValueError)           a delivery was refused
    │  └─ SignatureError                   its signature is missing, wrong or old
    ├─ ActionError                         one action of a finished workflow failed
    ├─ AmbiguousKeyError (KeyError)        several outcomes match a key
    └─ ResultMissingError (KeyError)       no outcome matches a key

All of them can be pickled and copied.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    Self,
    TypeAlias,
    TypeVar,
)

from linkedapi_async._utils.text import printable
from linkedapi_async._utils.times import format_time


if TYPE_CHECKING:
    from linkedapi_async._results.completion import Completion

__all__ = [
    "About",
    "AccountPausedError",
    "ActionError",
    "AllowanceError",
    "AmbiguousKeyError",
    "AuthenticationError",
    "ConnectionFailedError",
    "ConnectionPendingError",
    "InvalidDefinitionError",
    "JournalError",
    "JournalLockedError",
    "LinkedApiError",
    "NestingError",
    "NotConnectedError",
    "PaceError",
    "ParameterError",
    "PollingCrashedError",
    "ProtocolError",
    "QueueError",
    "RateLimitedError",
    "RejectedError",
    "RequestError",
    "ResultMissingError",
    "SessionClosedError",
    "SignatureError",
    "StartUnknownError",
    "SuppressedError",
    "TextWarning",
    "UnknownValueWarning",
    "UnsupportedError",
    "Verdict",
    "WaitTimeoutError",
    "WebhookError",
    "WorkflowCancelledError",
    "WorkflowError",
    "WorkflowFailedError",
    "WorkflowNotFoundError",
    "verdict_of",
]

ErrorT = TypeVar("ErrorT", bound="LinkedApiError")


class UnknownValueWarning(UserWarning):
    """A value, target or action type of an unknown form; it is sent as it is."""


class TextWarning(UserWarning):
    """A text seems to lack a value; it is sent as it is."""


def _rebuild(cls: type[ErrorT], args: tuple[Any, ...]) -> ErrorT:
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class LinkedApiError(Exception):
    """Base of all errors that this library defines.

    Attributes:
        message: What happened, in words.
        workflow_id: The workflow it happened to, if it is known.
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
        # The state comes third, because it may refer to the error itself.
        return (_rebuild, (type(self), self.args), self.__dict__)


class WorkflowError(LinkedApiError, ValueError):
    """The workflow is wrong; nothing was sent.

    Attributes:
        path: Where in the tree, such as ``root.then[1].then[0]``; empty if the action
            was built on its own.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.path}: {text}" if self.path else text


class NestingError(WorkflowError):
    """An action is nested in the wrong place.

    Attributes:
        offender: The action type that cannot be nested there.
        parent: The action type above it, or None at the root.
        allowed: The action types that can be nested there.
        nearest: The allowed one with the nearest spelling, if one is near.
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
        place = "be a root" if parent is None else f"be nested under {parent}"
        hint = f"; did you mean {nearest}?" if nearest else ""
        # A list of the 40 action types that can be a root would not help.
        many = parent is None
        names = "a search, an open page, …" if many else ", ".join(allowed) or "nothing"
        super().__init__(
            f"{offender} cannot {place}; allowed there: {names}{hint}",
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
        parameter: Its name, with the place inside it if it has several values.
        reason: What is wrong, as a predicate: ``must be at least 1, got 0``.
    """

    def __init__(
        self, *, owner: str, parameter: str, reason: str, path: str = ""
    ) -> None:
        super().__init__(f"{owner}: {parameter} {reason}", path=path)
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


class AllowanceError(WorkflowError):
    """The workflow may do more than the pace of its account ever allows.

    Attributes:
        category: The account limit, such as ``stMessages``.
        most: The most actions of that category that it may do; `math.inf` if that has
            no bound.
        allowance: How many the pace allows in a whole *period*.
        period: ``day``, ``week`` or ``month``.
        products: How *most* is calculated: the lists for whose items actions are done.
    """

    def __init__(
        self,
        *,
        category: str,
        most: float,
        allowance: int,
        period: str,
        products: Sequence[str],
        path: str = "",
    ) -> None:
        count = "any number of" if most == math.inf else f"up to {most:,}"
        super().__init__(
            f"the workflow may do {count} actions that count against {category} "
            f"({'; '.join(products)}), and the pace allows {allowance:,} a {period}: "
            "bound its lists with limit=, or allow more",
            path=path,
        )
        self.category = category
        self.most = most
        self.allowance = allowance
        self.period = period
        self.products: tuple[str, ...] = tuple(products)


class UnsupportedError(WorkflowError):
    """The API generation in use does not have an action, parameter or endpoint.

    Attributes:
        generation: ``account_api`` or ``linked_api``.
    """

    def __init__(self, message: str, *, generation: str, path: str = "") -> None:
        super().__init__(message, path=path)
        self.generation = generation


class RequestError(LinkedApiError):
    """A request failed: the API refused it, or no complete answer came.

    Attributes:
        type: The API's error type, if it sent one.
        http_status: The HTTP status, if there was an answer.
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
        """The API's reason, same as ``type``."""
        return self.type


class RejectedError(RequestError):
    """The API refused this request; a repeated request gets the same answer."""


class RateLimitedError(RequestError):
    """There were too many requests.

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
    """The answer is not one of the API."""


class ConnectionFailedError(RequestError, ConnectionError):
    """There was no answer: no connection, a broken one, or a timeout.

    ``http_status`` is the status of a proxy that refused to connect.
    """

    def __init__(
        self, message: str, *, sent: bool, http_status: int | None = None
    ) -> None:
        super().__init__(message, http_status=http_status)
        self.sent = sent


class PaceError(LinkedApiError):
    """The pace of the account allows no start yet; nothing was sent.

    Attributes:
        account: The ``name`` of the account.
        reason: What holds the start back, as text.
        until: When the pace allows it, with a time zone; None if that is unknown.
        category: The account limit that is used up, such as ``stConnectionRequests``;
            None if the whole account waits.
    """

    def __init__(
        self,
        reason: str,
        *,
        account: str,
        until: dt.datetime | None = None,
        category: str | None = None,
    ) -> None:
        when = f"; start it again at {format_time(until)} or later" if until else ""
        super().__init__(f"account {account}: {reason}{when}; nothing was sent")
        self.account = account
        self.reason = reason
        self.until = until
        self.category = category


class SuppressedError(LinkedApiError):
    """A workflow would write to a target again, or to one in ``never``; not sent.

    Attributes:
        target: The canonical URL or id of the target.
        since: When it was contacted; None if it was not, or if the time is unknown.
        key: The key of the item that contacted it; None without a key.
    """

    def __init__(
        self,
        message: str,
        *,
        target: str,
        since: dt.datetime | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.target = target
        self.since = since
        self.key = key


class StartUnknownError(LinkedApiError):
    """A start was sent, and it is unknown whether the server accepted it.

    Starting it again may do everything twice. The account's history in the platform
    shows whether the workflow runs.

    Attributes:
        account: The ``name`` of the account it was sent for.
        candidates: The ids of workflows that this start may have created, according to
            webhook events.
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
        reason: The API's reason, such as ``linkedinAccountSignedOut``.
        explanation: The API's message.
        raw: The completion in JSON, if the API sent one; else None.
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
        super().__init__(
            "the API does not know this id; check the id and the account",
            workflow_id=workflow_id,
        )


class WaitTimeoutError(LinkedApiError, TimeoutError):
    """The wait ended; the workflow goes on.

    Attributes:
        handle: The handle with which to wait again; None after pickling.
        pending_reason: Why the workflow is pending, as the API spells it.
        api_message: The explanation of the API for people, as it is.
    """

    def __init__(
        self,
        *,
        seconds: float,
        handle: Any,
        workflow_id: str,
        pending_reason: str | None = None,
        api_message: str | None = None,
    ) -> None:
        known = [text for text in (pending_reason, api_message) if text]
        reason = f" ({' – '.join(known)})" if known else ""
        super().__init__(
            f"not finished after {seconds:g} s{reason}; the workflow goes on: wait again with "
            "handle.result() or session.attach()",
            workflow_id=workflow_id,
        )
        self.handle = handle
        self.pending_reason = pending_reason
        self.api_message = api_message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args), {**self.__dict__, "handle": None})


class SessionClosedError(LinkedApiError):
    """The session was closed during a wait; the workflow goes on."""

    def __init__(self, *, workflow_id: str | None = None) -> None:
        advice = "; wait again with session.attach(id)" if workflow_id else ""
        super().__init__(f"the session was closed{advice}", workflow_id=workflow_id)


class PollingCrashedError(LinkedApiError, RuntimeError):
    """The session's polling engine crashed; the workflow goes on.

    The session starts nothing more; a new session can wait for the workflow. The crash
    is a bug of this library; ``__cause__`` has the error behind it.
    """

    def __init__(self, *, workflow_id: str | None = None) -> None:
        advice = "; wait again with session.attach(id) in a new session"
        super().__init__(
            f"the polling engine crashed{advice if workflow_id else ''}",
            workflow_id=workflow_id,
        )


class JournalError(LinkedApiError):
    """The journal could not be written or read.

    The change is not on disk: the file is damaged, the disk is full, the journal is
    closed, or the change is not possible in the state of the row.
    """


class JournalLockedError(JournalError):
    """Another session or process has the journal open.

    Attributes:
        path: The file of the journal.
    """

    def __init__(self, *, path: str) -> None:
        super().__init__(
            f"the journal {path} is open in another session or process; end that one, "
            "or use one file for each"
        )
        self.path = path


class QueueError(LinkedApiError):
    """A queue of `linkedapi_async.fleet` could not be used or changed.

    Its database cannot be reached or belongs to something else, a key has another
    workflow, or the change is not possible in the state of the item.
    """


class NotConnectedError(LinkedApiError):
    """A session for connecting a LinkedIn account ended without an account.

    Attributes:
        session_id: The connection session; anyone who has the id can open its page.
        status: Its last status, such as ``expired`` or ``cancelled``; ``success`` if it
            is unknown which account was connected.
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
    """The account was not connected in time; the connection session goes on."""


class WebhookError(LinkedApiError, ValueError):
    """A delivery to a webhook was refused.

    The message is for the operator of the receiver; the sender gets only the status.

    Attributes:
        status: The HTTP status to answer with: 400 not an event, 401 not signed
            correctly, 408 too slow, 413 too large, 503 too many at once.
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
        completion: Everything that the workflow yielded.
        category: The account limit that the action counts against, such as
            ``stMessages``; None if it counts against no known limit.
    """

    def __init__(
        self,
        *,
        type: str,
        message: str,
        action_type: str,
        label: str | None,
        completion: Completion,
        category: str | None = None,
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
        self.category = category

    @property
    def done(self) -> tuple[Any, ...]:
        """What the workflow changed on LinkedIn before: `Completion.written`."""
        return self.completion.written


class AmbiguousKeyError(LinkedApiError, KeyError):
    """Several outcomes match the key."""


class ResultMissingError(LinkedApiError, KeyError):
    """No outcome matches the key."""


About: TypeAlias = Literal["target", "workflow", "category", "account", "token", "host"]
"""What an error concerns.

- ``target``: the person, company, post or conversation; other targets are not affected.
- ``workflow``: the workflow itself; it would fail for every target.
- ``category``: one account limit, such as ``stMessages``; other actions still work.
- ``account``: the LinkedIn account; none of its workflows can run.
- ``token``: the main token or its subscription; no account can run workflows.
- ``host``: the API or the connection to it.
"""


class Verdict(NamedTuple):
    """What an error means for other workflows."""

    about: About
    """What failed."""
    passes: bool
    """Whether the cause ends without any action of yours."""
    category: str | None = None
    """The account limit; only for ``category``, and None if it is unknown."""
    retry_after: float | None = None
    """When the cause ends, in seconds from now; None if that is unknown."""


class _VerdictFacts(NamedTuple):
    about: About
    passes: bool
    raised_as: type[RequestError] = RejectedError
    """The class of the error when a request is refused with it."""


# https://linkedapi.io/docs/making-requests, and the pages of the actions
_VERDICTS: Final[dict[str, _VerdictFacts]] = {
    # The main token and its subscription
    "accountApiTokenRequired": _VerdictFacts("token", False, AuthenticationError),
    "invalidAccountApiToken": _VerdictFacts("token", False, AuthenticationError),
    "linkedApiTokenRequired": _VerdictFacts("token", False, AuthenticationError),
    "invalidLinkedApiToken": _VerdictFacts("token", False, AuthenticationError),
    "noAvailableSeats": _VerdictFacts("token", False),
    "trialLimitReached": _VerdictFacts("token", False, AccountPausedError),
    "dailyConnectionAttemptsExceeded": _VerdictFacts("token", True),
    # The account
    "identificationTokenRequired": _VerdictFacts("account", False, AuthenticationError),
    "invalidIdentificationToken": _VerdictFacts("account", False, AuthenticationError),
    "subscriptionRequired": _VerdictFacts("account", False, AccountPausedError),
    "linkedinAccountSignedOut": _VerdictFacts("account", False, AccountPausedError),
    "languageNotSupported": _VerdictFacts("account", False, AccountPausedError),
    "accountNotFound": _VerdictFacts("account", False),
    "noSalesNavigator": _VerdictFacts("account", False),
    "outsideWorkingHours": _VerdictFacts("account", True),
    "workingHoursWaitExpired": _VerdictFacts("account", True),
    # One category of the account
    "limitExceeded": _VerdictFacts("category", True),
    "noteLimitExceeded": _VerdictFacts("category", True),
    "requestNotAllowed": _VerdictFacts("category", True),
    "searchingNotAllowed": _VerdictFacts("category", True),
    # The workflow
    "invalidRequestPayload": _VerdictFacts("workflow", False),
    "invalidWorkflow": _VerdictFacts("workflow", False),
    "plusPlanRequired": _VerdictFacts("workflow", False),
    "accountIdRequired": _VerdictFacts("workflow", False),
    "noteTooLong": _VerdictFacts("workflow", False),
    "searchInterfaceMismatch": _VerdictFacts("workflow", False),
    "filterNotApplied": _VerdictFacts("workflow", False),
    "filterIdentityMismatch": _VerdictFacts("workflow", False),
    "mentionNotResolved": _VerdictFacts("workflow", False),
    "noPostingPermission": _VerdictFacts("workflow", False),
    "workflowTimeout": _VerdictFacts("workflow", True),
    "unknownError": _VerdictFacts("workflow", False),
    # The target
    "personNotFound": _VerdictFacts("target", False),
    "companyNotFound": _VerdictFacts("target", False),
    "postNotFound": _VerdictFacts("target", False),
    "jobNotFound": _VerdictFacts("target", False),
    "commentNotFound": _VerdictFacts("target", False),
    "threadNotFound": _VerdictFacts("target", False),
    "skillNotFound": _VerdictFacts("target", False),
    "connectionNotFound": _VerdictFacts("target", False),
    "sessionNotFound": _VerdictFacts("target", False),
    "conversationsNotSynced": _VerdictFacts("target", False),
    "selfProfileNotAllowed": _VerdictFacts("target", False),
    "messagingNotAllowed": _VerdictFacts("target", False),
    "retrievingNotAllowed": _VerdictFacts("target", False),
    "commentingNotAllowed": _VerdictFacts("target", False),
    "replyingNotAllowed": _VerdictFacts("target", False),
    "repostNotAllowed": _VerdictFacts("target", False),
    "endorsementUnavailable": _VerdictFacts("target", False),
    "emailRequired": _VerdictFacts("target", False),
    "alreadyPending": _VerdictFacts("target", False),
    "alreadyConnected": _VerdictFacts("target", False),
    "notPending": _VerdictFacts("target", False),
    "duplicateComment": _VerdictFacts("target", False),
    "alreadyReposted": _VerdictFacts("target", False),
    # The host
    "tooManyRequests": _VerdictFacts("host", True, RateLimitedError),
    "httpError": _VerdictFacts("host", True),
}

# For errors without a type of the API; the first class that fits decides.
_VERDICTS_BY_CLASS: Final[
    tuple[tuple[type[LinkedApiError], tuple[About, bool]], ...]
] = (
    (RateLimitedError, ("host", True)),
    (ConnectionFailedError, ("host", True)),
    (ProtocolError, ("host", True)),
    (AuthenticationError, ("token", False)),
    (AccountPausedError, ("account", False)),
    (SuppressedError, ("target", False)),
    (WaitTimeoutError, ("workflow", True)),
    (PaceError, ("account", True)),
)


def request_error_class(error_type: str) -> type[RequestError]:
    """Return the class of the error when a request is refused with *error_type*."""
    row = _VERDICTS.get(error_type)
    return RejectedError if row is None else row.raised_as


def verdict_of(error: BaseException) -> Verdict:
    """Return what *error* concerns, and whether its cause is temporary.

    The API's error type or failure reason decides; without one, the class of the error.
    An unknown type is taken to concern the workflow and to be permanent.

    Args:
        error: Any error; those of this library give the most exact answer.
    """
    if isinstance(error, PaceError) and error.category is not None:
        return Verdict("category", passes=True, category=error.category)
    name = getattr(error, "reason", None) or getattr(error, "type", None)
    found = _VERDICTS.get(name) if isinstance(name, str) else None
    by_class = (v for cls, v in _VERDICTS_BY_CLASS if isinstance(error, cls))
    about, passes = found[:2] if found else next(by_class, ("workflow", False))
    category = error.category if isinstance(error, ActionError) else None
    return Verdict(
        about=about,
        passes=passes,
        category=category if about == "category" else None,
        retry_after=error.retry_after if isinstance(error, RateLimitedError) else None,
    )
