"""An index in PostgreSQL stays whole: kills, lost connections, two writers, hostile values."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from medistill.errors import CallError, MedistillError
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.postgres import (
    changes as postgres_changes,
)
from medistill.serve.index.postgres import (
    sessions as postgres_sessions,
)
from medistill.serve.index.postgres.cases import lock_state
from tests.serve.index import conftest
from tests.serve.index.brute import assert_equal, brute
from tests.serve.index.conftest import Made, make_table
from tests.serve.index.folder.test_exact import queries
from tests.serve.index.postgres_server import new_schema

pytestmark = pytest.mark.slow

HOSTILE = (
    "'; DROP TABLE image; --",
    '"; DROP SCHEMA medistill CASCADE; --',
    "%s %(x)s {0} {image} %%",
    "\\'; SELECT pg_sleep(60); --",
    "a,b{}\"'$$",
    "%",
    "=1",
)


@pytest.fixture
def tables(tmp_path) -> list[Made]:
    return [
        make_table(tmp_path / "0.arrow", 60),
        make_table(tmp_path / "1.arrow", 40, seed=1, first=100, corpus="d" * 64),
        make_table(tmp_path / "2.arrow", 20, seed=2, first=25, corpus="e" * 64),
    ]


@pytest.fixture
def address(server) -> str:
    return new_schema(server)


@pytest.fixture
def index(address, tables):
    opened = index_for(address, tables[0].table.about)
    opened.add(tables[0].table)
    yield opened
    opened.close()


def studies(index) -> set[str]:
    hits = index.search(queries(1)[0], 1000, per_patient=False)
    return {hit.case.study_id for hit in hits}


def studies_of(*tables: Made) -> set[str]:
    return {row["study_id"] for made in tables for row in made.rows}


def test_an_addition_that_is_killed_leaves_the_index_as_it_was(index, address, tables):
    script = "tests.serve.index.postgres.killed"
    call = [sys.executable, "-m", script, address, str(tables[2].table.path)]
    ran = subprocess.run(call, capture_output=True, text=True, cwd=Path(__file__).parents[4], check=True)
    ends = json.loads(ran.stdout)
    assert len(ends) > 10
    assert ends[:-1] == [[-9, 60]] * (len(ends) - 1)
    assert ends[-1] == [0, 70]  # five of its studies were there
    assert studies(index) == studies_of(tables[0], tables[2])


@pytest.mark.parametrize("moment", [1, 3])
def test_a_lost_connection_undoes_an_addition(server, index, tables, caplog, moment):
    def lose(stage: str, done: int, total: int | None) -> None:
        if done == 7 * moment:
            server.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %' AND "
                "application_name = 'medistill'"
            )

    with caplog.at_level(logging.DEBUG), pytest.raises(MedistillError) as raised:
        index.add(tables[1].table, on_progress=lose)
    assert str(raised.value) == "the connection to the database was lost; the same call can be made again"
    assert str(server.folder) not in caplog.text
    assert not logging.getLogger("psycopg").isEnabledFor(logging.WARNING)
    assert studies(index) == studies_of(tables[0])
    assert index.add(tables[1].table) == 40
    assert studies(index) == studies_of(*tables[:2])


@pytest.mark.parametrize("moment", [("writing", 21), ("building the graph", 0), ("building the graph", 1)])
def test_an_exception_in_the_middle_undoes_an_addition(index, tables, monkeypatch, moment):
    def fail(stage: str, done: int, total: int | None) -> None:
        if (stage, done) == moment:
            raise KeyboardInterrupt

    monkeypatch.setattr(postgres_changes, "LEAST", 10)

    with pytest.raises(KeyboardInterrupt):
        index.add(tables[1].table, on_progress=fail)
    assert studies(index) == studies_of(tables[0])
    assert index.add(tables[1].table) == 40


def test_two_writers_at_once_are_refused(index, address, tables):
    other = open_index(address)
    with index._sessions.writing() as cursor:
        lock_state(cursor, index._names)
        for write in (lambda: other.add(tables[1].table), lambda: other.delete(["s00001"])):
            with pytest.raises(CallError, match="another run is writing this index: wait for it"):
                write()
        assert studies(other) == studies_of(tables[0])
    other.add(tables[1].table)
    assert studies(index) == studies_of(*tables[:2])
    other.close()


def test_connections_that_ended_while_idle_are_made_again(server, index, tables):
    for _ in range(3):
        server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'medistill'"
        )
        assert studies(index) == studies_of(tables[0])


def test_a_search_that_takes_too_long_ends(server, index, monkeypatch):
    quick = {**postgres_sessions._READING, "statement_timeout": "100ms"}
    monkeypatch.setattr(postgres_sessions, "_READING", quick)
    with index._sessions.writing() as cursor:
        cursor.execute(index._names.fill("LOCK TABLE {image}"))
        with pytest.raises(MedistillError, match="the database took too long"):
            studies(index)
    assert studies(index)


def test_values_are_data_whatever_is_in_them(server, tmp_path, monkeypatch):
    def hostile(i: int, first: int, findings) -> dict:
        value = HOSTILE[i % len(HOSTILE)]
        row = dict.fromkeys(("study_id", "patient_id"), f"{i} {value}")
        row |= dict.fromkeys(("split", "view", "sex", "source", "text"), value)
        return original(i, first, findings) | row

    original = conftest._row
    monkeypatch.setattr(conftest, "_row", hostile)
    made = make_table(tmp_path / "hostile.arrow", 42, findings=HOSTILE)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    query = queries(1)[0]
    for place, value in enumerate(HOSTILE):
        for filters in (Filters(views=(value,)), Filters(sexes=(value,)), Filters(sources=(value,))):
            hits = index.search(query, 100, filters=filters)
            assert_equal(hits, brute(made, query, 100, filters))
            assert [hit.case.text for hit in hits] == [value] * 6
        hits = index.search(query, 100, filters=Filters(labels=(f"{value}=1",)))
        assert {hit.case.row for hit in hits} == {
            row["row"] for row in made.rows[place:] if row["labels"][value] == 1
        }
        assert index.delete([f"{place} {value}"]) == 1
        assert index.case(value) is None
    assert len(index) == 35
    for value in (*HOSTILE, "\0", "\udcff"):
        for filters in (Filters(views=(f"{value} ",)), Filters(labels=(f"{value}?=0",))):
            with pytest.raises(CallError, match="in the index; it has"):
                index.search(query, 1, filters=filters)
        with pytest.raises(CallError, match="no date"):
            index.search(query, 1, filters=Filters(dates=(value, None)))
    index.close()


def test_reports_keep_their_characters_whatever_the_encoding_of_the_shell(server, tmp_path, monkeypatch):
    original = conftest._row
    monkeypatch.setattr(conftest, "_row", lambda *given: original(*given) | {"text": "Ödem, 胸水"})
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    made = make_table(tmp_path / "table.arrow", 4)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    assert index.search(queries(1)[0], 1)[0].case.text == "Ödem, 胸水"
    index.close()


def test_a_report_loses_the_one_character_that_cannot_be_stored(server, tmp_path, monkeypatch):
    original = conftest._row
    monkeypatch.setattr(conftest, "_row", lambda *given: original(*given) | {"text": "no\0 edema"})
    made = make_table(tmp_path / "nul.arrow", 4)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    assert index.search(queries(1)[0], 1)[0].case.text == "no edema"
    monkeypatch.setattr(conftest, "_row", lambda *given: original(*given) | {"source": "\0"})
    with pytest.raises(CallError, match="a character that PostgreSQL cannot store"):
        index.add(make_table(tmp_path / "nul2.arrow", 4).table)
    assert len(index) == 4
    index.close()
