"""Completions, derived from the result classes of the client.

The facts of the made-up world fill the attributes of a result class. Other attributes are
made up by their type, so that a new result class needs no code here.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from linkedapi_async import results
from linkedapi_async._actions.action import Action, AnyAction, given_targets
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._results.completion import Result, json_names_of
from linkedapi_async._types import Generation
from linkedapi_async.sandbox import _world
from linkedapi_async.sandbox._world import (
    DAY_MS,
    NOW_MS,
    Entity,
    Facts,
    SeededRandom,
    World,
)
from linkedapi_async.urls import TargetKind, check_target


ActionFailure: TypeAlias = tuple[str, str]
"""The API's error type of a failed action, and its message."""

ABSENT: Any = object()
"""Marks an attribute that is left out instead of null."""

# Attributes that only linked_api sends, by the class that declares them.
LINKED_ONLY: dict[type[Result], frozenset[str]] = {
    results.ConversationSync: frozenset({"sync_until"}),
    results.PendingRequest: frozenset({"sent_time", "urn"}),
    results.PersonFacts: frozenset({"urn", "avatar_url"}),
    results.Connection: frozenset({"connected_at"}),
    results.Person: frozenset({"viewer_state"}),
    results.PersonPage: frozenset({"followers_count", "about", "viewer_state"}),
    results.FoundPost: frozenset(
        {
            *("reposts_count", "activity_urn", "author", "reposter", "hashtags"),
            *("mentions", "external_links", "document_slides", "video_thumbnail"),
            "viewer_state",
        }
    ),
    results.Company: frozenset({"urn", "logo_url"}),
    results.CompanyFacts: frozenset({"urn", "logo_url"}),
    results.CreatedComment: frozenset({"comment_urn", "comment_url"}),
    results.NvCompany: frozenset({"urn", "logo_url"}),
    results.NvPerson: frozenset({"urn", "avatar_url", "viewer_state"}),
    results.NvPersonPage: frozenset({"company_urn"}),
}

FILTER_FACTS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "position": "position",
    "positions": "position",
    "location": "location",
    "locations": "location",
    "industries": "industry",
    "schools": "school",
    "connection_degrees": "degree",
    "current_companies": "company",
    "companies": "company",
    "previous_companies": "previous_company",
    "sizes": "size",
    "workplace_types": "workplace",
    "employment_types": "employment",
    "easy_apply": "easy_apply",
    "under_10_applicants": "few",
}
"""The facts of found entities that a filter's fields decide."""

CONTENT_KINDS = {"videos": "video", "images": "images", "documents": "documents"}

PERIODS = {"past24Hours": 1, "pastWeek": 7, "pastMonth": 30}
"""In days."""

NOT_FOUND: dict[TargetKind, str] = {
    "person": "personNotFound",
    "nvPerson": "personNotFound",
    "company": "companyNotFound",
    "nvCompany": "companyNotFound",
    "post": "postNotFound",
    "comment": "commentNotFound",
    "job": "jobNotFound",
    "thread": "threadNotFound",
}
"""The errors of targets that do not exist, by the kind of the parameter."""

FORM_AS_LIST = frozenset({"st.doForSkills"})
"""The loops whose items have a list also for one child, as the official SDK needs."""


