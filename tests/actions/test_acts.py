"""Acts: what a workflow changes and to whom, in any spelling and with any text."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from strategies import workflows

from linkedapi_async import dump_workflow, st
from linkedapi_async._actions.acts import (
    acts_by_digest,
    acts_key,
    acts_of,
    definition_key,
)
from linkedapi_async._results.key import ACTIONS


SITE = "https://www.linkedin.com"
ADA = f"{SITE}/in/ada"


def message(person: str = ADA, text: str = "Hello", **more: Any) -> dict[str, Any]:
    """Return a workflow that sends a message."""
    return {"actionType": "st.sendMessage", "personUrl": person, "text": text, **more}


def page(then: Any, person: str = ADA, **more: Any) -> dict[str, Any]:
    """Return a workflow that opens a person's page."""
    return {
        "actionType": "st.openPersonPage",
        "personUrl": person,
        "then": then,
        **more,
    }


def search(then: Any, term: str = "countess") -> dict[str, Any]:
    """Return a workflow that does *then* for the people whom a search finds."""
    opened = {"actionType": "st.openPersonPage", "then": then}
    loop = {"actionType": "st.doForPeople", "then": opened}
    return {"actionType": "st.searchPeople", "term": term, "then": loop}


CONNECT = {"actionType": "st.sendConnectionRequest", "note": "Hello"}

TEXT = {"actionType": "st.sendMessage", "text": "Hello"}

LIKE = {"actionType": "st.reactToPost", "type": "like"}


@pytest.mark.parametrize(
    ("definition", "acts"),
    [
        pytest.param({"actionType": "st.retrieveSSI"}, [], id="reads"),
        pytest.param(
            message(), [("st.sendMessage", ADA, "root", False)], id="of the root"
        ),
        pytest.param(
            {"actionType": "st.sendMessage", "threadId": "2-YWRh", "text": "Hello"},
            [("st.sendMessage", "2-YWRh", "root", False)],
            id="a conversation",
        ),
        pytest.param(
            page(CONNECT),
            [("st.sendConnectionRequest", ADA, "root.then[0]", False)],
            id="inherited",
        ),
        pytest.param(
            page([{"actionType": "nv.openPersonPage", "then": [message()]}, CONNECT]),
            [
                ("st.sendMessage", ADA, "root.then[0].then[0]", False),
                ("st.sendConnectionRequest", ADA, "root.then[1]", False),
            ],
            id="inherited over pages",
        ),
        pytest.param(
            [message(), message(f"{SITE}/in/bob")],
            [
                ("st.sendMessage", ADA, "root[0]", False),
                ("st.sendMessage", f"{SITE}/in/bob", "root[1]", False),
            ],
            id="several roots",
        ),
        pytest.param(
            message(then={"actionType": "st.manageConversation", "operation": "mute"}),
            [
                ("st.sendMessage", ADA, "root", False),
                ("st.manageConversation mute", ADA, "root.then[0]", False),
            ],
            id="a conversation with a person",
        ),
        pytest.param(
            page(
                {
                    "actionType": "st.retrievePersonSkills",
                    "then": {
                        "actionType": "st.doForSkills",
                        "then": {"actionType": "st.endorsePersonSkill"},
                    },
                }
            ),
            [
                (
                    "st.endorsePersonSkill",
                    ADA,
                    "root.then[0].then[0].then[0]",
                    False,
                )
            ],
            id="skills of one person",
        ),
        pytest.param(
            {
                "actionType": "st.endorsePersonSkill",
                "personUrl": ADA,
                "skillName": "Analysis",
            },
            [("st.endorsePersonSkill Analysis", ADA, "root", False)],
            id="one skill",
        ),
        pytest.param(
            {
                **LIKE,
                "postUrn": "urn:li:activity:7461",
                "companyUrl": f"{SITE}/company/a/",
            },
            [
                (
                    f"st.reactToPost {SITE}/company/a",
                    f"{SITE}/feed/update/urn:li:activity:7461",
                    "root",
                    False,
                )
            ],
            id="in the name of a company",
        ),
        pytest.param(
            {
                "actionType": "st.acceptInvitation",
                "invitationType": "company",
                "companyUrl": f"{SITE}/company/a",
            },
            [("st.acceptInvitation", f"{SITE}/company/a", "root", False)],
            id="the company is the target",
        ),
        pytest.param(
            {"actionType": "st.createPost", "text": "Hello"},
            [("st.createPost", None, "root", False)],
            id="without a target",
        ),
        pytest.param(
            search(TEXT),
            [("st.sendMessage", None, "root.then[0].then[0].then[0]", True)],
            id="people of a search",
        ),
        pytest.param(
            page(
                {
                    "actionType": "st.retrievePersonPosts",
                    "then": {
                        "actionType": "st.doForPosts",
                        "then": {"actionType": "st.openPost", "then": LIKE},
                    },
                }
            ),
            [("st.reactToPost", None, "root" + ".then[0]" * 4, True)],
            id="posts of a person",
        ),
        pytest.param(
            {"actionType": "st.brandNew", "personUrl": ADA, "then": CONNECT},
            [
                ("st.brandNew", ADA, "root", False),
                ("st.sendConnectionRequest", None, "root.then[0]", True),
            ],
            id="an unknown action may write, and open a list",
        ),
        pytest.param(
            page({"actionType": "st.brandNew"}),
            [("st.brandNew", ADA, "root.then[0]", False)],
            id="an unknown action inherits",
        ),
        pytest.param(
            {"actionType": 5}, [("5", None, "root", False)], id="an odd action type"
        ),
        pytest.param({}, [("None", None, "root", False)], id="no action type"),
        pytest.param("text", [], id="no action"),
    ],
)
def test_acts(definition: Any, acts: list[tuple[str, str | None, str, bool]]) -> None:
    """An act has a kind, a path, and the target of its action or of the page."""
    assert acts == [(a.kind, a.target, a.path, a.listed) for a in acts_of(definition)]


