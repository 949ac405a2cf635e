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


class StConversation(Scope):
    """The conversation that a message was sent into."""


class StPersonPage(Scope):
    """An open person page."""


class StSkillList(Scope):
    """A person's skills."""


class StSkill(Scope):
    """One skill of a list."""


class StPostList(Scope):
    """A list of posts."""


class StPost(Scope):
    """One post of a list."""


class StPostPage(Scope):
    """An open post."""


class StPersonList(Scope):
    """A list of people."""


class StConnectionList(Scope):
    """The account's connections; only the older generation loops over them."""

    generations = ACCOUNT


class StPerson(Scope):
    """One person of a list."""


class StCompanyList(Scope):
    """A list of companies."""


class StCompany(Scope):
    """One company of a list."""


class StCompanyPage(Scope):
    """An open company page."""


class StJobList(Scope):
    """A list of jobs."""


class StJob(Scope):
    """One job of a list."""


class NvPersonList(Scope):
    """A list of people in Sales Navigator."""


class NvPerson(Scope):
    """One person of a Sales Navigator list."""


class NvPersonPage(Scope):
    """An open person page in Sales Navigator."""


class NvCompanyList(Scope):
    """A list of companies in Sales Navigator."""


class NvCompany(Scope):
    """One company of a Sales Navigator list."""


class NvCompanyPage(Scope):
    """An open company page in Sales Navigator."""
