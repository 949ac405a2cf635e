"""Shared type aliases."""

from __future__ import annotations

from typing import Literal, TypeAlias


Generation: TypeAlias = Literal["account_api", "linked_api"]

ACCOUNT: tuple[Generation, ...] = ("account_api",)

LINKED: tuple[Generation, ...] = ("linked_api",)

BOTH: tuple[Generation, ...] = ("account_api", "linked_api")
