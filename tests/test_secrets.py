"""No error leads an error tracker to a token, on any path."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pickle
import pkgutil
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import anyio
import click
import pytest
from aiohttp import web
from scripted_server import Answer, Scripted, dropped, ok, raw, refused
from sentry_sdk.serializer import serialize
from sentry_sdk.utils import event_from_exception

import linkedapi_async
from linkedapi_async import Polling, Retries, Session, dump_workflow, st
from linkedapi_async._utils.secret import Secret
from linkedapi_async.admin import Admin
from linkedapi_async.cli._credentials import credentials
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._stored_accounts import load_accounts
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.webhooks import WebhookReceiver, sign, verify


pytestmark = pytest.mark.anyio

MAIN, ACCOUNT, OTHER = "main-secret-4242", "account-secret-1717", "other-secret-9"
TEXT = "A personal message"
WRITE = st.send_message("https://www.linkedin.com/in/nora-quill", text=TEXT)
READ = st.retrieve_ssi()


# What a tracker sees


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and all that it leads to."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [found.__cause__, found.__context__]


def frames_of(traceback: TracebackType | None) -> Iterator[FrameType]:
    """Give the frames of a traceback but those of this file and of pytest."""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename != __file__:
            yield traceback.tb_frame
        traceback = traceback.tb_next


def texts_in(value: object, seen: dict[int, object], depth: int = 0) -> Iterator[str]:
    """Give every text that a value leads to, by content and by attributes."""
    if id(value) in seen or depth > 12 or isinstance(value, Secret | type):
        return
    seen[id(value)] = value
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield bytes(value).decode("latin-1")
    elif isinstance(value, Mapping):
        for item in [*value.keys(), *value.values()]:
            yield from texts_in(item, seen, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from texts_in(item, seen, depth + 1)
    elif type(value).__module__.startswith("linkedapi_async"):
        yield repr(value)
        slots = [
            name
            for cls in type(value).__mro__
            for name in vars(cls).get("__slots__", ())
        ]
        for name in [*getattr(value, "__dict__", ()), *slots]:
            yield from texts_in(getattr(value, name, None), seen, depth + 1)


def shown_by_sentry(error: BaseException) -> str:
    """Return the event that Sentry makes of *error*, without the frames of this file."""
    event, _ = event_from_exception(
        error,
        client_options={
            "include_local_variables": True,
            "include_source_context": False,
            "max_value_length": 100_000,
            "in_app_include": [],
            "in_app_exclude": [],
            "project_root": None,
            "add_full_stack": False,
            "max_stack_frames": None,
        },
    )
    for exception in event["exception"]["values"]:
        frames = exception.get("stacktrace", {}).get("frames", [])
        frames[:] = [frame for frame in frames if frame["abs_path"] != __file__]
    return json.dumps(serialize(dict(event)), default=repr)


def shown_by_trackers(error: BaseException) -> str:
    """Return all that an error tracker may show of *error*, by frames and attributes."""
    texts = [shown_by_sentry(error)]
    for each in errors_of(error):
        texts += [
            str(each),
            repr(each),
            repr(pickle.dumps(each.args)),
            *texts_in(each, {}),
        ]
        for frame in frames_of(each.__traceback__):
            seen: dict[int, object] = {}
            for name, value in [*frame.f_locals.items()]:
                texts += [f"{name}={text}" for text in texts_in(value, seen)]
    return "\n".join(texts)


def check(error: BaseException) -> None:
    """Check that *error* leads to no token."""
    shown = shown_by_trackers(error)
    for secret in (MAIN, ACCOUNT, OTHER):
        at = shown.find(secret)
        assert at < 0, shown[max(0, at - 300) : at + 100]


async def raised_by(work: Callable[[], Any]) -> BaseException:
    """Return what *work* raises."""
    try:
        value = work()
        if isinstance(value, Awaitable):
            await value
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
        return error
    pytest.fail("nothing was raised")


def test_the_walk_finds_what_is_not_hidden() -> None:
    """The test itself is not blind: a plain attribute, mapping and local are found."""

    class Plain:
        """An object of the library, as far as its name says."""

        def __init__(self) -> None:
            self.token = {"x": [MAIN]}

    Plain.__module__ = "linkedapi_async.plain"

    assert any(MAIN in text for text in texts_in(Plain(), {}))
    assert not any(MAIN in text for text in texts_in(Secret(MAIN), {}))


def test_a_secret_cannot_be_shown_or_stored() -> None:
    """No representation, format or pickle of a `Secret` has its value."""
    secret = Secret(MAIN)

    assert "<secret>" == repr(secret) == str(secret) == f"{secret}"
    assert Secret(MAIN) == secret != Secret(OTHER)
    assert hash(Secret(MAIN)) == hash(secret)
    assert Secret.optional(None) is None
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)


# Sessions and administration


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with an error that has all headers in it."""
    answer: Answer = refused("odd", str(dict(request.headers)))
    return await answer(request)


