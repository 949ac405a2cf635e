"""Requests out, answers in: every status, header and body means one thing."""

from __future__ import annotations

import json
import logging
import math
import pathlib
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as draws
from strategies import json_values

from linkedapi_async import st
from linkedapi_async._http.failure_rules import (
    FAILURE_RULES,
    FailureKind,
    RequestKind,
    RetryDecision,
    classify_failure,
    retry_decision,
)
from linkedapi_async._http.requests import (
    DEFAULT_CLIENT,
    DEFAULT_URL,
    ApiRequests,
    Headers,
    Request,
    validate_base_url,
    validate_client,
    validate_token,
    validate_workflow_id,
)
from linkedapi_async._http.responses import (
    Accepted,
    CompletedWorkflow,
    Response,
    _warn_of_status,
    poll_failure,
    read_cancelled,
    read_poll,
    read_result,
    read_started,
    read_status,
    read_workflow_status,
    retry_after,
)
from linkedapi_async._polling.answers import Ended, PollFailed, StillRunning
from linkedapi_async._types import BOTH, Generation
from linkedapi_async._utils.secret import Secret
from linkedapi_async._version import __version__
from linkedapi_async._wire.dump import dump_workflow
from linkedapi_async._wire.load import load_workflow
from linkedapi_async._wire.read import read_completion
from linkedapi_async.errors import (
    AccountPausedError,
    AuthenticationError,
    ConnectionFailedError,
    LinkedApiError,
    ProtocolError,
    RateLimitedError,
    RejectedError,
    RequestError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowNotFoundError,
)


EXAMPLES: list[dict[str, Any]] = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "examples_http.json").read_text(
        "utf-8"
    )
)

NOW = 1_782_907_200.0
"""2026-07-01 12:00 UTC."""
TOKEN, IDENTITY = "main-secret-1", "account-secret-2"
JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html"}
COMPLETION = {"actionType": "st.syncInbox", "success": True}

both = pytest.mark.parametrize("generation", BOTH)


def api(generation: Generation) -> ApiRequests:
    """Return the requests of a generation."""
    return ApiRequests(generation, "https://api.test", Secret(TOKEN))


def reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    """Return an answer; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, JSON if headers is None else headers, content)


def refused(type: str, message: str = "because") -> dict[str, Any]:
    """Return the envelope of an error."""
    return {"success": False, "error": {"type": type, "message": message}}


def granted(result: Any) -> dict[str, Any]:
    """Return the envelope of a result."""
    return {"success": True, "result": result}


# Requests


@pytest.mark.parametrize(
    ("generation", "folder", "header"),
    [
        ("account_api", "https://api.test/account/workflows", "account-api-token"),
        ("linked_api", "https://api.test/workflows", "linked-api-token"),
    ],
)
def test_requests(generation: Generation, folder: str, header: str) -> None:
    """Each call has its method, URL and body, and the headers of its generation."""
    requests = api(generation)
    definition = dump_workflow(
        st.check_connection_status("https://www.linkedin.com/in/ü")
    )
    start = requests.start(definition)

    assert ("POST", folder) == (start.method, start.url)
    assert (
        '{"actionType":"st.checkConnectionStatus",'
        '"personUrl":"https://www.linkedin.com/in/ü"}'
    ).encode() == start.body
    assert Request("GET", f"{folder}/wf-1", None) == requests.status("wf-1")
    assert ("DELETE", f"{folder}/wf-1", None) == (
        requests.cancel("wf-1").method,
        requests.cancel("wf-1").url,
        requests.cancel("wf-1").body,
    )
    assert {
        header: TOKEN,
        "identification-token": IDENTITY,
        "client": f"linkedapi-async/{__version__}",
        "User-Agent": f"linkedapi-async/{__version__}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    } == requests.headers(Secret(IDENTITY)).reveal()


@both
def test_no_token_in_any_text(generation: Generation) -> None:
    """Neither the requests nor what makes them shows a token."""
    requests = api(generation)
    headers = requests.headers(Secret(IDENTITY))
    shown = f"{requests!r} {requests} {requests.start({})} {headers!r} {headers}"

    assert TOKEN not in shown
    assert IDENTITY not in shown


# Answers that are errors

ERRORS = [
    (word, status, cls)
    for words, cls in [
        (
            {
                *("accountApiTokenRequired", "invalidAccountApiToken"),
                *("linkedApiTokenRequired", "invalidLinkedApiToken"),
                *("identificationTokenRequired", "invalidIdentificationToken"),
            },
            AuthenticationError,
        ),
        (
            {
                *("languageNotSupported", "linkedinAccountSignedOut"),
                *("subscriptionRequired", "trialLimitReached"),
            },
            AccountPausedError,
        ),
        (
            {
                "invalidWorkflow",
                "plusPlanRequired",
                "invalidRequestPayload",
                "brandNew",
            },
            RejectedError,
        ),
        ({"tooManyRequests"}, RateLimitedError),
    ]
    for word in sorted(words)
    for status in (200, 400, 401, 403, 404)
]


@pytest.mark.parametrize(
    ("word", "status", "cls"), [pytest.param(*e, id=f"{e[0]}-{e[1]}") for e in ERRORS]
)
def test_error_word(word: str, status: int, cls: type[RequestError]) -> None:
    """An error in the API's words means the same under every status, also 200."""
    with pytest.raises(RequestError) as caught:
        read_result(reply(status, refused(word)), now=NOW)

    assert cls is type(caught.value)
    assert (word, status, "because") == (
        caught.value.type,
        caught.value.http_status,
        caught.value.message,
    )


