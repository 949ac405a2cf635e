"""What users test with: virtual time, scripts, assertions, strategies, the plugin."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import math
import os
import pathlib
import socket
import subprocess
import sys
import threading
import types
import typing
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draws
from sample_targets import SAMPLE_TARGETS
from strategies import arguments_of

from linkedapi_async import (
    ActionError,
    InvalidDefinitionError,
    Outcome,
    Session,
    UnknownValueWarning,
    WorkflowFailedError,
    custom,
    dump_workflow,
    load_workflow,
    nv,
    results,
    st,
)
from linkedapi_async._actions.action import named_roots
from linkedapi_async._actions.compatibility import unsupported_in
from linkedapi_async._actions.scopes import Root
from linkedapi_async._results.key import ACTIONS
from linkedapi_async._types import BOTH, Generation
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import (
    VirtualTime,
    _virtual_time,
    assert_started,
    run_virtual,
)
from linkedapi_async.testing._broken_workflows import nest
from linkedapi_async.testing._parameter_values import (
    StrategySettings,
    parameter_objects,
)
from linkedapi_async.testing._virtual_time import _watched
from linkedapi_async.testing._workflows import least, workflow_trees
from linkedapi_async.testing.strategies import (
    RULES,
    BrokenWorkflow,
    broken_workflows,
    workflows,
)


pytest_plugins = ["pytester"]

SITE = "https://www.linkedin.com"
ADA, BOB, EVE = (f"{SITE}/in/{name}" for name in ("ada", "bob", "eve"))
ACME = f"{SITE}/company/acme"
OPEN = st.open_company_page(ACME, basic_info=True)
DMS = st.retrieve_company_dms(limit=3)
DAY = 86_400.0

each_generation = pytest.mark.parametrize("generation", BOTH)
few = settings(max_examples=25, deadline=None)


def run(
    *roots: Any,
    sandbox: Sandbox | None = None,
    generation: Generation = "linked_api",
    account: str | None = None,
) -> Any:
    """Run a workflow in a sandbox that is made ready by now, in virtual time."""

    async def main() -> Any:
        """Do what is under test."""
        async with sandbox or Sandbox() as there:
            async with there.session(generation, account) as session:
                return await session.run(*roots)

    return run_virtual(main())


# Virtual time


@pytest.mark.no_cover
def test_a_day_of_two_hundred_workflows_on_five_accounts() -> None:
    """A campaign of a day runs against the sandbox in virtual time, and all of it."""

    async def main() -> tuple[float, list[int]]:
        """Do what is under test."""

        async def campaign(session: Session, name: str) -> None:
            """Write to forty people, one after the other."""
            account = session.account(name)
            for number in range(40):
                url = f"{SITE}/in/{name}-{number}"
                await account.run(st.send_message(url, text="Hello"))
                await asyncio.sleep(2100)

        names = [f"account-{number}" for number in range(5)]
        with VirtualTime() as clock:
            async with Sandbox() as sandbox, sandbox.session() as session:
                await asyncio.gather(*(campaign(session, name) for name in names))
        sent = [len(sandbox.started(st.send_message, name)) for name in names]
        return clock.elapsed, sent

    elapsed, sent = asyncio.run(main())

    assert [40] * 5 == sent
    assert 40 * 2100 <= elapsed < 1.2 * DAY


def test_the_clock_goes_on_from_where_it_was() -> None:
    """After virtual time a loop's clock neither goes back nor jumps any more."""

    async def main() -> tuple[float, float, float]:
        """Do what is under test."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        with VirtualTime() as clock:
            await asyncio.sleep(DAY)
        after = loop.time()
        await asyncio.sleep(0.001)
        later = await loop.run_in_executor(None, loop.time)
        return after - before - clock.elapsed, clock.elapsed, later - after

    skew, elapsed, later = asyncio.run(main())

    assert math.isclose(0, skew, abs_tol=1)
    assert math.isclose(DAY, elapsed)
    assert 0 < later < 60


def test_time_may_be_longer_than_a_loop_waits_at_once() -> None:
    """A loop never waits for more than a day; three of them pass all the same."""

    async def main() -> float:
        """Do what is under test."""
        with VirtualTime() as clock:
            await asyncio.sleep(3 * DAY)
            return clock.elapsed

    assert math.isclose(3 * DAY, asyncio.run(main()))


def test_timers_are_due_at_their_very_time() -> None:
    """To the last digit, in ten years too, when a double is coarser than the clock."""

    async def main() -> tuple[list[float], list[float]]:
        """Set timers further and further away, and read the clock when each fires."""
        loop = asyncio.get_running_loop()
        times = [loop.time() + 0.1 * 3**number for number in range(20)]
        shown: list[float] = []
        for when in times:
            loop.call_at(when, lambda: shown.append(loop.time()))
        await asyncio.sleep(0.1 * 3**20)
        return times, shown

    times, shown = run_virtual(main())

    assert times == shown


def test_time_stands_still_for_a_job() -> None:
    """While a job of an executor runs, no timer fires."""

    async def main() -> float:
        """Do what is under test."""
        loop = asyncio.get_running_loop()
        loop.call_later(100, print)
        with VirtualTime() as clock:
            # It lets other threads work meanwhile: the loop could well go on.
            await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha256", b"", b"", 100_000)
            return clock.elapsed

    assert 0 == asyncio.run(main())


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon on what never comes."""
    monkeypatch.setattr(_virtual_time, "DEADLOCK_TIMEOUT", 0.01)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("listens", [False, True])
