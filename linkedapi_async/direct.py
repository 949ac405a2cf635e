"""What the endpoints answer that need no workflow, as typed attributes.

Every attribute may be None, as in `linkedapi_async.results`; times are ISO 8601 as the
API sends them. Words are open: unknown ones come as they are.
"""

import datetime as dt
from typing import Literal, TypeAlias

import attrs

from linkedapi_async._outcomes import Result, result


InboxType: TypeAlias = Literal["st", "nv"] | str
NetworkEventType: TypeAlias = (
    Literal["connectionAccepted", "connectionAdded", "connectionRequestReceived"] | str
)
Moment: TypeAlias = str | dt.datetime
"""ISO 8601, or a datetime with a time zone."""
Sender: TypeAlias = Literal["us", "them"] | str


@attrs.frozen
class ConversationQuery:
    """What to poll of one conversation, for `Session.poll_conversations`."""

    person_url: str
    """The person, by the URL that the conversation was synced with."""
    type: InboxType = attrs.field(default="st", kw_only=True)
    """``nv`` is Sales Navigator's."""
    since: Moment | None = attrs.field(default=None, kw_only=True)
    """Only messages since this moment."""


@result
class Message(Result):
    """A message of a conversation."""

    id: str | None = None
    sender: Sender | None = None
    """``us`` is the account."""
    text: str | None = None
    time: str | None = None
    thread_id: str | None = None
    """In linked_api only."""


@result
class Conversation(Result):
    """The messages with one person, as far as they were synced."""

    person_url: str | None = None
    """As it was asked for."""
    type: InboxType | None = None
    since: str | None = None
    """As it was asked for."""
    messages: list[Message] | None = None
    person_urn: str | None = None
    """In linked_api only, as all that follows."""
    sync_until: str | None = None
    """Until when the conversation is kept up to date."""


@result
class InboxMessage(Message):
    """A message that the inbox captured."""

    type: InboxType | None = None
    person_urn: str | None = None
    person_hashed_url: str | None = None
    person_public_url: str | None = None
    person_url: str | None = None
    """Deprecated: use *person_hashed_url*."""
    inbox_message_id: str | None = None
    """Its id in the inbox, if it was captured there; only with *person_url*."""


@result
class InboxThread(Result):
    """What is known of one thread with a person."""

    thread_id: str | None = None
    type: InboxType | None = None
    person_urn: str | None = None
    history_from: str | None = None
    """From when on its messages are known."""
    history_complete: bool | None = None
    """Whether they are known from the first one on."""


@result
class PersonInbox(Result):
    """The whole known conversation with one person."""

    messages: list[InboxMessage] | None = None
    """Newest first: what the inbox captured, and the history that was synced."""
    threads: list[InboxThread] | None = None


@result
class NetworkEvent(Result):
    """A change of the account's connections."""

    id: str | None = None
    type: NetworkEventType | None = None
    person_urn: str | None = None
    person_url: str | None = None
    detected_at: str | None = None
    """When the API noticed."""


@result
class AccountInfo(Result):
    """The LinkedIn account behind the tokens."""

    name: str | None = None
    url: str | None = None


@result
class ActionUse(Result):
    """One action that the account executed."""

    action_type: str | None = None
    """Such as ``st.openCompanyPage``."""
    success: bool | None = None
    time: str | None = None