WORDLESS = [
    pytest.param(401, b"", AuthenticationError, id="401"),
    pytest.param(403, b"<html>", AuthenticationError, id="403"),
    pytest.param(429, b"slow down", RateLimitedError, id="429"),
    pytest.param(500, b"oops", ProtocolError, id="500"),
    pytest.param(502, b"<html>bad gateway</html>", ProtocolError, id="502"),
    pytest.param(404, b"<html>", ProtocolError, id="404-page"),
    pytest.param(204, b"", ProtocolError, id="no-content"),
    pytest.param(200, b"", ProtocolError, id="empty"),
    pytest.param(200, b"<html>hotel wifi</html>", ProtocolError, id="html"),
    pytest.param(200, b'{"success":true,"resu', ProtocolError, id="truncated"),
    pytest.param(200, b"\xff\xfe\x00", ProtocolError, id="no-text"),
    pytest.param(200, b"[" * 100_000, ProtocolError, id="bottomless"),
    pytest.param(200, b"null", ProtocolError, id="null"),
    pytest.param(200, b"[]", ProtocolError, id="list"),
    pytest.param(200, b"{}", ProtocolError, id="no-result"),
    pytest.param(200, b'{"result":NaN}', ProtocolError, id="nan"),
    pytest.param(200, b'{"error":"boom"}', ProtocolError, id="error-is-text"),
    pytest.param(200, b'{"error":{}}', ProtocolError, id="error-is-empty"),
    pytest.param(400, b'{"error":{"type":null}}', ProtocolError, id="error-is-null"),
    pytest.param(500, b'{"result":{"workflowId":"a"}}', ProtocolError, id="500-result"),
    pytest.param(301, b"", ProtocolError, id="redirect"),
]


@pytest.mark.parametrize(("status", "body", "cls"), WORDLESS)
def test_error_without_a_word(status: int, body: bytes, cls: type) -> None:
    """Where the API said nothing, the HTTP status counts."""
    with pytest.raises(RequestError) as caught:
        read_result(reply(status, body), now=NOW)

    assert cls is type(caught.value)
    assert (None, status) == (caught.value.type, caught.value.http_status)


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (200, HTML, r"not the API's JSON: 5 bytes of text/html \(HTTP 200\)"),
        (200, {}, "5 bytes of no content type"),
        (302, HTML, r"redirect, which is never followed \(HTTP 302\)"),
    ],
)
def test_answer_described(status: int, headers: dict[str, str], words: str) -> None:
    """An answer that is not the API's is described and not quoted."""
    with pytest.raises(ProtocolError, match=words) as caught:
        read_result(reply(status, b"hello", headers), now=NOW)

    assert "hello" not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "cls"),
    [
        ("internalError", ProtocolError),
        ("invalidLinkedApiToken", AuthenticationError),
        ("tooManyRequests", RateLimitedError),
    ],
)
def test_error_word_of_a_broken_server(word: str, cls: type) -> None:
    """Words that are not known do not count as an answer from 500 on."""
    with pytest.raises(RequestError) as caught:
        read_result(reply(503, refused(word)), now=NOW)

    assert cls is type(caught.value)
    assert word == caught.value.type