def test_a_deadlock_is_reported(listens: bool) -> None:
    """Where nothing can ever happen any more, an error says so."""

    async def main() -> None:
        """Do what is under test."""
        async with contextlib.AsyncExitStack() as stack:
            if listens:
                server = await asyncio.start_server(print, "127.0.0.1", 0)
                await stack.enter_async_context(server)
            await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())


def test_a_thread_may_have_the_last_word() -> None:
    """Without any timer, what another thread says is waited for."""
    go = threading.Event()

    async def main() -> str:
        """Do what is under test."""
        loop = asyncio.get_running_loop()
        said: asyncio.Future[str] = loop.create_future()

        def say() -> None:
            """Say so when it is time."""
            go.wait()
            loop.call_soon_threadsafe(said.set_result, "done")

        thread = threading.Thread(target=say)
        thread.start()
        await asyncio.sleep(DAY)
        go.set()
        try:
            return await said
        finally:
            thread.join()

    assert "done" == run_virtual(main())


def test_the_last_word_of_a_thread_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come, and the thread end, just before the threads are counted."""

    async def main() -> str:
        """Do what is under test."""
        loop = asyncio.get_running_loop()
        said: asyncio.Future[str] = loop.create_future()
        say = functools.partial(loop.call_soon_threadsafe, said.set_result, "done")
        thread = threading.Thread(target=say)

        def count() -> int:
            """Let the thread run and end."""
            if thread.ident is None:
                thread.start()
                thread.join()
            return 1

        monkeypatch.setattr(threading, "active_count", count)
        return await said

    assert "done" == run_virtual(main())


def test_a_journal_works_in_virtual_time(tmp_path: pathlib.Path) -> None:
    """A thread that writes is no hindrance."""

    async def main() -> int:
        """Do what is under test."""
        journal = tmp_path / "journal.sqlite3"
        async with Sandbox() as sandbox, sandbox.session(journal=journal) as session:
            for name in ("ada", "bob"):
                await session.run(st.send_message(f"{SITE}/in/{name}", text="Hello"))
            return session.stats.completed

    assert 2 == run_virtual(main(), debug=True)


def test_virtual_time_needs_a_loop_of_its_kind() -> None:
    """No loop, a foreign loop, or a second time: each is refused."""
    clock = VirtualTime()

    async def twice() -> None:
        """Enter the same one again."""
        with clock:
            pass
        with clock:
            pass

    with pytest.raises(RuntimeError, match="no running event loop"):
        clock.__enter__()
    with pytest.raises(RuntimeError, match="entered twice"):
        asyncio.run(twice())


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_virtual_time_is_not_for_uvloop() -> None:
    """A loop that is not written in Python keeps its clock."""
    import uvloop

    async def main() -> None:
        """Do what is under test."""
        with VirtualTime():
            pass

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        with pytest.raises(RuntimeError, match="a loop of asyncio's own"):
            runner.run(main())


def test_a_selector_that_does_not_tell_counts_as_many() -> None:
    """A proactor has no list of what it watches: it may always watch something."""
    assert 2 == _watched(object())


# What a script lets an action yield


def example(cls: Any) -> Any:
    """Return an action of a class that may start, with as little as it needs."""
    needed = cls.targets if cls.needs_all_targets else cls.targets[:1]
    targets = {name: SAMPLE_TARGETS.get(name, "Python") for name in needed}
    return cls(**{**arguments_of(least(cls)), **targets})


@pytest.mark.parametrize(
    ("cls", "generation"),
    [
        pytest.param(cls, generation, id=f"{name}-{generation}")
        for name, cls in ACTIONS.items()
        if Root in cls.where and cls.result is not types.NoneType
        for generation in cls.generations
    ],
)
def test_any_result_can_be_prescribed(cls: Any, generation: Generation) -> None:
    """What an action yielded once, as objects, is what it yields by a script."""
    made = run(example(cls), sandbox=Sandbox(seed=1), generation=generation)
    sandbox = Sandbox(seed=2)
    script = sandbox.script(cls, made)
    found = run(example(cls), sandbox=sandbox, generation=generation)

    assert made == found
    assert 1 == script.used


def test_a_dict_is_exactly_what_is_yielded() -> None:
    """JSON of the API goes out as it is, and nothing is added to it."""
    sandbox = Sandbox()
    sandbox.script(st.open_company_page, {"name": "Acme", "employeesCount": 7})
    page = run(OPEN, sandbox=sandbox)

    assert {"name": "Acme", "employeesCount": 7} == page.raw


def test_fields_change_what_is_made_up() -> None:
    """Under either name a field is set, and the others stay."""
    before = run(OPEN)
    sandbox = Sandbox()
    sandbox.script(
        st.open_company_page, fields={"employees_count": 7, "industry": "Tea"}
    )
    page = run(OPEN, sandbox=sandbox)

    assert (7, "Tea", before.name) == (page.employees_count, page.industry, page.name)


def test_fields_change_each_item_of_a_list() -> None:
    """A list is as long as ever, and all in it share the field."""
    sandbox = Sandbox()
    sandbox.script(st.retrieve_company_dms, fields={"location": "Oslo"})
    people = run(OPEN.then(DMS), sandbox=sandbox)[DMS]

    assert len(run(OPEN.then(DMS))[DMS]) == len(people) > 1
    assert {"Oslo"} == {person.location for person in people}
    assert len(people) == len({person.name for person in people})


def test_older_names_for_the_older_generation() -> None:
    """Result objects are spelt as each generation spells them."""
    sandbox = Sandbox()
    post = results.Post(
        url=f"{SITE}/feed/update/urn:li:activity:1", text="Hi", reactions_count=3
    )
    sandbox.script(st.open_post, post)
    action = st.open_post(f"{SITE}/feed/update/urn:li:activity:1", basic_info=True)

    found = run(action, sandbox=sandbox, generation="account_api")

    assert post == found
    assert 3 == found.raw["reactionCount"]


def test_an_empty_page_and_an_empty_list() -> None:
    """Nothing is a result too."""
    sandbox = Sandbox()
    sandbox.script(st.open_company_page, {})
    sandbox.script(st.retrieve_company_dms, [])
    page = run(OPEN.then(DMS), sandbox=sandbox)

    assert page.name is None
    assert [] == page[DMS]


def test_children_go_on_being_made_up() -> None:
    """The children of a scripted page have the outcomes of the requested company."""
    sandbox = Sandbox()
    sandbox.script(st.open_company_page, {"name": "Other"})
    page = run(OPEN.then(DMS), sandbox=sandbox)

    assert "Other" == page.name
    assert run(OPEN.then(DMS))[DMS] == page[DMS]


def test_children_may_be_given() -> None:
    """A ``then`` in the JSON is taken as it is."""
    sandbox = Sandbox()
    node = {"actionType": DMS.action_type, "success": True, "data": [{"name": "Zoe"}]}
    sandbox.script(st.open_company_page, {"name": "Acme", "then": node})
    page = run(OPEN.then(DMS), sandbox=sandbox)

    assert ["Zoe"] == [person.name for person in page[DMS]]


@pytest.mark.parametrize("given", [(), ({},)])
def test_a_void_action_may_hold_children(given: tuple[Any, ...]) -> None:
    """What yields nothing just succeeds, and its children with it."""
    sandbox = Sandbox()
    script = sandbox.script(st.send_message, *given)
    child = st.manage_conversation(operation="archive")
    action = st.send_message(ADA, text="Hello").then(child)
    completion = run_completion(sandbox, action)

    assert [True, True] == [outcome.success for outcome in completion.walk()]
    assert 1 == script.used


def run_completion(sandbox: Sandbox, *roots: Any) -> Any:
    """Return the completion of a workflow."""

    async def main() -> Any:
        """Do what is under test."""
        async with sandbox, sandbox.session() as session:
            handle = await session.start(*roots)
            first = await handle.completion()
            again = await session.attach(str(handle.workflow_id)).completion()
            assert first.raw == again.raw
            return first

    return run_virtual(main())


@pytest.mark.parametrize(
    ("people", "names"),
    [
        pytest.param([{"name": "Zoe", "publicUrl": EVE}], ["Zoe"], id="url"),
        pytest.param([{"name": "Zoe"}, {"name": "Ann"}], ["Zoe", "Ann"], id="no-url"),
    ],
)
def test_the_pages_of_scripted_people_are_theirs(
    people: list[dict[str, Any]], names: list[str]
) -> None:
    """A loop over scripted items opens pages that tell the same of them."""
    sandbox = Sandbox()
    sandbox.script(st.retrieve_company_dms, people)
    visit = st.open_person_page(basic_info=True)
    company = run(OPEN.then(DMS.then(st.do_for_people().then(visit))), sandbox=sandbox)

    assert names == [person[visit].name for person in company[DMS]]
    for person in company[DMS]:
        url = person.public_url or person[visit].public_url
        same = run(st.open_person_page(url, basic_info=True))

        assert (same.about, same.urn) == (person[visit].about, person[visit].urn)


@pytest.mark.parametrize(
    ("search", "loop", "visit"),
    [
        (st.search_companies(), st.do_for_companies(), st.open_company_page()),
        (st.search_jobs(), st.do_for_jobs(), st.open_job()),
        (st.search_posts(term="x"), st.do_for_posts(), st.open_post()),
        (nv.search_people(), nv.do_for_people(), nv.open_person_page()),
        (nv.search_companies(), nv.do_for_companies(), nv.open_company_page()),
    ],
    ids=lambda action: action.action_type,
)
def test_any_scripted_items_have_pages(search: Any, loop: Any, visit: Any) -> None:
    """Companies, jobs and posts that are scripted can be opened in a loop."""
    sandbox = Sandbox()
    sandbox.script(type(search), [{}, {}])
    completion = run_completion(sandbox, search.then(loop.then(visit)))

    assert 2 == len(completion.all(visit))
    assert not completion.errors


def test_scripted_skills_are_endorsed() -> None:
    """A loop over skills leaves out those whose name does not fit."""
    sandbox = Sandbox()
    sandbox.script(st.retrieve_person_skills, [{"name": "Tea"}, {"name": "Go"}])
    endorse = st.endorse_person_skill()
    loop = st.do_for_skills(skill_name_patterns=["tea"]).then(endorse)
    skills = st.retrieve_person_skills().then(loop)
    completion = run_completion(sandbox, st.open_person_page(ADA).then(skills))

    assert 1 == len(completion.all(endorse))


# Which actions a script is for


def test_an_error_is_the_api_s() -> None:
    """The action fails with the type and the words that were prescribed."""
    sandbox = Sandbox()
    sandbox.script(st.open_company_page, error="companyNotFound", message="Gone.")
    labelled = st.open_company_page(ACME, label="it")
    with pytest.raises(ActionError) as caught:
        run(labelled, sandbox=sandbox)

    assert "companyNotFound" == caught.value.type
    assert "it" == caught.value.label
    assert "Gone." in str(caught.value)


def test_loops_meet_a_script_for_each_item() -> None:
    """Of the pages that a loop opens, the first one fails and the others do not."""
    sandbox = Sandbox()
    script = sandbox.script(st.open_person_page, error="personNotFound", times=1)
    visit = st.open_person_page(label="visit")
    loop = st.do_for_people().then(visit)
    completion = run_completion(sandbox, OPEN.then(DMS.then(loop)))
    outcomes: tuple[Outcome[Any], ...] = completion.all(visit)

    assert [False, True] == [outcome.success for outcome in outcomes[:2]]
    assert {"visit"} == {outcome.label for outcome in outcomes}
    assert 1 == script.used


def test_limited_scripts_come_first_and_the_newest_of_the_others() -> None:
    """Those with a number go in their order; of the others the last one counts."""
    sandbox = Sandbox()
    for name in ("always", "rather"):
        sandbox.script(st.open_company_page, {"name": name})
    for name in ("first", "second"):
        sandbox.script(st.open_company_page, {"name": name}, times=1)
    pages = run(OPEN, OPEN, OPEN, OPEN, sandbox=sandbox)

    assert ["first", "second", "rather", "rather"] == [page.name for page in pages]


def test_stop_ends_a_script() -> None:
    """What has been stopped is met no more."""
    sandbox = Sandbox()
    sandbox.script(st.open_company_page, {"name": "before"})
    sandbox.script(st.open_company_page, {"name": "after"}).stop()

    assert "before" == run(OPEN, sandbox=sandbox).name


def test_when_and_account_choose() -> None:
    """A script may be meant for some parameters, or for one account."""
    other = st.open_company_page(f"{SITE}/company/other", basic_info=True)

    def ready() -> Sandbox:
        sandbox = Sandbox()
        sandbox.script(
            st.open_company_page,
            {"name": "met"},
            when=lambda action: action.company_url == ACME,
            account="one",
        )
        return sandbox

    met = [
        run(action, sandbox=ready(), account=account).name == "met"
        for action in (OPEN, other)
        for account in ("one", "two")
    ]

    assert [True, False, False, False] == met


def test_workflows_that_fail_as_a_whole_use_no_script() -> None:
    """What was ordered to fail does not come to its actions."""
    sandbox = Sandbox()
    script = sandbox.script(st.open_company_page, {"name": "met"}, times=1)
    sandbox.fail_next("languageNotSupported")
    with pytest.raises(WorkflowFailedError):
        run(OPEN, sandbox=sandbox)

    assert 0 == script.used


def test_scripts_and_broken_actions_go_together() -> None:
    """What fails by its type fails on beside what is scripted."""
    sandbox = Sandbox(fail={"st.retrieveCompanyDMs": "retrievingNotAllowed"})
    sandbox.script(st.open_company_page, {"name": "met"})
    completion = run_completion(sandbox, OPEN.then(DMS))

    assert [True, False] == [outcome.success for outcome in completion.walk()]


def test_what_no_script_fits_is_settled_at_its_end() -> None:
    """Scripts for other actions change nothing: what breaks meanwhile counts."""
    sandbox = Sandbox()
    sandbox.script(st.react_to_post, error="postNotFound")

    async def main() -> Any:
        """Break the action while the workflow runs."""
        async with sandbox, sandbox.session() as session:
            handle = await session.start(OPEN)
            sandbox.fail_action("st.openCompanyPage", "companyNotFound")
            return await handle.completion()

    assert ["companyNotFound"] == [error.type for error in run_virtual(main()).errors]


def test_a_whole_completion() -> None:
    """What was recorded elsewhere is what a workflow comes to."""
    recorded = {"actionType": "xy.new", "success": True, "data": {"any": 1}}
    sandbox = Sandbox()
    script = sandbox.script_workflow(recorded, times=1, when=lambda w: w == OPEN)
    outcome = run_completion(sandbox, OPEN).root

    assert ("xy.new", {"any": 1}) == (outcome.action_type, outcome.data)
    assert 1 == script.used


# What a script refuses


@pytest.mark.parametrize(
    ("cls", "given", "words"),
    [
        (
            st.open_company_page,
            {"result": {"employesCount": 7}},
            "st.openCompanyPage: employesCount is not a result field; did you mean employeesCount?",
        ),
        (
            st.open_company_page,
            {"result": {"zzz": 7}},
            "st.openCompanyPage: zzz is not a result field; known: ",
        ),
        (
            st.open_company_page,
            {"result": {"name": 7}},
            "st.openCompanyPage: name has a type that it cannot have: 7",
        ),
        (
            st.retrieve_company_dms,
            {"result": [{}, {"names": "x"}]},
            "st.retrieveCompanyDMs[1]: names is not a result field; did you mean name?",
        ),
        (
            st.open_post,
            {"result": {"author": {"names": "x"}}},
            "st.openPost.author: names is not a result field; did you mean name?",
        ),
        (st.open_company_page, {"result": []}, "result must be one result"),
        (st.open_company_page, {"result": "x"}, "result must be one result"),
        (st.retrieve_company_dms, {"result": {}}, "result must be a list of results"),
        (st.retrieve_company_dms, {"result": [1]}, "result must be a list of results"),
        (
            st.send_message,
            {"result": {"id": 1}},
            "st.sendMessage: id is not a result field; it yields nothing",
        ),
        (
            st.send_message,
            {"fields": {"id": 1}},
            "st.sendMessage: id is not a result field; known: none",
        ),
        (
            st.open_company_page,
            {"fields": {"names": "x"}},
            "st.openCompanyPage: names is not a result field; did you mean name?",
        ),
        (
            st.retrieve_company_dms,
            {"fields": {"name": 1}},
            "st.retrieveCompanyDMs[0]: name has a type that it cannot have: 1",
        ),
        (st.send_message, {"fields": {}, "result": {}}, "result= or fields=, not both"),
        (st.send_message, {"error": "x", "result": {}}, "pass error= without"),
        (st.send_message, {"error": "x", "fields": {}}, "pass error= without"),
        (st.send_message, {"times": 0}, "times must be at least 1"),
    ],
)
def test_a_mistake_in_a_script_is_reported_at_once(
    cls: Any, given: dict[str, Any], words: str
) -> None:
    """What an action does not yield is refused where it is prescribed."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words follow
        Sandbox().script(cls, **given)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (OPEN, "pass the class of an action, open_company_page"),
        ("st.openCompanyPage", "pass the class of an action, got 'st.open"),
        (custom, "pass the class of an action"),
        (results.Post, "pass the class of an action"),
        (st.do_for_people, "st.doForPeople has no outcome of its own"),
    ],
)
def test_only_classes_of_actions_are_scripted(action: Any, words: str) -> None:
    """An action itself, its name, a loop: each is refused with advice."""
    with pytest.raises(TypeError) as caught:
        Sandbox().script(action, {})

    assert words in str(caught.value)


