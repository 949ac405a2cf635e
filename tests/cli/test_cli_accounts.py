"""Stored accounts: the file and the keyring, and the commands that use them."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import keyring
import pytest
from cli_harness import FAST, TOKENS, Shell, Terminal
from click.shell_completion import BashComplete
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from linkedapi_async._utils.locks import FileLock
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._app import app
from linkedapi_async.cli._credentials import credentials
from linkedapi_async.cli._stored_accounts import StoredAccounts, has_keyring
from linkedapi_async.sandbox import Sandbox


SALES = b"LINKED_API_TOKEN=secret-main-1\nIDENTIFICATION_TOKEN=secret-account-1\n"
OLD = b"# older\nexport ACCOUNT_API_TOKEN='secret-main-2'\nIDENTIFICATION_TOKEN=secret-2\n"
ADA = "https://www.linkedin.com/in/ada"


class MemoryKeyring(KeyringBackend):
    """A keyring that forgets all at its end."""

    priority = 5

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = broken

    def _check(self) -> None:
        if self.broken:
            message = "secret-of-the-keyring"
            raise RuntimeError(message)

    def get_password(self, service: str, username: str) -> str | None:
        """Return a password."""
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        self._check()
        del self.kept[service, username]


@pytest.fixture
def shell(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    box: Sandbox,
) -> Iterator[Shell]:
    """A folder without tokens, where the system has no keyring."""
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    made = Shell.entered(tmp_path, monkeypatch, capsys)
    made.set(**FAST, LINKED_API_BASE_URL=box.url)
    yield made
    keyring.set_keyring(before)


@pytest.fixture
def ring(shell: Shell) -> MemoryKeyring:
    """A keyring of the system."""
    made = MemoryKeyring()
    keyring.set_keyring(made)
    return made


def kept(shell: Shell) -> Path:
    """Return the file of the accounts."""
    return shell.folder / ".config" / "linkedapi" / "accounts.json"


def names(shell: Shell) -> dict[str, Any]:
    """Return what is listed, by name."""
    done = shell("accounts", "list")
    assert 0 == done.status
    return {row.pop("name"): row for row in json.loads(done.out)}


def test_accounts_are_used_by_commands(shell: Shell, box: Sandbox) -> None:
    """The first account is used, then the one that was chosen, or that of --account."""
    first = shell("accounts", "add", "sales", typed=SALES)
    second = shell("accounts", "add", "hr", "-q", typed=OLD)

    assert (0, "stored sales, which is used\n") == (
        first.status,
        first.err.partition("check")[0],
    )
    assert (0, "", "") == (second.status, second.out, second.err)
    assert {
        "sales": {"generation": "linked_api", "tokens": "file", "inUse": True},
        "hr": {"generation": "account_api", "tokens": "file", "inUse": False},
    } == names(shell)
    run = ("check-connection-status", ADA, "--no-wait")
    assert 0 == shell(*run).status
    assert 0 == shell(*run, "--account", "hr").status
    assert 0 == shell("accounts", "use", "hr").status
    assert 0 == shell(*run).status
    generations = [each.generation for each in box.workflows[-3:]]
    assert ["linked_api", "account_api", "account_api"] == generations


def test_no_token_is_shown_or_readable(shell: Shell) -> None:
    """The file is made for its owner alone, and nothing prints a token."""
    before = os.umask(0)
    try:
        added = shell("accounts", "add", "sales", typed=SALES)
    finally:
        os.umask(before)
    lists = [shell("accounts", "list", "--format", f) for f in ("json", "csv", "table")]
    removed = shell("accounts", "remove", "sales")

    assert 0o600 == stat.S_IMODE(kept(shell).stat().st_mode)
    assert 0o700 == stat.S_IMODE(kept(shell).parent.stat().st_mode)
    for done in (added, *lists, removed):
        assert 0 == done.status
        assert "secret" not in done.out + done.err
    assert "secret" not in kept(shell).read_text()
    assert {"accounts.json", "accounts.lock"} == {
        path.name for path in kept(shell).parent.iterdir()
    }


def test_what_was_left_of_a_kill_is_replaced(shell: Shell) -> None:
    """A half-written file of a killed command is neither read nor in the way."""
    assert 0 == shell("accounts", "add", "sales", typed=SALES).status
    kept(shell).with_suffix(".new").write_text("half")

    assert 0 == shell("accounts", "add", "hr", typed=OLD).status
    assert {"sales", "hr"} == names(shell).keys()


def test_keyring_keeps_the_tokens(
    shell: Shell, ring: MemoryKeyring, box: Sandbox
) -> None:
    """Where there is a keyring it has the tokens, and the file has none."""
    assert 0 == shell("accounts", "add", "sales", typed=SALES).status
    assert 0 == shell("accounts", "add", "hr", "--no-keyring", typed=OLD).status

    assert {
        ("linkedapi", "sales LINKED_API_TOKEN"): "secret-main-1",
        ("linkedapi", "sales IDENTIFICATION_TOKEN"): "secret-account-1",
    } == ring.kept
    assert "secret-main-1" not in kept(shell).read_text()
    places = {name: row["tokens"] for name, row in names(shell).items()}
    assert {"sales": "keyring", "hr": "file"} == places
    assert 0 == shell("check-connection-status", ADA, "--no-wait").status
    del ring.kept["linkedapi", "sales LINKED_API_TOKEN"]
    lost = shell("check-connection-status", ADA)
    assert (2, "") == (lost.status, lost.out)
    assert "has no LINKED_API_TOKEN of the account 'sales'; remove the" in lost.err
    assert 0 == shell("accounts", "remove", "sales").status
    assert {} == ring.kept


def test_keyring_that_fails(shell: Shell, ring: MemoryKeyring) -> None:
    """A keyring that fails at first leaves the tokens to the file, later it is named."""
    ring.broken = True
    added = shell("accounts", "add", "sales", typed=SALES)
    ring.broken = False
    again = shell("accounts", "add", "hr", typed=OLD)
    ring.broken = True
    used = shell("check-connection-status", ADA, "--account", "hr")
    removed = shell("accounts", "remove", "hr")

    words = "the system's keyring failed: RuntimeError"
    assert (0, 0) == (added.status, again.status)
    assert f"warning: {words}; {kept(shell)} keeps the tokens" in added.err
    assert (2, f"error: {words}\n") == (used.status, used.err)
    assert (2, f"error: {words}\n") == (removed.status, removed.err)
    places = {name: row["tokens"] for name, row in names(shell).items()}
    assert {"sales": "file", "hr": "keyring"} == places


def test_without_the_extra(
    shell: Shell, ring: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package the file is used, and tokens of a keyring are asked for."""
    assert 0 == shell("accounts", "add", "sales", typed=SALES).status
    monkeypatch.setitem(sys.modules, "keyring", None)
    used = shell("check-connection-status", ADA)
    added = shell("accounts", "add", "hr", typed=OLD)

    assert 2 == used.status
    assert "python -m pip install 'linkedapi-async[keyring]'" in used.err
    assert 0 == added.status
    assert "file" == names(shell)["hr"]["tokens"]
    assert not has_keyring()


