import datetime as dt
import os
import ssl as ssl_module
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from linkedapi_async._actions.action import Roots, Workflow
from linkedapi_async._http.responses import Status, WorkflowStatus
from linkedapi_async._polling.durations import Estimate
from linkedapi_async._polling.scheduler import LaneState
from linkedapi_async._results.completion import Completion, Result
from linkedapi_async._types import Generation
from linkedapi_async.admin._results import (
    AccountList,
    AdminAccount,
    BillingPeriod,
    Changelog,
    ConnectionProgress,
    Delivery,
    EventSelector,
    Limit,
    LimitUsage,
    NewToken,
    PayloadMode,
    Price,
    Reparse,
    Seat,
    SeatChange,
    SeatType,
    SubscriptionStatus,
    Webhook,
)
from linkedapi_async.contacts import Contacts
from linkedapi_async.errors import About, AccountPausedError, LinkedApiError
from linkedapi_async.journal import Row
from linkedapi_async.journal._schema import State
from linkedapi_async.policies import Pace, Polling, Retries
from linkedapi_async.results import (
    AccountInfo,
    ActionUse,
    Conversation,
    ConversationQuery,
    FeedbackType,
    InboxMessage,
    InboxType,
    Moment,
    NetworkEvent,
    NetworkEventType,
    PersonInbox,
)
from linkedapi_async.session._deferral import Deferred
from linkedapi_async.session._durations import Durations
from linkedapi_async.session._events import SessionEvent
from linkedapi_async.session._methods import NamedAccount, WorkflowItem
from linkedapi_async.session._session import SessionSettings, Stats
from linkedapi_async.session.shared import SharedState

__all__ = [
    "Account",
    "AccountsCalls",
    "Admin",
    "AsCompleted",
    "ConnectionSession",
    "ItemStream",
    "Journal",
    "LimitsCalls",
    "Recovered",
    "Session",
    "SubscriptionCalls",
    "WebhookCalls",
    "WorkflowHandle",
]
EventT = TypeVar("EventT", bound=SessionEvent)
ItemT = TypeVar("ItemT", bound=Result)
ResultT = TypeVar("ResultT", covariant=True)
T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")
T6 = TypeVar("T6")

