"""What a corpus from elsewhere may hold: columns of other types and cells that mean nothing are one line."""

import json
import math

import pyarrow as pa
import pytest

from medistill.data.corpus import CARD, TABLE, open_corpus
from medistill.errors import CallError
from tests.conftest import forget_checksums


@pytest.fixture
def path(write, study):
    studies = [study(n, split="train", labels={"mass": 1, "edema": 0}, age=50.0) for n in range(4)]
    corpus = write(studies, findings=["mass", "edema"])
    forget_checksums(corpus.path)
    return corpus.path


def rewritten(path, change, schema=None) -> None:
    """The table after `change` was done to its rows, or with columns of other types."""
    table = pa.ipc.open_stream((path / TABLE).read_bytes()).read_all()
    rows = table.to_pylist()
    change(rows)
    schema = table.schema if schema is None else schema(table.schema)
    with pa.ipc.new_stream(str(path / TABLE), schema) as stream:
        stream.write_table(pa.Table.from_pylist(rows, schema))


def complaint(path) -> str:
    with pytest.raises(CallError) as error:
        open_corpus(path)
    said = str(error.value)
    assert "\n" not in said
    assert said.endswith(": prepare it again")
    return said


def retyped(name, kind):
    def schema(old):
        return old.set(old.get_field_index(name), pa.field(name, kind))

    return schema


LABELS = pa.struct([("mass", pa.int8()), ("edema", pa.int8())])


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("study_id", pa.int64(), 7),
        ("patient_id", pa.float64(), 7.0),
        ("split", pa.int8(), 1),
        ("text", pa.binary(), b"Clear."),
        ("view", pa.int64(), 1),
        ("image", pa.string(), "a.png"),
        ("age", pa.string(), "50"),
        ("date", pa.string(), "2020-01-01"),
        ("labels", pa.struct([("mass", pa.float32()), ("edema", pa.float32())]), {"mass": 0.5, "edema": 1.0}),
        (
            "labels",
            pa.struct([("mass", pa.string()), ("edema", pa.string())]),
            {"mass": "yes", "edema": "no"},
        ),
        ("labels", pa.string(), "mass"),
        ("labels", pa.list_(pa.int8()), [1, 0]),
        ("mask", pa.struct([("mass", pa.string())]), {"mass": "a.png"}),
        ("boxes", pa.struct([("mass", pa.float32())]), {"mass": 1.0}),
    ],
)
def test_a_column_of_another_type_is_refused_by_name(path, name, kind, value):
    rewritten(path, lambda rows: [row.update({name: value}) for row in rows], retyped(name, kind))
    said = complaint(path)
    assert f"as `{name}`" in said
    assert "expected" in said


@pytest.mark.parametrize("name", ["study_id", "patient_id", "split", "text"])
def test_cells_that_must_hold_something_and_do_not_are_counted(path, name):
    rewritten(path, lambda rows: [row.update({name: None}) for row in rows[:3]])
    assert f"has 3 rows without `{name}`" in complaint(path)


@pytest.mark.parametrize("value", [2, -2, 100, -128])
def test_a_label_that_is_none_is_refused(path, value):
    rewritten(path, lambda rows: rows[2]["labels"].update(edema=value))
    assert f"has a label of {value}, expected 1 present, 0 absent or -1 uncertain" in complaint(path)


def test_a_split_that_the_card_does_not_know_is_refused(path):
    rewritten(path, lambda rows: rows[1].update(split="Train"))
    assert "has rows of the split 'Train', card.json knows train" in complaint(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_age_or_a_coordinate_that_is_no_number_is_refused(path, value):
    rewritten(path, lambda rows: rows[0].update(age=value))
    assert "has an `age` that is no finite number" in complaint(path)
    rewritten(path, lambda rows: rows[0].update(age=1.0, boxes={"mass": [1.0, value, 3.0, 4.0]}))
    assert "has a box with a coordinate that is no finite number" in complaint(path)


def test_a_box_without_four_coordinates_is_refused(path):
    rewritten(path, lambda rows: rows[0].update(boxes={"mass": [1.0, 2.0, 3.0]}))
    assert "has a box without four coordinates" in complaint(path)


def test_text_that_is_no_utf8_and_offsets_that_lead_nowhere_are_one_line(path):
    content = (path / TABLE).read_bytes()
    (path / TABLE).write_bytes(content.replace(b"Clear lungs.", b"Clear l\xffngs."))
    assert "cannot be read" in complaint(path)


def test_labels_that_are_null_as_a_whole_are_not_stated(path):
    rewritten(path, lambda rows: rows[1].update(labels=None))
    corpus = open_corpus(path)
    assert [math.isnan(value) for value in corpus.labels[1]] == [True, True]
    assert corpus.labels[0].tolist() == [1, 0]


def test_a_corpus_of_an_earlier_version_lacks_columns_and_opens(path):
    table = (
        pa.ipc.open_stream((path / TABLE).read_bytes())
        .read_all()
        .drop_columns(["sex", "age", "date", "boxes"])
    )
    with pa.ipc.new_stream(str(path / TABLE), table.schema) as stream:
        stream.write_table(table)
    assert open_corpus(path).split("train").texts == ["Clear lungs."] * 4


def test_large_strings_are_strings(path):
    rewritten(path, lambda rows: None, retyped("text", pa.large_string()))
    assert open_corpus(path).split("train").texts == ["Clear lungs."] * 4


def test_a_card_that_counts_a_split_more_is_no_fault_of_the_table(path):
    card = json.loads((path / CARD).read_text())
    (path / CARD).write_text(json.dumps(card | {"splits": {**card["splits"], "test": {}}}))
    assert len(open_corpus(path).split("test")) == 0
