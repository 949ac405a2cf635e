"""Invite the people of a list over days, while sessions are killed at random steps.

In virtual time, in one process. A kill ends the session as a crash does: from one step of
its tasks to the next one, nothing of it runs any more, so it closes nothing. The kernel's
part is done for it: its connections break, and its files are closed. A real ``kill -9`` is
in `campaign_process`.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import logging
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import aiohttp
import attrs
from _campaign import (
    ACCOUNTS,
    CATEGORY,
    DAY,
    MONDAY,
    PER_DAY,
    SIGN_IN,
    SIGN_OUT,
    SIGN_OUT_AFTER,
    account_ids,
    begin_day,
    check,
    new_sandbox,
    rows,
    sent_by,
    share_of_it,
    started_by,
    text_of,
)

from linkedapi_async import (
    StartUnknownError,
    SuppressedError,
    WorkflowFailedError,
    st,
)
from linkedapi_async._utils.times import set_wall_time, wall_time
from linkedapi_async.contacts import Contacts
from linkedapi_async.journal import MemoryJournal
from linkedapi_async.policies import Pace
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.testing import VirtualLoop
from linkedapi_async.urls import normalize_url


T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SIGNED_OUT = "linkedinAccountSignedOut"

STEPS = 2_500
"""At most after how many steps of its tasks a session of the whole list is killed."""


class KillSwitch:
    """Runs the steps of a session until it is killed.

    Args:
        steps: After how many steps it is killed.
    """

    def __init__(self, steps: float) -> None:
        self.killed: asyncio.Event = asyncio.Event()
        self._left = steps
        self._held: list[tuple[contextvars.Context, Callable[[], object]]] = []
        self._is_over = False

    def step(self, callback: Callable[[], object]) -> None:
        """Run a step; once it is killed, keep the step instead."""
        if self._left <= 0 and not self._is_over:
            self._held.append((contextvars.copy_context(), callback))
            return
        self._left -= 1
        callback()
        if self._left <= 0:
            self.killed.set()

    def run_held_steps(self) -> None:
        """Run the steps held back at the kill, so that their tasks can end."""
        self._is_over = True
        for context, callback in self._held:
            asyncio.get_running_loop().call_soon(callback, context=context)


KILL_SWITCH: contextvars.ContextVar[KillSwitch | None] = contextvars.ContextVar(
    "KILL_SWITCH", default=None
)


class Loop(VirtualLoop):
    """A loop with virtual time, in which sessions can be killed between two steps."""

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Call *callback* soon, if what it belongs to lives then."""
        return super().call_soon(
            _step(callback, context, *args), *args, context=context
        )

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call *callback* at a time, if what it belongs to lives then."""
        return super().call_at(
            when, _step(callback, context, *args), *args, context=context
        )

    def run_in_executor(
        self, _: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Do a job of the contacts at once: other threads slow virtual time down."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # of the job
            done.set_exception(error)
        return done


def _step(
    callback: Callable[[*Ts], object], context: contextvars.Context | None, *_: *Ts
) -> Callable[[*Ts], object]:
    """Return *callback* as a step of the session that its context belongs to."""
    switch = KILL_SWITCH.get() if context is None else context.get(KILL_SWITCH)
    if switch is None:
        return callback
    return lambda *args: switch.step(lambda: callback(*args))


@attrs.define
class Campaign:
    """A campaign and what happens to it.

    Args:
        people: How many people the list has.
        kills: How many sessions are killed.
        steps: At most after how many steps of its tasks a session is killed.
        folder: Where the contacts are.
        rng: Decides when.
    """

    people: int
    kills: int
    steps: int
    folder: Path
    rng: random.Random
    ends: dict[str, str] = attrs.field(factory=dict)
    """How the items ended, by key."""
    first_keys: dict[str, str | None] = attrs.field(factory=dict)
    """Because of which other item an item is suppressed, by key."""
    errors: list[str] = attrs.field(factory=list)
    # The thread of one in a file would slow virtual time down.
    journal: MemoryJournal = attrs.field(factory=MemoryJournal)
    killed_sessions: list[tuple[KillSwitch, asyncio.Task[None]]] = attrs.field(
        factory=list
    )

    async def run(self) -> dict[str, Any]:
        """Run the campaign to its end, and check what the sandbox has seen."""
        set_wall_time(MONDAY)
        listed = rows(self.rng, self.people)
        async with new_sandbox() as sandbox:
            try:
                return await self._run(sandbox, listed)
            finally:
                logging.disable(logging.CRITICAL)
                await self._end_killed_sessions()
                logging.disable(logging.NOTSET)

    async def _run(
        self, sandbox: Sandbox, listed: list[tuple[str, str]]
    ) -> dict[str, Any]:
        ids = await account_ids(sandbox)
        happening = asyncio.create_task(self._happen(sandbox, ids))
        kills = 0
        while not await self._run_session(
            sandbox, listed, ids, is_killed=kills < self.kills
        ):
            kills += 1
            await asyncio.sleep(self.rng.expovariate(1 / 600))
        happening.cancel()
        await asyncio.wait([happening])
        assert happening.cancelled(), "not everything has happened"
        return {**await self._check(sandbox, listed), "kills": kills}

    async def _run_session(
        self,
        sandbox: Sandbox,
        listed: list[tuple[str, str]],
        ids: dict[str, str],
        *,
        is_killed: bool,
    ) -> bool:
        """Run a session; return whether it came to its end."""
        switch = KillSwitch(self.rng.randint(1, self.steps) if is_killed else math.inf)
        contacts = Contacts(self.folder / "contacts.sqlite3")
        http = aiohttp.ClientSession()
        context = contextvars.copy_context()
        context.run(KILL_SWITCH.set, switch)
        work = self._send(sandbox, listed, ids, contacts=contacts, http=http)
        task = asyncio.create_task(work, context=context)
        killed = asyncio.create_task(switch.killed.wait())
        await asyncio.wait([task, killed], return_when=asyncio.FIRST_COMPLETED)
        if killed.done():
            self.killed_sessions.append((switch, task))
        killed.cancel()
        await http.close()
        await self.journal.aclose()
        await contacts.store.aclose()
        if switch.killed.is_set():
            return False
        task.result()
        return True

    async def _end_killed_sessions(self) -> None:
        for switch, task in self.killed_sessions:
            switch.run_held_steps()
            task.cancel()
        if self.killed_sessions:
            await asyncio.wait([task for _, task in self.killed_sessions])

    async def _send(
        self,
        sandbox: Sandbox,
        listed: list[tuple[str, str]],
        ids: dict[str, str],
        **settings: Any,
    ) -> None:
        """Send to everyone on the list who has no invitation."""
        text = text_of(_day())
        items = ((key, st.send_connection_request(u, note=text)) for key, u in listed)
        async with (
            sandbox.admin(http=settings["http"]) as admin,
            sandbox.session(
                identification_token=ACCOUNTS["one"], journal=self.journal, **settings
            ) as session,
        ):
            accounts = [
                session.account(
                    token,
                    name=None if name == "one" else name,
                    account_id=ids[name],
                    pace=await Pace.from_api(
                        admin,
                        ids[name],
                        per_day={CATEGORY: PER_DAY},
                        hours="09:00-17:00 UTC",
                    ),
                )
                for name, token in ACCOUNTS.items()
            ]
            stream = session.as_completed(items, accounts=accounts, limit=5, wait=True)
            async with stream as done:
                async for handle in done:
                    await self._ended(handle)

    async def _ended(self, handle: Any) -> None:
        error = handle.failure
        if isinstance(error, SuppressedError):
            end = "suppressed"
            self.first_keys[handle.key] = error.key
        elif isinstance(error, StartUnknownError):
            end = "unknown"
        elif isinstance(error, WorkflowFailedError) and error.reason == SIGNED_OUT:
            end = "undecided"  # it may have run before the account was signed out
        elif error is not None:
            end = "failed"
            self.errors.append(f"{handle.key}: {error}")
        else:
            completion = await handle.completion()
            end = "failed" if completion.errors else "done"
            self.errors += [f"{handle.key}: {each}" for each in completion.errors]
        self.ends[handle.key] = end

    async def _happen(self, sandbox: Sandbox, ids: dict[str, str]) -> None:
        """Let other things happen, day by day; a day begins at eight."""
        for day in range(60):
            begun = wall_time()
            await begin_day(sandbox, day, ids)
            if day == SIGN_OUT:
                goal = started_by(sandbox, "two") + SIGN_OUT_AFTER
                while True:
                    await asyncio.sleep(5)
                    if started_by(sandbox, "two") >= goal:
                        break
                sandbox.sign_out(ACCOUNTS["two"])
            elif day == SIGN_IN:
                sandbox.sign_in(ACCOUNTS["two"])
            await asyncio.sleep(begun + DAY - wall_time())

    async def _check(
        self, sandbox: Sandbox, listed: list[tuple[str, str]]
    ) -> dict[str, Any]:
        """Check that each person got one invitation, and in time."""
        urls = dict(listed)
        async with self.journal:
            unknown = {row.key for row in await self.journal.rows("unknown")}
            failed = {r.key for r in await self.journal.failed() if r.wrote}
        waiting = {normalize_url(urls[key]) for key in unknown | failed}
        ends = Counter(self.ends.values())
        for end, listed_keys in (("unknown", unknown), ("undecided", failed)):
            keys = {key for key, found in self.ends.items() if found == end}
            assert keys == listed_keys, f"{end}, not listed: {keys ^ listed_keys}"
        assert not self.errors, self.errors
        assert self.ends.keys() == urls.keys(), urls.keys() - self.ends.keys()
        twice = len(listed) - self.people
        assert ends["suppressed"] == twice, f"{ends['suppressed']} of {twice}"
        wrong = {
            key: other
            for key, other in self.first_keys.items()
            if normalize_url(urls.get(str(other), "")) != normalize_url(urls[key])
        }
        assert not wrong, f"suppressed because of another person: {wrong}"
        sent = await sent_by(sandbox)
        again = {url: n for url, n in sent.started.items() if n > 1}
        figures = check(sent, self.people, waiting)
        return {
            "people": f"{self.people}, {twice} of them twice",
            "suppressed, with the first key": ends["suppressed"],
            **figures,
            "started again after a refusal": len(again),
        }


def _day() -> int:
    moment = dt.datetime.fromtimestamp(wall_time(), dt.UTC)
    return (moment - MONDAY).days


def run_with_kills(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* in a loop in which sessions can be killed."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def run(share: float) -> dict[str, Any]:
    """Run the campaign with a share of the people and of the kills."""
    people, kills = share_of_it(share)
    with tempfile.TemporaryDirectory() as folder:
        steps = math.ceil(STEPS * max(0.2, share))
        campaign = Campaign(people, kills, steps, Path(folder), random.Random(15))
        return run_with_kills(campaign.run())
