"""Which columns are printed, and what a session does: --fields and --verbose."""

from __future__ import annotations

import json
import re

import pytest
from cli_harness import TOKENS, Shell

from linkedapi_async.cli._output import chosen_fields, selected
from linkedapi_async.sandbox import Sandbox


ACME = "https://www.linkedin.com/company/acme"
EMPLOYEES = ("company", ACME, "--employees", "2")
ROWS = ("--action", "st.retrieveCompanyEmployees")


def test_fields_are_chosen_in_each_format(shell: Shell) -> None:
    """The columns are those that were chosen, in that order, in every format."""
    words = (*EMPLOYEES, *ROWS, "--fields", "headline, name")
    outputs = {
        name: shell(*words, "--format", name).out
        for name in ("json", "jsonl", "csv", "table")
    }
    rows = json.loads(outputs["json"])

    assert [["headline", "name"]] * 2 == [[*row] for row in rows]
    lines = outputs["jsonl"].splitlines()
    assert [["headline", "name"]] * 2 == [[*json.loads(line)] for line in lines]
    assert "headline,name" == outputs["csv"].splitlines()[0]
    assert re.search(r"^ *headline +name *$", outputs["table"], re.MULTILINE)


def test_unknown_fields_lose_nothing(shell: Shell) -> None:
    """A field that no row has is empty, with a warning that names the known ones."""
    done = shell(*EMPLOYEES, *ROWS, "--fields", "name,namen")
    none = shell("inbox", "--fields", "namen")

    assert 0 == done.status
    assert [None, None] == [row["namen"] for row in json.loads(done.out)]
    assert "warning: no row has the field 'namen'; known: " in done.err
    assert (0, "[]\n", "") == (none.status, none.out, none.err)


def test_fields_of_answers(shell: Shell, box: Sandbox) -> None:
    """Answers without a workflow have fields too, also the lines of an inbox."""
    id = shell("ssi", "--no-wait").out.strip()
    box.receive_message(
        TOKENS["IDENTIFICATION_TOKEN"], ACME.replace("company", "in"), "x"
    )
    owner = json.loads(shell("whoami", "--fields", "name").out)
    status = json.loads(shell("status", id, "--fields", "workflowId").out)
    waited = shell("wait", id, "--fields", "ssi").out
    assert 0 == shell("sync-inbox").status
    box.receive_message(TOKENS["IDENTIFICATION_TOKEN"], "linkedin.com/in/ada", "Hello")
    lines = shell("inbox", "--format", "jsonl", "--fields", "text").out.splitlines()

    assert [["name"]] == [[*row] for row in owner]
    assert [{"workflowId": id}] == status
    assert 1 == len(json.loads(waited))
    assert {"text": "Hello"} == json.loads(lines[-1])


@pytest.mark.parametrize("fields", ["", "a,,b", ","])
def test_fields_without_a_name(shell: Shell, fields: str) -> None:
    """An empty name is a usage error, before anything is sent."""
    done = shell("whoami", "--fields", fields)

    assert (2, "") == (done.status, done.out)
    assert f"expected names with commas between them, got {fields!r}." in done.err


def test_parquet_has_all_fields(shell: Shell) -> None:
    """Parquet follows from the class of the results, so no fields are chosen."""
    done = shell(*EMPLOYEES, *ROWS, "--fields", "name", "--format", "parquet")

    assert (2, "") == (done.status, done.out)
    assert "--format parquet has all fields; leave --fields out" in done.err


def test_outside_of_a_command() -> None:
    """Without a command all fields are chosen."""
    assert chosen_fields() is None
    assert {"a": 1} == selected({"a": 1})


def test_verbose_shows_events(shell: Shell) -> None:
    """With --verbose each event is a line with its time and its facts, without tokens."""
    done = shell("ssi", "-v")
    quiet = shell("ssi", "-q")

    assert 0 == done.status
    assert re.search(
        r"^\d\d:\d\d:\d\d workflow started: account=\w+ workflow_id=\S+",
        done.err,
        re.MULTILINE,
    )
    assert re.search(r"^\d\d:\d\d:\d\d workflow finished: ", done.err, re.MULTILINE)
    assert not {token for token in TOKENS.values() if token in done.err}
    assert (0, "") == (quiet.status, quiet.err)