SPELLINGS = [
    "linkedin.com/in/ada",
    "https://uk.linkedin.com/in/Ada/?trk=x",
    "http://www.linkedin.com/in/ada#top",
    f"  {ADA}/en ",
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(pytest.param(message(), message(s), id=s) for s in SPELLINGS),
        pytest.param(message(), message(text="Good day"), id="text"),
        pytest.param(
            page(message()), message(text="Good day", label="x"), id="with a visit"
        ),
        pytest.param(
            page(CONNECT),
            page(CONNECT, basicInfo=True, label="x"),
            id="what is read besides",
        ),
        pytest.param(
            [message(), page(CONNECT)], page([CONNECT, message()]), id="order"
        ),
        pytest.param(message(), [message(), message(text="PS")], id="a postscript"),
        pytest.param(
            search(TEXT),
            search({**TEXT, "text": "Good day", "label": "x"}),
            id="the text for people of a search",
        ),
    ],
)
def test_acts_that_are_the_same(one: Any, other: Any) -> None:
    """Spelling, text, labels and reading actions make no difference."""
    assert acts_key(one) == acts_key(other)
    assert definition_key(one) != definition_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(message(), message(f"{SITE}/in/bob"), id="target"),
        pytest.param(message(), page(CONNECT), id="kind"),
        pytest.param(
            {"actionType": "st.createPost", "text": "Hello"},
            {"actionType": "st.createPost", "text": "Good day"},
            id="the text of what has no target",
        ),
        pytest.param(search(TEXT), search(TEXT, "baroness"), id="search"),
        pytest.param(
            {"actionType": "st.endorsePersonSkill", "personUrl": ADA, "skillName": "a"},
            {"actionType": "st.endorsePersonSkill", "personUrl": ADA, "skillName": "b"},
            id="skill",
        ),
    ],
)
def test_acts_that_differ(one: Any, other: Any) -> None:
    """Another kind, target or search makes another act."""
    assert acts_key(one) != acts_key(other)


def test_reading_has_no_acts_key() -> None:
    """A workflow that only reads is identified by all of it."""
    visit = {"actionType": "st.openPersonPage", "personUrl": ADA}

    assert acts_key(visit) is None
    assert definition_key(visit) == definition_key(dict(reversed(visit.items())))


def test_keys_never_change() -> None:
    """Keys stay the same, because journals contain them."""
    assert "to-46accff915b26d0ac4c4272eda09e57d" == acts_key(message())
    assert "7b1e5b2835c6ed9e3d6cdf58374dd176" == definition_key(message())


def test_digests_never_change() -> None:
    """Journals keep the digests of acts with a target; a place in a list has none."""
    acts = acts_by_digest([message(), message(text="Good day"), search(CONNECT)])

    assert ["350aa37898470632c881e78c8f88b641"] == [digest.hex() for digest in acts]
    assert [ADA] == [act.target for act in acts.values()]


@given(workflows)
def test_every_write_is_an_act(workflow: Any) -> None:
    """Each action that writes is an act, whatever is around it."""
    definition = dump_workflow(workflow)
    before = copy.deepcopy(definition)
    acts = acts_of(definition)
    roots = workflow if isinstance(workflow, tuple) else (workflow,)
    writes = [
        node
        for root in roots
        for node in root.walk()
        if node.action_type not in ACTIONS
        or ACTIONS[node.action_type].effect == "write"
    ]

    assert before == definition
    assert {node.action_type for node in writes} == {act.action_type for act in acts}
    assert bool(writes) == (acts_key(definition) is not None)


def test_built_and_loaded_workflows_have_the_same_acts() -> None:
    """A built workflow has the acts of its JSON."""
    built = st.open_person_page(ADA).then(st.send_message(text="Hello"))

    assert acts_key(dump_workflow(built)) == acts_key(page(TEXT))
