"""The sandbox's inboxes and networks: the data that is read without a workflow.

The effects of workflows are computed when the data is read. The time starts at the time
of the made-up world and runs as fast as the sandbox works.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import attrs

from linkedapi_async._actions.action import Action
from linkedapi_async._types import Generation, Json
from linkedapi_async._utils.json import decode_json
from linkedapi_async.sandbox._clock import Calendar, Clock
from linkedapi_async.sandbox._completions import CompletionFactory, sync_days
from linkedapi_async.sandbox._definitions import loaded
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._outcomes import OutcomeSource
from linkedapi_async.sandbox._responses import ApiError, invalid_payload, reply
from linkedapi_async.sandbox._tokens import TokenStore, account_id, account_name
from linkedapi_async.sandbox._world import Entity, World


if TYPE_CHECKING:
    from aiohttp import web

    from linkedapi_async.sandbox._faults import Work


InboxType: TypeAlias = Literal["st", "nv"]

NetworkType: TypeAlias = Literal[
    "connectionAccepted", "connectionAdded", "connectionRequestReceived"
]

EventCallback: TypeAlias = Callable[[str, Json], None]
"""Called with the type of a webhook event and its data."""

HOUR_MS = 3_600_000

MAX_PERIOD = dt.timedelta(days=30)

FEEDBACK_TYPES = ("bug", "feature", "praise", "other")

MAX_FEEDBACK = 5000

RECENT = 3
"""The number of messages that the first sync of an inbox finds."""

TEXTS = (
    *("Thanks for connecting!", "Do you have time for a call?", "Sounds good."),
    *("Could you send me the details?", "Let me get back to you.", "See you there!"),
)


class RecordingFactory(CompletionFactory):
    """Makes a completion and records its actions and their targets."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.done: list[tuple[Action[Any, Any, Any], Entity | None]] = []

    def _node(
        self, action: Action[Any, Any, Any], raw: Any, on: Entity | None
    ) -> dict[str, Any]:
        if action.action_type not in self._failing_actions:
            self.done.append((action, self._target(action) or on))
        return super()._node(action, raw, on)


@attrs.define
class AccountMailbox:
    """The inbox, the network and the action statistics of one account."""

    messages: list[Json] = attrs.field(factory=list)
    """The messages of the inbox, in the order in which they were found."""
    history: dict[tuple[str, str], list[Json]] = attrs.field(factory=dict)
    """The history of the synced conversations, by person and type."""
    sync_until: dict[tuple[str, str], int] = attrs.field(factory=dict)
    """Until when conversations are synced, in Unix milliseconds."""
    events: list[Json] = attrs.field(factory=list)
    uses: list[Json] = attrs.field(factory=list)
    synced: set[str] = attrs.field(factory=set)
    """The inbox types that were synced."""
    pending: list[RecordedWorkflow] = attrs.field(factory=list)
    """Workflows whose effects are not computed yet."""


