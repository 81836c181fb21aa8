"""The index in a real PostgreSQL server equals the exact index in a folder, and outlives restarts."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.serve.index.case import Hit
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.postgres import changes as postgres_changes
from medistill.serve.index.postgres import search as postgres_search
from medistill.serve.index.protocol import Index
from tests.cli.test_cli import call
from tests.serve.index import conftest
from tests.serve.index.brute import assert_equal, brute
from tests.serve.index.conftest import DIM, Made, about, make_table, unit
from tests.serve.index.folder.test_exact import FILTERS, queries
from tests.serve.index.postgres_server import new_schema

pytestmark = pytest.mark.slow

BY_GRAPH = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off"
"""What makes PostgreSQL search some tens of rows as it does a million."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    return make_table(tmp_path_factory.mktemp("made") / "table.arrow")


@pytest.fixture(scope="module")
def place(server, made) -> str:
    """The address of an index that no test changes, with a graph."""
    address = new_schema(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_changes, "LEAST", 10)
        index = index_for(address, made.table.about)
        assert index.add(made.table) == 60
        index.close()
    return address


@pytest.fixture
def opened(place):
    index = open_index(place)
    yield index
    index.close()


@pytest.fixture
def graph(monkeypatch):
    monkeypatch.setattr(postgres_changes, "LEAST", 10)
    monkeypatch.setattr(postgres_search, "LEAST", 10)
    monkeypatch.setenv("PGOPTIONS", BY_GRAPH)


@pytest.fixture
def tables(tmp_path) -> list[Made]:
    """The second has studies of its own, the third some of the first's with other vectors and findings."""
    return [
        make_table(tmp_path / "0.arrow", 60),
        make_table(tmp_path / "1.arrow", 40, seed=1, first=100, corpus="d" * 64),
        make_table(tmp_path / "2.arrow", 20, seed=2, first=25, corpus="e" * 64, findings=("edema", "mass")),
    ]


@pytest.fixture
def pair(server, tmp_path, tables):
    """An empty index in the database, and an exact one in a folder to compare with."""
    inside = index_for(new_schema(server), tables[0].table.about)
    yield inside, index_for(tmp_path / "index", tables[0].table.about)
    inside.close()


def close(hits: list[Hit]) -> list[tuple]:
    return [(hit.case, pytest.approx(hit.score, abs=1e-6)) for hit in hits]


def assert_same(inside: Index, outside: Index) -> None:
    """The database holds what the folder holds, and finds what it finds."""
    assert (len(inside), inside.about, inside.values) == (len(outside), outside.about, outside.values)
    for query in queries(2):
        for filters in (Filters(), Filters(views=("PA",)), Filters(labels=("edema",))):
            for k, per_patient in ((3, True), (1000, False)):
                hits = inside.search(query, k, filters=filters, per_patient=per_patient)
                expected = outside.search(query, k, filters=filters, per_patient=per_patient)
                assert [(hit.case, hit.score) for hit in hits] == close(expected)
                assert [[*hit.case.labels] for hit in hits] == [[*hit.case.labels] for hit in expected]
    assert all(inside.case(hit.case.id) == hit.case for hit in hits)


def uses_of_graph(server, address: str) -> int:
    schema = address.rpartition("=")[2]
    found = (
        "SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelname = 'image_graph' AND schemaname = '{}'"
    )
    return server.run(found.format(schema))[0][0]


@pytest.mark.parametrize("per_patient", [True, False], ids=["a patient", "a study"])
@pytest.mark.parametrize("name", FILTERS)
def test_hits_are_those_of_a_loop_over_all_rows(opened, made, name, per_patient):
    for k in (1, 4, 1000):
        for query in queries():
            hits = opened.search(query, k, filters=FILTERS[name], per_patient=per_patient)
            assert_equal(hits, brute(made, query, k, FILTERS[name], per_patient))
            assert bool(hits) == (name != "nobody")


def test_the_graph_finds_what_a_loop_finds(server, place, made, graph):
    before, index = uses_of_graph(server, place), open_index(place)
    for filters in FILTERS.values():
        for query in queries():
            hits = index.search(query, 4, filters=filters)
            assert_equal(hits, brute(made, query, 4, filters))
    index.close()
    assert uses_of_graph(server, place) > before + len(queries())


