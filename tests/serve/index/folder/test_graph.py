"""The usearch kind: nearly exact, right under any filter, and read from a map."""

import builtins
import threading

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.serve.index.filters import Filters
from medistill.serve.index.folder import nearest
from medistill.serve.index.folder.nearest import Graph, Nearest
from medistill.serve.index.index import index_for, open_index
from tests.conftest import forget_checksums
from tests.serve.index.brute import assert_equal, brute
from tests.serve.index.conftest import DIM, about, make_table, unit

COUNT = 1200


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_table(tmp_path_factory.mktemp("graph") / "table.arrow", COUNT, batch=600)


@pytest.fixture(scope="module")
def index(made, tmp_path_factory):
    """Of a graph, small as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "_LEAST", 100)
        opened = index_for(tmp_path_factory.mktemp("graph") / "index", made.table.about, "usearch")
        opened.add(made.table)
        yield opened


def queries(count: int) -> np.ndarray:
    return unit(np.random.default_rng(9).standard_normal((count, DIM)))


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """How the rows of each search were found: by the graph, or by comparing all."""
    ways: list[str] = []
    for way, kind in (("graph", Graph), ("all", Nearest)):

        def noted(self, part, query, count, allowed, way=way, search=kind.nearest):
            ways.append(way)
            return search(self, part, query, count, allowed)

        monkeypatch.setattr(kind, "nearest", noted)
    return ways


def recall(index, made, filters=Filters(), k: int = 10) -> float:  # noqa: B008 - immutable
    found = total = 0
    for query in queries(8):
        expected = {row for _, row, _ in brute(made, query, k, filters)}
        hits = index.search(query, k, filters=filters)
        assert len(hits) == len(expected)
        found += len(expected & {hit.case.row for hit in hits})
        total += len(expected)
    return found / total


def test_nearly_all_of_the_nearest_are_found_by_the_graph(index, made, asked):
    assert recall(index, made) > 0.95
    assert set(asked) == {"graph"}


def test_scores_are_those_of_exact_search(index, made):
    for query in queries(5):
        for hit in index.search(query, 10):
            assert hit.score == pytest.approx(float(made.vectors[hit.case.row] @ query), abs=1e-6)


@pytest.mark.parametrize(
    ("filters", "ways"),
    [
        (Filters(views=("PA",)), {"graph"}),
        (Filters(sexes=("F",), labels=("edema",)), {"graph"}),
        (Filters(ages=(33.0, 33.0)), {"graph", "all"}),
        (Filters(ages=(99.0, None)), {"graph", "all"}),
    ],
    ids=["a third", "a sixth", "few", "nobody"],
)
def test_filters_are_right_however_few_pass(index, made, asked, filters, ways):
    assert recall(index, made, filters) > 0.95 if filters.ages[0] != 99 else recall_none(index, filters)
    assert set(asked) == ways


def recall_none(index, filters) -> bool:
    return all(index.search(query, 10, filters=filters) == [] for query in queries(3))


def test_a_filter_against_the_query_still_finds_k(tmp_path, monkeypatch, asked):
    """The nearest are all of the wrong view, as when one asks for an effusion without effusion."""
    monkeypatch.setattr(nearest, "_LEAST", 100)
    monkeypatch.setattr(nearest, "_MOST", 500)
    vectors = unit(np.random.default_rng(0).standard_normal((COUNT, DIM)))
    vectors[:, 0] = np.where(np.arange(COUNT) % 3 == 2, -1, 1)  # laterals lie on the other side
    made = make_table(tmp_path / "table.arrow", COUNT, vectors=unit(vectors), batch=600)
    opened = index_for(tmp_path / "index", made.table.about, "usearch")
    opened.add(made.table)
    query, filters = unit(np.eye(DIM)[0]), Filters(views=("lateral",))
    assert_equal(opened.search(query, 10, filters=filters), brute(made, query, 10, filters))
    assert "all" in asked


def test_many_images_of_a_patient_do_not_hide_the_others(tmp_path, monkeypatch):
    """The nearest 600 images are of few patients: the fetch grows until k are found."""
    monkeypatch.setattr(nearest, "_LEAST", 100)
    made = make_table(tmp_path / "table.arrow", COUNT, batch=600)
    for row in made.rows[:600]:
        row["patient_id"] = f"p{row['row'] % 3}"
    vectors = made.vectors.copy()
    vectors[:600, 0] += 5
    made = remade(tmp_path, made, unit(vectors))
    opened = index_for(tmp_path / "index", made.table.about, "usearch")
    opened.add(made.table)
    query = unit(np.eye(DIM)[0])
    assert_equal(opened.search(query, 6), brute(made, query, 6))


def remade(tmp_path, made, vectors):
    """A table of other patients and vectors."""
    import pyarrow as pa

    from medistill.serve.index.table import open_table, table_schema
    from tests.serve.index.conftest import Made

    schema = table_schema(made.table.about)
    cells = [
        row | {"image_vector": vector.tolist(), "text_vector": None}
        for row, vector in zip(made.rows, vectors, strict=True)
    ]
    path = tmp_path / "remade.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(cells, schema=schema))
    return Made(table=open_table(path), vectors=vectors, rows=made.rows)


def test_k_beyond_what_there_is_gives_all(index, made):
    assert len(index.search(queries(1)[0], 10 * COUNT, per_patient=False)) == COUNT // 2


def test_deleted_rows_are_not_found_and_the_graph_is_kept_until_many_are_gone(tmp_path, made, monkeypatch):
    monkeypatch.setattr(nearest, "_LEAST", 100)
    opened = index_for(tmp_path / "index", made.table.about, "usearch")
    opened.add(made.table)
    before = next((tmp_path / "index").rglob("graph.usearch")).stat().st_ino
    gone = {f"s{i:05d}" for i in range(0, 600, 10)}
    assert opened.delete(sorted(gone)) == 120
    assert next((tmp_path / "index").rglob("graph.usearch")).stat().st_ino == before
    left = [(v, row) for v, row in zip(made.vectors, made.rows, strict=True) if row["study_id"] not in gone]
    kept = type(made)(table=made.table, vectors=np.stack([v for v, _ in left]), rows=[row for _, row in left])
    assert recall(opened, kept) > 0.95
    opened.delete([f"s{i:05d}" for i in range(1, 600, 5)])
    assert next((tmp_path / "index").rglob("graph.usearch")).stat().st_ino != before
    assert not list((tmp_path / "index").rglob("keys.i64"))


def test_searches_in_many_threads_give_what_one_gives(index):
    asked = queries(40)
    alone = [index.search(query, 10) for query in asked]
    differing = []

    def search() -> None:
        differing.extend(i for i, query in enumerate(asked) if index.search(query, 10) != alone[i])

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not differing


@pytest.mark.parametrize("change", ["cut", "foreign", "longer"])
def test_a_damaged_graph_is_one_line(tmp_path, made, monkeypatch, change):
    monkeypatch.setattr(nearest, "_LEAST", 100)
    index_for(tmp_path / "index", made.table.about, "usearch").add(made.table)
    forget_checksums(tmp_path / "index")
    path = next((tmp_path / "index").rglob("graph.usearch"))
    held = path.read_bytes()
    other = make_table(tmp_path / "other.arrow", 400, batch=600)
    index_for(tmp_path / "other", other.table.about, "usearch").add(other.table)
    foreign = next((tmp_path / "other").rglob("graph.usearch")).read_bytes()
    path.write_bytes({"cut": held[: len(held) // 2], "foreign": b"PK\3\4" * 100, "longer": foreign}[change])
    with pytest.raises(CallError, match=r"the index .* is damaged \(graph\.usearch of part-000001 "):
        open_index(tmp_path / "index")


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("usearch"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CallError, match=r"not installed: pip install 'medistill\[search\]'"):
        index_for(tmp_path / "index", about(), "usearch")
    assert not (tmp_path / "index").exists()


def test_nodes_of_deleted_rows_are_left_out():
    keys = np.array([1, 3, 5])
    assert nearest._rows(np.array([6, 5, 0, 1, 2, 4], np.uint64), keys).tolist() == [2, 0]
    assert nearest._rows(np.array([6, 5], np.uint64), None).tolist() == [6, 5]