class CompletionFactory:
    """Makes the completion of one workflow.

    Args:
        world: Its people and companies.
        generation: The API generation of its start.
        account: The name of the account, on which its own lists depend.
        failing_actions: The action types that fail, and their errors.
        now_ms: When it ends, in Unix milliseconds.
    """

    def __init__(
        self,
        world: World,
        generation: Generation,
        account: str,
        failing_actions: Mapping[str, ActionFailure],
        now_ms: int = NOW_MS,
    ) -> None:
        self._world = world
        self._generation: Generation = generation
        self._account = account
        self._failing_actions = failing_actions
        self._now_ms = now_ms

    def completion(
        self, workflow: AnyAction | tuple[AnyAction, ...], definition: Any
    ) -> Any:
        """Return the completion of *workflow*, which was loaded from *definition*."""
        if isinstance(workflow, Action):
            return self._node(workflow, definition, None)
        return [
            self._node(root, raw, None)
            for root, raw in zip(workflow, definition, strict=True)
        ]

    def _node(self, action: AnyAction, raw: Any, on: Entity | None) -> dict[str, Any]:
        node: dict[str, Any] = {"actionType": action.action_type}
        if action.label is not None:
            node["label"] = action.label
        failure = self._failing_actions.get(action.action_type) or _missing(action)
        node["success"] = failure is None
        if failure is not None:
            node["error"] = dict(zip(("type", "message"), failure, strict=True))
            return node
        data = self._data(action, raw, self._target(action) or on)
        return node if data is None else {**node, "data": data}

    def _target(self, action: AnyAction) -> Entity | None:
        find: dict[str, Callable[[str], Entity]] = {
            "person_url": self._world.person,
            "person_hashed_url": self._world.person,
            "company_url": self._world.company,
            "company_hashed_url": self._world.company,
            "post_url": self._world.post,
            "post_urn": self._world.post,
            "job_url": self._world.job,
        }
        names = [name for name in given_targets(action) if name in find]
        return find[names[0]](getattr(action, names[0])) if names else None

    def _data(self, action: AnyAction, raw: Any, on: Entity | None) -> Any:
        if typing.get_origin(action.result) is list:
            (cls,) = typing.get_args(action.result)
            return [
                self._item(cls, entity, action, raw)
                for entity in self._list(action, cls, on)
            ]
        data: dict[str, Any] = {}
        shown = getattr(action, "basic_info", True) is True
        if shown and action.result is not types.NoneType:
            data = self._filled(action.result, self._page(action, on))
        then = self._then(action, raw, on)
        if then is not None:
            data["then"] = then
        return data or None

    def _page(self, action: AnyAction, on: Entity | None) -> Entity:
        """Return the entity that a page shows, or that an action has created."""
        if action.result is results.CreatedComment:
            return self._created_comment(action, on)
        if on is None:
            on = Entity(_inputs(action, self._account), {})
        if action.result is results.ConnectionStatus and "viewer_state" in on.facts:
            near = on.facts["viewer_state"]["connection_degree"] == "1st"
            return Entity(
                on.key, {"connection_status": "connected" if near else "notConnected"}
            )
        if action.result is results.ConversationSync:
            until = self._now_ms + sync_days(action) * DAY_MS
            return Entity(on.key, {"sync_until": _world.moment(until)})
        if action.result is results.CreatedPost:
            number = self._world.random(on.key).between("post", 10**18, 10**19)
            urn = f"urn:li:activity:{number}"
            return Entity(
                on.key,
                {"post_url": f"{_world.SITE}/feed/update/{urn}", "post_urn": urn},
            )
        return on

    def _created_comment(self, action: AnyAction, on: Entity | None) -> Entity:
        key = _inputs(action, self._account)
        number = self._world.random(key).between("comment", 10**18, 10**19)
        replied_to = getattr(action, "comment_url", None)
        post = self._world.post(replied_to) if replied_to else on
        return Entity(key, _comment_facts(number, post))

    # Nested actions

    def _item(
        self, cls: type[Result], entity: Entity, action: AnyAction, raw: Any
    ) -> Any:
        item = self._filled(cls, entity)
        then = self._then(action, raw, entity)
        return item if then is None else {**item, "then": then}

    def _then(self, action: AnyAction, raw: Any, on: Entity | None) -> Any:
        """Return the nodes of the children, as an object or a list like the definition."""
        nodes, as_list = self._nodes(action, raw, on)
        if not nodes:
            return None
        return nodes if as_list or len(nodes) > 1 else nodes[0]

    def _nodes(
        self, action: AnyAction, raw: Any, on: Entity | None
    ) -> tuple[list[dict[str, Any]], bool]:
        then = raw.get("then", [])
        as_list = isinstance(then, list) or action.action_type in FORM_AS_LIST
        nodes: list[dict[str, Any]] = []
        raws = then if isinstance(then, list) else [then]
        for child, below in zip(action.children, raws, strict=True):
            if child.has_outcome:
                nodes.append(self._node(child, below, on))
            elif _visits(child, on):
                # A loop has no node of its own; its children take its place.
                inner, inner_list = self._nodes(child, below, on)
                nodes += inner
                as_list = as_list or inner_list
        return nodes, as_list

    # Lists

    def _list(
        self, action: AnyAction, cls: type[Result], on: Entity | None
    ) -> Iterable[Entity]:
        make = _LISTS.get(cls, _anything)
        query = Query(
            world=self._world,
            action=action,
            on=on,
            limit=_limit(action, self._generation),
            random=self._world.random(
                on.key if on is not None else _inputs(action, self._account)
            ),
        )
        return make(query)

    # Objects

    def _filled(self, cls: type[Result], entity: Entity) -> dict[str, Any]:
        """Return *entity* as a JSON object of *cls*."""
        # A post of a search is that of its page.
        made_as = results.Post if cls is results.FoundPost else cls
        random = self._world.random(f"{made_as.__name__}/{entity.key}")
        return self._object(cls, entity.facts, random)

    def _object(
        self, cls: Any, facts: Mapping[str, Any], random: SeededRandom
    ) -> dict[str, Any]:
        made: dict[str, Any] = {}
        hidden = () if self._generation == "linked_api" else _linked_only(cls)
        for name, names in json_names_of(cls).items():
            if name in hidden:
                continue
            kind = _hints(cls)[name]
            value = facts[name] if name in facts else _made_up(name, kind, random)
            if value is ABSENT:
                continue
            if isinstance(value, Mapping):
                value = self._object(kind, value, random)
            # The newest name comes first.
            made[names[0] if self._generation == "linked_api" else names[-1]] = value
        return made