def test_where_the_graph_gives_up_all_are_compared(server, tmp_path, graph, monkeypatch):
    monkeypatch.setattr(postgres_search, "EXPANSION", 1)
    monkeypatch.setenv("PGOPTIONS", f"{BY_GRAPH} -c hnsw.max_scan_tuples=1")
    query = queries(1)[0]
    noise = np.random.default_rng(0).standard_normal((1500, DIM)) * 0.1
    vectors = unit(np.where(np.arange(1500)[:, None] < 60, -query, query) + noise)
    made = make_table(tmp_path / "table.arrow", 1500, vectors=vectors, batch=500)
    address, far = new_schema(server), Filters(dates=(None, "2020-01-30"))
    index = index_for(address, made.table.about)
    index.add(made.table)
    assert_equal(index.search(query, 9, filters=far), brute(made, query, 9, far))
    index.close()
    assert uses_of_graph(server, address) == 1


def test_a_filter_to_few_compares_them_all(server, place, made, graph):
    before, index = uses_of_graph(server, place), open_index(place)
    few = Filters(dates=("2020-01-02", "2020-01-05"))
    assert_equal(index.search(made.vectors[0], 4, filters=few), brute(made, made.vectors[0], 4, few))
    index.close()
    assert uses_of_graph(server, place) == before


def test_equal_scores_come_in_the_order_of_the_rows(server, tmp_path):
    vectors = np.zeros((40, DIM), np.float32)
    vectors[:, 0] = 1
    vectors[::4] = unit(np.eye(DIM)[1])
    made = make_table(tmp_path / "table.arrow", 40, vectors=vectors)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    for k in (1, 3, 5, 100):
        for per_patient in (True, False):
            hits = index.search(vectors[1], k, per_patient=per_patient)
            assert_equal(hits, brute(made, vectors[1], k, per_patient=per_patient))
    index.close()


@pytest.mark.parametrize("searched", ["exactly", "by graph"])
def test_tables_add_up_and_studies_can_be_deleted(pair, tables, searched, request):
    if searched == "by graph":
        request.getfixturevalue("graph")
    for made in tables:
        assert {index.add(made.table) for index in pair} == {len(made.rows)}
        assert_same(*pair)
    gone = ["s00003", "s00100", "s00026", "never there", "s00004\0", "\udcff"]
    assert {index.delete(gone) for index in pair} == {6}
    assert_same(*pair)
    assert pair[0].delete(["never there"]) == 0
    pair[0].add(tables[0].table)
    pair[1].add(tables[0].table)
    assert_same(*pair)


def test_an_index_that_was_emptied_can_be_filled_again(pair, tables):
    for index in pair:
        index.add(tables[0].table)
        assert index.delete([row["study_id"] for row in tables[0].rows]) == 60
    assert (len(pair[0]), pair[0].search(tables[0].vectors[0], 3)) == (0, [])
    assert pair[0].values == pair[1].values
    for index in pair:
        index.add(tables[1].table)
    assert_same(*pair)


@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_restarted_server_has_everything_and_is_reached_again(server, pair, tables, end):
    for index in pair:
        index.add(tables[0].table)
        index.delete(["s00003"])
    assert_same(*pair)
    getattr(server, end)()
    server.start()
    assert_same(*pair)  # through connections that the server has closed
    pair[0].add(tables[1].table)
    pair[1].add(tables[1].table)
    assert_same(*pair)


def test_searches_of_many_threads_see_whole_changes(server, tables):
    address = new_schema(server)
    writer, reader = index_for(address, tables[0].table.about), open_index(address)
    writer.add(tables[0].table)
    states = [{row["study_id"] for row in tables[0].rows}]
    states.append(states[0] | {row["study_id"] for row in tables[1].rows})
    ended, seen, failed = threading.Event(), [], []

    def read() -> None:
        try:
            while not ended.is_set():
                hits = reader.search(tables[0].vectors[0], 1000, per_patient=False)
                seen.append({hit.case.study_id for hit in hits})
        except Exception as error:  # told by the assertion below, since a thread's own is lost
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        writer.add(tables[1].table)
        writer.delete([row["study_id"] for row in tables[1].rows])
    ended.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(seen) >= 20
    assert all(found in states for found in seen)
    assert server.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'medistill'") <= [(9,)]
    for index in (writer, reader):
        index.close()


def test_several_may_make_the_same_index_at_once(server, tables):
    address, indexes, failed = new_schema(server), [], []

    def make() -> None:
        try:
            indexes.append(index_for(address, tables[0].table.about))
        except CallError as error:
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(indexes), failed) == (6, [])
    indexes[0].add(tables[0].table)
    assert [len(index) for index in indexes] == [60] * 6
    for index in indexes:
        index.close()