ANSWERS = {
    "refused": refused("invalidLinkedApiToken", status=401),
    "echo of the request": echo,
    "dropped": dropped(),
    "html": raw(f"<html>{MAIN}", status=502, content_type="text/html"),
    "throttled": raw("", status=429, Retry_After="0"),
    "odd": ok({"workflowId": [MAIN]}),
    "echo in a failure": ok({"workflowStatus": "failed", "failure": {"message": MAIN}}),
}


@pytest.fixture
async def server() -> Any:
    """Return a scripted server."""
    async with Scripted() as server:
        yield server


CALLS: dict[str, Callable[[Session], Any]] = {
    "start": lambda session: session.start(WRITE),
    "run": lambda session: session.run(READ),
    "result": lambda session: session.attach("wf-1").result(timeout=0),
    "status": lambda session: session.status("wf-1"),
    "cancel": lambda session: session.cancel("wf-1"),
    "info": lambda session: session.info(),
    "inbox": lambda session: session.poll_inbox(),
    "other": lambda session: session.account(OTHER).info(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_errors_of_a_session(answer: Any, call: Any, server: Scripted) -> None:
    """Whatever a server answers, the error of a session leads to no token."""
    for method in ("GET", "POST", "DELETE"):
        server.script(method, answer)
    session = Session(
        linked_api_token=MAIN,
        identification_token=ACCOUNT,
        base_url=server.url,
        polling=Polling.fixed(1000),
        retries=Retries(attempts=2, initial_delay=0.001, max_delay=0.001),
    )
    async with session:
        if (answer, call) == (ANSWERS["odd"], CALLS["run"]):
            return
        try:
            with anyio.fail_after(20):
                await call(session)
        except Exception as error:  # noqa: BLE001
            check(error)


@pytest.mark.parametrize(
    "work",
    [
        lambda session: session.start(WRITE),
        lambda session: session.run(WRITE, WRITE),
        lambda session: session.start(dump_workflow(WRITE)),
        lambda session: session.start({"actionType": "st.sendMessage", "texts": TEXT}),
        lambda session: session.start(5, TEXT),
    ],
)
async def test_messages_are_in_no_frame(work: Any, server: Scripted) -> None:
    """What is written to people does not reach an error tracker."""
    server.script("POST", raw("", status=502))
    async with Session(
        linked_api_token=MAIN, identification_token=ACCOUNT, base_url=server.url
    ) as session:
        error = await raised_by(lambda: work(session))
        async with session.as_completed([WRITE, ("key", WRITE), {"x": TEXT}]) as done:
            errors = [await raised_by(handle.result) async for handle in done]

    for each in (error, *errors):
        frames = shown_by_sentry(each).partition('"stacktrace"')[2]
        assert "linkedapi_async" in frames
        assert TEXT not in frames


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_errors_of_an_admin(answer: Any, server: Scripted) -> None:
    """Whatever a server answers, the error of an `Admin` leads to no token."""
    server.script("POST", answer)
    retries = Retries(attempts=1)
    async with Admin(
        linked_api_token=MAIN, base_url=server.url, retries=retries
    ) as admin:
        check(await raised_by(admin.accounts.get_all))
        if answer is not ANSWERS["odd"] and answer is not ANSWERS["echo in a failure"]:
            check(await raised_by(lambda: admin.accounts.disconnect("a1")))


async def test_a_cancelled_or_late_call(server: Scripted) -> None:
    """Neither the cancellation of a call nor a time-out of the user leads to a token."""
    arrived = asyncio.Event()

    async def hold(_: Any) -> Any:
        """Answer never."""
        arrived.set()
        await asyncio.Event().wait()

    server.script("GET", hold)
    async with Session(
        linked_api_token=MAIN, identification_token=ACCOUNT, base_url=server.url
    ) as session:
        task = asyncio.create_task(session.info())
        await arrived.wait()
        task.cancel()
        check(await raised_by(lambda: task))

        async def too_late() -> None:
            """Wait for a moment."""
            async with asyncio.timeout(0.01):
                await session.info()

        check(await raised_by(too_late))


SETTINGS: list[dict[str, Any]] = [
    {"polling": 5},
    {"polling": Polling},
    {"polling": "5"},
    {"retries": 5},
    {"retries": Retries},
    {"http": 5},
    {"http": "client"},
    {"trust_env": "yes"},
    {"ssl": "no"},
    {"proxy": 5},
    {"request_timeout": "5"},
    {"request_timeout": True},
    {"max_response_bytes": 1.5},
    {"connections": None},
    {"allow_insecure_http": 1},
    {"base_url": 5},
]
WRONG_VALUES: list[dict[str, Any]] = [
    {"request_timeout": 0},
    {"request_timeout": float("nan")},
    {"max_response_bytes": 0},
    {"connections": -1},
    {"base_url": "ftp://x"},
    {"linked_api_token": f"{MAIN}\n"},
    {"linked_api_token": ""},
]
OF_SESSIONS: list[dict[str, Any]] = [
    {"rate": "5"},
    {"journal": 5},
    {"cancel_on_exit": "yes"},
    {"sole_client": 1},
    {"account_id": 5},
    {"identification_token": 5},
]


@pytest.mark.parametrize("cls", [Session, Admin])
@pytest.mark.parametrize("settings", [*SETTINGS, *OF_SESSIONS], ids=str)
async def test_a_wrong_type_is_a_type_error_at_once(
    cls: type[Session | Admin], settings: dict[str, Any]
) -> None:
    """The error names the setting, what is allowed and what came, and no token."""
    if cls is Admin and settings in OF_SESSIONS:
        return
    tokens = {} if cls is Admin else {"identification_token": ACCOUNT}
    error = await raised_by(
        lambda: cls(**{"linked_api_token": MAIN, **tokens, **settings})
    )

    assert TypeError is type(error)
    assert str(error).startswith(f"{next(iter(settings))} must be ")
    assert ", got " in str(error)
    check(error)


@pytest.mark.parametrize("cls", [Session, Admin])
@pytest.mark.parametrize("settings", WRONG_VALUES, ids=str)
async def test_a_wrong_value_is_refused_at_once(
    cls: type[Session | Admin], settings: dict[str, Any]
) -> None:
    """The error names the setting, and shows no token."""
    tokens = {} if cls is Admin else {"identification_token": ACCOUNT}
    error = await raised_by(
        lambda: cls(**{"linked_api_token": MAIN, **tokens, **settings})
    )

    assert ValueError is type(error)
    assert str(error).startswith(next(iter(settings)))
    check(error)


MISTAKES: dict[str, Callable[[], Any]] = {
    "two main tokens": lambda: Session(linked_api_token=MAIN, account_api_token=OTHER),
    "no main token": lambda: Session(identification_token=ACCOUNT),
    "odd account": lambda: Session(
        linked_api_token=MAIN, identification_token=f"{ACCOUNT} "
    ),
    "not entered": lambda: Session(
        linked_api_token=MAIN, identification_token=ACCOUNT
    ).run(READ),
    "odd other account": lambda: Session(linked_api_token=MAIN).account(f"{OTHER}\n"),
    "account that is not text": lambda: Session(linked_api_token=MAIN).account(5),  # type: ignore[arg-type]
    "no account": lambda: Session(linked_api_token=MAIN).run(READ),
    "admin not entered": Admin(linked_api_token=MAIN).accounts.get_all,
    "session from the environment": lambda: Session.from_env(
        identification_token=ACCOUNT,
        polling=5,  # type: ignore[arg-type]
    ),
    "admin from the environment": lambda: Admin.from_env(per_minute="5"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
async def test_mistakes_show_no_token(
    mistake: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user does wrong with tokens leads to none of them."""
    monkeypatch.setenv("LINKED_API_TOKEN", MAIN)
    monkeypatch.delenv("ACCOUNT_API_TOKEN", raising=False)

    check(await raised_by(mistake))


@pytest.mark.parametrize("cls", [Session, Admin])
async def test_an_odd_environment_shows_no_token(
    cls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable with a line break is named, and not shown."""
    monkeypatch.setenv("LINKED_API_TOKEN", f"{MAIN}\n")
    monkeypatch.delenv("ACCOUNT_API_TOKEN", raising=False)
    error = await raised_by(cls.from_env)

    assert str(error).startswith("LINKED_API_TOKEN")
    check(error)


async def test_two_accounts_of_one_name() -> None:
    """An account that cannot be added leads to no token."""
    session = Session(linked_api_token=MAIN, identification_token=ACCOUNT)
    session.account(ACCOUNT, "one")

    check(await raised_by(lambda: session.account(OTHER, "one")))
    check(await raised_by(lambda: session.account(ACCOUNT, "two")))


# Webhooks and the command line


WEBHOOKS: dict[str, Callable[[], Any]] = {
    "signature": lambda: WebhookReceiver(MAIN, secrets=[OTHER]).receive(
        {
            "linked-api-signature": "0" * 64,
            "linked-api-signature-timestamp": str(int(time.time())),
        },
        b"{}",
    ),
    "odd secret": lambda: WebhookReceiver(f"{MAIN} "),
    "another odd secret": lambda: WebhookReceiver(MAIN, secrets=[OTHER, ""]),
    "odd setting": lambda: WebhookReceiver(MAIN, secrets=OTHER, tolerance=-1),
    "odd rotation": lambda: WebhookReceiver(MAIN).set_secrets(OTHER, "\n"),
    "unsigned": lambda: WebhookReceiver(MAIN, allow_unsigned=True),
    "verify": lambda: verify({}, b"", secrets=[MAIN, OTHER]),
    "odd secrets": lambda: verify({}, b"", secrets=[MAIN, OTHER, " "]),
    "sign": lambda: sign(b"{}", secret=f"{MAIN}\n"),
}


@pytest.mark.parametrize("mistake", WEBHOOKS.values(), ids=WEBHOOKS)
async def test_errors_of_webhooks_show_no_secret(mistake: Callable[[], Any]) -> None:
    """No refused delivery and no odd setting leads to the secret of a webhook."""
    check(await raised_by(mistake))


FILES = {
    "not an assignment": ("env", f"LINKED_API_TOKEN={MAIN}\n{OTHER}"),
    "not UTF-8": ("env", f"LINKED_API_TOKEN={MAIN}\n".encode() + b"\xff"),
    "odd token": ("env", f'LINKED_API_TOKEN="{MAIN} {OTHER}"'),
    "two main tokens": ("env", f"LINKED_API_TOKEN={MAIN}\nACCOUNT_API_TOKEN={OTHER}"),
    "not JSON": ("a.json", f'{{"one": "{MAIN}", "two": {OTHER}'),
    "not TOML": ("a.toml", f'one = "{MAIN}"\ntwo = {OTHER}'),
    "no object": ("a.json", f'["{MAIN}"]'),
    "odd account": ("a.json", f'{{"one": "{MAIN}", "two": "{OTHER} "}}'),
    "a number": ("a.json", f'{{"one": "{MAIN}", "two": 5}}'),
    "open to others": ("open", f"LINKED_API_TOKEN={MAIN}"),
}


@pytest.mark.parametrize(("name", "content"), FILES.values(), ids=FILES)
async def test_errors_of_the_command_line_show_no_token(
    name: str, content: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of tokens that cannot be used is named, and leads to no token."""
    for variable in ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o644 if name == "open" else 0o600)
    in_accounts = path.suffix in {".json", ".toml"}

    def use() -> None:
        """Do as a command does."""
        with click.Context(click.Command("test")):
            credentials(
                env_file=None if in_accounts else str(path),
                accounts=str(path) if in_accounts else None,
                account=None,
                poll=None,
                proxy=None,
                trust_env=False,
                allow_insecure_http=False,
                verbose=False,
                quiet=True,
            ).session()

    error = await raised_by(use)

    assert CommandError is type(error)
    check(error)


STORED = {
    "not JSON": f'{{"one": "{MAIN}", "two": {OTHER}',
    "no object": f'["{MAIN}"]',
    "odd account": json.dumps(
        {
            "version": 1,
            "inUse": None,
            "accounts": {
                "one": {
                    "mainToken": "LINKED_API_TOKEN",
                    "place": "file",
                    "tokens": {"LINKED_API_TOKEN": MAIN, "OTHER": OTHER},
                }
            },
        }
    ),
}


@pytest.mark.parametrize("content", STORED.values(), ids=STORED)
async def test_errors_of_stored_accounts_show_no_token(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file of stored accounts is named, and leads to no token."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "linkedapi" / "accounts.json"
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    error = await raised_by(load_accounts)

    assert CommandError is type(error)
    check(error)


@pytest.mark.parametrize("maker", ["session", "admin"])
async def test_errors_of_a_sandbox_show_no_token(maker: str) -> None:
    """A session of a sandbox that cannot be made shows no token, also none of its own."""
    async with Sandbox(tokens=[MAIN], identification_tokens=[ACCOUNT]) as sandbox:
        error = await raised_by(
            lambda: getattr(sandbox, maker)(linked_api_token=OTHER, polling=5)
        )

    shown = shown_by_sentry(error)
    assert [] == [secret for secret in (MAIN, ACCOUNT, OTHER) if secret in shown]


# Objects whose constructors raised


def own_reprs() -> list[type]:
    """Return the classes of the library that define or inherit how they are shown."""
    found = set()
    for module in pkgutil.walk_packages(linkedapi_async.__path__, "linkedapi_async."):
        if not module.name.endswith("__main__"):
            for thing in vars(importlib.import_module(module.name)).values():
                # An abstract class has no instances; its subclasses are shown.
                if not isinstance(thing, type) or inspect.isabstract(thing):
                    continue
                written = inspect.unwrap(thing.__repr__)
                if getattr(written, "__module__", "").startswith("linkedapi_async"):
                    code = getattr(written, "__code__", None)
                    if code is not None and code.co_filename.endswith(".py"):
                        found.add(thing)
    return sorted(found, key=lambda cls: cls.__qualname__)


@pytest.mark.parametrize("cls", own_reprs(), ids=lambda cls: cls.__qualname__)
def test_a_half_made_object_can_be_shown(cls: type[object]) -> None:
    """A tracker may show an object before its constructor has set anything."""
    assert repr(object.__new__(cls))


# Objects that work


def without_attributes(value: object) -> list[str]:
    """Return the secrets that the attributes of *value* lead to."""
    shown = "\n".join(texts_in(value, {}))
    return [secret for secret in (MAIN, ACCOUNT, OTHER) if secret in shown]


async def test_objects_that_work_show_no_token() -> None:
    """What a program holds leads to no token by attributes, the sandbox included."""
    async with (
        Sandbox(
            speed=5000, tokens=[MAIN], identification_tokens=[ACCOUNT, OTHER]
        ) as box,
        box.session(journal=MemoryJournal()) as session,
        box.admin() as admin,
    ):
        receiver = WebhookReceiver(MAIN, secrets=[OTHER])
        box.send_webhooks_to("http://127.0.0.1:9", secret=OTHER, headers={"x": ACCOUNT})
        account = session.account(OTHER)
        handles = [await session.start(READ), await account.start(WRITE)]
        await asyncio.gather(*handles)
        found = {
            type(value).__name__: without_attributes(value)
            for value in (box, session, admin, account, receiver, *handles)
        }

    assert {} == {name: secrets for name, secrets in found.items() if secrets}