def test_a_completion_is_json() -> None:
    """A whole completion is an object or a list."""
    with pytest.raises(TypeError, match="completion must be JSON, got 'x'"):
        Sandbox().script_workflow("x")


# What was started


async def _asked(sandbox: Sandbox) -> None:
    async with sandbox, sandbox.session() as session:
        other = session.account("other")
        await session.start(st.send_message(ADA, text="Hello"))
        await other.start(st.send_message(BOB, text="Hello"), OPEN)
        await session.start(
            st.open_person_page(EVE).then(st.send_message(text="Bye", label="last"))
        )


def asked() -> Sandbox:
    """Return a sandbox that has started three workflows."""
    sandbox = Sandbox()
    run_virtual(_asked(sandbox))
    return sandbox


def test_started_gives_typed_actions_in_order() -> None:
    """Nested ones too, with their parameters, of all accounts or of one."""
    sandbox = asked()
    sent = sandbox.started(st.send_message)
    typing.assert_type(sent, list[st.send_message])

    assert ["Hello", "Hello", "Bye"] == [action.text for action in sent]
    assert [BOB] == [a.person_url for a in sandbox.started(st.send_message, "other")]
    assert [OPEN] == sandbox.started(st.open_company_page)
    assert [] == sandbox.started(st.react_to_post)


