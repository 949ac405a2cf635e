"""The Admin API: subscription, accounts, limits and the webhook of one client.

::

    async with Admin(linked_api_token="…") as admin:
        connection = await admin.accounts.create_connection_session()
        print(connection.link)  # for the person whose account it is
        account = await connection.wait()
        session.account(account.identification_token)

https://linkedapi.io/docs/admin-overview
"""

from linkedapi_async._types import LimitCategory, LimitPeriod
from linkedapi_async.admin._accounts import AccountsCalls, ConnectionSession
from linkedapi_async.admin._admin import Admin
from linkedapi_async.admin._changelog import fetch_changelog
from linkedapi_async.admin._resources import (
    LimitsCalls,
    SubscriptionCalls,
    WebhookCalls,
)
from linkedapi_async.admin._results import (
    AccountList,
    AccountState,
    AdminAccount,
    BillingPeriod,
    Changelog,
    ChangelogItem,
    ConnectionProgress,
    ConnectionWord,
    Delivery,
    DeliveryStatus,
    EventSelector,
    Limit,
    LimitUsage,
    NewToken,
    PayloadMode,
    Price,
    Release,
    Reparse,
    Seat,
    SeatChange,
    SeatType,
    SubscriptionStatus,
    SubscriptionWord,
    Webhook,
)


__all__ = [
    "AccountList",
    "AccountState",
    "AccountsCalls",
    "Admin",
    "AdminAccount",
    "BillingPeriod",
    "Changelog",
    "ChangelogItem",
    "ConnectionProgress",
    "ConnectionSession",
    "ConnectionWord",
    "Delivery",
    "DeliveryStatus",
    "EventSelector",
    "Limit",
    "LimitCategory",
    "LimitPeriod",
    "LimitUsage",
    "LimitsCalls",
    "NewToken",
    "PayloadMode",
    "Price",
    "Release",
    "Reparse",
    "Seat",
    "SeatChange",
    "SeatType",
    "SubscriptionCalls",
    "SubscriptionStatus",
    "SubscriptionWord",
    "Webhook",
    "WebhookCalls",
    "fetch_changelog",
]