@functools.cache
def _linked_only(cls: Any) -> frozenset[str]:
    return frozenset().union(*(LINKED_ONLY.get(base, ()) for base in cls.__mro__))


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    """Return the types of the attributes, without the ``| None`` of them all."""
    return {
        name: _without_none(hint) for name, hint in typing.get_type_hints(cls).items()
    }


def _without_none(hint: Any) -> Any:
    options = [a for a in typing.get_args(hint) if a is not types.NoneType]
    words = [a for a in options if typing.get_origin(a) is Literal]
    return next(iter([*words, *options]), hint)


def _made_up(name: str, kind: Any, random: SeededRandom) -> Any:
    """Return a made-up value of a type."""
    if typing.get_origin(kind) is Literal:
        return random.pick(name, typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return []
    if kind is bool:
        return random.number(name, 2) == 1
    if kind in {int, float}:
        return kind(random.between(name, 1, 100))
    if kind is str:
        return _made_up_text(name, random)
    return {}


def _made_up_text(name: str, random: SeededRandom) -> str:
    number = random.number(name, 10**12)
    if name.endswith("url"):
        return f"{_world.SITE}/{name.removesuffix('_url')}/{number}"
    if name.endswith("urn"):
        return f"urn:li:{name.removesuffix('_urn')}:{number}"
    if name.endswith(("time", "until", "_at")):
        return _world.moment(NOW_MS - number % 400 * DAY_MS)
    return f"{name.replace('_', ' ').capitalize()} {number % 1000}"


# The items of lists


@attrs.frozen(kw_only=True)
class Query:
    """What a list action requests."""

    world: World
    action: AnyAction
    on: Entity | None
    """The page under which it is nested."""
    limit: int | None
    """The maximum number of items."""
    random: SeededRandom

    def __getitem__(self, name: str) -> Any:
        """Return a parameter of the action, or None if it has no such parameter."""
        return getattr(self.action, name, None)

    def count(self, low: int, high: int) -> int:
        """Return the number of items, from *low* to *high* or the limit."""
        existing = self.random.between(f"{self.action.action_type}/there", low, high)
        return existing if self.limit is None else min(existing, self.limit)

    def given(self, index: int) -> Facts:
        """Return the facts of item *index* that the filter decides."""
        settled: Facts = {}
        for source in ("filter", "preferences"):
            settled |= _decided_facts(self[source], index)
        if self["location"] is not None:
            settled["location"] = self["location"]
        if getattr(self["preferences"], "remote", None):
            settled["workplace"] = "remote"
        return settled


def _decided_facts(owner: Any, index: int) -> Facts:
    settled: Facts = {}
    for row in parameters_of(type(owner)) if owner is not None else ():
        value, fact = getattr(owner, row.name), FILTER_FACTS.get(row.name)
        if value in {None, ()} or fact is None:
            continue
        # The items use the values in turn.
        settled[fact] = value[index % len(value)] if isinstance(value, tuple) else value
    if "size" in settled:
        settled["size"] = _range(settled["size"])
    if settled.get("degree") not in _world.DEGREES:
        settled.pop("degree", None)
    return settled


def _range(size: str) -> tuple[int, int] | None:
    numbers = [int(number) for number in re.findall(r"\d{1,9}", size)]
    if not numbers:
        return None
    return min(numbers), max(numbers) if len(numbers) > 1 else 2 * numbers[0]


def _inputs(action: AnyAction, account: str) -> str:
    """Return the parameters that decide which items a list has, not how many."""
    given = [
        f"{row.name}={getattr(action, row.name)!r}"
        for row in parameters_of(type(action))
        if row.name not in {"limit", "since"} and getattr(action, row.name) is not None
    ]
    # A search finds the same items for all accounts; a list without parameters is the
    # account's own.
    return " ".join([action.action_type, *(given or [account])])


def _limit(action: AnyAction, generation: Generation) -> int | None:
    limit: int | None = getattr(action, "limit", None)
    facts = [row.info for row in parameters_of(type(action)) if row.name == "limit"]
    if limit is not None or not facts:
        return limit
    default: Any = facts[0].default
    used: int | None = (
        default.get(generation) if isinstance(default, Mapping) else default
    )
    return used


def _visits(loop: AnyAction, entity: Entity | None) -> bool:
    """Return whether a loop visits *entity*, which patterns of skills may exclude."""
    patterns: Sequence[str] | None = getattr(loop, "skill_name_patterns", None)
    if patterns is None or entity is None:
        return True
    name = entity.facts["name"]
    return any(_searches(pattern, name) for pattern in patterns)


def _searches(pattern: str, name: str) -> bool:
    """Return whether a regular expression occurs in a name, in any case."""
    try:
        return re.search(pattern, name, re.IGNORECASE) is not None
    except re.error:
        # It is not published how the API answers an invalid expression.
        return pattern.lower() in name.lower()


def sync_days(action: AnyAction) -> int:
    """Return for how many days a conversation is synced."""
    days = getattr(action, "days", None)
    (default,) = (
        row.info.default for row in parameters_of(type(action)) if row.name == "days"
    )
    return days or int(typing.cast("int", default))


def _missing(action: AnyAction) -> ActionFailure | None:
    """Return the failure of an action whose target does not exist, by its URL."""
    given = given_targets(action)
    for row in parameters_of(type(action)):
        if row.name not in given or row.info.kind is None:
            continue
        value = str(getattr(action, row.name))
        problem = check_target(row.info.kind, value)
        error = NOT_FOUND[row.info.kind]
        if problem is not None and problem.certain:
            return error, f"{row.json_name} {problem.reason}"
        if _world.last_part(value).startswith("not-found"):
            return error, f"The sandbox has nothing at {value}."
    return None


def _staff(query: Query) -> Iterator[Entity]:
    """Yield the employees of a company, or the people whom a search finds."""
    if query.on is None:
        yield from _people(query, query.limit or 0)
        return
    count = query.world.employee_count(query.on)
    for index in range(min(count, query.limit or count)):
        yield query.world.member(query.on.key, index + 1, query.given(index))


def _people(query: Query, count: int, **settled: Any) -> Iterator[Entity]:
    for index in range(count):
        given = {**query.given(index), **settled}
        if query["term"]:
            given["term"] = query["term"]
        chance = query.world.random(f"{query.random.key}/{index}")
        company = given.pop("company", None)
        employer = (
            query.world.company_named(company)
            if company is not None
            else query.world.found_company(chance, 0, None, {})
        )
        # Higher than the numbers of a company's listed employees.
        number = 101 + index
        yield query.world.member(employer.key, number, given, key=query.random.key)


def _decision_makers(query: Query) -> Iterator[Entity]:
    assert query.on is not None  # noqa: S101  # nested under a company's page only
    count = query.world.decision_maker_count(query.on)
    for index in range(min(count, query.limit or count)):
        yield query.world.member(query.on.key, index + 1, {})


def _connections(query: Query) -> Iterator[Entity]:
    for index, person in enumerate(_people(query, query.count(3, 60), degree="1st")):
        ms = NOW_MS - (index * 5 + 1) * DAY_MS
        if _is_since(ms, query["since"]):
            alone = query["filter"] is None
            connected = _world.moment(ms) if alone else None
            yield Entity(person.key, {**person.facts, "connected_at": connected})


def _requested(query: Query) -> Iterator[Entity]:
    for index, person in enumerate(_people(query, query.count(2, 12))):
        weeks = f"{index + 1} week{'s' if index else ''} ago"
        yield Entity(person.key, {**person.facts, "sent_time": weeks})


def _companies(query: Query) -> Iterator[Entity]:
    for index in range(query.limit or 0):
        given = query.given(index)
        yield query.world.found_company(query.random, index, query["term"], given)


def _jobs(query: Query) -> Iterator[Entity]:
    for index in range(query.limit or 0):
        given = query.given(index)
        yield query.world.found_job(query.random, index, query["term"], given)


def _posts(query: Query) -> Iterator[Entity]:
    """Yield posts, newest first: of one author, or of a search or the feed."""
    criteria = query["filter"]
    days = PERIODS.get(getattr(criteria, "date_posted", None) or "", 90)
    kind = CONTENT_KINDS.get(getattr(criteria, "content_type", None) or "")
    # The maximum number of posts fits into the period.
    step = days * DAY_MS // 101
    count = query.limit or 0
    if query.on is not None:
        step, count = 4 * DAY_MS, query.count(3, 20)
    for index in range(count):
        ms = NOW_MS - step * index - query.random.number(f"{index}/age", step)
        if not _is_since(ms, query["since"]):
            return
        author = query.on or _poster(query, criteria, index)
        yield query.world.written(
            author, ms=ms, random=query.random, topic=query["term"], kind=kind
        )


def _poster(query: Query, criteria: Any, index: int) -> Entity:
    """Return the author of post *index* of a search, one of those named if any are."""
    members: Any = getattr(criteria, "from_members", None) or ()
    companies: Any = getattr(criteria, "from_companies", None) or ()
    employers: Any = getattr(criteria, "author_companies", None) or ()
    named = [(True, who) for who in members] + [(False, who) for who in companies]
    if named:
        is_person, who = named[index % len(named)]
        return _named_person(query, who) if is_person else _named_company(query, who)
    if employers:
        company = _named_company(query, employers[index % len(employers)])
        return query.world.member(company.key, 1 + index, {})
    return query.world.random_person(query.random, index)


def _named_person(query: Query, who: Any) -> Entity:
    if isinstance(who, str):
        first, _, last = who.partition(" ")
        employer = query.world.found_company(query.world.random(who), 0, None, {})
        named = {"first_name": first, "last_name": last}
        return query.world.member(employer.key, 100, named)
    url = who.id or who.person_hashed_url or who.urn
    return query.world.person(url) if url else _named_person(query, who.name)


def _named_company(query: Query, who: Any) -> Entity:
    if isinstance(who, str):
        return query.world.company_named(who)
    url = who.id or who.company_hashed_url or who.urn
    return query.world.company(url) if url else _named_company(query, who.name)


def _is_since(ms: int, since: str | None) -> bool:
    """Return whether a time is not before *since*; ISO 8601 texts sort by time."""
    return since is None or _world.moment(ms) >= since


def _own_activity(query: Query) -> Iterator[Entity]:
    """Yield the comments or reactions of a person, newest first."""
    count = query.count(3, 20)
    for index in range(count):
        ms = NOW_MS - (index + 1) * 4 * DAY_MS
        if not _is_since(ms, query["since"]):
            return
        author = query.world.random_person(query.random, index)
        post = query.world.written(author, ms=ms - DAY_MS, random=query.random)
        key = f"{query.random.key}/{query.action.action_type}/{index}"
        yield Entity(
            key,
            {
                "post_url": post.facts["url"],
                "time": _world.moment(ms),
                "text": "Well said.",
                "image": None,
            },
        )


def _comments(query: Query) -> Iterator[Entity]:
    for index in range(query.count(3, 40)):
        author = _world.actor(query.world.random_person(query.random, index))
        number = query.random.between(f"{index}/comment", 10**18, 10**19)
        comment = _comment_facts(number, query.on)
        is_reply = bool(query["replies"]) and index % 3 == 2  # noqa: PLR2004
        yield Entity(
            comment["comment_urn"],
            {
                **comment,
                "author": author,
                "time": _world.moment(NOW_MS - index * DAY_MS),
                "text": "Congratulations!",
                "image": None,
                "is_reply": is_reply,
                "viewer_state": {"reaction": None, "is_own": False},
                **_deprecated("commenter", author),
            },
        )


def _comment_facts(number: int, post: Entity | None) -> Facts:
    """Return the URN and URL of a comment, in the form of the API's examples."""
    known = post.facts.get("activity_urn") if post is not None else None
    urn = known or f"urn:li:activity:{number - 1}"
    comment = f"urn:li:fsd_comment:({number},{urn})"
    return {
        "comment_urn": f"urn:li:comment:{number}",
        "comment_url": f"{_world.SITE}/feed/update/{urn}/?dashCommentUrn={comment}",
    }


def _reactions(query: Query) -> Iterator[Entity]:
    for index in range(query.count(3, 60)):
        actor = _world.actor(query.world.random_person(query.random, index))
        facts = {"actor": actor, **_deprecated("engager", actor)}
        yield Entity(f"{query.random.key}/{index}", facts)


def _deprecated(prefix: str, actor: Facts) -> Facts:
    return {
        f"{prefix}_url": actor["profile_url"],
        f"{prefix}_name": actor["name"],
        f"{prefix}_headline": actor["headline"],
        f"{prefix}_type": actor["type"],
        f"{prefix}_urn": actor["urn"],
    }


def _invitations(query: Query) -> Iterator[Entity]:
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("connect", ("headline", "note")),
        ("companyFollow", ("company_url", "company_name")),
        ("newsletterSubscribe", ("newsletter_url", "newsletter_name")),
    )
    own = {name for _, names in kinds for name in names}
    for index, person in enumerate(_people(query, query.count(3, 12))):
        kind, names = kinds[index % len(kinds)]
        company = query.world.company(person.facts["company_hashed_url"])
        random = query.world.random(f"newsletter/{company.key}")
        newsletter = f"{company.key}-{random.between('id', 7 * 10**18, 8 * 10**18)}"
        fields = {
            "headline": person.facts["headline"],
            "note": None,
            "company_url": company.facts["public_url"],
            "company_name": company.facts["name"],
            "newsletter_url": f"{_world.SITE}/newsletters/{newsletter}",
            "newsletter_name": f"{company.facts['name']} Weekly",
        }
        fields |= dict.fromkeys(own.difference(names), ABSENT)
        facts = {**person.facts, **fields, "invitation_type": kind}
        yield Entity(person.key, facts)


