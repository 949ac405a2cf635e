"""The demo of a fleet: how it decides on what a kill has made unknown."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from linkedapi_async import st
from linkedapi_async.fleet import Queue
from linkedapi_async.fleet._starts import Starts
from linkedapi_async.sandbox import Sandbox


pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of the demo."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("demo", EXAMPLES / "fleet_demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_history_of_the_sandbox_decides(demo: Any, tmp_path: Path) -> None:
    """What the sandbox has accepted is adopted, and all else is sent again."""
    url = f"sqlite:///{tmp_path / 'work.sqlite3'}"
    async with (
        Sandbox(speed=1000) as sandbox,
        sandbox.session() as session,
        Queue(url) as queue,
    ):
        starts = Starts(queue._database)
        accepted = await session.start(st.send_message(demo.person(1), text="Hello!"))
        for number in (1, 2):
            message = st.send_message(demo.person(number), text="Hello!")
            await queue.submit("sales", message, key=f"hello/{number}")
            await starts.intend(f"hello/{number}", "killed")
            await starts.unknown(f"hello/{number}", "killed")
        decided = await demo.decide(queue, sandbox)
        found = {n: await starts.find(f"hello/{n}") for n in (1, 2)}

    assert 2 == decided
    assert ("accepted", accepted.workflow_id) == found[1][:2]
    assert "free" == found[2].state