@pytest.mark.parametrize(
    ("words", "typed", "message"),
    [
        (["add", "-x"], SALES, "No such option"),
        (["add", "a/b"], SALES, "NAME must be letters, digits, spaces"),
        (["add", "sales"], SALES, "the account 'sales' is stored already; remove it"),
        (["add", "hr"], b"", "and IDENTIFICATION_TOKEN=…, got neither"),
        (
            ["add", "hr"],
            b"LINKED_API_TOKEN=secret-main-1",
            "IDENTIFICATION_TOKEN=…, got LINKED_API_TOKEN\n",
        ),
        (["add", "hr"], SALES + OLD, "got ACCOUNT_API_TOKEN, IDENTIFICATION_TOKEN, LI"),
        (["add", "hr"], b"secret", "standard input:1: expected NAME=value"),
        (["add", "hr"], b"\xff", "standard input is not UTF-8"),
        (
            ["add", "hr"],
            b"LINKED_API_TOKEN=secret 1\nIDENTIFICATION_TOKEN=secret",
            "LINKED_API_TOKEN must be printable ASCII",
        ),
        (["use", "hr"], b"", "no account 'hr' is stored; known accounts: sales"),
        (["remove", "hr"], b"", "no account 'hr' is stored; known accounts: sales"),
    ],
)
def test_wrong_words(
    shell: Shell, words: list[str], typed: bytes, message: str
) -> None:
    """What cannot be stored, used or removed is one line, without a token."""
    assert 0 == shell("accounts", "add", "sales", typed=SALES).status
    done = shell("accounts", *words, typed=typed)

    assert (2, "") == (done.status, done.out)
    assert message in done.err
    assert "secret" not in done.err
    assert ["sales"] == [*names(shell)]


