"""Accounts that are kept for later commands: in the system's keyring, or in a file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

import attrs
import click

from linkedapi_async._utils.json import decode_json
from linkedapi_async._utils.locks import FileLock
from linkedapi_async._utils.secret import Secret
from linkedapi_async.cli._exit_codes import CommandError
from linkedapi_async.cli._token_files import private


T = TypeVar("T")

TokenStorage: TypeAlias = Literal["keyring", "file"]

MAIN: Final = ("LINKED_API_TOKEN", "ACCOUNT_API_TOKEN")
"""The names of the main tokens."""

IDENTITY: Final = "IDENTIFICATION_TOKEN"

SERVICE: Final = "linkedapi"
"""The service name of the tokens in the keyring."""

RECOMMENDED: Final = 1
"""The minimum priority of a keyring that encrypts, by the package's documentation."""

_VERSION: Final = 1


@attrs.frozen
class StoredAccount:
    """An account, with its tokens only if the file keeps them."""

    main: str
    """The name of its main token, which decides the generation of the API."""
    place: TokenStorage
    tokens: Secret[dict[str, str]]

    @property
    def generation(self) -> str:
        """The generation of the API."""
        return self.main.removesuffix("_TOKEN").lower()


@attrs.define
class StoredAccounts:
    """The accounts by name, and the one in use."""

    path: Path
    accounts: dict[str, StoredAccount] = attrs.Factory(dict)
    in_use: str | None = None

    def find(self, name: str) -> StoredAccount:
        """Return an account.

        Raises:
            CommandError: No account has that name.
        """
        if name in self.accounts:
            return self.accounts[name]
        known = ", ".join(self.accounts) or "none"
        raise CommandError(f"no account {name!r} is stored; known accounts: {known}")

    def check_free(self, name: str) -> None:
        """Check that no account has the name.

        Raises:
            CommandError: One has it.
        """
        if name in self.accounts:
            message = f"the account {name!r} is stored already; remove it first"
            raise CommandError(message)

    def tokens(self, name: str) -> Secret[dict[str, str]]:
        """Return both tokens of an account, by the names of their variables.

        Raises:
            CommandError: There is no such account, or the keyring does not have them.
        """
        found = self.find(name)
        if found.place == "file":
            return found.tokens
        return Secret({each: _from_keyring(name, each) for each in _names(found)})

    def add(self, name: str, tokens: Secret[dict[str, str]], *, keyring: bool) -> None:
        """Add an account; the first one is used.

        Args:
            name: Its name.
            tokens: A main token and the identification token, by their variables.
            keyring: Whether the keyring keeps them, rather than the file.

        Raises:
            CommandError: The name is not free, or the keyring failed.
        """
        self.check_free(name)
        main = next(each for each in MAIN if each in tokens.reveal())
        if keyring:
            added = StoredAccount(main, "keyring", Secret({}))
            for each in _names(added):
                _into_keyring(name, each, Secret(tokens.reveal()[each]))
        else:
            added = StoredAccount(main, "file", tokens)
        self.accounts[name] = added
        self.in_use = self.in_use or name

    def remove(self, name: str) -> None:
        """Remove an account with its tokens.

        Raises:
            CommandError: There is no such account, or the keyring failed.
        """
        found = self.find(name)
        if found.place == "keyring":
            for each in _names(found):
                _out_of_keyring(name, each)
        del self.accounts[name]
        if self.in_use == name:
            self.in_use = None


def accounts_file() -> Path:
    """Return the file in the user's configuration directory."""
    return Path(click.get_app_dir("linkedapi")) / "accounts.json"


def load_accounts() -> StoredAccounts:
    """Return the accounts that are stored.

    Raises:
        CommandError: The file is unreadable, others may read it, or it is damaged.
    """
    path = accounts_file()
    if not path.exists():
        return StoredAccounts(path)
    text, found = private(str(path)), None
    # Not in the handler of the error, because that has the content of the file.
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        found = _read(path, Secret(decode_json(text.reveal().encode())))
    if found is None:
        raise CommandError(
            f"{path} is damaged, or of another version; move it away, and add the "
            "accounts again"
        )
    return found