class _Workflows:
    @overload
    def run(
        self,
        workflow: Workflow[T1],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> T1: ...
    @overload
    def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2]: ...
    @overload
    def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3]: ...
    @overload
    def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4]: ...
    @overload
    def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        w5: Workflow[T5],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4, T5]: ...
    @overload
    def run(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        w5: Workflow[T5],
        w6: Workflow[T6],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> tuple[T1, T2, T3, T4, T5, T6]: ...
    @overload
    def run(
        self, *workflow: Workflow[T], timeout: float | None = ..., check: bool = ...
    ) -> tuple[T, ...]: ...
    @overload
    def run(
        self,
        definition: dict[str, Any] | list[dict[str, Any]],
        /,
        *,
        timeout: float | None = ...,
        check: bool = ...,
    ) -> Any: ...
    @overload
    def start(
        self, workflow: Workflow[T1], /, *, check: bool = ..., key: str | None = ...
    ) -> WorkflowHandle[T1]: ...
    @overload
    def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2]]: ...
    @overload
    def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2, T3]]: ...
    @overload
    def start(
        self,
        w1: Workflow[T1],
        w2: Workflow[T2],
        w3: Workflow[T3],
        w4: Workflow[T4],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[tuple[T1, T2, T3, T4]]: ...
    @overload
    def start(
        self, *workflow: Workflow[T], check: bool = ..., key: str | None = ...
    ) -> WorkflowHandle[tuple[T, ...]]: ...
    @overload
    def start(
        self,
        definition: dict[str, Any] | list[dict[str, Any]],
        /,
        *,
        check: bool = ...,
        key: str | None = ...,
    ) -> WorkflowHandle[Any]: ...
    @overload
    def attach(
        self, workflow_id: str, workflow: Workflow[T], *, key: str | None = ...
    ) -> WorkflowHandle[T]: ...
    @overload
    def attach(
        self, workflow_id: str, workflow: Roots | None = ..., *, key: str | None = ...
    ) -> WorkflowHandle[Any]: ...
    @overload
    def attach_all(
        self, workflow_ids: Iterable[str], workflow: Workflow[T], *, ordered: bool = ...
    ) -> tuple[WorkflowHandle[T], ...]: ...
    @overload
    def attach_all(
        self,
        workflow_ids: Iterable[str],
        workflow: Roots | None = ...,
        *,
        ordered: bool = ...,
    ) -> tuple[WorkflowHandle[Any], ...]: ...
    def status(self, workflow_id: str) -> WorkflowStatus: ...
    def cancel(self, workflow_id: str) -> bool: ...
    @overload
    def as_completed(
        self,
        workflows: Iterable[WorkflowItem[T]],
        *,
        accounts: Iterable[NamedAccount] | None = ...,
        limit: int = ...,
        wait: bool = ...,
        once: bool = ...,
        check: bool = ...,
    ) -> AsCompleted[T]: ...
    @overload
    def as_completed(
        self,
        workflows: Iterable[Any],
        *,
        accounts: Iterable[NamedAccount] | None = ...,
        limit: int = ...,
        wait: bool = ...,
        once: bool = ...,
        check: bool = ...,
    ) -> AsCompleted[Any]: ...
    def poll_conversations(
        self, conversations: Iterable[ConversationQuery | str | dict[str, Any]]
    ) -> list[Conversation]: ...
    @overload
    def poll_inbox(
        self,
        *,
        person_url: str,
        since: Moment | None = ...,
        type: InboxType | None = ...,
        thread_id: str | None = ...,
    ) -> PersonInbox: ...
    @overload
    def poll_inbox(
        self,
        *,
        person_url: None = ...,
        since: Moment | None = ...,
        type: InboxType | None = ...,
        thread_id: str | None = ...,
    ) -> list[InboxMessage]: ...
    def poll_network(
        self, *, since: Moment | None = ..., type: NetworkEventType | None = ...
    ) -> list[NetworkEvent]: ...
    def info(self) -> AccountInfo: ...
    def usage(self, start: Moment, end: Moment) -> list[ActionUse]: ...
    def send_feedback(
        self, type: FeedbackType, message: str, **context: str
    ) -> str: ...
    def messages(
        self,
        cursor: str | None = ...,
        *,
        since: Moment | None = ...,
        type: InboxType | None = ...,
        thread_id: str | None = ...,
        interval: float = ...,
        window: float = ...,
        follow: bool = ...,
    ) -> ItemStream[InboxMessage]: ...
    def network_events(
        self,
        cursor: str | None = ...,
        *,
        since: Moment | None = ...,
        type: NetworkEventType | None = ...,
        interval: float = ...,
        window: float = ...,
        follow: bool = ...,
    ) -> ItemStream[NetworkEvent]: ...

class Session(_Workflows):
    def __init__(
        self,
        *,
        linked_api_token: str | None = ...,
        account_api_token: str | None = ...,
        identification_token: str | None = ...,
        base_url: str = ...,
        client: str = ...,
        polling: Polling | None = ...,
        retries: Retries | None = ...,
        trust_env: bool = ...,
        ssl: ssl_module.SSLContext | bool = ...,
        proxy: str | None = ...,
        request_timeout: float = ...,
        max_response_bytes: int = ...,
        connections: int = ...,
        rate: float | None = ...,
        journal: str | os.PathLike[str] | Journal | None = ...,
        contacts: Contacts | None = ...,
        cancel_on_exit: bool = ...,
        sole_client: bool = ...,
        account_id: str | None = ...,
        pace: Pace | None = ...,
        shared: SharedState | None = ...,
        allow_insecure_http: bool = ...,
    ) -> None: ...
    @property
    def generation(self) -> Generation: ...
    @property
    def base_url(self) -> str: ...
    @property
    def polling(self) -> Polling: ...
    @property
    def retries(self) -> Retries: ...
    @property
    def pace(self) -> Pace | None: ...
    @property
    def sole_client(self) -> bool: ...
    @classmethod
    def from_env(cls, **settings: Unpack[SessionSettings]) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def account(
        self,
        identification_token: str,
        name: str | None = ...,
        *,
        account_id: str | None = ...,
        pace: Pace | None = ...,
    ) -> Account: ...
    def forget_account(self, account: Account) -> None: ...
    @property
    def default_account(self) -> Account: ...
    @property
    def accounts(self) -> tuple[Account, ...]: ...
    def on(
        self, event: type[EventT], callback: Callable[[EventT], object]
    ) -> Callable[[], None]: ...
    @property
    def journal(self) -> Journal | None: ...
    def recover(self) -> Recovered: ...
    @property
    def handles(self) -> tuple[WorkflowHandle[Any], ...]: ...
    def drain(self, timeout: float | None = ...) -> tuple[WorkflowHandle[Any], ...]: ...
    def quiesce(self) -> tuple[WorkflowHandle[Any], ...]: ...
    @property
    def stats(self) -> Stats: ...
    def eta(self, *workflow: Any, times: int = ...) -> Estimate | None: ...
    @property
    def durations(self) -> Durations: ...
    def counts_by_state(self) -> dict[LaneState, int]: ...
    def open(self) -> Self: ...
    def close(self) -> None: ...

class Account(_Workflows):
    @property
    def name(self) -> str: ...
    @property
    def account_id(self) -> str | None: ...
    @account_id.setter
    def account_id(self, account_id: str | None) -> None: ...
    @property
    def pace(self) -> Pace | None: ...
    def has_token(self, identification_token: str) -> bool: ...
    @property
    def paused(self) -> AccountPausedError | None: ...
    def unpause(self) -> None: ...
    @property
    def handles(self) -> tuple[WorkflowHandle[Any], ...]: ...
    def drain(self, timeout: float | None = ...) -> tuple[WorkflowHandle[Any], ...]: ...

class WorkflowHandle(Generic[ResultT]):
    workflow: Roots | None
    key: str | None

    @property
    def workflow_id(self) -> str | None: ...
    @property
    def account(self) -> str: ...
    @property
    def done(self) -> bool: ...
    @property
    def status(self) -> Status: ...
    @property
    def pending_reason(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...
    @property
    def failure(self) -> LinkedApiError | None: ...
    def eta(self) -> Estimate | None: ...
    def completion(
        self, timeout: float | None = ..., *, acknowledge: bool = ...
    ) -> Completion: ...
    def result(self, timeout: float | None = ...) -> ResultT: ...
    def cancel(self) -> bool: ...

class AsCompleted(Generic[ResultT]):
    @property
    def deferred(self) -> tuple[Deferred, ...]: ...
    @property
    def complete(self) -> bool: ...
    def stop(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> WorkflowHandle[ResultT]: ...

class ItemStream(Generic[ItemT]):
    @property
    def cursor(self) -> str: ...
    def acknowledge(self) -> None: ...
    def aclose(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> ItemT: ...

class Recovered:
    handles: tuple[WorkflowHandle[Any], ...]
    unknown: tuple[Row, ...]
    other_accounts: tuple[Row, ...]

class Journal:
    run_number: int

    def adopt(self, key: str, workflow_id: str) -> None: ...
    def discard(self, key: str, *, again: bool = ...) -> None: ...
    def deferred(self, *, account: str | None = ...) -> list[Row]: ...
    def failed(self, *, account: str | None = ...) -> list[Row]: ...
    def retry(self, key: str, *, again: bool = ...) -> None: ...
    def retry_failed(
        self, *about: About, account: str | None = ..., again: bool = ...
    ) -> list[str]: ...
    def rows(self, *states: State) -> list[Row]: ...
    def row(self, key: str) -> Row | None: ...
    def state(self, key: str) -> State | None: ...
    def key_of(self, workflow_id: str) -> str | None: ...
    def unknown(self, *, account: str | None = ...) -> list[Row]: ...
    def forget_delivered(
        self, older_than: float | None = ..., *, streams: bool = ...
    ) -> int: ...

class Admin:
    retries: Retries
    polling: Polling
    subscription: SubscriptionCalls
    accounts: AccountsCalls
    limits: LimitsCalls
    webhook: WebhookCalls

    def __init__(
        self,
        *,
        linked_api_token: str,
        base_url: str = ...,
        client: str = ...,
        changelog_url: str | None = ...,
        polling: Polling | None = ...,
        retries: Retries | None = ...,
        trust_env: bool = ...,
        ssl: ssl_module.SSLContext | bool = ...,
        proxy: str | None = ...,
        request_timeout: float = ...,
        max_response_bytes: int = ...,
        connections: int = ...,
        per_minute: int = ...,
        allow_insecure_http: bool = ...,
    ) -> None: ...
    @classmethod
    def from_env(cls, **settings: Any) -> Self: ...
    @property
    def base_url(self) -> str: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def changelog(self, since: str | dt.date | None = ...) -> Changelog: ...
    def identify(self, session: Session) -> tuple[Account, ...]: ...
    def open(self) -> Self: ...
    def close(self) -> None: ...

class SubscriptionCalls:
    def get_status(self) -> SubscriptionStatus: ...
    def get_seats(self) -> list[Seat]: ...
    def set_seats(
        self, quantity: int, seat_type: SeatType, billing_period: BillingPeriod
    ) -> SeatChange: ...
    def get_pricing(self) -> list[Price]: ...

class AccountsCalls:
    def get_all(self) -> AccountList: ...
    def disconnect(self, account_id: str) -> None: ...
    def reparse_account_info(self, account_id: str) -> Reparse: ...
    def regenerate_identification_token(self, account_id: str) -> NewToken: ...
    def create_connection_session(self) -> ConnectionSession: ...
    def create_reconnection_session(self, account_id: str) -> ConnectionSession: ...
    def get_connection_session(self, session_id: str) -> ConnectionProgress: ...
    def cancel_connection_session(self, session_id: str) -> None: ...
    def wait_connected(
        self,
        session_id: str,
        *,
        known: Mapping[str, str | None] | None = ...,
        account_id: str | None = ...,
        timeout: float | None = ...,
    ) -> AdminAccount: ...

class LimitsCalls:
    def get_defaults(self) -> list[Limit]: ...
    def get(self, account_id: str) -> list[Limit]: ...
    def get_usage(self, account_id: str) -> list[LimitUsage]: ...
    def set(self, account_id: str, limits: Sequence[Limit]) -> None: ...
    def delete(self, account_id: str, limits: Sequence[Limit]) -> None: ...
    def reset_to_defaults(self, account_id: str) -> None: ...

class WebhookCalls:
    def set(
        self,
        url: str,
        *,
        payload_mode: PayloadMode | None = ...,
        signing_enabled: bool | None = ...,
        headers: Mapping[str, str] | None = ...,
        events: Sequence[EventSelector] | None = ...,
    ) -> Webhook: ...
    def get(self) -> list[Webhook]: ...
    def set_payload_mode(self, id: str, payload_mode: PayloadMode) -> Webhook: ...
    def set_signing(self, id: str, signing_enabled: bool) -> Webhook: ...
    def set_headers(self, id: str, headers: Mapping[str, str] | None) -> Webhook: ...
    def set_header(self, id: str, name: str, value: str) -> Webhook: ...
    def delete_header(self, id: str, name: str) -> Webhook: ...
    def set_events(
        self, id: str, events: Sequence[EventSelector] | None
    ) -> Webhook: ...
    def reveal_secret(self, id: str) -> Webhook: ...
    def rotate_secret(self, id: str) -> Webhook: ...
    def delete(self, id: str) -> None: ...
    def deliveries(self) -> list[Delivery]: ...
    def replay_delivery(self, delivery_id: str) -> None: ...
    def send_test(self) -> None: ...
    def event_types(self) -> list[str]: ...

class ConnectionSession:
    session_id: str
    link: str | None
    raw: Any
    known: Mapping[str, str | None] | None
    account_id: str | None

    def progress(self) -> ConnectionProgress: ...
    def cancel(self) -> None: ...
    def wait(self, timeout: float | None = ...) -> AdminAccount: ...
