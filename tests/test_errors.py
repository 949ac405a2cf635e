"""The error tree: as drawn, readable, and whole after pickling and copying."""

import builtins
import copy
import inspect
import itertools
import json
import math
import pathlib
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from linkedapi_async import Completion, errors, read_completion
from linkedapi_async.errors import (
    ActionError,
    AmbiguousKeyError,
    ConnectionFailedError,
    InvalidDefinitionError,
    LinkedApiError,
    NestingError,
    PaceError,
    ParameterError,
    PollingCrashedError,
    RateLimitedError,
    RequestError,
    ResultMissingError,
    SessionClosedError,
    StartUnknownError,
    UnknownValueWarning,
    UnsupportedError,
    Verdict,
    WaitTimeoutError,
    WorkflowCancelledError,
    WorkflowError,
    WorkflowFailedError,
    WorkflowNotFoundError,
    verdict_of,
)


CLASSES: list[Any] = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, LinkedApiError)
]

COMPLETION = read_completion({"actionType": "st.openPost"}, workflow_id="wf-1")

# A value for every argument that any of the classes takes.
ARGUMENTS: dict[str, Any] = {
    "pending_reason": "outsideWorkingHours",
    "api_message": "The account works from 09:00.",
    "account": "0123456789ab",
    "action_type": "st.openPost",
    "allowance": 25,
    "allowed": ["st.openPost"],
    "completion": COMPLETION,
    "generation": "linked_api",
    "handle": None,
    "key": "ada",
    "http_status": 429,
    "label": "first",
    "most": 100,
    "message": "it went wrong",
    "nearest": "st.openPost",
    "offender": "st.opnPost",
    "candidates": ("wf-7",),
    "category": "stMessages",
    "owner": "st.openPost",
    "parameter": "limit",
    "parent": "st.doForPosts",
    "path": "root.then[1]",
    "period": "day",
    "products": ("root: 4 × 25 × st.sendMessage",),
    "problems": [WorkflowError("this", path="root"), WorkflowError("that")],
    "raw": {"actionType": "st.openPost", "success": False},
    "reason": "is required",
    "retry_after": 1.5,
    "seconds": 60.0,
    "sent": True,
    "session_id": "session-1",
    "since": datetime(2026, 1, 2, tzinfo=UTC),
    "status": 400,
    "target": "https://www.linkedin.com/in/ada",
    "type": "tooManyRequests",
    "until": datetime(2026, 3, 1, 8, tzinfo=UTC),
    "workflow_id": "wf-1",
}

each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)


def takes(cls: Any) -> list[str]:
    """Return the names of the arguments of *cls*."""
    return [*inspect.signature(cls).parameters]


def made(cls: Any) -> Any:
    """Make an error with all that it can be told."""
    return cls(**{name: ARGUMENTS[name] for name in takes(cls)})


def drawn() -> Iterator[tuple[int, str, str | None]]:
    """Read the drawing of the tree: depth, name and other base of each class."""
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)(?: \((\w+)\))?(?:  |$)", line)
        if match:
            yield len(match[1]) // 3, match[2], match[3]


def test_the_tree_is_as_it_is_drawn() -> None:
    """Every class stands in the docstring under its base, and none is invented."""
    above: list[str] = []
    expected = {}
    for depth, name, other in drawn():
        bases = [above[depth - 1]] if depth else ["Exception"]
        expected[name] = bases + ([other] if other else [])
        above[depth:] = [name]

    assert expected == {
        cls.__name__: [base.__name__ for base in cls.__bases__] for cls in CLASSES
    }


def test_other_bases_are_builtins() -> None:
    """What a stranger would catch is an error that Python has."""
    others = [other for *_, other in drawn() if other]

    assert ["ValueError", "ConnectionError", "LookupError", "TimeoutError"] == others[
        :4
    ]
    assert all(issubclass(getattr(builtins, other), Exception) for other in others)


