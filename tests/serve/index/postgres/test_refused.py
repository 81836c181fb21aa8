"""Addresses, passwords, rights and servers that will not do: one line each, without secrets."""

import sys
from contextlib import closing

import pytest

from medistill.errors import CallError, MedistillError
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.postgres import schema as postgres_schema
from medistill.serve.index.postgres.index import opened
from tests.cli.test_cli import call, one_line
from tests.serve.index.conftest import make_table
from tests.serve.index.postgres_server import new_schema

SECRETS = ("hunter2", "elsewhere", "somebody", "patients")


def refused(capsys, address: str, status: int) -> str:
    """What the command line says, which tells nothing of where and who."""
    assert call("search", address, "--text", "edema") == status
    said = one_line(capsys)
    assert not any(secret in said for secret in SECRETS)
    return said


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        (
            "postgresql://somebody:hunter2@elsewhere/patients",
            2,
            "there is a password in the PostgreSQL address",
        ),
        (
            "postgresql://elsewhere/patients?password=hunter2",
            2,
            "there is a password in the PostgreSQL address",
        ),
        (
            "postgres://elsewhere/patients?sslpassword=hunter2",
            2,
            "there is a password in the PostgreSQL address",
        ),
        ("postgresql://elsewhere/patients?hunter2=1", 2, "is not one that libpq reads"),
        ("postgresql://elsewhere:hunter2:5/patients?x", 2, "is not one that libpq reads"),
        ("postgresql:/somebody:hunter2@elsewhere/patients", 2, "is not one that libpq reads"),
        ("postgresql://elsewhere/pat%00ients", 2, "is not one that libpq reads"),
        ("postgresql://elsewhere/patients?schema=x;DROP", 2, "is no name to use"),
        ("postgresql://elsewhere/patients?schema=pg_catalog", 2, "is no name to use"),
        ("postgresql://elsewhere/patients?schema=", 2, "is no name to use"),
        ("postgresql://elsewhere/patients?schema=a&schema=b", 2, "is no name to use"),
        ("postgresql://somebody@127.0.0.1:1/patients", 1, "no server listens there"),
        ("postgresql://somebody@/patients?host=/elsewhere", 1, "no server listens there"),
        ("postgresql://somebody@elsewhere.invalid/patients", 1, "there is no host of that name"),
        (f"postgresql://{'elsewhere' * 9}/patients", 1, "`psql` with the same address tells why"),
        ("postgresql:///?service=somebody", 1, "the service of the address is in no service file"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(capsys, address, status, said):
    assert said in refused(capsys, address, status)


def test_missing_packages_are_named(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("medistill.serve.index.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("medistill.serve.index.postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'medistill[postgres]'" in refused(capsys, "postgresql://elsewhere/patients", 2)


@pytest.fixture
def made(tmp_path):
    return make_table(tmp_path / "table.arrow", 20)


@pytest.fixture
def filled(server, made) -> str:
    address = new_schema(server)
    index = index_for(address, made.table.about)
    index.add(made.table)
    index.close()
    return address


@pytest.fixture
def user(server):
    """Somebody without rights, with a database of the superuser's."""
    server.run("CREATE ROLE somebody LOGIN", "CREATE DATABASE patients")
    yield "somebody"
    server.run("DROP DATABASE patients (FORCE)", "DROP OWNED BY somebody", "DROP ROLE somebody")


def as_user(address: str) -> str:
    return address.replace("postgres@", "somebody@")


@pytest.mark.slow
def test_what_is_missing_is_said_to_the_administrator(server, user, made):
    place = server.address("cases", user=user, database="patients")
    for said, statement in (
        ("must run: CREATE EXTENSION vector SCHEMA public", "CREATE EXTENSION vector SCHEMA public"),
        ("must run: CREATE SCHEMA cases AUTHORIZATION this user", "CREATE SCHEMA cases"),
        (
            "must run: GRANT CREATE, USAGE ON SCHEMA cases TO this user",
            "GRANT CREATE, USAGE ON SCHEMA cases TO somebody",
        ),
    ):
        with pytest.raises(CallError, match="no index in schema cases of that database"):
            open_index(place)
        with pytest.raises(CallError, match=said):
            index_for(place, made.table.about)
        server.run(statement, database="patients")
    index = index_for(place, made.table.about)
    assert index.add(made.table) == 20
    assert len(index.search(made.vectors[0], 3)) == 3
    index.close()


@pytest.mark.slow
def test_an_owner_of_the_database_needs_no_administrator_but_for_pgvector(server, user, made):
    server.run("ALTER DATABASE patients OWNER TO somebody")
    server.run("CREATE SCHEMA tools", "CREATE EXTENSION vector SCHEMA tools", database="patients")
    place = server.address("cases", user=user, database="patients")
    with pytest.raises(CallError, match="must run: GRANT USAGE ON SCHEMA tools TO this user"):
        index_for(place, made.table.about)
    server.run("GRANT USAGE ON SCHEMA tools TO somebody", database="patients")
    index = index_for(place, made.table.about)
    assert index.add(made.table) == 20
    assert index.search(made.vectors[3], 1)[0].case.row == 3
    index.close()


@pytest.mark.slow
def test_a_reader_searches_with_the_rights_that_are_named_and_changes_nothing(server, user, made, filled):
    schema = filled.rpartition("=")[2]
    with pytest.raises(CallError, match=f"GRANT USAGE ON SCHEMA {schema}, and SELECT ON ALL TABLES"):
        open_index(as_user(filled))
    server.run(f"GRANT USAGE ON SCHEMA {schema} TO somebody")
    server.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO somebody")
    index = open_index(as_user(filled))
    assert index.search(made.vectors[0], 1)[0].case.row == 0
    for write in (lambda: index.add(made.table), lambda: index.delete(["s00001"])):
        with pytest.raises(CallError, match="the user has not the rights this takes"):
            write()
    assert len(index) == 20
    server.run(f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO somebody")
    assert (index.delete(["s00001"]), index.add(made.table), len(index)) == (2, 20, 20)
    index.close()


@pytest.mark.slow
def test_a_graph_is_the_owners_to_make(server, user, made, filled, monkeypatch):
    schema = filled.rpartition("=")[2]
    server.run(f"GRANT USAGE ON SCHEMA {schema} TO somebody")
    server.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO somebody")
    monkeypatch.setattr("medistill.serve.index.postgres.changes.LEAST", 10)
    index = open_index(as_user(filled))
    with pytest.raises(CallError, match="GRANT owner_of_the_tables TO this user"):
        index.add(made.table)
    assert len(index) == 20
    index.close()


@pytest.fixture
def locked(server, filled):
    """The address of the index for a user who needs a password."""
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    schema = filled.rpartition("=")[2]
    server.run(
        "CREATE ROLE locked LOGIN PASSWORD 'hunter2'",
        f"GRANT USAGE ON SCHEMA {schema} TO locked",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO locked",
    )
    rules.write_text("local all locked scram-sha-256\nlocal all shut_out reject\n" + before)
    server.run("SELECT pg_reload_conf()")
    yield filled.replace("postgres@", "locked@")
    rules.write_text(before)
    server.run("SELECT pg_reload_conf()", "DROP OWNED BY locked", "DROP ROLE locked")


@pytest.mark.slow
def test_passwords_come_by_the_ways_of_libpq(locked, tmp_path, monkeypatch):
    with pytest.raises(MedistillError, match="it asks for a password: put one into"):
        open_index(locked)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(MedistillError, match="it refuses this user or password"):
        open_index(locked)
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    open_index(locked).close()
    monkeypatch.delenv("PGPASSWORD")
    (tmp_path / "pgpass").write_text("*:*:*:locked:hunter2\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    open_index(locked).close()
    monkeypatch.delenv("PGPASSFILE")
    folder, _, schema = locked.partition("host=")[2].replace("%2F", "/").partition("&schema=")
    service = f"[cases]\nhost={folder}\nuser=locked\ndbname=postgres\npassword=hunter2\n"
    (tmp_path / "services").write_text(service)
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    open_index(f"postgresql:///?service=cases&schema={schema}").close()


@pytest.mark.slow
def test_a_server_that_lets_nobody_in_is_one_line(server, locked, capsys):
    for user, database, said in (
        ("nobody", "postgres", "it has no such user"),
        ("postgres", "patients", "it has no such database"),
        ("shut_out", "postgres", "its pg_hba.conf does not admit this user"),
    ):
        assert said in refused(capsys, server.address(user=user, database=database), 1)


@pytest.mark.slow
def test_a_database_that_will_not_do_says_why(server, made, filled, monkeypatch):
    schema = filled.rpartition("=")[2]
    server.run(f"UPDATE {schema}.about SET format = 7")
    with pytest.raises(CallError, match=f"the index in schema {schema} is of format 7, expected 1"):
        open_index(filled)
    server.run(f"UPDATE {schema}.about SET format = 1, told = '[]'")
    with closing(opened(filled)) as index, pytest.raises(CallError, match="is damaged"):
        _ = index.about
    server.run(f"DROP TABLE {schema}.about")
    with pytest.raises(CallError, match="holds tables that are no index"):
        index_for(filled, made.table.about)
    server.run(f"CREATE TABLE {schema}.about (x int)")
    with pytest.raises(CallError, match="holds tables that are no index"):
        open_index(filled)
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(CallError, match="the database stores text as LATIN1, expected UTF8"):
        index_for(server.address(database="latin"), made.table.about)
    server.run("DROP DATABASE latin (FORCE)")
    monkeypatch.setattr(postgres_schema, "_LEAST_VERSION", (99, 1))
    with pytest.raises(
        CallError, match=r"pgvector 0\..*, expected 99.1 or newer: .* ALTER EXTENSION vector UPDATE"
    ):
        index_for(new_schema(server), made.table.about)
    monkeypatch.setattr(postgres_schema, "EXTENSION", "vector_of_another_age")
    with pytest.raises(CallError, match="the server has no pgvector: an administrator must install it"):
        index_for(new_schema(server), made.table.about)


@pytest.mark.slow
def test_an_index_that_is_removed_or_only_read_is_one_line(server, made, filled, monkeypatch):
    index = open_index(filled)
    monkeypatch.setitem(
        sys.modules["medistill.serve.index.postgres.sessions"]._WRITING, "transaction_read_only", "on"
    )
    with pytest.raises(CallError, match="that server only reads"):
        index.add(made.table)
    server.run(f"DROP SCHEMA {filled.rpartition('=')[2]} CASCADE")
    with pytest.raises(CallError, match="the index is no longer there"):
        index.search(made.vectors[0], 1)
    index.close()