class AccountData:
    """The endpoints that read data without a workflow.

    Inboxes and networks count as synced from the start, because it is unknown what the
    API answers before a sync. Conversations do not.

    Args:
        world: The people of the messages and events.
        clock: The sandbox's clock.
        calendar: Its dates.
        tokens: The valid tokens.
        log: The workflows whose effects are worked out.
        outcomes: Returns the completions of the workflows.
    """

    def __init__(
        self,
        *,
        world: World,
        clock: Clock,
        calendar: Calendar,
        tokens: TokenStore,
        log: RequestLog,
        outcomes: OutcomeSource,
    ) -> None:
        self._world = world
        self._clock = clock
        self._calendar = calendar
        self._start_ms = calendar.ms_at(0.0)
        self._tokens = tokens
        self._log = log
        self._outcomes = outcomes
        self._mailboxes: dict[str, AccountMailbox] = {}
        self.feedback: list[Json] = []
        """Every received feedback, as the body of its request."""
        self._read = 0
        self.inclusive: bool = True
        """Whether ``since`` includes the time itself, which the API does not publish."""
        self.on_event: EventCallback | None = None
        """Called with every new message and network event."""

    # For users

    def now(self) -> dt.datetime:
        """Return the time on the sandbox's calendar, in UTC."""
        return self._calendar.now().astimezone(dt.UTC)

    def receive_message(
        self, token: str, person_url: str, text: str, *, type: InboxType = "st"
    ) -> str:
        """Receive a message from a person; return its id."""
        _one_of("type", type, get_args(InboxType))
        name = account_name(token)
        box = self._box(name)
        person = self._world.person(person_url)
        message = self._message(
            name, person, type, sender="them", text=text, ms=self._now_ms()
        )
        self._capture(name, box, message)
        return str(message["id"])

    def change_network(
        self, token: str, person_url: str, type: NetworkType = "connectionAccepted"
    ) -> str:
        """Add an event to the network of an account; return its id."""
        _one_of("type", type, get_args(NetworkType))
        name = account_name(token)
        box = self._box(name)
        person = self._world.person(person_url)
        event = {
            "id": _id("net", name, len(box.events)),
            "type": type,
            "personUrn": person.facts["urn"],
            "personUrl": person.facts["public_url"],
            "detectedAt": _moment(self._now_ms()),
        }
        box.events.append(event)
        self._emit(f"network.{type}", name, event, "id", "type")
        return str(event["id"])

    def update(self) -> None:
        """Compute the effects of all workflows that have ended."""
        for workflow in self._log.workflows[self._read :]:
            self._mailboxes.setdefault(
                workflow.account, AccountMailbox()
            ).pending.append(workflow)
        self._read = len(self._log.workflows)
        for name, box in self._mailboxes.items():
            pending, box.pending = box.pending, []
            for workflow in pending:
                if workflow.finished is None:
                    box.pending.append(workflow)
                elif workflow.state == "completed":
                    self._apply(name, box, workflow)

    # Effects of workflows

    def _apply(
        self, name: str, box: AccountMailbox, workflow: RecordedWorkflow
    ) -> None:
        ended = workflow.finished or 0.0
        ms = self._calendar.ms_at(ended)
        done = list(_uses(self._outcomes.completion(workflow)))
        for action_type, success in done:
            use = {"actionType": action_type, "success": success, "time": _moment(ms)}
            box.uses.append(use)
        recorder = RecordingFactory(
            self._world,
            workflow.generation,
            name,
            self._outcomes.failing_actions_at(ended),
        )
        definition = workflow.definition
        recorder.completion(loaded(definition), definition)
        # The actions of a type that succeeded are the first ones, because a limit that
        # is reached lets all later ones fail.
        succeeded = Counter(action_type for action_type, success in done if success)
        for action, person in recorder.done:
            succeeded[action.action_type] -= 1
            if succeeded[action.action_type] >= 0:
                self._apply_action(name, box, action, person, ms)

    def _apply_action(
        self,
        name: str,
        box: AccountMailbox,
        action: Action[Any, Any, Any],
        person: Entity | None,
        ms: int,
    ) -> None:
        """Apply the effect of an action that succeeded."""
        type, _, what = action.action_type.partition(".")
        if what == "syncInbox" and type not in box.synced:
            box.synced.add(type)
            box.messages += self._recent(name, type)
        elif what == "syncConversation" and person is not None:
            self._load(name, box, person, type)
            until = ms + sync_days(action) * 24 * HOUR_MS
            box.sync_until[person.key, type] = until
        elif what == "sendMessage":
            text = str(getattr(action, "text", ""))
            thread = getattr(action, "thread_id", None)
            person = person or self._of_thread(box, thread)
            if person is not None:
                message = self._message(
                    name, person, type, sender="us", text=text, ms=ms
                )
                self._capture(name, box, message)

    def _of_thread(self, box: AccountMailbox, thread: str | None) -> Entity | None:
        urls = (m["personUrl"] for m in box.messages if m["threadId"] == thread)
        url = next(urls, None)
        return None if url is None else self._world.person(url)

    def _recent(self, name: str, type: str) -> Iterator[Json]:
        random = self._world.random(f"inbox/{name}/{type}")
        for number in range(RECENT):
            company = self._world.company_named("Northern Robotics").key
            person = self._world.member(company, number + 1, {}, key=f"inbox/{name}")
            text = random.pick(number, TEXTS)
            ms = self._start_ms - (RECENT - number) * HOUR_MS
            yield self._message(
                name, person, type, sender="them", text=text, ms=ms, key="recent"
            )

    def _load(self, name: str, box: AccountMailbox, person: Entity, type: str) -> None:
        random = self._world.random(f"history/{name}/{type}/{person.key}")
        count = random.between("many", 2, 4)
        box.history[person.key, type] = [
            self._message(
                name,
                person,
                type,
                sender=random.pick(("sender", number), ("us", "them")),
                text=random.pick(("text", number), TEXTS),
                ms=self._start_ms - 24 * (count - number) * HOUR_MS,
                key=f"history-{number}",
            )
            for number in range(count)
        ]

    def _message(
        self,
        name: str,
        person: Entity,
        type: str,
        *,
        sender: str,
        text: str,
        ms: int,
        key: str | None = None,
    ) -> Json:
        place = len(self._box_of(name).messages) if key is None else key
        url = person.facts["hashed_url"]
        return {
            "id": _id("msg", name, type, person.key, place),
            "type": type,
            "threadId": _id("thread", name, type, person.key),
            "personUrn": person.facts["urn"],
            "personHashedUrl": url,
            "personPublicUrl": person.facts["public_url"],
            "personUrl": url,
            "sender": sender,
            "text": text,
            "time": _moment(ms),
        }

    def _capture(self, name: str, box: AccountMailbox, message: Json) -> None:
        box.messages.append(message)
        suffix = "Received" if message["sender"] == "them" else "Sent"
        data = {**message, "messageId": message["id"]}
        self._emit(f"inbox.message{suffix}", name, data, "id")

    def _emit(self, type: str, name: str, facts: Json, *omitted: str) -> None:
        if self.on_event is not None:
            data = {key: value for key, value in facts.items() if key not in omitted}
            self.on_event(type, {"accountId": account_id(name), **data})

    def _box(self, name: str) -> AccountMailbox:
        self.update()
        return self._box_of(name)

    def _box_of(self, name: str) -> AccountMailbox:
        return self._mailboxes.setdefault(name, AccountMailbox())

    def _now_ms(self) -> int:
        return self._calendar.ms_at(self._clock.now())

    # Requests

    def endpoints(self, generation: Generation) -> dict[tuple[str, str], Work]:
        """Return the functions that answer the methods and paths of a generation."""
        answers: dict[tuple[str, str], Callable[[str, Any], Any]] = {
            ("POST", "/conversations/poll"): self._conversations(generation),
            ("GET", "/stats/actions"): self._stats,
        }
        if generation == "linked_api":
            answers["POST", "/inbox/poll"] = self._inbox
            answers["POST", "/network/poll"] = self._network
            answers["GET", "/account"] = self._account
            answers["POST", "/feedback"] = self._feedback
        return {
            endpoint: self._work(generation, endpoint[0], answer)
            for endpoint, answer in answers.items()
        }

    def _work(
        self, generation: Generation, method: str, answer: Callable[[str, Any], Any]
    ) -> Work:
        async def work(request: web.Request) -> web.Response:
            name = self._tokens.account(request, generation)
            params = request.query if method == "GET" else _body(await request.read())
            return reply({"success": True, "result": answer(name, params)})

        return work

    def _conversations(self, generation: Generation) -> Callable[[str, Any], Any]:
        def answer(name: str, params: Any) -> list[Json]:
            if not isinstance(params, list):
                raise invalid_payload("the body must be an array")
            box = self._box(name)
            return [self._conversation(generation, box, query) for query in params]

        return answer

    def _conversation(
        self, generation: Generation, box: AccountMailbox, query: Any
    ) -> Json:
        if not isinstance(query, dict) or not isinstance(query.get("personUrl"), str):
            raise invalid_payload("personUrl is required")
        type = str(query.get("type"))
        if type not in get_args(InboxType):
            raise invalid_payload("type must be st or nv")
        person = self._world.person(query["personUrl"])
        history = box.history.get((person.key, type))
        if history is None:
            message = "At least one of the conversations was never synced."
            raise ApiError("conversationsNotSynced", message, 400)
        linked = generation == "linked_api"
        thread = history[0]["threadId"]
        kept = ("id", "sender", "text", "time", *(["threadId"] if linked else []))
        captured = [m for m in box.messages if m["threadId"] == thread]
        messages = self._after(query.get("since"), [*history, *captured], "time")
        made: Json = {key: query[key] for key in ("personUrl", "since") if key in query}
        made |= {"type": type}
        if linked:
            until = box.sync_until[person.key, type]
            made |= {"personUrn": person.facts["urn"], "syncUntil": _moment(until)}
        made["messages"] = [{key: m[key] for key in kept} for m in messages]
        return made

    def _inbox(self, name: str, params: Any) -> Json:
        query = _object(params)
        box = self._box(name)
        url = query.get("personUrl")
        person = None if url is None else self._world.person(str(url))
        found = box.messages if person is None else self._known(box, person)
        for field in ("type", "threadId"):
            if query.get(field) is not None:
                found = [m for m in found if m[field] == query[field]]
        messages = self._after(query.get("since"), found, "time")
        answer: Json = {"messages": messages[::-1]}
        if person is not None:
            answer["threads"] = _threads(box, person, found)
        return answer

    def _known(self, box: AccountMailbox, person: Entity) -> list[Json]:
        """Return the whole known conversation with a person, without repeated messages."""
        urn = person.facts["urn"]
        captured = [
            {**m, "inboxMessageId": m["id"]}
            for m in box.messages
            if m["personUrn"] == urn
        ]
        loaded = [
            {**m, "inboxMessageId": None}
            for type in get_args(InboxType)
            for m in box.history.get((person.key, type), ())
        ]
        return loaded + captured

    def _network(self, name: str, params: Any) -> Json:
        query = _object(params)
        found = self._box(name).events
        if query.get("type") is not None:
            found = [event for event in found if event["type"] == query["type"]]
        events = self._after(query.get("since"), found, "detectedAt")
        return {"events": events[::-1]}

    def _account(self, name: str, _: Any) -> Json:
        return self.info(name)

    def info(self, name: str) -> Json:
        """Return the name and URL of the owner of the account called *name*."""
        member = self._world.member("sandbox", 1, {}, key=f"account/{name}")
        return {"name": member.facts["name"], "url": member.facts["public_url"]}

    def _feedback(self, _: str, params: Any) -> Json:
        body = _object(params)
        if body.get("type") not in FEEDBACK_TYPES:
            raise invalid_payload(f"type must be one of {', '.join(FEEDBACK_TYPES)}")
        message = body.get("message")
        if not (isinstance(message, str) and 1 <= len(message) <= MAX_FEEDBACK):
            raise invalid_payload(f"message must have 1 to {MAX_FEEDBACK} characters")
        self.feedback.append(body)
        return {"feedbackId": f"feedback-{len(self.feedback)}"}

    def _stats(self, name: str, params: Any) -> list[Json]:
        start, end = (_time(key, params.get(key)) for key in ("start", "end"))
        if not start < end <= start + MAX_PERIOD:
            raise invalid_payload("end must be after start, at most 30 days")
        uses = self._box(name).uses
        return [use for use in uses if start <= _time("time", use["time"]) <= end]

    def _after(self, since: Any, items: list[Json], field: str) -> list[Json]:
        """Return the *items* since a time, oldest first."""
        items = sorted(items, key=lambda item: str(item[field]))
        if since is None:
            return items
        first = _time("since", since)
        times = [_time(field, item[field]) for item in items]
        return [
            item
            for item, when in zip(items, times, strict=True)
            if when > first or (self.inclusive and when == first)
        ]


