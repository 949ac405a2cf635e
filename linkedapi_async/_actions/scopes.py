"""Scopes: what an action opens to its children, and where an action may be nested.

They are names for the type checkers and for the nesting rule, and have no instances.
"""

from __future__ import annotations

from typing import ClassVar

from linkedapi_async._types import ACCOUNT, BOTH, Generation


class Scope:
    """Base of all scopes."""

    generations: ClassVar[tuple[Generation, ...]] = BOTH


class Root(Scope):
    """The start of a workflow."""


class Nowhere(Scope):
    """What a leaf opens: nothing may be nested in it.

    It is a class and not ``Never``, because type checkers let ``Never`` admit everything.
    """


class Anywhere(Scope):
    """What an unknown action opens: anything may be nested in it."""


class StConversationScope(Scope):
    """The conversation that a message was sent into."""


class StPersonPageScope(Scope):
    """An open person page."""


class StSkillListScope(Scope):
    """A person's skills."""


class StSkillScope(Scope):
    """One skill of a list."""


class StPostListScope(Scope):
    """A list of posts."""


class StPostScope(Scope):
    """One post of a list."""


class StPostPageScope(Scope):
    """An open post."""


class StPersonListScope(Scope):
    """A list of people."""


class StConnectionListScope(Scope):
    """The account's connections; only the older generation loops over them."""

    generations = ACCOUNT


class StPersonScope(Scope):
    """One person of a list."""


class StCompanyListScope(Scope):
    """A list of companies."""


class StCompanyScope(Scope):
    """One company of a list."""


class StCompanyPageScope(Scope):
    """An open company page."""


class StJobListScope(Scope):
    """A list of jobs."""


class StJobScope(Scope):
    """One job of a list."""


class NvPersonListScope(Scope):
    """A list of people in Sales Navigator."""


class NvPersonScope(Scope):
    """One person of a Sales Navigator list."""


class NvPersonPageScope(Scope):
    """An open person page in Sales Navigator."""


class NvCompanyListScope(Scope):
    """A list of companies in Sales Navigator."""


class NvCompanyScope(Scope):
    """One company of a Sales Navigator list."""


class NvCompanyPageScope(Scope):
    """An open company page in Sales Navigator."""
