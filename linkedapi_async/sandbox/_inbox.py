"""The sandbox's inboxes and networks: what can be read without a workflow.

What workflows did comes to light when somebody asks. Time begins at the moment at which
the made-up world stands still, and goes as fast as the sandbox works.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import attrs

from linkedapi_async._actions.action import Action
from linkedapi_async._types import Generation
from linkedapi_async._utils.json import decode_json
from linkedapi_async.sandbox._clock import Clock
from linkedapi_async.sandbox._completions import ActionFailure, CompletionFactory
from linkedapi_async.sandbox._lane import RecordedWorkflow, RequestLog
from linkedapi_async.sandbox._responses import (
    ApiError,
    account_id,
    account_name,
    loaded,
    reply,
)
from linkedapi_async.sandbox._tokens import TokenStore
from linkedapi_async.sandbox._world import NOW, NOW_MS, Entity, World


if TYPE_CHECKING:
    from aiohttp import web

    from linkedapi_async.sandbox._faults import Work


InboxType: TypeAlias = Literal["st", "nv"]

NetworkType: TypeAlias = Literal[
    "connectionAccepted", "connectionAdded", "connectionRequestReceived"
]

Json: TypeAlias = dict[str, Any]

Event: TypeAlias = Callable[[str, Json], None]
"""Is called with the type of a webhook event and its data."""

HOUR_MS = 3_600_000

LONGEST_PERIOD = dt.timedelta(days=30)

RECENT = 3
"""How many messages are there when an inbox is synced for the first time."""

TEXTS = (
    *("Thanks for connecting!", "Do you have time for a call?", "Sounds good."),
    *("Could you send me the details?", "Let me get back to you.", "See you there!"),
)


class OutcomeSource(Protocol):
    """What is asked about a workflow that has ended."""

    def _completion(self, workflow: RecordedWorkflow) -> Any: ...

    def _broken_at(self, when: float) -> Mapping[str, ActionFailure]: ...


class RecordingFactory(CompletionFactory):
    """Makes a completion and notes which actions were done, and on whom."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.done: list[tuple[Action[Any, Any, Any], Entity | None]] = []

    def _node(
        self, action: Action[Any, Any, Any], raw: Any, on: Entity | None
    ) -> dict[str, Any]:
        if action.action_type not in self._broken:
            self.done.append((action, self._target(action) or on))
        return super()._node(action, raw, on)


@attrs.define
class AccountMailbox:
    """The inbox, the network and the past of one account."""

    messages: list[Json] = attrs.field(factory=list)
    """What the inbox captured, in the order in which it came to light."""
    history: dict[tuple[str, str], list[Json]] = attrs.field(factory=dict)
    """What was loaded of the conversations that were synced, by person and type."""
    events: list[Json] = attrs.field(factory=list)
    uses: list[Json] = attrs.field(factory=list)
    synced: set[str] = attrs.field(factory=set)
    """The types of inbox that were synced."""
    unread: list[RecordedWorkflow] = attrs.field(factory=list)
    """Workflows whose traces have not been found."""


