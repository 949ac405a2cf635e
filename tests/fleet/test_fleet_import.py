"""The fleet needs its extra, and says so."""

from __future__ import annotations

import importlib
import sys

import pytest


def test_advice_without_dbos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DBOS is not installed, the error is one line that names the extra."""
    monkeypatch.setitem(sys.modules, "dbos", None)
    monkeypatch.delitem(sys.modules, "linkedapi_async.fleet", raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("linkedapi_async.fleet")

    assert "linkedapi_async.fleet needs DBOS: pip install 'linkedapi-async[dbos]'" == (
        str(caught.value)
    )
    assert caught.value.__suppress_context__