def test_vectors_of_another_model_are_refused(pair, tables, tmp_path):
    for index in pair:
        index.add(tables[0].table)
    other = make_table(tmp_path / "other.arrow", model_sha256="b" * 64)
    with pytest.raises(CallError, match=r"another model \(sha256 bbbbbbbbbbbb\.\.\., the index has aaaaaaaa"):
        pair[0].add(other.table)
    other.table.about = replace(tables[0].table.about, preprocessing={"size": 64})
    with pytest.raises(CallError, match="is of the index's model with other preprocessing"):
        pair[0].add(other.table)
    assert_same(*pair)


def test_queries_that_cannot_be_searched_are_refused(opened):
    for query, k, said in (
        (np.ones(3, np.float32), 1, r"found a query of shape \(3,\), expected \(8,\)"),
        (np.full(DIM, np.nan, np.float32), 1, "found NaN or infinity in the query"),
        (queries(1)[0], 0, "found k = 0, expected 1 or more"),
    ):
        with pytest.raises(CallError, match=said):
            opened.search(query, k)
    assert len(opened.search(queries(1)[0], 10**30)) == 15


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(views=("oblique",)), "no view `oblique` in the index; it has AP, PA, lateral"),
        (Filters(labels=("mass",)), "no finding `mass` in the index; it has effusion, edema"),
        (Filters(dates=("yesterday", None)), "no date: `yesterday`"),
        (Filters(ages=(50.0, 20.0)), "ages from 50.0 to 20.0 are none"),
        (Filters(ages=(None, float("nan"))), "found nan as an age"),
    ],
)
def test_an_unknown_filter_says_what_there_is(opened, filters, said):
    with pytest.raises(CallError, match=said):
        opened.search(queries(1)[0], 1, filters=filters)


def test_ages_are_compared_as_they_are_stored(server, opened, tmp_path, monkeypatch):
    query, original = queries(1)[0], conftest._row
    monkeypatch.setattr(conftest, "_row", lambda *given: original(*given) | {"age": 30.1})
    made = make_table(tmp_path / "table.arrow", 4)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    assert index.search(query, 1, filters=Filters(ages=(30.1, None)))
    assert index.search(query, 1, filters=Filters(ages=(None, 30.1)))
    index.close()
    assert opened.search(query, 1, filters=Filters(ages=(-1e300, 1e300)))
    assert not opened.search(query, 1, filters=Filters(ages=(1e300, None)))


@pytest.mark.parametrize("name", ["", "..", "0" * 32, "é", "A" * 32, "ab", "'; DROP TABLE image; --"])
def test_an_id_of_no_case_finds_none(opened, name):
    assert opened.case(name) is None


def test_vectors_too_wide_for_a_graph_are_compared_all(server, tmp_path, graph):
    made = make_table(tmp_path / "wide.arrow", 20, dim=2001)
    index = index_for(new_schema(server), made.table.about)
    index.add(made.table)
    for query in made.vectors[:5]:
        assert_equal(index.search(query, 3), brute(made, query, 3))
    index.close()
    with pytest.raises(CallError, match="found vectors of 16001 numbers, pgvector stores up to 16,000"):
        index_for(new_schema(server), about(dim=16_001))


def test_the_commands_take_an_address(server, tmp_path, capsys, made):
    address = new_schema(server)
    table = made.table.path
    assert call("index", table, "--out", address, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["added"], told["replaced"]) == (60, 60, 0)
    assert call("index", table, "--out", address, "--delete", "s00003", "s00004", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["deleted"], told["replaced"]) == (60, 4, 56)
    assert call("index", table, "--out", address, "--kind", "exact") == 2
    assert "an index in PostgreSQL is of its own kind, not exact" in capsys.readouterr().err
    assert not Path(address).exists()


def test_a_search_by_words_finds_what_the_folder_finds(server, tmp_path, capsys, monkeypatch):
    from medistill.model.saved import save_model
    from tests.conftest import tiny_model, write_noise_corpus

    monkeypatch.chdir(tmp_path)  # a database tells where the model lies from the working directory
    save_model(tiny_model(), tmp_path / "model")
    write_noise_corpus(tmp_path / "corpus")
    table, address = tmp_path / "table.arrow", new_schema(server)
    assert call("embed", tmp_path / "model", "--data", tmp_path / "corpus", "--out", table) == 0
    found = []
    for out in (tmp_path / "index", address):
        assert call("index", table, "--out", out) == 0
        capsys.readouterr()
        assert call("search", out, "--text", "no edema", "--label", "edema", "--k", 7, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    folder, database = found
    assert len(folder) == 7
    for one, other in zip(folder, database, strict=True):
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=2e-6)
        assert json.dumps(one) == json.dumps(other)
