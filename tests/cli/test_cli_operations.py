"""The commands of the ready-made operations, made from their signatures."""

from __future__ import annotations

import asyncio
import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from cli_harness import Shell, Terminal
from click.shell_completion import BashComplete
from hypothesis import given
from hypothesis import strategies as draws

from linkedapi_async import operations
from linkedapi_async._actions.composite import child_fields
from linkedapi_async._actions.parameters import parameters_of
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async.cli._app import COMMANDS, app
from linkedapi_async.cli._operation_commands import OperationCommand, _PartSize
from linkedapi_async.cli._operations import NOT_COMMANDS, SECTIONS, all_operations
from linkedapi_async.cli._workflow_input import writing_actions
from linkedapi_async.journal import SqliteJournal
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing._parameter_values import (
    StrategySettings,
    parameter_objects,
)


ADA = "https://www.linkedin.com/in/ada"
ACME = "https://www.linkedin.com/company/acme"
ALL = {name: OperationCommand(each) for name, each in all_operations().items()}


def parsed(name: str, words: list[str]) -> Any:
    """Return the definition of the workflow that a command line stands for."""
    command = ALL[name]
    with command.make_context(name, [*words]) as context:
        return dump_workflow(command.interface.build(context.params))


# What there is


def test_each_operation_has_one_command() -> None:
    """Each function of the operations is a command, and no other command has its name."""
    functions = {name for name in operations.__all__ if name.islower()}
    own = [*COMMANDS, *app.commands]

    assert functions - {*NOT_COMMANDS} == {
        each.name for each in all_operations().values()
    }
    assert not {*own} & ALL.keys()
    for name, command in ALL.items():
        with app.make_context("linkedapi", ["exit-codes"]) as context:
            found = app.get_command(context, name)

        assert isinstance(found, OperationCommand)
        assert command.params.__len__() == len({each.name for each in command.params})


@pytest.mark.parametrize("name", ALL)
def test_each_parameter_is_there(name: str) -> None:
    """Each parameter of the function is an argument or an option, and is described."""
    operation = ALL[name].interface.operation
    known = {each.name: each for each in ALL[name].params}
    skipped = {"children"}
    for parameter in inspect.signature(operation.make).parameters.values():
        if parameter.name in skipped:
            continue
        found = known[parameter.name]

        by_position = parameter.kind is not parameter.KEYWORD_ONLY
        assert by_position == isinstance(found, click.Argument)
        assert isinstance(found, click.Argument) or found.help
    interface = ALL[name].interface
    described = [each.about for each in interface.inputs]
    described += [each.about for each in interface.parts]
    for about in described:
        assert about
        assert not {"`", "*"} & {*about}


@pytest.mark.parametrize("name", ALL)
def test_sections_say_what_writes(name: str) -> None:
    """A command is said to write exactly if its workflow does."""
    operation = ALL[name].interface.operation
    line = ALL[name].interface.examples()[0]
    words = shlex.split(line)[2:]
    with ALL[name].make_context(name, words) as context:
        workflow = ALL[name].interface.build(context.params)

    assert operation.writes == bool(writing_actions(workflow))
    assert operation.section in SECTIONS


def test_help_is_grouped(shell: Shell) -> None:
    """The list of commands has sections, and each command says what is its own."""
    listed = shell("--help").out
    person = shell("person", "--help").out

    places = [listed.index(f"\n{title}:\n") for title in SECTIONS]
    assert sorted(places) == places
    assert "\n  person " in listed
    own, _, shared = person.partition("\nOptions as for run:\n")
    assert "--posts [NUMBER]" in own
    assert "--experience " in own
    assert "PERSON_URL: The person, by public or hashed URL." in own
    assert "--yes" not in own.partition("\nOptions:\n")[2]
    assert "--yes" in shared
    assert "--help" in shared


# What they build