def test_the_warning_is_a_user_warning() -> None:
    """Python shows it unless told otherwise; it pickles."""
    again = pickle.loads(pickle.dumps(UnknownValueWarning("x")))

    assert isinstance(again, UserWarning)
    assert not isinstance(again, LinkedApiError)
    assert "x" == str(again)


@each_class
def test_pickling_and_copying_keep_all(cls: Any) -> None:
    """The copy has the same class, text, arguments and attributes, and its notes."""
    error = made(cls)
    error.add_note("seen by a test")
    for protocol, again in itertools.chain(
        ((p, pickle.loads(pickle.dumps(error, p))) for p in range(6)),
        (("copy", copy.copy(error)), ("deepcopy", copy.deepcopy(error))),
    ):
        assert type(error) is type(again), protocol
        assert error is not again
        assert str(error) == str(again)
        assert repr(error) == repr(again)
        assert error.args == again.args
        assert {*vars(error)} == {*vars(again)}
        assert ["seen by a test"] == again.__notes__
        for name in vars(error):
            assert plain(getattr(error, name)) == plain(getattr(again, name))


def plain(value: Any) -> Any:
    """Return *value* in a form that compares; errors have no equality."""
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return value.raw if isinstance(value, Completion) else value


@each_class
def test_every_argument_is_an_attribute(cls: Any) -> None:
    """What an error was told can be read from it; lists become tuples."""
    error = made(cls)
    for name in takes(cls):
        if name == "seconds":  # stands in the text
            continue
        value = ARGUMENTS[name]
        expected = tuple(value) if isinstance(value, list) else value
        found = getattr(error, name)

        assert expected == found or (name == "message" and value in found)


