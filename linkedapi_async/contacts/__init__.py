"""Contacts: whom campaigns have written to, so that each person hears once.

`Contacts` is the policy, a `ContactStore` is where it is kept: across campaigns, accounts
and processes. A store gets digests of names, never the names.
"""

from linkedapi_async.contacts._contacts import Contacts
from linkedapi_async.contacts._sqlite import SqliteContactStore
from linkedapi_async.contacts._store import ContactStore, Name, Previous


__all__ = ["ContactStore", "Contacts", "Name", "Previous", "SqliteContactStore"]
