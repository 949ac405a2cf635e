"""The tokens that the sandbox knows."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from linkedapi_async._types import Generation
from linkedapi_async.sandbox._responses import (
    TOKEN_HEADERS,
    _checked_token,
    _invalid_token,
    account_name,
)


class TokenStore:
    """The tokens that are valid.

    Args:
        main: The main tokens; None admits any.
        accounts: The identification tokens; None admits any.
    """

    def __init__(
        self, main: Collection[str] | None, accounts: Collection[str] | None
    ) -> None:
        self.main: tuple[str, ...] | None = None if main is None else tuple(main)
        self.accounts: tuple[str, ...] | None = (
            None if accounts is None else tuple(accounts)
        )
        self.live: dict[str, str] = {account_name(t): t for t in self.accounts or ()}
        """The accounts that are known by now: their names and tokens."""
        self._names: dict[str, str] = {}
        self._ended: set[str] = set()

    def check_main(self, request: web.Request, generation: Generation) -> None:
        """Refuse a request without a main token of *generation*."""
        _checked_token(request, TOKEN_HEADERS[generation], self.main)

    def account(self, request: web.Request, generation: Generation) -> str:
        """Return the name of the account that a request is for."""
        self.check_main(request, generation)
        token = _checked_token(request, "identification-token", self.accounts)
        if token in self._ended:
            raise _invalid_token("identification-token")
        name = self._names.get(token) or account_name(token)
        self.live.setdefault(name, token)
        return name

    def add(self, token: str, name: str | None = None) -> str:
        """Let *token* be valid, for a new account or the one called *name*.

        Returns:
            The name of the account.
        """
        name = name or account_name(token)
        self._names[token] = name
        self.live[name] = token
        if self.accounts is not None:
            self.accounts += (token,)
        return name

    def end(self, name: str, *, gone: bool = False) -> None:
        """Let the token of an account be invalid, or the account *gone* with it."""
        self._ended.add(self.live[name])
        if gone:
            del self.live[name]
