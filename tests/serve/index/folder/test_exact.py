"""The default index equals a loop over all rows."""

import numpy as np
import pytest

from medistill.errors import CallError
from medistill.serve.index.filters import Filters
from medistill.serve.index.folder.nearest import best
from medistill.serve.index.index import index_for, open_index
from tests.serve.index.brute import assert_equal, brute
from tests.serve.index.conftest import DIM, about, make_table, unit

FILTERS = {
    "none": Filters(),
    "view": Filters(views=("PA",)),
    "views": Filters(views=("PA", "lateral")),
    "sex": Filters(sexes=("F",)),
    "from an age": Filters(ages=(30.0, None)),
    "up to an age": Filters(ages=(None, 30.0)),
    "ages": Filters(ages=(25.0, 31.0)),
    "since": Filters(dates=("2020-01-15", None)),
    "until": Filters(dates=(None, "2020-01-15")),
    "dates": Filters(dates=("2020-01-10", "2020-01-20")),
    "source": Filters(sources=("there",)),
    "present": Filters(labels=("edema",)),
    "absent": Filters(labels=("effusion=0",)),
    "uncertain": Filters(labels=("effusion=-1",)),
    "labels": Filters(labels=("effusion=0", "edema")),
    "all": Filters(
        views=("PA", "AP"),
        sexes=("M",),
        ages=(20.0, 40.0),
        dates=("2020-01-02", "2020-01-28"),
        labels=("edema=-1",),
    ),
    "nobody": Filters(ages=(99.0, None)),
}


@pytest.fixture
def index(made, tmp_path):
    opened = index_for(tmp_path / "index", made.table.about)
    assert opened.add(made.table) == 60
    return opened


def queries(count: int = 5) -> np.ndarray:
    return unit(np.random.default_rng(9).standard_normal((count, DIM)))


@pytest.mark.parametrize("per_patient", [True, False], ids=["a patient", "a study"])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("k", [1, 4, 1000])
def test_hits_are_those_of_a_loop_over_all_rows(index, made, name, k, per_patient):
    for query in queries():
        expected = brute(made, query, k, FILTERS[name], per_patient)
        hits = index.search(query, k, filters=FILTERS[name], per_patient=per_patient)
        assert_equal(hits, expected)
        assert bool(hits) == (name != "nobody")


def test_equal_scores_come_in_the_order_of_the_rows(tmp_path):
    vectors = np.zeros((40, DIM), np.float32)
    vectors[:, 0] = 1
    vectors[::4] = unit(np.eye(DIM)[1])
    made = make_table(tmp_path / "table.arrow", 40, vectors=vectors)
    opened = index_for(tmp_path / "index", made.table.about)
    opened.add(made.table)
    for k in (1, 3, 5, 100):
        for per_patient in (True, False):
            hits = opened.search(vectors[1], k, per_patient=per_patient)
            assert_equal(hits, brute(made, vectors[1], k, per_patient=per_patient))


def test_a_case_says_what_the_table_says(index, made):
    for row in made.rows:
        (hit,) = [h for h in index.search(made.vectors[row["row"]], 1) if h.case.row == row["row"]]
        case = hit.case
        assert hit.score == pytest.approx(1, abs=1e-6)
        for name in ("study_id", "patient_id", "split", "view", "sex", "age", "source"):
            assert getattr(case, name) == row[name]
        assert case.text == (row["text"] or "")
        assert case.date == (row["date"] and row["date"].isoformat())
        assert case.labels == {name: value for name, value in row["labels"].items() if value is not None}
        assert index.case(case.id) == case


def test_ids_stay_the_same_whatever_the_index(index, made, tmp_path):
    other = index_for(tmp_path / "other", made.table.about)
    other.add(make_table(tmp_path / "before.arrow", 10, corpus="d" * 64, first=500).table)
    other.add(made.table)
    query = queries(1)[0]
    ids = {hit.case.id for hit in index.search(query, 100)}
    assert len(ids) == 15
    assert ids < {hit.case.id for hit in other.search(query, 100)}


@pytest.mark.parametrize("name", ["", "..", "0" * 32, "é", "0" * 31 + "x", "ab", "../../etc/passwd"])
def test_an_id_of_no_case_finds_none(index, name):
    assert index.case(name) is None


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        (Filters(views=("oblique",)), "no view `oblique` in the index; it has AP, PA, lateral"),
        (Filters(sexes=("X",)), "no sex `X` in the index; it has F, M"),
        (Filters(sources=("afar",)), "no source `afar` in the index; it has here, there"),
        (Filters(labels=("mass",)), "no finding `mass` in the index; it has effusion, edema"),
        (Filters(labels=("edema=2",)), "no label value: `2`; expected 1 present, 0 absent or -1 uncertain"),
        (Filters(dates=("yesterday", None)), "no date: `yesterday`"),
        (Filters(ages=(50.0, 20.0)), "ages from 50.0 to 20.0 are none"),
    ],
)
def test_an_unknown_filter_says_what_there_is(index, filters, said):
    with pytest.raises(CallError, match=said):
        index.search(queries(1)[0], 1, filters=filters)


def test_queries_that_cannot_be_searched_are_refused(index):
    with pytest.raises(CallError, match=r"found a query of shape \(3,\), expected \(8,\)"):
        index.search(np.ones(3, np.float32), 1)
    with pytest.raises(CallError, match="found NaN or infinity in the query"):
        index.search(np.full(DIM, np.nan, np.float32), 1)
    with pytest.raises(CallError, match="found k = 0, expected 1 or more"):
        index.search(queries(1)[0], 0)


def test_an_empty_index_finds_nothing(tmp_path):
    opened = index_for(tmp_path / "index", about())
    assert (len(opened), opened.search(queries(1)[0], 3), opened.about.corpora) == (0, [], ())


def test_an_index_is_read_as_it_was_written(index, made, tmp_path):
    query = queries(1)[0]
    again = open_index(tmp_path / "index")
    assert again.search(query, 5) == index.search(query, 5)
    assert again.about == made.table.about
    assert again.values.views == ("AP", "PA", "lateral")


def test_the_cut_among_equal_scores_takes_the_first():
    for seed in range(30):
        scores = np.random.default_rng(seed).integers(0, 5, 300).astype(np.float32)
        rows = np.arange(1000, 1300)
        order = np.argsort(-scores, kind="stable")
        for count in (1, 7, 60, 299, 300, 301):
            found = best(rows, scores, count)
            assert found.rows.tolist() == rows[order[:count]].tolist()
            assert found.scores.tolist() == scores[order[:count]].tolist()