def test_assertions_that_hold() -> None:
    """A class, some parameters, a number, an account: what fits is returned."""
    sandbox = asked()

    assert 3 == len(assert_started(sandbox, st.send_message))
    assert 2 == len(assert_started(sandbox, st.send_message(text="Hello"), times=2))
    assert 1 == len(assert_started(sandbox, st.send_message(label="last", text="Bye")))
    assert [] == assert_started(sandbox, st.react_to_post, times=0)
    assert [OPEN] == assert_started(sandbox, OPEN, times=1, account="other")
    assert [] == assert_started(sandbox, OPEN, times=0, account="third")


def test_a_message_tells_what_was_started_instead() -> None:
    """Those of the same class are listed, or else all there are."""
    sandbox = asked()
    with pytest.raises(AssertionError) as alike:
        assert_started(sandbox, st.send_message(text="Hullo"))
    with pytest.raises(AssertionError) as others:
        assert_started(sandbox, st.react_to_post, times=1, account="other")
    with pytest.raises(AssertionError) as nothing:
        assert_started(Sandbox(), st.send_message)

    assert (
        "st.sendMessage text='Hullo' was started 0 times, not at least once; "
        "this was started:\n"
        f"  st.sendMessage personUrl='{ADA}' text='Hello'\n"
        f"  st.sendMessage personUrl='{BOB}' text='Hello'\n"
        "  st.sendMessage label='last' text='Bye'"
    ) == str(alike.value)
    assert (
        "st.reactToPost was started 0 times, not once; this was started:\n"
        f"  st.sendMessage personUrl='{BOB}' text='Hello'\n"
        f"  st.openCompanyPage companyUrl='{ACME}' basicInfo=True"
    ) == str(others.value)
    assert str(nothing.value).endswith("; nothing was started")


