"""The endpoints that need no workflow: messages, events, usage.

They answer at once with data that workflows have synced before.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast, overload
from urllib.parse import urlencode

from linkedapi_async._actions.validators import InvalidValue, TargetString
from linkedapi_async._http.requests import Method
from linkedapi_async._utils.spelling import json_name
from linkedapi_async._utils.text import short_repr
from linkedapi_async._utils.times import format_time, parse_time
from linkedapi_async._wire.read import structure
from linkedapi_async.errors import (
    ParameterError,
    ProtocolError,
    RejectedError,
    RequestError,
    StartUnknownError,
    UnsupportedError,
)
from linkedapi_async.results import (
    AccountInfo,
    ActionUse,
    Conversation,
    ConversationQuery,
    FeedbackType,
    InboxMessage,
    InboxType,
    Moment,
    NetworkEvent,
    NetworkEventType,
    PersonInbox,
)
from linkedapi_async.session._inbox import Cursor, InboxItem, ItemStream, item_of
from linkedapi_async.session._runner import Runner


T = TypeVar("T")

LONGEST_PERIOD = dt.timedelta(days=30)
"""The longest period that the usage endpoint accepts."""

USAGE_PAGE = "https://linkedapi.io/docs/account-api/api-usage-statistics"

MAX_FEEDBACK = 5000
"""The longest feedback, in characters."""

LONGEST_WINDOW = 366 * 86_400
"""In seconds."""

# Only the first of these error types is documented.
ADVICE = {
    "conversationsNotSynced": (
        "run st.sync_conversation or nv.sync_conversation once for each of the people"
    ),
    "inboxNotSynced": "run st.sync_inbox or nv.sync_inbox once",
    "networkNotSynced": "run st.sync_network once",
}


def _moment(owner: str, name: str, value: object) -> str | None:
    """Return a point in time as it is sent; text is sent unchanged."""
    if value is None or (isinstance(value, str) and parse_time(value) is not None):
        return value
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return format_time(value)
    naive = isinstance(value, dt.datetime)
    reason = (
        "must have a time zone: datetime.now(UTC), not datetime.now()"
        if naive
        else f"must be ISO 8601 text or a datetime, got {short_repr(value)}"
    )
    raise ParameterError(owner=owner, parameter=name, reason=reason)


_TARGETS: Final = {
    "person_url": TargetString("person"),
    "thread_id": TargetString("thread"),
}


def _without_none(owner: str, **texts: object) -> dict[str, Any]:
    """Return the *texts* that are not None, by their JSON names."""
    for name, text in texts.items():
        if not (text is None or (isinstance(text, str) and text)):
            reason = f"must be a string that is not empty, got {short_repr(text)}"
            raise ParameterError(owner=owner, parameter=name, reason=reason)
        if text is not None and name in _TARGETS:
            try:
                _TARGETS[name].check(text)
            except InvalidValue as error:
                raise ParameterError(
                    owner=owner, parameter=name, reason=error.reason
                ) from None
            _TARGETS[name].warn(text, f"{owner}: {name}")
    return {json_name(name): text for name, text in texts.items() if text is not None}


class EndpointMethods(ABC):
    """The methods that need no workflow."""

    @abstractmethod
    def _runner(self) -> Runner:
        """Return the runner of the account that the methods work on."""

    async def poll_conversations(
        self, conversations: Iterable[ConversationQuery | str | dict[str, Any]]
    ) -> list[Conversation]:
        """Return the messages of conversations that were synced before.

        In linked_api, prefer `poll_inbox` with *person_url*, which is newer.

        Args:
            conversations: URLs of persons, `ConversationQuery` objects, or dicts as in
                the API's docs, which are sent unchanged.

        Raises:
            ParameterError: A conversation is not valid; nothing was sent.
            RejectedError: A conversation was never synced, ``conversationsNotSynced``.
            RequestError: The API refused, or did not answer.

        https://linkedapi.io/docs/working-with-conversations
        """
        runner = self._runner()
        body = [_query(each) for each in _validate_conversations(conversations)]
        if not body:
            runner.runtime.check_open()
            return []
        return await _ask(
            runner,
            "POST",
            "/conversations/poll",
            partial(_many, Conversation),
            body,
        )

    @overload
    async def poll_inbox(
        self,
        *,
        person_url: str,
        since: Moment | None = ...,
        type: InboxType | None = ...,
        thread_id: str | None = ...,
    ) -> PersonInbox: ...
    @overload
    async def poll_inbox(
        self,
        *,
        person_url: None = ...,
        since: Moment | None = ...,
        type: InboxType | None = ...,
        thread_id: str | None = ...,
    ) -> list[InboxMessage]: ...
    async def poll_inbox(
        self,
        *,
        person_url: str | None = None,
        since: Moment | None = None,
        type: InboxType | None = None,
        thread_id: str | None = None,
    ) -> PersonInbox | list[InboxMessage]:
        """Return the captured messages, newest first; linked_api only.

        The API captures messages once `st.sync_inbox` or `nv.sync_inbox` has run.

        Args:
            person_url: Only the whole known conversation with this person, as a
                `PersonInbox`.
            since: Only messages since this moment; ISO 8601, or a datetime with a zone.
            type: ``st`` or ``nv``; by default both.
            thread_id: Only this thread.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            ParameterError: A parameter is not valid; nothing was sent.
            RequestError: The API refused, or did not answer.

        https://linkedapi.io/docs/working-with-conversations
        """
        runner = _require_linked_api(self._runner(), "poll_inbox")
        texts = {"type": type, "thread_id": thread_id, "person_url": person_url}
        body = _since("poll_inbox", since, texts)
        if person_url is None:
            return await _poll(runner, "/inbox/poll", body, InboxMessage, "messages")
        read = partial(_one, PersonInbox)
        return await _ask(runner, "POST", "/inbox/poll", read, body)

    async def poll_network(
        self, *, since: Moment | None = None, type: NetworkEventType | None = None
    ) -> list[NetworkEvent]:
        """Return the changes of the account's connections, newest first.

        In linked_api only. The API captures changes once `st.sync_network` has run.

        Args:
            since: Only events since this moment; ISO 8601, or a datetime with a zone.
            type: ``connectionAccepted``, ``connectionAdded`` or
                ``connectionRequestReceived``; by default all.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            ParameterError: A parameter is not valid; nothing was sent.
            RequestError: The API refused, or did not answer.

        https://linkedapi.io/docs/making-requests
        """
        runner = _require_linked_api(self._runner(), "poll_network")
        body = _since("poll_network", since, {"type": type})
        return await _poll(runner, "/network/poll", body, NetworkEvent, "events")

    async def info(self) -> AccountInfo:
        """Return who the account is, which checks both tokens; linked_api only.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            AuthenticationError: A token is wrong.
            RequestError: The API refused otherwise, or did not answer.

        https://linkedapi.io/docs/making-requests
        """
        runner = _require_linked_api(self._runner(), "info")
        return await _ask(runner, "GET", "/account", partial(_one, AccountInfo))

    async def usage(self, start: Moment, end: Moment) -> list[ActionUse]:
        """Return every action that the account executed in a period.

        Args:
            start: When it begins; ISO 8601, or a datetime with a zone.
            end: When it ends, at most 30 days later.

        Raises:
            ParameterError: The period is not valid; nothing was sent.
            RequestError: The API refused, or did not answer.

        https://linkedapi.io/docs/account-api/api-usage-statistics
        """
        path = f"/stats/actions?{urlencode(_period(start, end))}"
        return await _ask(self._runner(), "GET", path, partial(_many, ActionUse))

    async def send_feedback(
        self, type: FeedbackType, message: str, **context: str
    ) -> str:
        """Send feedback on the API to Linked API; linked_api only.

        It is sent once: if it may have arrived in spite of a failure, it is not
        retried.

        Args:
            type: ``bug``, ``feature``, ``praise`` or ``other``.
            message: 1 to 5,000 characters.
            context: Further information: ``severity`` (low, medium or high),
                ``surface``, ``workflow_id``, ``operation_name``, ``error_text``,
                ``agent``, and anything else; sent under the names in camelCase.

        Returns:
            The API's id of the feedback.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            ParameterError: The message is empty or too long; nothing was sent.
            RequestError: The API refused, or did not answer.
        """
        runner = _require_linked_api(self._runner(), "send_feedback")
        body = _without_none("send_feedback", type=type, message=message)
        if len(message) > MAX_FEEDBACK:
            reason = f"must be at most {MAX_FEEDBACK} characters, got {len(message)}"
            raise ParameterError(
                owner="send_feedback", parameter="message", reason=reason
            )
        if context:
            body["context"] = _without_none("send_feedback", **context)
        return await _send(runner, "/feedback", _feedback_id, body)

    def messages(
        self,
        cursor: str | None = None,
        *,
        since: Moment | None = None,
        type: InboxType | None = None,
        thread_id: str | None = None,
        interval: float = 30.0,
        window: float = 3600.0,
        follow: bool = True,
    ) -> ItemStream[InboxMessage]:
        """Iterate over captured messages, oldest first; linked_api only.

        Messages of the account itself are included: ``message.sender`` is ``us`` or
        ``them``. `ItemStream` describes the use, and when a message is acknowledged.
        Without a crash each message is delivered once, after a crash at least once.

        Args:
            cursor: Where to continue: the `cursor` of an earlier iterator. By default
                it begins with the oldest captured message, or at *since*.
            since: Where to begin without a cursor; ISO 8601, or a datetime with a zone.
            type: ``st`` or ``nv``; by default both.
            thread_id: Only this thread.
            interval: The time between two polls, in seconds. While polls fail it
                doubles, up to 300.
            window: How late a message may be captured, in seconds: a late one may be so
                much older than the newest message. The cursor grows with it.
            follow: False ends the iteration when there is nothing new, and raises the
                error of a poll that fails.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            ValueError: The cursor is not one of messages, or a number is not allowed.
        """
        runner = _require_linked_api(self._runner(), "messages")
        texts = _without_none("messages", type=type, thread_id=thread_id)

        async def poll(since: str | None) -> list[InboxItem]:
            """Return the items since a point in time."""
            messages = await self.poll_inbox(
                since=since, type=texts.get("type"), thread_id=texts.get("threadId")
            )
            return [item_of(message, message.time) for message in messages]

        position = _position("messages", cursor, since, window)
        return ItemStream(runner, position, poll, interval=interval, follow=follow)

    def network_events(
        self,
        cursor: str | None = None,
        *,
        since: Moment | None = None,
        type: NetworkEventType | None = None,
        interval: float = 30.0,
        window: float = 3600.0,
        follow: bool = True,
    ) -> ItemStream[NetworkEvent]:
        """Iterate over changes of the account's connections, oldest first.

        It works like `messages`; linked_api only.

        Args:
            cursor: Where to continue, as for `messages`.
            since: Where to begin without a cursor, as for `messages`.
            type: ``connectionAccepted``, ``connectionAdded`` or
                ``connectionRequestReceived``; by default all.
            interval: The time between two polls, in seconds.
            window: How late an event may be captured, in seconds.
            follow: False ends the iteration when there is nothing new.

        Raises:
            UnsupportedError: The account_api generation has no such endpoint.
            ValueError: The cursor is not one of network events, or a number is not
                allowed.
        """
        runner = _require_linked_api(self._runner(), "network_events")
        texts = _without_none("network_events", type=type)

        async def poll(since: str | None) -> list[InboxItem]:
            """Return the items since a point in time."""
            events = await self.poll_network(since=since, type=texts.get("type"))
            return [item_of(event, event.detected_at) for event in events]

        position = _position("network_events", cursor, since, window)
        return ItemStream(runner, position, poll, interval=interval, follow=follow)


# Requests


def _require_linked_api(runner: Runner, method: str) -> Runner:
    """Return *runner*, if its generation has *method*."""
    if runner.runtime.requests.generation == "account_api":
        message = (
            f"the account_api generation has no {method}; use a session with "
            "linked_api_token="
        )
        raise UnsupportedError(message, generation="account_api")
    return runner


def _validate_conversations(conversations: object) -> Iterable[Any]:
    if isinstance(conversations, str | Mapping) or not isinstance(
        conversations, Iterable
    ):
        reason = f"must be a list, got {type(conversations).__name__}"
        raise ParameterError(
            owner="poll_conversations", parameter="conversations", reason=reason
        )
    return conversations


def _query(each: object) -> dict[str, Any]:
    if isinstance(each, dict):
        return each
    query: Any = (
        each
        if isinstance(each, ConversationQuery)
        else ConversationQuery(cast("str", each))
    )
    owner = "poll_conversations"
    if not query.person_url:
        raise ParameterError(owner=owner, parameter="person_url", reason="is required")
    since = _moment(owner, "since", query.since)
    return _without_none(
        owner, person_url=query.person_url, since=since, type=query.type
    )


def _since(owner: str, since: object, texts: dict[str, Any]) -> dict[str, Any]:
    return _without_none(owner, since=_moment(owner, "since", since), **texts)


def _period(start: object, end: object) -> dict[str, str]:
    """Return the query of a period that the API accepts."""
    sent = {"start": _moment("usage", "start", start)}
    sent["end"] = _moment("usage", "end", end)
    times: list[dt.datetime] = []
    for name, text in sent.items():
        when = parse_time(text)
        if when is None:
            raise ParameterError(owner="usage", parameter=name, reason="is required")
        times.append(when)
    first, last = times
    if first >= last:
        got = f"must be after start, {sent['start']}, got {sent['end']}"
        reason = f"{got}; see {USAGE_PAGE}"
        raise ParameterError(owner="usage", parameter="end", reason=reason)
    if last - first > LONGEST_PERIOD:
        reason = f"must be at most 30 days after the start; see {USAGE_PAGE}"
        raise ParameterError(owner="usage", parameter="end", reason=reason)
    return {name: str(text) for name, text in sent.items()}


def _position(
    of: str, cursor: str | None, since: Moment | None, window: float
) -> Cursor:
    if not 0 <= window <= LONGEST_WINDOW:
        message = f"window must be 0 to {LONGEST_WINDOW} seconds, got {window!r}"
        raise ValueError(message)
    begin = parse_time(_moment(of, "since", since))
    position = Cursor(of, dt.timedelta(seconds=window), since=begin)
    if cursor is not None:
        position.load(cursor)
    return position


# Answers


async def _send(runner: Runner, path: str, read: Callable[[Any], T], body: Any) -> T:
    """Send *body* at most once, and raise its failure unchanged."""
    runner.runtime.check_open()
    request = runner.runtime.requests.direct("POST", path, body)
    try:
        return await runner.call(request, "start_write", read)
    except StartUnknownError as error:
        failed = cast("RequestError", error.__cause__)
    # Outside of the handler: otherwise its context would say that a start is unknown.
    raise failed


def _feedback_id(result: Any) -> str:
    return str(_object(result).get("feedbackId") or "")


async def _poll(
    runner: Runner, path: str, body: Any, cls: type[T], field: str
) -> list[T]:
    """Return the list in one field of the answer."""

    def read(result: Any) -> list[T]:
        fields = _object(result)
        return _many(cls, [] if fields.get(field) is None else fields[field])

    return await _ask(runner, "POST", path, read, body)


async def _ask(
    runner: Runner,
    method: Method,
    path: str,
    read: Callable[[Any], T],
    body: Any = None,
) -> T:
    """Return the value of an endpoint; a refusal says what to do about it."""
    runner.runtime.check_open()
    request = runner.runtime.requests.direct(method, path, body)
    try:
        return await runner.call(request, "ask", read)
    except RejectedError as error:
        advice = ADVICE.get(error.type or "")
        if advice is None:
            raise
        refused = RejectedError(
            f"{error.message} ({advice})",
            type=error.type,
            http_status=error.http_status,
        )
    raise refused


def _object(result: Any) -> dict[str, Any]:
    if not isinstance(result, dict):
        message = f"the answer must be an object, got {type(result).__name__}"
        raise ProtocolError(message)
    return result


def _one(cls: type[T], result: Any) -> T:
    made: T = structure(_object(result), cls)
    return made


def _many(cls: type[T], result: Any) -> list[T]:
    if not isinstance(result, list):
        raise ProtocolError(f"the answer must be a list, got {type(result).__name__}")
    made: list[T] = structure(result, list[cls])  # type: ignore[valid-type]
    return made