@each_class
def test_the_text_is_for_people(cls: Any) -> None:
    """No quotes of KeyError, no tuple of OSError: words, and the facts in brackets."""
    error = made(cls)
    text = str(error)

    assert error.message in text
    assert text[0] not in "'\"(["
    assert ("workflow_id" in takes(cls)) == ("[workflow wf-1]" in text) or (
        cls is ActionError
    )
    if issubclass(cls, WorkflowError) and cls is not InvalidDefinitionError:
        assert text.startswith("root.then[1]: ")
    if issubclass(cls, RequestError) and cls is not ConnectionFailedError:
        assert text.endswith("(tooManyRequests, HTTP 429)")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LinkedApiError("lost"), "lost"),
        (LinkedApiError("lost", workflow_id="wf-1"), "lost [workflow wf-1]"),
        (WorkflowError("wrong"), "wrong"),
        (WorkflowError("wrong", path="root[1]"), "root[1]: wrong"),
        (
            NestingError(
                path="root.then[0]",
                offender="st.a",
                parent="st.b",
                allowed=["st.c", "st.d"],
                nearest="st.c",
            ),
            (
                "root.then[0]: st.a cannot be nested under st.b; allowed there: st.c, st.d; "
                "did you mean st.c?"
            ),
        ),
        (
            NestingError(
                path="root", offender="st.a", parent=None, allowed=["b"], nearest=None
            ),
            ("root: st.a cannot be a root; allowed there: a search, an open page, …"),
        ),
        (
            ParameterError(owner="st.a", parameter="limit", reason="too large"),
            "st.a: limit too large",
        ),
        (
            InvalidDefinitionError([WorkflowError("wrong", path="root")]),
            "1 problem:\n  root: wrong\ncheck=False sends a definition as it is.",
        ),
        (
            InvalidDefinitionError(iter([WorkflowError("a"), WorkflowError("b")])),
            "2 problems:\n  a\n  b\ncheck=False sends a definition as it is.",
        ),
        (
            errors.AllowanceError(
                category="stMessages",
                most=math.inf,
                allowance=25,
                period="day",
                products=["root.then[0]: unlimited × st.sendMessage"],
            ),
            (
                "the workflow may do any number of actions that count against stMessages "
                "(root.then[0]: unlimited × st.sendMessage), and the pace allows 25 a "
                "day: bound its lists with limit=, or allow more"
            ),
        ),
        (UnsupportedError("not there", generation="linked_api"), "not there"),
        (RequestError("no"), "no"),
        (RequestError("no", type="t"), "no (t)"),
        (RequestError("no", http_status=0), "no (HTTP 0)"),
        (
            RequestError("no", type="t", http_status=400, workflow_id="wf-1"),
            "no [workflow wf-1] (t, HTTP 400)",
        ),
        (ConnectionFailedError("cut off", sent=True), "cut off"),
        (
            PaceError(
                "25 of 25 invitations a day are used",
                account="a",
                until=datetime(2026, 3, 1, 8, tzinfo=UTC),
            ),
            (
                "account a: 25 of 25 invitations a day are used; start it again at "
                "2026-03-01T08:00:00Z or later; nothing was sent"
            ),
        ),
        (PaceError("paused", account="a"), "account a: paused; nothing was sent"),
        (StartUnknownError("perhaps", account="a"), "perhaps"),
        (
            WorkflowFailedError(reason="languageNotSupported", message="sorry"),
            "languageNotSupported: sorry",
        ),
        (WorkflowCancelledError(), "the workflow was cancelled"),
        (
            WorkflowNotFoundError(workflow_id="wf-1"),
            "the API does not know this id; check the id and the account [workflow wf-1]",
        ),
        (
            WaitTimeoutError(seconds=1.5, handle=None, workflow_id="wf-1"),
            (
                "not finished after 1.5 s; the workflow goes on: wait again with "
                "handle.result() or session.attach() [workflow wf-1]"
            ),
        ),
        (SessionClosedError(), "the session was closed"),
        (PollingCrashedError(), "the polling engine crashed"),
        (
            PollingCrashedError(workflow_id="wf-1"),
            (
                "the polling engine crashed; wait again with session.attach(id) in a "
                "new session [workflow wf-1]"
            ),
        ),
        (
            SessionClosedError(workflow_id="wf-1"),
            (
                "the session was closed; wait again with session.attach(id) "
                "[workflow wf-1]"
            ),
        ),
        (
            ActionError(
                type="personNotFound",
                message="no such person",
                action_type="st.openPersonPage",
                label=None,
                completion=read_completion({}),
            ),
            "st.openPersonPage: personNotFound: no such person",
        ),
        (
            ActionError(
                type="personNotFound",
                message="no such person",
                action_type="st.openPersonPage",
                label="ada",
                completion=COMPLETION,
            ),
            "st.openPersonPage ('ada'): personNotFound: no such person [workflow wf-1]",
        ),
        (AmbiguousKeyError("several"), "several"),
        (ResultMissingError("none"), "none"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_text_of_each(error: LinkedApiError, text: str) -> None:
    """The words, to the letter."""
    assert text == str(error)


def test_a_handle_is_not_pickled() -> None:
    """It belongs to a running session; a copy in the same process keeps it."""
    handle = object()
    error = WaitTimeoutError(seconds=1, handle=handle, workflow_id="wf-1")

    assert error.handle is handle
    assert copy.copy(error).handle is handle
    assert pickle.loads(pickle.dumps(error)).handle is None
    assert error.handle is handle


def test_a_parameter_error_moves_to_another_path() -> None:
    """The facts stay, the place changes."""
    error = ParameterError(owner="st.a", parameter="limit", reason="too large")
    moved = error.at("root.then[0]")

    assert "root.then[0]: st.a: limit too large" == str(moved)
    assert ("st.a", "limit", "too large") == (
        moved.owner,
        moved.parameter,
        moved.reason,
    )
    assert "" == error.path


def test_strangers_catch_what_they_know() -> None:
    """The built-in bases work in an except clause."""
    for base, error in (
        (ValueError, ParameterError(owner="a", parameter="b", reason="c")),
        (ConnectionError, ConnectionFailedError("x", sent=False)),
        (OSError, ConnectionFailedError("x", sent=False)),
        (LookupError, WorkflowNotFoundError(workflow_id="a")),
        (RuntimeError, PollingCrashedError(workflow_id="a")),
        (TimeoutError, WaitTimeoutError(seconds=1, handle=None, workflow_id="a")),
        (KeyError, AmbiguousKeyError("x")),
        (KeyError, ResultMissingError("x")),
    ):
        with pytest.raises(base) as caught:
            raise error

        assert caught.value is error


def test_request_errors_say_what_helps() -> None:
    """How long to wait, whether it was sent, what has to be corrected."""
    limited = RateLimitedError("slow", retry_after=2.5, http_status=429)
    paused = errors.AccountPausedError("paused", type="linkedinAccountSignedOut")

    assert (2.5, 429, None) == (limited.retry_after, limited.http_status, limited.type)
    assert "linkedinAccountSignedOut" == paused.reason == paused.type
    assert ConnectionFailedError("x", sent=True).sent
    assert not ConnectionFailedError("x", sent=False).sent


# Verdicts

ERROR_TYPES: list[dict[str, str]] = json.loads(
    (pathlib.Path(__file__).parent / "data" / "error_types.json").read_bytes()
)


def failed(type_: str, category: str | None = None) -> ActionError:
    """Return the error of an action that failed with *type_*."""
    return ActionError(
        type=type_,
        message="x",
        action_type="st.sendMessage",
        label=None,
        completion=COMPLETION,
        category=category,
    )


@pytest.mark.parametrize("row", ERROR_TYPES, ids=lambda row: str(row["type"]))
def test_every_error_type_of_the_api_has_a_verdict(row: dict[str, str]) -> None:
    """Errors of requests, workflows and actions with one type have one verdict."""
    name = row["type"]
    each = [
        RequestError("x", type=name),
        WorkflowFailedError(reason=name, message="x"),
        failed(name),
    ]

    assert name in errors._VERDICTS
    assert 1 == len({verdict_of(error) for error in each})
    assert verdict_of(each[0]).about in get_args(errors.About)


def test_the_table_of_verdicts_has_no_other_types() -> None:
    """The table has exactly the types of the catalogue."""
    assert {row["type"] for row in ERROR_TYPES} == {*errors._VERDICTS}


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (failed("personNotFound", "stMessages"), Verdict("target", passes=False)),
        (
            failed("limitExceeded", "stMessages"),
            Verdict("category", passes=True, category="stMessages"),
        ),
        (failed("limitExceeded"), Verdict("category", passes=True)),
        (failed("brandNew", "stMessages"), Verdict("workflow", passes=False)),
        (RequestError("x", type="brandNew"), Verdict("workflow", passes=False)),
        (
            WorkflowFailedError(reason="workingHoursWaitExpired", message="x"),
            Verdict("account", passes=True),
        ),
        (
            RateLimitedError("x", retry_after=7.5, http_status=429),
            Verdict("host", passes=True, retry_after=7.5),
        ),
        (ConnectionFailedError("x", sent=False), Verdict("host", passes=True)),
        (
            errors.AuthenticationError("x", http_status=401),
            Verdict("token", passes=False),
        ),
        (errors.AccountPausedError("x"), Verdict("account", passes=False)),
        (
            errors.SuppressedError("x", target="y"),
            Verdict("target", passes=False),
        ),
        (PaceError("closed", account="a"), Verdict("account", passes=True)),
        (
            PaceError("used up", account="a", category="stMessages"),
            Verdict("category", passes=True, category="stMessages"),
        ),
        (ValueError("x"), Verdict("workflow", passes=False)),
    ],
)
def test_what_an_error_is_a_verdict_about(error: Exception, verdict: Verdict) -> None:
    """The API's type decides before the class; what is unknown is the workflow's."""
    assert verdict == verdict_of(error)