def test_a_long_message_is_cut() -> None:
    """Twenty lines are enough to see what happened."""
    sandbox = Sandbox()
    run_many = [st.send_message(f"{ADA}-{n}", text="x") for n in range(23)]
    run(*run_many, sandbox=sandbox)
    with pytest.raises(AssertionError) as caught:
        assert_started(sandbox, st.send_message, times=2)

    assert "was started 23 times, not 2 times" in str(caught.value)
    assert str(caught.value).endswith(f"{ADA}-19' text='x'\n  … and 3 more")


def test_only_actions_are_asserted() -> None:
    """Something else is a slip of the pen, not a failed test."""
    wrong: Any = "st.sendMessage"
    with pytest.raises(TypeError, match="action must be an action or its class"):
        assert_started(Sandbox(), wrong)


# Strategies


@each_generation
@pytest.mark.filterwarnings("ignore::linkedapi_async.TextWarning")
@given(data=draws.data())
@few
def test_any_drawn_workflow_is_taken(
    generation: Generation, data: draws.DataObject
) -> None:
    """It loads, fits its generation, starts, and comes to an end without an error."""
    workflow = data.draw(workflows(generation, actions=4, largest=2))
    roots = workflow if isinstance(workflow, tuple) else (workflow,)
    completion = run_completion_in(generation, roots)

    assert workflow == load_workflow(dump_workflow(workflow))
    assert [] == [
        p for _, root in named_roots(workflow) for p in unsupported_in(root, generation)
    ]
    assert all(sum(1 for _ in root.walk()) <= 4 for root in roots)
    assert () == completion.errors