def test_no_account_is_in_use(shell: Shell) -> None:
    """Without an account in use the error names those that are stored."""
    none = shell("accounts", "use", "sales")
    shell("accounts", "add", "sales", typed=SALES)
    shell("accounts", "add", "hr", typed=OLD)
    shell("accounts", "add", "it", typed=OLD)
    shell("accounts", "remove", "it")
    shell("accounts", "remove", "sales")
    unclear = shell("check-connection-status", ADA)
    absent = shell("check-connection-status", ADA, "--account", "it")

    assert "no account 'sales' is stored; known accounts: none" in none.err
    assert (2, "error: no account is in use; add --account NAME: hr\n") == (
        unclear.status,
        unclear.err,
    )
    assert "no account 'it' is stored; known accounts: hr" in absent.err


def test_environment_takes_precedence(shell: Shell, box: Sandbox) -> None:
    """Tokens of the environment or of files are used, and never mixed with stored ones."""
    shell("accounts", "add", "hr", typed=OLD)
    shell.set(**TOKENS)
    used = shell("accounts", "use", "hr")
    run = ("check-connection-status", ADA, "--no-wait")
    own = shell(*run)
    mixed = shell(*run, "--account", "hr")
    unknown = shell(*run, "--account", "it")
    shell.set(IDENTIFICATION_TOKEN=None)
    half = shell(*run)
    shell.write("tokens.json", '{"mine": "account-88"}')
    file = shell(*run, "--accounts", "tokens.json", "--account", "mine")

    assert "LINKED_API_TOKEN, IDENTIFICATION_TOKEN of the environment takes" in used.err
    assert (0, "linked_api") == (own.status, box.workflows[-1].generation)
    assert 2 == mixed.status
    assert "takes precedence over the stored account 'hr'; unset it" in mixed.err
    assert "--account: no account 'it'; known accounts: " in unknown.err
    assert 2 == half.status
    assert "no account; set IDENTIFICATION_TOKEN, pass --accounts, or store" in half.err
    assert 0 == file.status


def test_commands_to_continue_name_the_account(shell: Shell) -> None:
    """A command line that is printed uses the same account, also after another choice."""
    shell("accounts", "add", "sales", typed=SALES)
    options: dict[str, Any] = dict.fromkeys(["env_file", "accounts", "poll", "proxy"])
    options |= dict.fromkeys(
        ["trust_env", "allow_insecure_http", "verbose", "quiet"], False
    )
    with click.Context(app):
        creds = credentials(account=None, **options)

    assert "linkedapi wait wf-1 --account sales" == creds.command("wait", "wf-1")
    assert "secret-" not in repr(creds)


def stored(**account: Any) -> str:
    """Return a file with one account."""
    return json.dumps({"version": 1, "inUse": None, "accounts": {"x": account}})