def _viewers(query: Query) -> Iterator[Entity]:
    identity = (
        *("name", "public_url", "urn", "headline", "avatar_url", "connection_degree"),
    )
    for index, person in enumerate(_people(query, query.count(3, 60))):
        ms = NOW_MS - index * DAY_MS
        if not _is_since(ms, query["since"]):
            return
        anonymous = index % 3 == 2  # noqa: PLR2004
        degree = person.facts["viewer_state"]["connection_degree"]
        facts = {
            **person.facts,
            "connection_degree": int(degree[0]),
            "viewer_type": "anonymous" if anonymous else "identified",
            "viewed_at": _world.moment(ms),
            "viewed_ago": f"{index}d",
            "description": f"Someone at {person.facts['company_name']}",
            "search_url": f"{_world.SITE}/search/results/people/?viewer={index}",
        }
        hidden = identity if anonymous else ("description", "search_url")
        yield Entity(person.key, {**facts, **dict.fromkeys(hidden, ABSENT)})


def _experience(query: Query) -> Iterator[Entity]:
    assert query.on is not None  # noqa: S101  # nested under a person's page only
    person = query.on.facts
    names = ("position", "company_name", "company_hashed_url", "location")
    now = {name: person[name] for name in names}
    yield Entity(
        f"{query.on.key}/0", {**now, "start_time": "2024-01", "end_time": None}
    )
    former = person["previous_companies"]
    for index in range(1, 1 + max(len(former), query.count(0, 3))):
        year = 2024 - 2 * index
        company = (
            query.world.company_named(former[index - 1])
            if index <= len(former)
            else query.world.found_company(query.random, index, None, {})
        )
        yield Entity(
            f"{query.on.key}/{index}",
            {
                "position": query.random.pick(f"{index}/was", _world.POSITIONS),
                "company_name": company.facts["name"],
                "company_hashed_url": company.facts["hashed_url"],
                "location": company.facts["location"],
                "duration": 24,
                "start_time": f"{year}-01",
                "end_time": f"{year + 2}-01",
            },
        )