def run_completion_in(generation: Generation, roots: tuple[Any, ...]) -> Any:
    """Return the completion of a workflow in a generation."""

    async def main() -> Any:
        """Do what is under test."""
        async with Sandbox() as sandbox, sandbox.session(generation) as session:
            return await (await session.start(*roots)).completion()

    return run_virtual(main())


@given(workflow=workflows(roots=1, largest=10**6))
@settings(max_examples=100, deadline=None)
def test_any_workflow_of_any_generation_is_legal(workflow: Any) -> None:
    """Without a generation, whatever the builder allows is drawn; no unknown ones."""
    assert workflow == load_workflow(dump_workflow(workflow))
    assert not any(isinstance(node, custom) for node in workflow.walk())


def test_any_broken_workflow_breaks_one_rule() -> None:
    """`load_workflow` has one problem with it: the one that is named."""

    @given(broken=broken_workflows())
    @settings(max_examples=150, deadline=None)
    def check(broken: BrokenWorkflow) -> None:
        with pytest.raises(InvalidDefinitionError) as caught:
            load_workflow(broken.definition)
        (problem,) = caught.value.problems

        assert broken.error is type(problem)
        assert broken.path == problem.path
        assert broken.words in str(problem)
        assert broken.rule in RULES
        assert broken.facts == {name: getattr(problem, name) for name in broken.facts}

    check()


