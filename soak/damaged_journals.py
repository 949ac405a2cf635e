"""Damage journals, and take their logs away or exchange them.

Whatever happened to the files, a journal opens with every row, or refuses to open with
an error of the tree. Only the last commits may be missing where the damage covers them,
up to one page, because a damaged end of a log looks like a commit that a crash has torn.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from linkedapi_async import JournalError, LinkedApiError, Session
from linkedapi_async.journal import SqliteJournal, State


JOURNALS: Final = 1_500
ROWS: Final = 60
STATES: Final[tuple[State, ...]] = (
    "intended",
    "accepted",
    "unknown",
    "finished",
    "delivered",
)
DEFINITION: Final = (
    b'{"actionType":"st.checkConnectionStatus","personUrl":"https://a.b"}'
)
RESULT: Final = b'{"actionType":"st.checkConnectionStatus","success":true,"data":{}}'
LAST: Final = "last"
"""The key of the row that the last commit has."""

Damage = Callable[[random.Random, Path, Path], None]


def log_of(path: Path) -> Path:
    """Return the log of a journal."""
    return path.with_name(f"{path.name}-wal")


def overwrite(rng: random.Random, path: Path, longest: int) -> None:
    """Change bytes of a file: single ones, or a range of at most *longest* bytes."""
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 3, 20))):
            content[rng.randrange(len(content))] = rng.randrange(256)
    else:
        begin = rng.randrange(len(content))
        length = min(rng.choice((16, 512, longest)), len(content) - begin)
        content[begin : begin + length] = rng.choice((bytes, rng.randbytes))(length)
    path.write_bytes(content)


def cut(rng: random.Random, path: Path) -> None:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def exchange(path: Path, other: Path) -> None:
    """Give a journal the log of another one."""
    shutil.copyfile(log_of(other), log_of(path))


DAMAGES: Final[dict[str, Damage]] = {
    "bytes of the file": lambda rng, path, _: overwrite(rng, path, 20_000),
    "bytes of the log": lambda rng, path, _: overwrite(rng, log_of(path), 4096),
    "file cut off": lambda rng, path, _: cut(rng, path),
    "log cut off": lambda rng, path, _: cut(rng, log_of(path)),
    "log missing": lambda _, path, __: log_of(path).unlink(),
    "log of another journal": lambda _, path, other: exchange(path, other),
    "file missing": lambda _, path, __: path.unlink(),
}


async def fill(journal: SqliteJournal, numbers: range) -> None:
    """Write rows in all states."""
    for number in numbers:
        key, state = f"k{number}", STATES[number % len(STATES)]
        await journal.intend(key, "ada", DEFINITION, stream=number % 2 == 0)
        if state == "unknown":
            await journal.unknown_start(key)
        if state in {"accepted", "finished", "delivered"}:
            await journal.accepted(key, f"wf-{number}")
        if state in {"finished", "delivered"}:
            await journal.finished(key, RESULT, "completed")
        if state == "delivered":
            await journal.delivered(key)


async def killed(path: Path) -> Path:
    """Write a journal as a run leaves it that is killed: half of it is in the log."""
    living = path.with_name(f"{path.name}-living")
    async with SqliteJournal(living) as journal:
        await fill(journal, range(ROWS // 2))
    async with SqliteJournal(living) as journal:
        await fill(journal, range(ROWS // 2, ROWS))
        await journal.intend(LAST, "ada", DEFINITION)
        for source, target in ((living, path), (log_of(living), log_of(path))):
            shutil.copyfile(source, target)
    return path


async def look(path: Path, figures: collections.Counter[str]) -> set[str]:
    """Open a journal, take every kind of step, and return the keys that it has."""
    async with SqliteJournal(path) as journal:
        keys = [f"k{number}" for number in range(ROWS)] + [LAST]
        found = {key for key in keys if await journal.state(key) is not None}
        listed = {row.key for row in await journal.rows()}
        assert found <= listed, f"not listed: {found - listed}"
        steps: list[Any] = [
            journal.intend("new", "ada", DEFINITION),
            *(journal.accepted(key, "wf-new") for key in ("new", "k0")),
            *(journal.adopt(key, "wf-0") for key in ("k0", "k2")),
            *(journal.finished(key, RESULT, "failed") for key in ("k1", "k3")),
            *(journal.delivered(key) for key in ("k3", "k4")),
            journal.unknown(),
        ]
        for error in await asyncio.gather(*steps, return_exceptions=True):
            if isinstance(error, JournalError):
                figures["steps that raised a JournalError"] += 1
            elif isinstance(error, BaseException) and type(error) is not ValueError:
                raise error
    return found


async def recover(path: Path) -> None:
    """Recover what a journal has in a session."""
    async with Session(
        linked_api_token="token",
        base_url="http://127.0.0.1:9",
        allow_insecure_http=True,
        journal=path,
    ) as session:
        session.account("ada-token", name="ada")
        await session.recover()


def damaged(rng: random.Random, folder: Path, kind: str) -> Path:
    """Return a copy of a journal, with damage of a kind."""
    path = folder / "runs"
    for file in folder.glob("runs*"):
        file.unlink()
    for end in ("", "-wal"):
        shutil.copyfile(f"{folder / 'base'}{end}", f"{path}{end}")
    DAMAGES[kind](rng, path, folder / "other")
    return path


async def one(path: Path, kind: str, figures: collections.Counter[str]) -> None:
    """See what becomes of a damaged journal."""
    with contextlib.suppress(JournalError):
        SqliteJournal.read(path)
    try:
        found = await look(path, figures)
    except JournalError:
        figures[f"{kind}: refused"] += 1
        return
    lost = {f"k{number}" for number in range(ROWS)} - found
    assert not lost, f"{kind}: lost without an error: {sorted(lost)}"
    whole = LAST in found
    figures[f"{kind}: opened {'whole' if whole else 'without the last commit'}"] += 1
    with contextlib.suppress(LinkedApiError):
        await recover(path)


async def damage(share: float, seed: int) -> dict[str, int]:
    """Damage so many journals, of each kind in turn."""
    figures: collections.Counter[str] = collections.Counter()
    rng, kinds = random.Random(seed), list(DAMAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for base in ("base", "other"):
            await killed(folder / base)
        count = max(len(kinds), round(JOURNALS * share))
        for number in range(count):
            kind = kinds[number % len(kinds)]
            await one(damaged(rng, folder, kind), kind, figures)
    return {"damaged journals": count, **dict(sorted(figures.items()))}


def run(share: float = 1.0, seed: int = 20) -> dict[str, Any]:
    """Damage journals; return what became of them."""
    logging.getLogger("linkedapi_async").setLevel(logging.CRITICAL)
    return asyncio.run(damage(share, seed))