def drawn_action(data: draws.DataObject, cls: Any, *, root: bool) -> Any:
    """Draw an action without a label."""
    targets = [row.name for row in parameters_of(cls) if row.info.target and root]
    if not cls.needs_all_targets:
        targets = targets[:1]
    found = data.draw(parameter_objects(cls, tuple(targets), StrategySettings()))
    rows = [row.name for row in parameters_of(cls)]
    values = {name: getattr(found, name) for name in rows}
    # An empty list is an option that is not given.
    return cls(**{n: v for n, v in values.items() if v is not None and v != ()})


def as_words(option: str, value: Any, *, by_name: bool) -> list[str]:
    """Return the words for a JSON value."""
    if isinstance(value, bool):
        return [option if value else f"--no-{option.removeprefix('--')}"]
    if isinstance(value, list):
        return [
            word for each in value for word in as_words(option, each, by_name=False)
        ]
    if isinstance(value, dict) and by_name and value:
        pairs = (
            (name, each)
            for name, found in value.items()
            for each in (found if isinstance(found, list) else [found])
        )
        return [f"{option}={name}={as_text(each)}" for name, each in pairs]
    return [f"{option}={as_text(value)}"]


def as_text(value: Any) -> str:
    """Return a value as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)


def has_brace(value: Any) -> bool:
    """Return whether some text begins like JSON."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return any(map(has_brace, inner))
    return isinstance(value, str) and value.startswith("{")


