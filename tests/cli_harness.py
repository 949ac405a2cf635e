"""The command line under test: in this process, in one of its own, and at a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import pytest
from cli_forks import Fork

from linkedapi_async.cli import main
from linkedapi_async.sandbox import Sandbox
from linkedapi_async.session._session import ENVIRONMENT


TOKENS = {"LINKED_API_TOKEN": "main-token-77", "IDENTIFICATION_TOKEN": "account-88"}
FAST = {"LINKED_API_POLL_INTERVAL": "0.02"}

VARIABLES = (
    *ENVIRONMENT,
    *("LINKED_API_POLL_INTERVAL", "LINKED_API_PROXY", "HTTP_PROXY"),
    *("NO_COLOR", "TERM"),
)
"""What commands read of the environment, so that a test must set or unset it."""


@attrs.frozen
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@attrs.define
class Shell:
    """Runs ``linkedapi`` in this process, in a folder of its own."""

    folder: Path
    _patch: pytest.MonkeyPatch
    _capture: pytest.CaptureFixture[str]

    @classmethod
    def entered(
        cls,
        folder: Path,
        patch: pytest.MonkeyPatch,
        capture: pytest.CaptureFixture[str],
        **variables: str,
    ) -> Self:
        """Return a shell in *folder* that has only these *variables* of ours."""
        patch.chdir(folder)
        made = cls(folder, patch, capture)
        made.set(**dict.fromkeys(VARIABLES))
        made.set(XDG_CONFIG_HOME=str(folder / ".config"))
        made.set(**variables)
        return made

    def write(self, name: str, text: str | bytes, mode: int = 0o600) -> str:
        """Write a file into the folder; return its name."""
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return name

    def read(self, name: str) -> str:
        """Return what is in a file of the folder."""
        return (self.folder / name).read_text("utf-8")

    def set(self, **variables: str | None) -> None:
        """Set variables of the environment; None takes one away."""
        for name, value in variables.items():
            if value is None:
                self._patch.delenv(name, raising=False)
            else:
                self._patch.setenv(name, value)

    def status(self, *words: str) -> int:
        """Run a command with the streams as they are; return its exit status."""
        self._patch.setattr("sys.argv", ["linkedapi", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    def __call__(self, *words: str, typed: bytes = b"") -> Done:
        """Run a command with *typed* on its standard input."""
        self._patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed)))
        self._capture.readouterr()
        status = self.status(*words)
        shown = self._capture.readouterr()
        return Done(status, shown.out, shown.err)

    def at(self, terminal: Terminal, *words: str) -> int:
        """Run a command at a terminal; return its exit status."""
        with terminal.files() as files, self._patch.context() as patch:
            for name, file in files.items():
                patch.setattr(f"sys.{name}", file)
            return self.status(*words)


class Terminal:
    """A terminal that shows what programs write, and types what they read."""

    def __init__(self, *, columns: int = 100) -> None:
        self._ours, self.theirs = pty.openpty()
        size = struct.pack("HHHH", 40, columns, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        self._shown = b""
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while some := os.read(self._ours, 65536):
                with self._changed:
                    self._shown += some
                    self._changed.notify_all()

    @property
    def text(self) -> str:
        """All that was written up to now, which the terminal may show a bit later."""
        if self._open:
            mark = b"\0read up to here\0"
            os.write(self.theirs, mark)
            with self._changed:
                assert self._changed.wait_for(lambda: mark in self._shown, 60)
                self._shown = self._shown.replace(mark, b"")
        return self._shown.decode(errors="replace")

    def expect(self, text: str, seconds: float = 60) -> None:
        """Wait until *text* was shown."""
        words = text.encode()
        with self._changed:
            assert self._changed.wait_for(lambda: words in self._shown, seconds), (
                self._shown
            )

    def press(self, text: str) -> None:
        """Type *text*; ``\\x03`` is Ctrl-C."""
        os.write(self._ours, text.encode())

    @contextlib.contextmanager
    def files(self) -> Iterator[dict[str, Any]]:
        """Give the streams of a program in this process."""
        with contextlib.ExitStack() as stack:
            opened = {
                name: stack.enter_context(
                    os.fdopen(os.dup(self.theirs), mode, encoding="utf-8")
                )
                for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items()
            }
            yield opened

    def start(self, *words: str, folder: Path, env: Mapping[str, str]) -> Fork:
        """Start ``linkedapi`` in a process of its own, with this as its terminal."""
        streams, env = [self.theirs] * 3, {**os.environ, **env}
        return Fork.start(words, streams, folder=folder, env=env, terminal=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.theirs)
        self._thread.join()
        self._open = False
        os.close(self._ours)


async def process(
    *words: str, folder: Path, env: Mapping[str, str], typed: bytes = b""
) -> Done:
    """Run ``linkedapi`` in a process of its own, without a terminal."""
    (stdin, typing), (out, stdout), (err, stderr) = (os.pipe() for _ in range(3))
    streams = [stdin, stdout, stderr]
    made = Fork.start(words, streams, folder=folder, env={**os.environ, **env})
    for stream in streams:
        os.close(stream)
    with os.fdopen(typing, "wb") as file, contextlib.suppress(BrokenPipeError):
        file.write(typed)
    shown = await asyncio.gather(
        *(asyncio.to_thread(_rest_of, end) for end in (out, err))
    )
    status = await asyncio.to_thread(made.wait)
    return Done(status, *shown)


def _rest_of(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as file:
        return file.read().decode()


@contextlib.contextmanager
def sandbox_in_a_thread(**settings: Any) -> Iterator[Sandbox]:
    """Run a sandbox beside the test, for commands that have a loop of their own."""
    ready, box = threading.Event(), Sandbox(**settings)
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        """Run it until the end."""
        async with box:
            end = asyncio.Event()
            ends.append((asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    try:
        yield box
    finally:
        loop, end = ends[0]
        loop.call_soon_threadsafe(end.set)
        thread.join()
