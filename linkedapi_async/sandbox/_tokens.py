"""Tokens, and the names and ids of the accounts that they belong to."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection

from aiohttp import web

from linkedapi_async._types import Generation
from linkedapi_async._utils.secret import Secret
from linkedapi_async.sandbox._responses import ApiError


TOKEN_HEADERS: dict[Generation, str] = {
    "account_api": "account-api-token",
    "linked_api": "linked-api-token",
}


def account_name(identification_token: str) -> str:
    """Return the name of an account, which does not reveal its token.

    A session gives the same name by default.
    """
    return hashlib.sha256(identification_token.encode()).hexdigest()[:12]


def account_id(name: str) -> str:
    """Return the UUID by which the API identifies the account called *name*."""
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=b"account").digest()
    return str(uuid.UUID(bytes=digest, version=4))


class TokenStore:
    """The tokens that are valid.

    Args:
        main: The main tokens; None accepts any.
        accounts: The identification tokens; None accepts any.
    """

    def __init__(
        self, main: Collection[str] | None, accounts: Collection[str] | None
    ) -> None:
        self.main: tuple[Secret[str], ...] | None = _secrets(main)
        self.accounts: tuple[Secret[str], ...] | None = _secrets(accounts)
        self.live: dict[str, Secret[str]] = {
            account_name(token.reveal()): token for token in self.accounts or ()
        }
        """The accounts known so far: their names and tokens."""
        self._names: dict[Secret[str], str] = {}
        self._revoked: set[Secret[str]] = set()

    def first_main(self) -> str:
        """Return a valid main token."""
        return self.main[0].reveal() if self.main else "sandbox-token"

    def first_account(self) -> str:
        """Return a valid identification token."""
        return self.accounts[0].reveal() if self.accounts else "sandbox-account"

    def check_main(self, request: web.Request, generation: Generation) -> None:
        """Refuse a request without a valid main token of *generation*."""
        _check(request, TOKEN_HEADERS[generation], self.main)

    def account(self, request: web.Request, generation: Generation) -> str:
        """Return the name of the account of a request, or refuse the request."""
        self.check_main(request, generation)
        token = _check(request, "identification-token", self.accounts)
        if token in self._revoked:
            raise _invalid("identification-token")
        # A regenerated token belongs to an account that is named after an older one.
        name = self._names.get(token) or account_name(token.reveal())
        self.live.setdefault(name, token)
        return name

    def add(self, token: Secret[str], name: str | None = None) -> str:
        """Accept *token*, for a new account or for the one called *name*.

        Returns:
            The name of the account.
        """
        name = name or account_name(token.reveal())
        self._names[token] = name
        self.live[name] = token
        if self.accounts is not None:
            self.accounts += (token,)
        return name

    def revoke(self, name: str) -> None:
        """Refuse the token of an account from now on."""
        self._revoked.add(self.live[name])

    def remove(self, name: str) -> None:
        """Forget an account, whose token is refused from now on."""
        self.revoke(name)
        del self.live[name]


def _secrets(tokens: Collection[str] | None) -> tuple[Secret[str], ...] | None:
    return None if tokens is None else tuple(map(Secret, tokens))


def _check(
    request: web.Request, header: str, valid: tuple[Secret[str], ...] | None
) -> Secret[str]:
    token = Secret(request.headers.get(header, ""))
    if not token.reveal():
        word = _camel_case(header)
        message = f"'{header}' is missing in request headers."
        raise ApiError(f"{word[0].lower()}{word[1:]}Required", message, 401)
    if valid is not None and token not in valid:
        raise _invalid(header)
    return token


def _invalid(header: str) -> ApiError:
    message = f"The provided '{header}' is invalid."
    return ApiError(f"invalid{_camel_case(header)}", message, 401)


def _camel_case(header: str) -> str:
    return "".join(part.capitalize() for part in header.split("-"))