MAIN = {"mainToken": "LINKED_API_TOKEN"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "inUse": null, "accounts": {}}',
        '{"version": 1, "inUse": "x", "accounts": {}}',
        '{"version": 1, "inUse": null, "accounts": {"x": 7}}',
        stored(**MAIN, place="cloud"),
        stored(**MAIN, place="file", tokens={"LINKED_API_TOKEN": "secret"}),
        stored(
            **MAIN,
            place="file",
            tokens={"LINKED_API_TOKEN": "secret", "IDENTIFICATION_TOKEN": 7},
        ),
        stored(mainToken="secret", place="keyring"),
    ],
)
def test_damaged_file(shell: Shell, text: str) -> None:
    """A file that is damaged is named, and neither used nor overwritten."""
    kept(shell).parent.mkdir(parents=True)
    kept(shell).write_text(text)
    kept(shell).chmod(0o600)
    for words in (["accounts", "list"], ["accounts", "add", "x"], ["status", "wf-1"]):
        done = shell(*words, typed=SALES)

        assert 2 == done.status
        assert (
            "accounts.json is damaged, or of another version; move it away" in done.err
        )
        assert "secret" not in done.err
    assert text == kept(shell).read_text()


def test_file_that_others_may_read(shell: Shell) -> None:
    """A file that others may read is refused, with what to do."""
    shell("accounts", "add", "sales", typed=SALES)
    kept(shell).chmod(0o640)
    done = shell("accounts", "list")

    assert 2 == done.status
    assert f"others may read it; run: chmod 600 {kept(shell)}" in done.err


def test_two_commands_at_once(shell: Shell) -> None:
    """While another command changes the accounts, this one changes nothing."""
    shell("accounts", "add", "sales", typed=SALES)
    lock = FileLock(str(kept(shell).with_suffix(".lock")))
    done = shell("accounts", "remove", "sales")
    lock.release()

    assert 2 == done.status
    assert "another command changes the stored accounts; run this one again" in done.err
    assert 0 == shell("accounts", "remove", "sales").status


def test_names_are_completed(shell: Shell) -> None:
    """Shells complete the names; a damaged file completes none."""
    shell("accounts", "add", "sales", typed=SALES)
    shell("accounts", "add", "hr", typed=OLD)
    complete = BashComplete(app, {}, "linkedapi", "_X")
    found = complete.get_completions(["accounts", "use"], "s")
    kept(shell).write_text("damaged")

    assert ["sales"] == [item.value for item in found]
    assert [] == complete.get_completions(["accounts", "use"], "s")


def test_tokens_are_typed_without_an_echo(tmp_path: Path) -> None:
    """At a terminal the tokens are typed, and the terminal does not show them."""
    env = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    with Terminal() as terminal:
        process = terminal.start("accounts", "add", "sales", folder=tmp_path, env=env)
        terminal.expect("LINKED_API_TOKEN: ")
        terminal.press("secret-main-1\n")
        terminal.expect("IDENTIFICATION_TOKEN: ")
        terminal.press("secret-account-1\n")

        assert 0 == process.wait()
        assert "stored sales" in terminal.text
        assert "secret" not in terminal.text
    stored = json.loads((tmp_path / "linkedapi" / "accounts.json").read_text())
    assert "secret-main-1" == stored["accounts"]["sales"]["tokens"]["LINKED_API_TOKEN"]


def test_generation_decides_which_token_is_typed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the main token of the chosen generation is asked for, hidden."""
    asked: list[str] = []

    def answer(prompt: str) -> str:
        """Type a token."""
        asked.append(prompt)
        return f"secret-{len(asked)}"

    monkeypatch.setattr("click.termui.hidden_prompt_func", answer)
    with Terminal() as terminal:
        words = ("accounts", "add", "hr", "--generation", "account_api")

        assert 0 == shell.at(terminal, *words)
    assert 2 == len(asked)
    tokens = json.loads(kept(shell).read_text())["accounts"]["hr"]["tokens"]
    assert {
        "ACCOUNT_API_TOKEN": "secret-1",
        "IDENTIFICATION_TOKEN": "secret-2",
    } == tokens
    assert "account_api" == names(shell)["hr"]["generation"]


def test_tokens_are_in_no_representation() -> None:
    """The representation of stored accounts shows no token."""
    store = StoredAccounts(Path("accounts.json"))
    tokens = {"LINKED_API_TOKEN": "secret", "IDENTIFICATION_TOKEN": "secret-2"}
    store.add("sales", Secret(tokens), keyring=False)

    assert "secret-2" not in repr(store)
    assert "'secret'" not in repr(store)