@pytest.mark.parametrize("definition", [{}, {"then": {"a": 1}}, {"then": [{"a": 1}]}])
def test_one_more_is_nested(definition: dict[str, Any]) -> None:
    """It comes after what is nested already, one object or a list of them."""
    earlier = [{"a": 1}] if definition else []
    nest(definition, {"b": 2})

    assert [*earlier, {"b": 2}] == definition["then"]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_chosen(rule: str) -> None:
    """The chosen rule is the one that is broken."""

    @given(broken=broken_workflows(rule, actions=2))
    @settings(max_examples=3, deadline=None)
    def check(broken: BrokenWorkflow) -> None:
        assert rule == broken.rule

    check()


def test_an_unknown_rule_is_refused() -> None:
    """The message has the nearest name, or all of them."""
    with pytest.raises(ValueError, match="did you mean wrong_child"):
        broken_workflows("wrong_chidl")
    with pytest.raises(ValueError, match="known: wrong_child, "):
        broken_workflows("§")


@pytest.mark.parametrize(
    ("cls", "generation"),
    [
        pytest.param(cls, generation, id=f"{name}-{generation}")
        for name, cls in ACTIONS.items()
        for generation in cls.generations
    ],
)
def test_any_action_fits_its_generation(cls: Any, generation: Generation) -> None:
    """Whatever is drawn for an action, that generation has and takes."""

    required = tuple(name for name in cls.targets if name in arguments_of(least(cls)))

    @given(
        action=parameter_objects(cls, required, StrategySettings(generation=generation))
    )
    @settings(max_examples=20, deadline=None, derandomize=True)
    def check(action: Any) -> None:
        assert [] == [*unsupported_in(action, generation)]

    check()


@each_generation
def test_any_tree_fits_its_generation(generation: Generation) -> None:
    """Nothing is nested where only the other generation has a place for it."""

    @given(tree=workflow_trees(StrategySettings(generation=generation)))
    @settings(max_examples=300, deadline=None, derandomize=True)
    def check(tree: Any) -> None:
        assert [] == [*unsupported_in(tree, generation)]

    check()


def test_unknown_actions_may_be_among_them() -> None:
    """On request, actions of unknown types are drawn at any place."""

    @given(tree=workflow_trees(StrategySettings(customs=True, actions=9)))
    @settings(max_examples=300, deadline=None, derandomize=True)
    def check(tree: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownValueWarning)

            assert tree == load_workflow(dump_workflow(tree))

    check()


# The plugin