class Direct:
    """The endpoints that answer at once, over the traces of workflows.

    Inboxes and networks are regarded as synced from the beginning, for nobody knows
    what the API says before; conversations are not.

    Args:
        world: Where its people live.
        clock: The sandbox's.
        speed: How many times faster than the API it works.
        keys: The tokens that are valid.
        seen: The workflows.
        telling: Knows how they ended.
    """

    def __init__(
        self,
        *,
        world: World,
        clock: Clock,
        speed: float,
        keys: TokenStore,
        seen: RequestLog,
        telling: OutcomeSource,
    ) -> None:
        self._world = world
        self._clock = clock
        self._speed = speed
        self._keys = keys
        self._seen = seen
        self._telling = telling
        self._boxes: dict[str, AccountMailbox] = {}
        self._sorted = 0
        self.inclusive: bool = True
        """Whether ``since`` includes the moment itself; nobody has published it."""
        self.on_event: Event | None = None
        """Is told of every new message and network event."""

    # For those who use it

    def now(self) -> dt.datetime:
        """Return the moment it is in the made-up world."""
        return NOW + dt.timedelta(seconds=self._clock.now() * self._speed)

    def receive_message(
        self, token: str, person_url: str, text: str, *, type: InboxType = "st"
    ) -> str:
        """Let a person write to an account; return the id of the message."""
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
        """Let something happen in the network of an account; return its id."""
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
        self._tell(f"network.{type}", name, event, "id", "type")
        return str(event["id"])

    def catch_up(self) -> None:
        """Find the traces of all workflows that have ended by now."""
        for workflow in self._seen.workflows[self._sorted :]:
            self._boxes.setdefault(workflow.account, AccountMailbox()).unread.append(
                workflow
            )
        self._sorted = len(self._seen.workflows)
        for name, box in self._boxes.items():
            unread, box.unread = box.unread, []
            for workflow in unread:
                if workflow.finished is None:
                    box.unread.append(workflow)
                elif workflow.state == "completed":
                    self._trace(name, box, workflow)

    # Traces of workflows

    def _trace(
        self, name: str, box: AccountMailbox, workflow: RecordedWorkflow
    ) -> None:
        ended = workflow.finished or 0.0
        ms = NOW_MS + int(ended * self._speed * 1000)
        done = list(_uses(self._telling._completion(workflow)))
        for action_type, success in done:
            use = {"actionType": action_type, "success": success, "time": _moment(ms)}
            box.uses.append(use)
        watcher = RecordingFactory(
            self._world, workflow.generation, name, self._telling._broken_at(ended)
        )
        definition = workflow.definition
        watcher.completion(loaded(definition), definition)
        for action, person in watcher.done:
            if (action.action_type, True) in done:
                self._follow(name, box, action, person, ms)

    def _follow(
        self,
        name: str,
        box: AccountMailbox,
        action: Action[Any, Any, Any],
        person: Entity | None,
        ms: int,
    ) -> None:
        """Let an action that was done leave its trace."""
        type, _, what = action.action_type.partition(".")
        if what == "syncInbox" and type not in box.synced:
            box.synced.add(type)
            box.messages += self._recent(name, type)
        elif what == "syncConversation" and person is not None:
            self._load(name, box, person, type)
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
        dice = self._world.dice(f"inbox/{name}/{type}")
        for number in range(RECENT):
            company = self._world.company_named("Northern Robotics").key
            person = self._world.member(company, number + 1, {}, key=f"inbox/{name}")
            text = dice.pick(number, TEXTS)
            ms = NOW_MS - (RECENT - number) * HOUR_MS
            yield self._message(
                name, person, type, sender="them", text=text, ms=ms, key="recent"
            )

    def _load(self, name: str, box: AccountMailbox, person: Entity, type: str) -> None:
        dice = self._world.dice(f"history/{name}/{type}/{person.key}")
        many = dice.between("many", 2, 4)
        box.history[person.key, type] = [
            self._message(
                name,
                person,
                type,
                sender=dice.pick(("sender", number), ("us", "them")),
                text=dice.pick(("text", number), TEXTS),
                ms=NOW_MS - 24 * (many - number) * HOUR_MS,
                key=f"history-{number}",
            )
            for number in range(many)
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
        word = "Received" if message["sender"] == "them" else "Sent"
        data = {**message, "messageId": message["id"]}
        self._tell(f"inbox.message{word}", name, data, "id")

    def _tell(self, type: str, name: str, facts: Json, *but: str) -> None:
        if self.on_event is not None:
            data = {key: value for key, value in facts.items() if key not in but}
            self.on_event(type, {"accountId": account_id(name), **data})

    def _box(self, name: str) -> AccountMailbox:
        self.catch_up()
        return self._box_of(name)

    def _box_of(self, name: str) -> AccountMailbox:
        return self._boxes.setdefault(name, AccountMailbox())

    def _now_ms(self) -> int:
        return NOW_MS + int(self._clock.now() * self._speed * 1000)

    # Requests

    def endpoints(self, generation: Generation) -> dict[tuple[str, str], Work]:
        """Return what answers a method and a path of one generation."""
        answers: dict[tuple[str, str], Callable[[str, Any], Any]] = {
            ("POST", "/conversations/poll"): self._conversations(generation),
            ("GET", "/stats/actions"): self._stats,
        }
        if generation == "linked_api":
            answers["POST", "/inbox/poll"] = self._inbox
            answers["POST", "/network/poll"] = self._network
            answers["GET", "/account"] = self._account
        return {
            endpoint: self._work(generation, endpoint[0], answer)
            for endpoint, answer in answers.items()
        }

    def _work(
        self, generation: Generation, method: str, answer: Callable[[str, Any], Any]
    ) -> Work:
        async def work(request: web.Request) -> web.Response:
            name = self._keys.account(request, generation)
            asked = request.query if method == "GET" else _body(await request.read())
            return reply({"success": True, "result": answer(name, asked)})

        return work

    def _conversations(self, generation: Generation) -> Callable[[str, Any], Any]:
        def answer(name: str, asked: Any) -> list[Json]:
            if not isinstance(asked, list):
                raise _malformed("an array is due")
            box = self._box(name)
            return [self._conversation(generation, box, query) for query in asked]

        return answer

    def _conversation(
        self, generation: Generation, box: AccountMailbox, query: Any
    ) -> Json:
        if not isinstance(query, dict) or not isinstance(query.get("personUrl"), str):
            raise _malformed("personUrl is required")
        type = str(query.get("type"))
        if type not in get_args(InboxType):
            raise _malformed("type must be st or nv")
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
            until = _moment(NOW_MS + 30 * 24 * HOUR_MS)
            made |= {"personUrn": person.facts["urn"], "syncUntil": until}
        made["messages"] = [{key: m[key] for key in kept} for m in messages]
        return made

    def _inbox(self, name: str, asked: Any) -> Json:
        query = _object(asked)
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
        """Return the whole known conversation with a person, each message once."""
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

    def _network(self, name: str, asked: Any) -> Json:
        query = _object(asked)
        found = self._box(name).events
        if query.get("type") is not None:
            found = [event for event in found if event["type"] == query["type"]]
        events = self._after(query.get("since"), found, "detectedAt")
        return {"events": events[::-1]}

    def _account(self, name: str, _: Any) -> Json:
        return self.info(name)

    def info(self, name: str) -> Json:
        """Return who the account called *name* is."""
        member = self._world.member("sandbox", 1, {}, key=f"account/{name}")
        return {"name": member.facts["name"], "url": member.facts["public_url"]}

    def _stats(self, name: str, asked: Any) -> list[Json]:
        start, end = (_time(key, asked.get(key)) for key in ("start", "end"))
        if not start < end <= start + LONGEST_PERIOD:
            raise _malformed("end must be after start, at most 30 days")
        uses = self._box(name).uses
        return [use for use in uses if start <= _time("time", use["time"]) <= end]

    def _after(self, since: Any, items: list[Json], field: str) -> list[Json]:
        """Return the *items* since a moment, oldest first."""
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
    """Visit all actions of a completion in order, with whether they succeeded."""
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
        message = f"{name}: one of {', '.join(allowed)} is due, got {value!r}"
        raise ValueError(message)


def _malformed(detail: str) -> ApiError:
    message = f"Invalid request body/parameters: {detail}."
    return ApiError("invalidRequestPayload", message, 400)


def _body(body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError:
        raise _malformed("JSON is due") from None


def _object(asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise _malformed("an object is due")
    return asked


def _time(name: str, text: Any) -> dt.datetime:
    try:
        when = dt.datetime.fromisoformat(str(text))
    except ValueError:
        raise _malformed(f"{name} must be an ISO timestamp") from None
    return when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)


class InboxMixin:
    """What a test can do to the inboxes and networks of a sandbox."""

    direct: Direct
    """The endpoints that answer at once, with their settings."""

    @property
    def now(self) -> dt.datetime:
        """The moment it is in the made-up world, from 2026-07-01 12:00 UTC on."""
        return self.direct.now()

    def receive_message(
        self, account: str, person_url: str, text: str, *, type: InboxType = "st"
    ) -> str:
        """Let a person write to an account; return the id of the message.

        Args:
            account: Its identification token.
            person_url: Who writes.
            text: What they write.
            type: The inbox, ``st`` or ``nv``.
        """
        return self.direct.receive_message(account, person_url, text, type=type)

    def accept_connection(
        self,
        account: str,
        person_url: str,
        *,
        type: NetworkType = "connectionAccepted",
    ) -> str:
        """Let a person accept the request of an account; return the event's id.

        Args:
            account: Its identification token.
            person_url: Who accepts.
            type: Another thing that happens in the network, such as
                ``connectionRequestReceived``.
        """
        return self.direct.change_network(account, person_url, type)
