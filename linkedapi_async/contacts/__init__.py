"""Contacts: a record of who was written to, so that no person is written to twice.

`Contacts` is the policy; a `ContactStore` keeps the record, across campaigns, accounts
and processes. A store receives digests of names, never the names.
"""

from linkedapi_async.contacts._contacts import Contacts
from linkedapi_async.contacts._sqlite import SqliteContactStore
from linkedapi_async.contacts._store import ContactStore, Name, Previous


__all__ = ["ContactStore", "Contacts", "Name", "Previous", "SqliteContactStore"]