SETTINGS = """
import pytest
from sample_targets import SAMPLE_TARGETS

pytest_plugins = ["linkedapi_async.testing.plugin"]

@pytest.fixture
def linkedapi_session_settings():
    return {"generation": "account_api", "identification_token": "me"}

@pytest.fixture
def linkedapi_sandbox_settings():
    return {"seed": 5}
"""
TESTS = """
import asyncio, pytest
from linkedapi_async import st
from linkedapi_async.testing import assert_started

pytestmark = [MARKS]
MESSAGE = st.send_message("https://www.linkedin.com/in/ada", text="Hello")

@pytest.fixture
def campaign(linkedapi_sandbox, linkedapi_session):
    linkedapi_sandbox.script(st.send_message, error="personNotFound", times=1)
    assert linkedapi_session.base_url == linkedapi_sandbox.url

    async def run():
        return (await (await linkedapi_session.start(MESSAGE)).completion()).errors

    return run

async def test_both(campaign, linkedapi_sandbox):
    assert len(await campaign()) == 1
    assert_started(linkedapi_sandbox, MESSAGE, times=1, account="me")
    assert linkedapi_sandbox.workflows[0].generation == "account_api"
    assert linkedapi_sandbox.speed == 1000
    assert linkedapi_sandbox._world.seed == 5

class TestClass:
    async def test_method(self, linkedapi_session):
        await linkedapi_session.run(MESSAGE)

async def test_virtual(linkedapi_virtual_time, campaign, linkedapi_sandbox):
    await campaign()
    await asyncio.sleep(86400)
    assert 86400 < linkedapi_virtual_time.elapsed < 90000
    assert linkedapi_sandbox.speed == 1

async def test_time_only(linkedapi_virtual_time):
    await asyncio.sleep(10)
    assert linkedapi_virtual_time.elapsed == 10

async def test_that_fails(linkedapi_sandbox):
    assert_started(linkedapi_sandbox, MESSAGE)
"""
RUNNERS = {
    "none": ("", ["-p", "no:anyio", "-p", "no:asyncio"]),
    "anyio": (
        'pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])',
        ["-p", "no:asyncio"],
    ),
    "asyncio": (
        "pytest.mark.asyncio",
        ["-o", "asyncio_default_fixture_loop_scope=function"],
    ),
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_plugin_works_with_whatever_runs_async_tests(
    runner: str, pytester: pytest.Pytester
) -> None:
    """Under anyio's plugin, pytest-asyncio or neither: the same tests pass."""
    marks, options = RUNNERS[runner]
    if runner == "asyncio":
        pytest.importorskip("pytest_asyncio")
    pytester.makeconftest(SETTINGS)
    pytester.makepyfile(TESTS.replace("MARKS", marks))
    result = pytester.runpytest_inprocess(*options)

    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*was started 0 times*nothing was started*"])


def test_fixtures_in_tests_that_are_not_async(pytester: pytest.Pytester) -> None:
    """The sandbox runs on a thread; a session or virtual time is refused."""
    pytester.makepyfile(
        """
        import asyncio
        from linkedapi_async import st

        def test_sandbox(linkedapi_sandbox):
            async def main():
                async with linkedapi_sandbox.session() as session:
                    await session.run(st.retrieve_ssi())
            asyncio.run(main())
            assert len(linkedapi_sandbox.started(st.retrieve_ssi)) == 1

        def test_session(linkedapi_session):
            pass

        def test_time(linkedapi_virtual_time):
            pass

        def test_nothing():
            pass
        """
    )
    options = ("-p", "linkedapi_async.testing.plugin", "-p", "no:asyncio")
    result = pytester.runpytest_inprocess(*options)

    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*linkedapi_session needs an async test function*",
            "*linkedapi_virtual_time needs an async test function*",
        ]
    )


def test_async_tests_of_others_are_left_alone(pytester: pytest.Pytester) -> None:
    """Without one of its fixtures, the plugin runs no async test."""
    pytester.makepyfile("async def test_other(): pass")
    options = ("-p", "linkedapi_async.testing.plugin", "-p", "no:asyncio")
    result = pytester.runpytest_inprocess(*options, "-p", "no:anyio")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_a_reserved_address_is_kept() -> None:
    """A sandbox listens where it was said, and there again after a restart."""
    sandbox = Sandbox()
    with sandbox.reserve():
        url = sandbox.url
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = Sandbox(port=other.getsockname()[1])
            with pytest.raises(OSError) as caught:  # noqa: PT011  # by its number
                taken.reserve()
        assert errno.EADDRINUSE == caught.value.errno

        async def main() -> None:
            """Start one workflow, and another one after a restart."""
            async with sandbox, sandbox.session() as session:
                await session.start(OPEN)
                await sandbox.restart()
                await session.start(OPEN)
                assert url == sandbox.url == session.base_url

        run_virtual(main())

    assert 2 == len(sandbox.workflows)


def test_addresses_may_be_of_the_newer_kind() -> None:
    """A sandbox reserves an address before it runs, also one with colons."""
    sandbox = Sandbox(host="::1")
    try:
        with sandbox.reserve():
            assert sandbox.url.startswith("http://[::1]:")
    except OSError:
        pytest.skip("no IPv6 here")


# The example


@pytest.mark.parametrize("name", ["tested_campaign", "campaign_over_days"])
def test_the_example_passes(name: str) -> None:
    """The tests of an example project pass, with warnings as errors."""
    home = pathlib.Path(__file__).parents[2] / "examples" / name
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio"]
    # As a user runs them; the development mode doubles their time.
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=home,
        env={**os.environ, "PYTHONDEVMODE": ""},
        capture_output=True,
        check=False,
        text=True,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_a_virtual_loop_waits_for_its_executor() -> None:
    """A job of an executor of a virtual loop gives its result, and no time passes."""

    async def work() -> tuple[int, float]:
        """Return a result of a thread and the virtual time that it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        return await loop.run_in_executor(None, lambda: 42), loop.time() - began

    assert (42, 0.0) == run_virtual(work())