def test_message_of_another_type() -> None:
    """A message that is no text gives way to a description of the answer."""
    body = {"error": {"type": "x", "message": {"text": "no"}}}
    with pytest.raises(RejectedError, match="not the API's JSON"):
        read_result(reply(400, body), now=NOW)


@pytest.mark.parametrize("result", [{"a": 1}, [], None, "x"])
def test_result(result: Any) -> None:
    """The result of an answer is taken as it is, whatever it is."""
    assert result == read_result(reply(200, granted(result)), now=NOW)
    assert result == read_result(reply(201, {"result": result, "error": None}), now=NOW)


def test_truncated_emoji() -> None:
    """Half of an emoji, which strict decoders refuse, loses nothing."""
    body = b'{"result":{"name":"Ann \\ud83d"}}'

    assert {"name": "Ann \ud83d"} == read_result(reply(200, body), now=NOW)


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("0", 0, id="now"),
        pytest.param("17", 17, id="seconds"),
        pytest.param(" 17 ", 17, id="blanks"),
        pytest.param("3600", 3600, id="longest"),
        pytest.param("7200", 7200, id="longer"),
        pytest.param("999999999", 999999999, id="years"),
        pytest.param("9" * 400, math.inf, id="endless"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("²", None, id="no-ascii-digit"),
        pytest.param("soon", None, id="word"),
        pytest.param("", None, id="empty"),
        pytest.param("Wed, 01 Jul 2026 12:01:30 GMT", 90, id="date"),
        pytest.param("Wed, 01 Jul 2026 14:01:30 +0200", 90, id="date-elsewhere"),
        pytest.param("Wed, 01 Jul 2026 12:01:30 -0000", 90, id="date-of-no-place"),
        pytest.param("Wed, 01 Jul 2026 11:00:00 GMT", 0, id="date-past"),
        pytest.param("Thu, 01 Jul 2027 12:00:00 GMT", 31_536_000, id="next-year"),
        pytest.param("Wed, 99 Jul 2026 12:00:00 GMT", None, id="no-date"),
        pytest.param("Wed, 01 Jul 2026 12:00:00 +" + "9" * 20, None, id="far-away"),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """The error has the server's number; the pause is at most an hour."""
    assert seconds == retry_after({"Retry-After": value}, NOW)
    with pytest.raises(RateLimitedError) as caught:
        read_result(reply(429, b"", {"Retry-After": value}), now=NOW)

    pause = None if seconds is None else min(seconds, 3600)
    assert (seconds, pause) == (caught.value.retry_after, caught.value.pause)


@given(value=draws.text() | draws.from_regex(r"\A\w{3}, \d+ Jul \d+ \d+:\d+ [+-]\d+\Z"))
def test_any_retry_after(value: str) -> None:
    """Any text is a number of seconds or ignored."""
    seconds = retry_after({"Retry-After": value}, NOW)

    assert seconds is None or seconds >= 0


def test_no_retry_after() -> None:
    """Without the header there is no pause."""
    assert retry_after({}, NOW) is None


# Starts


@pytest.mark.parametrize(
    ("result", "started"),
    [
        ({"workflowId": "wf-1"}, Accepted("wf-1", "pending")),
        (
            {"workflowId": "a_B-9", "workflowStatus": "pending"},
            Accepted("a_B-9", "pending", seen_pending=True),
        ),
        ({"workflowId": "a_B-9", "workflowStatus": "running"}, "running"),
        ({"workflowId": "a_B-9", "workflowStatus": "brandNew"}, "pending"),
        ({"workflowId": "a_B-9", "workflowStatus": ["running"]}, "pending"),
    ],
)
def test_started(result: Any, started: Any) -> None:
    """An id is all that a start needs; what is not running is pending."""
    expected = started if isinstance(started, Accepted) else Accepted("a_B-9", started)

    assert expected == read_started(result)


@pytest.mark.parametrize(
    "result",
    [
        None,
        [],
        {},
        {"workflowId": None},
        {"workflowId": 5},
        {"workflowId": "../admin"},
        {"workflowId": "a" * 201},
    ],
    ids=str,
)
def test_started_without_an_id(result: Any) -> None:
    """An answer no usable id does not say whether the start was taken."""
    with pytest.raises(ProtocolError, match="no usable id") as caught:
        read_started(result)

    assert (None, None) == (caught.value.type, caught.value.http_status)
    assert "unknown" == retry_decision(caught.value, "start_write")


# Polls


def ending(answer: Any) -> Any:
    """Return what a poll's answer says, in terms that compare."""
    match answer:
        case StillRunning(status, reason):
            return status, reason
        case Ended(CompletedWorkflow(raw), status):
            return status, raw
        case Ended(WorkflowFailedError() as error, status):
            return status, error.reason, error.message
        case Ended(error, status):
            return status, type(error)
        case PollFailed(error, kind, pause):
            return kind, type(error), pause
        case _:
            raise NotImplementedError(answer)


FAILED = {"reason": "linkedinAccountSignedOut", "message": "signed out"}
UNKNOWN = ("failed", "unknownError", "unknownError: the API gave no reason")
GARBAGE = ("failed", ProtocolError, None)
DONE = ("completed", COMPLETION)

NOTHING: list[Any] = [None, {}, [], [None], "done", 5, True]

STATES = [
    pytest.param({"workflowStatus": "pending"}, ("pending", None), id="pending"),
    pytest.param({"workflowStatus": "running"}, ("running", None), id="running"),
    pytest.param(
        {"workflowStatus": "pending", "pendingReason": "queued"},
        ("pending", "queued"),
        id="reason",
    ),
    pytest.param(
        {"workflowStatus": "pending", "pendingReason": {"x": 1}},
        ("pending", None),
        id="reason-of-another-type",
    ),
    pytest.param(
        {"workflowStatus": "running", "completion": COMPLETION},
        ("running", None),
        id="running-with-completion",
    ),
    pytest.param(
        {"workflowStatus": "completed", "completion": COMPLETION}, DONE, id="completed"
    ),
    pytest.param(
        {"workflowStatus": "completed", "completion": [COMPLETION, None]},
        ("completed", [COMPLETION, None]),
        id="completed-in-part",
    ),
    pytest.param({"workflowStatus": "completed"}, GARBAGE, id="no-completion"),
    *(
        pytest.param(
            {"workflowStatus": "completed", "completion": nothing},
            GARBAGE,
            id=f"completion-{nothing!r}",
        )
        for nothing in NOTHING
    ),
    pytest.param(
        {"workflowStatus": "completed", "failure": FAILED},
        GARBAGE,
        id="completed-with-failure",
    ),
    pytest.param(
        {"workflowStatus": "failed", "failure": FAILED},
        ("failed", "linkedinAccountSignedOut", "linkedinAccountSignedOut: signed out"),
        id="failed",
    ),
    pytest.param({"workflowStatus": "failed"}, UNKNOWN, id="failed-without-a-reason"),
    pytest.param(
        {"workflowStatus": "failed", "failure": "x"}, UNKNOWN, id="failure-is-text"
    ),
    pytest.param(
        {"workflowStatus": "failed", "failure": {"reason": None, "message": None}},
        UNKNOWN,
        id="failure-is-null",
    ),
    pytest.param(
        {"workflowStatus": "cancelled"},
        ("cancelled", WorkflowCancelledError),
        id="cancelled",
    ),
    pytest.param(
        {"workflowStatus": "archived", "completion": COMPLETION},
        DONE,
        id="unknown-with-completion",
    ),
    pytest.param(
        {"workflowStatus": "archived", "failure": {"reason": "x", "message": "y"}},
        ("failed", "x", "x: y"),
        id="unknown-with-failure",
    ),
    pytest.param({"completion": COMPLETION}, DONE, id="no-status-but-completion"),
    pytest.param({"workflowStatus": ["running"]}, GARBAGE, id="status-is-a-list"),
    pytest.param({"workflowStatus": {}}, GARBAGE, id="status-is-an-object"),
    pytest.param({"workflowStatus": None}, GARBAGE, id="status-is-null"),
    pytest.param({}, GARBAGE, id="empty"),
    pytest.param(None, GARBAGE, id="null"),
    pytest.param([COMPLETION], GARBAGE, id="list"),
]


@pytest.mark.parametrize(("result", "expected"), STATES)
def test_poll(result: Any, expected: Any) -> None:
    """Each state of a workflow means one thing for a wait."""
    answer = read_poll(reply(200, granted(result)), "wf-1", now=NOW)

    assert expected == ending(answer)
    error = getattr(answer, "error", None) or getattr(answer, "value", None)
    if isinstance(error, LinkedApiError):
        assert "wf-1" == error.workflow_id


@pytest.mark.parametrize(("result", "expected"), STATES)
def test_word(result: Any, expected: Any) -> None:
    """The word for a state is what a wait would take it for."""
    if expected is GARBAGE:
        with pytest.raises(ProtocolError, match="no usable workflowStatus") as caught:
            read_workflow_status(result, "wf-1")

        assert "wf-1" == caught.value.workflow_id
    else:
        assert expected[0] == read_workflow_status(result, "wf-1")


def test_unknown_status(caplog: pytest.LogCaptureFixture) -> None:
    """An unknown state means that the wait goes on, with one warning."""
    _warn_of_status.cache_clear()
    with caplog.at_level(logging.WARNING, "linkedapi_async"):
        for _ in range(3):
            answer = read_status({"workflowStatus": "hibernating"}, "wf-1")

            assert StillRunning("hibernating") == answer
        read_status({"workflowStatus": "x" * 10_000}, "wf-1")

    assert 2 == len(caplog.records)
    assert "unknown workflow status 'hibernating'" in caplog.text
    assert "x" * 61 not in caplog.text


MISSES = [
    pytest.param(
        (401, refused("invalidLinkedApiToken")),
        ("refused", AuthenticationError, None),
        id="token",
    ),
    pytest.param(
        (200, refused("identificationTokenRequired")),
        ("refused", AuthenticationError, None),
        id="token-200",
    ),
    pytest.param((401, b""), ("failed", AuthenticationError, None), id="401-page"),
    pytest.param(
        (403, b"<html>"), ("failed", AuthenticationError, None), id="403-page"
    ),
    pytest.param(
        (200, refused("workflowNotFound")),
        ("unknown", WorkflowNotFoundError, None),
        id="not-found",
    ),
    pytest.param(
        (404, refused("notFound")), ("unknown", WorkflowNotFoundError, None), id="404"
    ),
    pytest.param((404, b"<html>"), ("failed", ProtocolError, None), id="404-page"),
    pytest.param((429, b""), ("failed", RateLimitedError, 7.0), id="429"),
    pytest.param(
        (200, refused("tooManyRequests")), ("failed", RateLimitedError, 7.0), id="rate"
    ),
    pytest.param(
        (402, refused("subscriptionRequired")),
        ("failed", AccountPausedError, None),
        id="paused",
    ),
    pytest.param(
        (400, refused("brandNew")), ("failed", RejectedError, None), id="brand-new"
    ),
    pytest.param((500, refused("oops")), ("failed", ProtocolError, None), id="500"),
    pytest.param((200, b"<html>"), ("failed", ProtocolError, None), id="html"),
]


@pytest.mark.parametrize(("answer", "expected"), MISSES)
def test_missed_poll(answer: tuple[int, Any], expected: Any) -> None:
    """A poll without an answer fails; only a word on token or id may end a wait."""
    status, body = answer
    missed = read_poll(reply(status, body, {"Retry-After": "7"}), "wf-1", now=NOW)

    assert isinstance(missed, PollFailed)
    assert expected == ending(missed)
    assert isinstance(missed.error, LinkedApiError)
    assert "wf-1" == missed.error.workflow_id


@pytest.mark.parametrize("sent", [True, False])
def test_poll_without_a_connection(sent: bool) -> None:
    """No connection is a failed poll like any other."""
    error = ConnectionFailedError("gone", sent=sent)

    assert PollFailed(error) == poll_failure(error, "wf-1")
    assert "gone [workflow wf-1]" == str(error)


@given(
    status=draws.integers(100, 599),
    body=draws.binary(max_size=20) | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_any_answer_to_a_poll(status: int, body: bytes) -> None:
    """Whatever a server sends, a poll gives an answer and never raises."""
    answer = read_poll(Response(status, {}, body), "wf-1", now=NOW)

    assert isinstance(answer, PollFailed)
    assert str(answer.error)


SIGNED_OUT = (
    "linkedinAccountSignedOut: This LinkedIn account has been signed out in our cloud "
    "browser."
)
FIELDS = ["workflowStatus", "completion", "failure", "pendingReason", "error"]


@given(
    result=draws.dictionaries(
        draws.sampled_from(FIELDS),
        json_values
        | draws.sampled_from(["completed", "failed", "running", "cancelled", FAILED]),
    )
)
def test_any_state(result: dict[str, Any]) -> None:
    """Whatever the fields of a state are, it means something."""
    answer = read_status(result, "wf-1")

    assert isinstance(answer, StillRunning | Ended | PollFailed)
    if isinstance(answer, Ended) and isinstance(answer.value, CompletedWorkflow):
        assert read_completion(answer.value.raw).roots


# Cancels


@pytest.mark.parametrize("cancelled", [True, False])
def test_cancelled(cancelled: bool) -> None:
    """The server says whether it cancelled."""
    assert cancelled is read_cancelled({"cancelled": cancelled})


@pytest.mark.parametrize(
    "result", [None, [], {}, {"cancelled": None}, {"cancelled": "yes"}], ids=str
)
def test_cancelled_without_a_word(result: Any) -> None:
    """An answer that does not contain it is an error."""
    with pytest.raises(ProtocolError, match="does not say"):
        read_cancelled(result)


# What a user hands in


@pytest.mark.parametrize("token", ["a", "!~", "x" * 5000])
def test_token(token: str) -> None:
    """A token is any word that a header can carry."""
    assert token == validate_token("linked_api_token", Secret(token)).reveal()


@pytest.mark.parametrize(
    ("token", "cls", "words"),
    [
        ("", ValueError, "linked_api_token is empty"),
        ("secret word", ValueError, "printable ASCII without"),
        ("secret\n", ValueError, "printable ASCII without"),
        ("secret\r\nX-Evil: 1", ValueError, "printable ASCII without"),
        ("sécret", ValueError, "printable ASCII without"),
        ("secret\x7f", ValueError, "printable ASCII without"),
        (b"secret", TypeError, "must be a string, got bytes"),
        (None, TypeError, "must be a string, got NoneType"),
    ],
    ids=repr,
)
def test_bad_token(token: Any, cls: type[Exception], words: str) -> None:
    """A token that no header can carry is refused, and not shown."""
    with pytest.raises(cls, match=words) as caught:
        validate_token("linked_api_token", Secret(token))

    assert "cret" not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.parametrize("workflow_id", ["a", "wf-1_B", "x" * 200])
def test_id(workflow_id: str) -> None:
    """An id is one path segment."""
    assert workflow_id is validate_workflow_id(workflow_id)


@pytest.mark.parametrize(
    "workflow_id",
    ["", "a/b", "..", "a b", "a\n", "a?b", "a%2f", "ü", "x" * 201, None, 5, b"a"],
    ids=repr,
)
def test_bad_id(workflow_id: Any) -> None:
    """Anything that is no path segment is refused, and not shown at length."""
    with pytest.raises(ValueError, match="1 to 200 letters") as caught:
        validate_workflow_id(workflow_id)

    assert len(str(caught.value)) < 130


@pytest.mark.parametrize(
    "url",
    [
        "https://api.linkedapi.io",
        "HTTPS://api.test",
        "https://api.test:8443/prefix",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://127.0.0.1:80",
        "http://127.9.9.9",
        "http://[::1]:8080",
    ],
)
def test_base_url(url: str) -> None:
    """Encrypted anywhere, plain on loopback; a slash at the end is dropped."""
    assert url == validate_base_url(url, allow_insecure_http=False)
    assert url == validate_base_url(url + "/", allow_insecure_http=False)


INSECURE = [
    "http://api.linkedapi.io",
    "http://localhost.evil.test",
    "http://127.0.0.1.evil.test",
    "http://10.0.0.1",
    "http://0.0.0.0",
    "http://[::2]",
    "http://notlocalhost",
]


@pytest.mark.parametrize("url", INSECURE)
def test_insecure_url(url: str) -> None:
    """Plain http goes off loopback only when it was allowed."""
    with pytest.raises(ValueError, match="unencrypted; use https"):
        validate_base_url(url, allow_insecure_http=False)

    assert url == validate_base_url(url, allow_insecure_http=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be like https://host"),
        ("api.linkedapi.io", "must be like https://host"),
        ("ftp://api.test", "must be like https://host"),
        ("https://", "must be like https://host"),
        ("https://:443", "must be like https://host"),
        ("https://api.test:0", "must be like https://host"),
        ("https://api.test:http", "Port"),
        ("https://api.test:65536", "Port"),
        ("https://[::1", "Invalid IPv6"),
        ("https://me:secret@api.test", "only a scheme, host, port and path"),
        ("https://me@api.test", "only a scheme, host, port and path"),
        ("https://@api.test", "only a scheme, host, port and path"),
        ("http://localhost\\@evil.test", "only a scheme, host, port and path"),
        ("https://api.test?x=1", "only a scheme, host, port and path"),
        ("https://api.test?", "only a scheme, host, port and path"),
        ("https://api.test#x", "only a scheme, host, port and path"),
        ("https://api.test#", "only a scheme, host, port and path"),
        ("https://api.test/a b", "only a scheme, host, port and path"),
        ("https://api\n.test", "only a scheme, host, port and path"),
    ],
)
def test_bad_url(url: str, words: str) -> None:
    """What is no place for an API is refused, whatever is allowed."""
    for allowed in (True, False):
        with pytest.raises(ValueError, match=words) as caught:
            validate_base_url(url, allow_insecure_http=allowed)

        assert "secret" not in str(caught.value)


# What becomes of a request that failed


def test_failure_rules_are_total() -> None:
    """There is a rule for each failure of each kind of request, and no other."""
    assert set(typing.get_args(FailureKind)) == set(FAILURE_RULES)
    for rules in FAILURE_RULES.values():
        assert set(typing.get_args(RequestKind)) == set(rules)
        assert set(rules.values()) <= set(typing.get_args(RetryDecision))


@pytest.mark.parametrize(
    ("error", "failure", "verdicts"),
    [
        pytest.param(
            ConnectionFailedError("x", sent=False),
            "unsent",
            "retry retry retry",
            id="a",
        ),
        pytest.param(
            ConnectionFailedError("x", sent=True),
            "lost",
            "retry retry_once unknown",
            id="lost",
        ),
        pytest.param(
            RateLimitedError("x"), "throttled", "retry retry retry", id="throttled"
        ),
        pytest.param(
            ProtocolError("x"), "invalid_response", "retry retry_once unknown", id="odd"
        ),
        pytest.param(
            RejectedError("x"), "api_error", "raise raise raise", id="rejected"
        ),
        pytest.param(
            AuthenticationError("x", type="invalidLinkedApiToken"),
            "api_error",
            "raise raise raise",
            id="token",
        ),
        pytest.param(
            AuthenticationError("x", http_status=403),
            "invalid_response",
            "retry retry_once unknown",
            id="bare-403",
        ),
        *(
            pytest.param(
                ConnectionFailedError("x", sent=False, http_status=status),
                kind,
                words,
                id=f"proxy-{status}",
            )
            for status, kind, words in (
                (407, "proxy_refused", "raise raise raise"),
                (403, "proxy_refused", "raise raise raise"),
                (502, "unsent", "retry retry retry"),
                (503, "unsent", "retry retry retry"),
            )
        ),
        pytest.param(
            AccountPausedError("x"), "api_error", "raise raise raise", id="paused"
        ),
    ],
)
def test_verdict(error: RequestError, failure: str, verdicts: str) -> None:
    """A start that writes is retried only if it was certainly not accepted."""
    kinds: tuple[RequestKind, ...] = ("ask", "start_read", "start_write")

    assert failure == classify_failure(error)
    assert verdicts.split() == [retry_decision(error, kind) for kind in kinds]


# Published examples

CALLS = {"startWorkflow", "getWorkflow", "error", "workflow", "completion"}
WORKFLOWS = [e for e in EXAMPLES if e["kind"].split(".")[0] in CALLS]
REQUESTED = [e for e in WORKFLOWS if "method" in (e["request"] or {})]
GENERATIONS: dict[str, Generation] = {
    "account-api": "account_api",
    "linked-api": "linked_api",
}


def kind_of(example: dict[str, Any]) -> str:
    """Return the name of an example."""
    return f"{example['generation']}-{example['kind']}"


def test_there_are_published_examples() -> None:
    """The golden cases did not get lost, and both generations are among them."""
    generations = {example["generation"] for example in EXAMPLES}

    assert set(GENERATIONS) == generations
    assert (17, 7) == (len(WORKFLOWS), len(REQUESTED))


@pytest.mark.parametrize("example", REQUESTED, ids=kind_of)
def test_published_request(example: dict[str, Any]) -> None:
    """Our requests are those of the documentation."""
    request = example["request"]
    generation = GENERATIONS[example["generation"]]
    ours = ApiRequests(generation, DEFAULT_URL, Secret("<token>"))
    if request["method"] == "POST":
        made = ours.start(dump_workflow(load_workflow(request["body"])))

        assert request["body"] == json.loads(made.body or b"")
    else:
        *_, last = request["url"].split("/")
        made = ours.status(last)

    assert (request["method"], request["url"]) == (made.method, made.url)
    headers = request["headers"] or {}

    assert headers.items() <= ours.headers(Secret("<token>")).reveal().items()


@pytest.mark.parametrize("example", WORKFLOWS, ids=kind_of)
def test_published_response(example: dict[str, Any]) -> None:
    """The documentation's answers are read as what it says they are."""
    kind, body = example["kind"], example["response"]
    call, _, case = kind.partition(".")
    if call in {"workflow", "completion"}:
        result = {"workflowStatus": "completed", "completion": body}
        answer = read_poll(reply(200, granted(result)), "wf-1", now=NOW)

        assert ("completed", body) == ending(answer)
    elif "error" in body:
        with pytest.raises((AuthenticationError, AccountPausedError)) as caught:
            read_result(reply(200, body), now=NOW)

        assert body["error"]["type"] == caught.value.type
        assert body["error"]["message"] == caught.value.message
    elif call == "startWorkflow":
        started = read_started(read_result(reply(200, body), now=NOW))

        assert Accepted(body["result"]["workflowId"], "pending") == started
    else:
        answer = read_poll(reply(200, body), "wf-1", now=NOW)
        expected = {
            "running": ("running", None),
            "pendingReason": ("pending", "outsideWorkingHours"),
            "completed": ("completed", body["result"].get("completion")),
            "failed": (
                "failed",
                "linkedinAccountSignedOut",
                SIGNED_OUT,
            ),
        }

        assert expected[case] == ending(answer)


def test_the_client_is_named_in_the_headers() -> None:
    """A program may name itself; by default it is this library."""
    token = Secret(TOKEN)
    named = ApiRequests("linked_api", "https://api.test", token, "my program")

    assert "my program" == named.headers(token).reveal()["client"]
    assert "my program" == named.admin_headers().reveal()["client"]
    assert DEFAULT_CLIENT == Headers().reveal()["client"]


@pytest.mark.parametrize("client", ["", " x", "x\n", "é", "x" * 101])
def test_a_client_is_one_line_of_ascii(client: str) -> None:
    """What no header can carry is refused with its name."""
    with pytest.raises(ValueError, match="client must be 1 to 100 characters"):
        validate_client(client)


def test_a_client_is_a_string() -> None:
    """Another type is refused with the type that came."""
    with pytest.raises(TypeError, match="client must be a string, got int"):
        validate_client(5)