def _threads(box: AccountMailbox, person: Entity, found: list[Json]) -> list[Json]:
    threads: dict[str, Json] = {}
    for message in sorted(found, key=lambda m: str(m["time"])):
        synced = (person.key, message["type"]) in box.history
        threads.setdefault(
            message["threadId"],
            {
                "threadId": message["threadId"],
                "type": message["type"],
                "personUrn": message["personUrn"],
                "historyFrom": message["time"] if synced else None,
                "historyComplete": synced,
            },
        )
    return list(threads.values())


def _uses(completion: Any) -> Iterator[tuple[str, bool]]:
    """Yield the type and success of all actions of a completion, in order."""
    stack = [completion]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, dict):
            if isinstance(node.get("actionType"), str):
                yield node["actionType"], node.get("success") is True
            stack += [node.get("then"), node.get("data")]


def _moment(ms: int) -> str:
    """Return Unix milliseconds in ISO 8601, to the millisecond."""
    when = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def _id(kind: str, *parts: object) -> str:
    text = "/".join(map(str, parts))
    return f"{kind}-{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _body(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError:
        raise invalid_payload("the body must be JSON") from None


def _object(params: Any) -> Json:
    if not isinstance(params, dict):
        raise invalid_payload("the body must be an object")
    return params


def _time(name: str, text: Any) -> dt.datetime:
    try:
        when = dt.datetime.fromisoformat(str(text))
    except ValueError:
        raise invalid_payload(f"{name} must be an ISO timestamp") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)


class InboxMixin:
    """The methods of a sandbox that change its inboxes and networks."""

    account_data: AccountData
    """The endpoints that read data without a workflow, and their settings."""

    @property
    def now(self) -> dt.datetime:
        """The time on the sandbox's calendar, in UTC; it runs *speed* times faster."""
        return self.account_data.now()

    def receive_message(
        self, account: str, person_url: str, text: str, *, type: InboxType = "st"
    ) -> str:
        """Let a person send a message to an account; return the id of the message.

        Args:
            account: The identification token of the account.
            person_url: The sender.
            text: The text of the message.
            type: The inbox, ``st`` or ``nv``.
        """
        return self.account_data.receive_message(account, person_url, text, type=type)

    def accept_connection(
        self,
        account: str,
        person_url: str,
        *,
        type: NetworkType = "connectionAccepted",
    ) -> str:
        """Let a person accept the request of an account; return the event's id.

        Args:
            account: The identification token of the account.
            person_url: The person who accepts.
            type: The type of the event; another one is, for example,
                ``connectionRequestReceived``.
        """
        return self.account_data.change_network(account, person_url, type)
