"""Indexes of corpora that lack something can be searched: labels, views, dates, ages, reports."""

import numpy as np
import pyarrow as pa
import pytest

from medistill.errors import CallError
from medistill.serve.index.filters import Filters
from medistill.serve.index.index import index_for, open_index
from medistill.serve.index.table import open_table
from tests.conftest import forget_checksums
from tests.serve.index.conftest import DIM, make_table, unit

QUERY = unit(np.random.default_rng(5).standard_normal(DIM))
LACKING = {
    "labels": None,
    "view": None,
    "sex": None,
    "age": None,
    "date": None,
    "text": None,
    "source": None,
}


def table_without(path, *names, **changes):
    table = pa.ipc.open_file(str(_made(path, **changes))).read_all()
    rows = [row | dict.fromkeys(names) for row in table.to_pylist()]
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(pa.Table.from_pylist(rows, table.schema))
    return open_table(path)


def _made(path, **changes):
    make_table(path, **changes)
    return path


def assert_searchable(folder) -> None:
    index = open_index(folder)
    hits = index.search(QUERY, 500, per_patient=False)
    assert len({hit.case.study_id for hit in hits}) == len(hits) > 0
    for hit in hits:
        assert index.case(hit.case.id) == hit.case
        dict(hit.case.labels)
    index.search(QUERY, 3)


@pytest.mark.parametrize("name", LACKING)
@pytest.mark.parametrize("kind", ["exact", "usearch"])
def test_an_index_of_a_corpus_without_it_is_searched(tmp_path, name, kind):
    table = table_without(tmp_path / "t.arrow", name)
    index_for(tmp_path / "index", table.about, kind).add(table)
    assert_searchable(tmp_path / "index")


@pytest.mark.parametrize("order", [((),), ((), ("mass",)), (("mass",), ()), ((), ("mass",), ("edema",))])
def test_corpora_without_findings_beside_corpora_with_some(tmp_path, order):
    for number, findings in enumerate(order):
        count, path = 60 + 300 * number, tmp_path / f"{number}.arrow"
        made = make_table(
            path, count, first=1000 * number, findings=findings, corpus=str(number) * 64, batch=100
        )
        index_for(tmp_path / "index", made.table.about).add(made.table)
        assert_searchable(tmp_path / "index")
    open_index(tmp_path / "index").delete(["s00003", "s01003"])
    assert_searchable(tmp_path / "index")


def test_what_is_not_there_is_said_when_it_is_filtered_by(tmp_path):
    table = table_without(tmp_path / "t.arrow", *LACKING, findings=())
    index_for(tmp_path / "index", table.about).add(table)
    index = open_index(tmp_path / "index")
    assert len(index.search(QUERY, 500, per_patient=False)) == 30
    with pytest.raises(CallError, match="no view `PA` in the index; it has none stated"):
        index.search(QUERY, 3, filters=Filters(views=("PA",)))
    with pytest.raises(CallError, match="no finding `mass` in the index; it has none stated"):
        index.search(QUERY, 3, filters=Filters(labels=("mass",)))
    assert index.search(QUERY, 3, filters=Filters(ages=(5.0, None), dates=("2000-01-01", None))) == []


@pytest.mark.parametrize("findings", [(), ("effusion", "edema")])
def test_a_part_whose_labels_are_null_as_a_whole_states_none(tmp_path, findings):
    made = make_table(tmp_path / "t.arrow", findings=findings)
    index_for(tmp_path / "index", made.table.about).add(made.table)
    forget_checksums(tmp_path / "index")
    path = tmp_path / "index" / "part-000001" / "cases.arrow"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    rows = [row | {"labels": None} for row in table.to_pylist()]
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(pa.Table.from_pylist(rows, table.schema))
    assert_searchable(tmp_path / "index")
    assert all(not hit.case.labels for hit in open_index(tmp_path / "index").search(QUERY, 5))