def _education(query: Query) -> Iterator[Entity]:
    assert query.on is not None  # noqa: S101  # nested under a person's page only
    schools = query.on.facts["schools"] or [query.random.pick("school", _world.SCHOOLS)]
    for school in schools:
        details = "Bachelor's degree, 2010 - 2014"
        yield Entity(
            f"{query.on.key}/{school}", {"school_name": school, "details": details}
        )


def _named(names: Sequence[str]) -> Callable[[Query], Iterator[Entity]]:
    def make(query: Query) -> Iterator[Entity]:
        first = query.random.number("first", len(names))
        for index in range(query.count(2, 6)):
            name = names[(first + index) % len(names)]
            key = f"{query.random.key}/{name}"
            # The key contains the person, on whom the children of a skill depend.
            yield Entity(key, {"name": name})

    return make


def _anything(query: Query) -> Iterator[Entity]:
    """Yield entities of which the world has no facts."""
    for index in range(query.count(2, 12)):
        yield Entity(f"{query.random.key}/{query.action.action_type}/{index}", {})


_LISTS: dict[type[Result], Callable[[Query], Iterable[Entity]]] = {
    results.Person: _staff,
    results.NvPerson: _staff,
    results.DecisionMaker: _decision_makers,
    results.NvDecisionMaker: _decision_makers,
    results.Connection: _connections,
    results.PendingRequest: _requested,
    results.Company: _companies,
    results.NvCompany: _companies,
    results.Job: _jobs,
    results.Post: _posts,
    results.FoundPost: _posts,
    results.FeedPost: _posts,
    results.PersonComment: _own_activity,
    results.PersonReaction: _own_activity,
    results.PostComment: _comments,
    results.PostReaction: _reactions,
    results.Invitation: _invitations,
    results.ProfileViewer: _viewers,
    results.Experience: _experience,
    results.Education: _education,
    results.Skill: _named(_world.SKILLS),
    results.Language: _named(_world.LANGUAGES),
}
