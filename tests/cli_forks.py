"""Commands in processes of their own that start at once: forks of one that is ready.

A fresh process takes a second of CPU for its imports. Run as a script, this module
imports them once, and forks for each byte on the socket that it inherits. The files that
come with the byte are the streams of the command, and a socket for its words and status.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs


__all__ = ["Fork"]


@attrs.frozen
class Fork:
    """A command that runs, or did."""

    _replies: socket.socket

    @classmethod
    def start(
        cls,
        words: Sequence[str],
        streams: Sequence[int],
        *,
        folder: Path,
        env: Mapping[str, str],
        terminal: bool = False,
    ) -> Fork:
        """Start ``linkedapi`` with three *streams*, which may be its *terminal*."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_server(), [b"\0"], [*streams, theirs.fileno()])
        message = json.dumps([words, str(folder), dict(env), terminal])
        ours.sendall(message.encode() + b"\n")
        return cls(ours)

    def poll(self) -> int | None:
        """Return the exit status if the command has ended."""
        flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
        try:
            self._replies.recv(1, flags)
        except BlockingIOError:
            return None
        return self.wait()

    def wait(self) -> int:
        """Wait until the command has ended; return its exit status."""
        with self._replies:
            return int(self._replies.recv(99))


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        server = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    atexit.register(server.wait)
    atexit.register(ours.close)  # which ends the server
    return ours


def _serve(server: socket.socket) -> None:
    """Return in each process that is to run a command, and end this one at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nothing waits for the waiting ones
    while True:
        # One byte at a time, so that each comes with its own files.
        byte, files, _, _ = socket.recv_fds(server, 1, 4)
        if not byte:
            server.close()
            sys.exit()
        if os.fork():
            for each in files:
                os.close(each)
            continue
        # This process waits for the command.
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, replies = files
        with os.fdopen(replies, "rb", closefd=False) as file:
            message = file.readline()
        command = os.fork()
        if not command:
            os.close(replies)
            _become(streams, *json.loads(message))
            return
        for stream in streams:
            os.close(stream)
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        os.write(replies, str(status).encode())
        os._exit(0)


def _become(
    streams: list[int], words: list[str], folder: str, env: Any, terminal: bool
) -> None:
    """Make this process what a fresh one would be."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = words
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode, buffering in ((0, "r", -1), (1, "w", -1), (2, "w", 1))
    )


if __name__ == "__main__":
    import linkedapi_async.cli._account_data
    import linkedapi_async.cli._batch
    import linkedapi_async.cli._inspect
    import linkedapi_async.cli._workflows  # noqa: F401
    from linkedapi_async.cli import main

    _serve(socket.socket(fileno=int(sys.argv.pop(1))))
    main()