def _read(path: Path, state: Secret[Any]) -> StoredAccounts:
    accounts = {}
    for name in state.reveal()["accounts"]:
        main = state.reveal()["accounts"][name]["mainToken"]
        place = state.reveal()["accounts"][name]["place"]
        tokens = Secret(state.reveal()["accounts"][name].get("tokens", {}))
        kept = {main, IDENTITY} if place == "file" else set()
        texts = all(isinstance(text, str) for text in tokens.reveal().values())
        if main not in MAIN or place not in {"file", "keyring"}:
            raise ValueError
        if tokens.reveal().keys() != kept or not texts:
            raise ValueError
        accounts[name] = StoredAccount(main, place, tokens)
    in_use = state.reveal()["inUse"]
    if state.reveal()["version"] != _VERSION or in_use not in {None, *accounts}:
        raise ValueError
    return StoredAccounts(path, accounts, in_use)


@contextlib.contextmanager
def changed_accounts() -> Iterator[StoredAccounts]:
    """Yield the accounts to change; they are stored if the body succeeds.

    Raises:
        CommandError: They cannot be read, or another command changes them.
    """
    path = accounts_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = FileLock(str(path.with_suffix(".lock")))
    except BlockingIOError as error:
        message = "another command changes the stored accounts; run this one again"
        raise CommandError(message) from error
    try:
        found = load_accounts()
        yield found
        _write(found)
    finally:
        lock.release()


def _write(found: StoredAccounts) -> None:
    # A new file replaces the old one, so that it is never readable for others or half
    # written.
    new = found.path.with_suffix(".new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(_dumped(found).reveal())
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(found.path)


def _dumped(found: StoredAccounts) -> Secret[str]:
    def dumped(account: StoredAccount) -> dict[str, Any]:
        facts = {"mainToken": account.main, "place": account.place}
        kept = account.place == "file"
        return {**facts, **({"tokens": account.tokens.reveal()} if kept else {})}

    return Secret(
        json.dumps(
            {
                "version": _VERSION,
                "inUse": found.in_use,
                "accounts": {name: dumped(a) for name, a in found.accounts.items()},
            },
            indent=2,
        )
    )


# The keyring


def has_keyring() -> bool:
    """Return whether the package is installed and has a keyring that encrypts."""
    try:
        import keyring  # noqa: PLC0415  # an extra

        return bool(keyring.get_keyring().priority >= RECOMMENDED)
    except Exception:  # noqa: BLE001  # backends raise what they like
        return False


def _call_keyring(work: Callable[[Any], T]) -> T:
    """Return what *work* returns for the package ``keyring``.

    Raises:
        CommandError: It is missing or fails.
    """
    try:
        import keyring  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise CommandError(
            "the tokens are in the system's keyring; install what reads it with: "
            "python -m pip install 'linkedapi-async[keyring]'"
        ) from None
    try:
        return work(keyring)
    except Exception as error:  # noqa: BLE001  # backends raise what they like
        failure = type(error).__name__
    # Not in the handler of the error, whose frames may have a token.
    raise CommandError(f"the system's keyring failed: {failure}")


def _names(account: StoredAccount) -> tuple[str, str]:
    return account.main, IDENTITY


def _key(name: str, token: str) -> str:
    return f"{name} {token}"


def _from_keyring(name: str, token: str) -> str:
    found = Secret(
        _call_keyring(lambda api: api.get_password(SERVICE, _key(name, token)))
    )
    if found.reveal() is None:
        raise CommandError(
            f"the system's keyring has no {token} of the account {name!r}; remove the "
            "account, and add it again"
        )
    return str(found.reveal())


def _into_keyring(name: str, token: str, value: Secret[str]) -> None:
    _call_keyring(
        lambda api: api.set_password(SERVICE, _key(name, token), value.reveal())
    )


def _out_of_keyring(name: str, token: str) -> None:
    def forget(api: Any) -> None:
        if api.get_password(SERVICE, _key(name, token)) is not None:
            api.delete_password(SERVICE, _key(name, token))

    _call_keyring(forget)