def has_empty(value: Any) -> bool:
    """Return whether there is a list or an object that is empty, somewhere."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return not value or any(map(has_empty, inner))
    return False


ACTIONS = [n for n, c in ALL.items() if isinstance(c.interface.operation.make, type)]


@given(name=draws.sampled_from(ACTIONS), by_name=draws.booleans(), data=draws.data())
def test_an_action_is_built_as_in_python(
    name: str, by_name: bool, data: draws.DataObject
) -> None:
    """Whatever an action accepts can be typed, and gives the same workflow."""
    make: Any = ALL[name].interface.operation.make
    expected: Any = dump_workflow(drawn_action(data, make, root=True))
    if has_brace(expected):
        return
    words, last = [], []
    for row in parameters_of(make):
        value = expected.get(row.json_name)
        if value is not None and row.positional:
            last.append(as_text(value))
        elif value is not None:
            named = by_name and not has_empty(value)
            words += as_words("--" + row.name.replace("_", "-"), value, by_name=named)

    assert expected == parsed(name, [*words, "--", *last])


@given(
    name=draws.sampled_from([n for n, c in ALL.items() if c.interface.parts]),
    data=draws.data(),
)
def test_parts_are_built_as_in_python(name: str, data: draws.DataObject) -> None:
    """Parts are typed as flags, as numbers, and with the parameters of their actions."""
    interface = ALL[name].interface
    make: Any = interface.operation.make
    url = shlex.split(interface.examples()[0])[2]
    flat = make.__annotations__["return"].__args__[2]
    words, parts = [], {}
    for part in child_fields(flat):
        if data.draw(draws.booleans()):
            action = drawn_action(data, part.action, root=False)
            found = dump_part(action)
            if has_brace(found):
                continue
            parts[part.parameter] = action
            option = "--" + part.parameter
            rows = {row.json_name: row.name for row in parameters_of(part.action)}
            words += [] if "limit" in found else [option]
            for json_name, value in found.items():
                more = rows[json_name].replace("_", "-")
                shown = option if more == "limit" else f"{option}-{more}"
                words += as_words(shown, value, by_name=False)

    assert dump_workflow(make(url, **parts)) == parsed(name, [url, *words])


def dump_part(action: Any) -> dict[str, Any]:
    """Return the JSON of the parameters of an action that cannot be a root."""
    from linkedapi_async import nv, st

    page = (
        nv.open_company_page("https://www.linkedin.com/company/1035")
        if action.action_type.startswith("nv.")
        else next(
            parent
            for parent in (
                st.open_person_page(ADA),
                st.open_company_page(ACME),
                st.open_post("https://www.linkedin.com/feed/update/urn:li:activity:7"),
            )
            if parent.opens in type(action).where
        )
    )
    dumped: Any = dump_workflow(page.then(action))
    return {k: v for k, v in dumped["then"].items() if k != "actionType"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("search-people --limit 0", "--limit must be at least 1, got 0"),
        (
            "search-people --filter location=Berlin",
            "--filter has no 'location'; did you mean locations?",
        ),
        (
            "search-people --filter =x",
            "--filter has no ''; known: first-name, last-name",
        ),
        (
            "search-people --filter Berlin",
            "--filter must be NAME=VALUE or a JSON object, got 'Berlin'",
        ),
        ("search-people --filter {1}", "--filter must be a JSON object, got '{1}'"),
        (
            """search-people --filter '{"locations": "Berlin"}'""",
            "--filter: locations must be a list, got 'Berlin'",
        ),
        (
            """search-people --filter '{"locations": [7]}'""",
            "--filter: locations[0] must be a string, got 7",
        ),
        (
            """search-people --filter '{"locatoins": []}'""",
            "--filter has no 'locatoins'; did you mean locations?",
        ),
        (
            "search-jobs --filter easy-apply=yes",
            "--filter: easy-apply must be true or false, got 'yes'",
        ),
        (
            "nv-search-companies --filter annual-revenue=5",
            "--filter: annual-revenue must be a JSON object, got 5",
        ),
        (
            f"company {ACME} --employees-filter connection-degrees=",
            "--employees-filter: connection-degrees[0] must have at least 1 character",
        ),
        (
            f"person {ADA} --posts-since yesterday",
            "--posts-since must be ISO 8601 text",
        ),
        (f"company {ACME} --posts 0", "--posts must be at least 1, got 0"),
        (
            f"company --posts {ACME}",
            f"'{ACME}' is not a number; give arguments before this option.",
        ),
        (
            """create-post --text x --attachments '{"url": "u", "type": "document"}'""",
            "--attachments[0]: name is required for a document",
        ),
        ("create-post --text x --attachments 5", "--attachments[0] must be a JSON"),
        ("post", "POST_URL or --post-urn is required"),
        ("search-posts", "--term is required without --custom-search-url"),
        ("accept-invitation connect", "--person-url is required for the invitation"),
        ("person", "Missing argument 'PERSON_URL'"),
        ("create-post", "Missing option '--text'"),
        (f"endorse-person-skill {ADA}", "Missing option '--skill-name'"),
        ("person Ada", "PERSON_URL must be the URL of a person, such as https"),
        (
            """create-post --text x --mentions '{"key": "a b", "name": 7}'""",
            "--mentions[0]: ",
        ),
        (f"send-message {ADA} --text ''", "--text must have at least 1 character"),
        ("persons", "No such command 'persons'; did you mean person?"),
    ],
)
def test_wrong_values(shell: Shell, box: Sandbox, line: str, message: str) -> None:
    """A wrong value is a usage error that names the option, and nothing is sent."""
    before = box.requests
    done = shell(*shlex.split(line))

    assert (2, "") == (done.status, done.out)
    assert message in done.err
    assert "Traceback" not in done.err
    assert before == box.requests


def test_unknown_words_are_sent_with_a_warning(shell: Shell) -> None:
    """The lists of words are open."""
    done = shell("react-to-post", "urn:li:activity:7", "--type", "lov", "--dry-run")

    assert 0 == done.status
    assert "lov" == json.loads(done.out)["workflow"]["type"]
    assert "did you mean 'love'?" in done.err


# What they do


def test_results_are_those_of_run(shell: Shell) -> None:
    """A command prints what `run` prints for the same workflow."""
    words = ("company", ACME, "--employees", "3", "--posts")
    shell.write("same.json", json.dumps(parsed("company", [*words[1:]])))
    mine, same = shell(*words), shell("run", "same.json")
    table = shell(*words, "--action", "st.retrieveCompanyEmployees", "--format", "csv")

    assert (0, 0) == (mine.status, same.status)
    kinds = [
        [each["actionType"] for each in json.loads(done.out)["data"]["then"]]
        for done in (mine, same)
    ]
    assert [["st.retrieveCompanyEmployees", "st.retrieveCompanyPosts"]] * 2 == kinds
    assert 1 + 3 == len(table.out.splitlines())


def test_writes_are_confirmed(shell: Shell, box: Sandbox) -> None:
    """A command that writes asks first, and refuses where it cannot ask."""
    words = ("send-message", ADA, "--text", "Hello!")
    before = len(box.workflows)
    refused = shell(*words)

    assert 14 == refused.status
    assert "add --yes" in refused.err
    with Terminal() as terminal:
        terminal.press("n\n")

        assert 0 == shell.at(terminal, *words)
        assert "root: st.sendMessage" in terminal.text
        assert "nothing was sent" in terminal.text
    assert before == len(box.workflows)
    assert 0 == shell(*words, "--yes").status
    assert before + 1 == len(box.workflows)


def test_journal_has_them(shell: Shell, tmp_path: Path) -> None:
    """With a journal, a run of a command is recorded like any other."""

    async def delivered() -> int:
        """Return how many runs of the journal were delivered."""
        journal = SqliteJournal(tmp_path / "runs.journal")
        await journal.open()
        rows = await journal.rows("delivered")
        await journal.aclose()
        return len(rows)

    words = ("send-message", ADA, "--text", "Hi", "--yes", "--journal", "runs.journal")

    assert 0 == shell(*words).status
    assert 1 == asyncio.run(delivered())


def test_a_generation_that_lacks_it_is_named(shell: Shell) -> None:
    """What the API of the tokens does not have is refused before anything is sent."""
    shell.set(LINKED_API_TOKEN=None, ACCOUNT_API_TOKEN="main-token-77")
    done = shell("feed")

    assert 3 == done.status
    assert "use a session with LINKED_API_TOKEN" in done.err


# Completion in shells


@pytest.mark.parametrize(
    ("before", "typed", "expected"),
    [
        ([], "pers", ["person"]),
        (["person"], "--pos", ["--posts", "--posts-since"]),
        (["react-to-post", "--type"], "lo", ["love"]),
        (["accept-invitation"], "conn", ["connect"]),
        (["search-people", "--filter"], "loc", ["locations="]),
        (["person", "--posts-since"], "", []),
    ],
)
def test_shell_completion(before: list[str], typed: str, expected: list[str]) -> None:
    """Shells complete commands, options, known words and names of filters."""
    found = BashComplete(app, {}, "linkedapi", "_X").get_completions(before, typed)

    assert expected == [item.value for item in found]


def test_numbers_of_parts() -> None:
    """A part without a number takes the default of the API."""
    count = _PartSize()

    assert True is count.convert("default", None, None)
    assert True is count.convert(True, None, None)
    assert 7 == count.convert("7", None, None)
    with pytest.raises(click.BadParameter):
        count.convert("1" * 19, None, None)


def test_python_without_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python removed the docstrings, the commands work without descriptions."""
    for each in all_operations().values():
        monkeypatch.setattr(each.make, "__doc__", None)
    for each in all_operations().values():
        command = OperationCommand(each)
        with command.make_context(each.command, [], resilient_parsing=True) as context:
            assert "Examples:" in command.get_help(context)


def test_inputs_and_parts_are_shown() -> None:
    """An input and a part have the names that users type."""
    interface = ALL["company"].interface

    assert ["COMPANY_URL", "--label"] == [each.shown for each in interface.inputs]
    assert [True] * 3 == [part.counted for part in interface.parts]
