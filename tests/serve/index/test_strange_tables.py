"""An embedding table from elsewhere: vectors that are none and cells that mean nothing are one line."""

import numpy as np
import pyarrow as pa
import pytest

from medistill.errors import CallError
from medistill.serve.index.table import open_table
from tests.serve.index.conftest import DIM, make_table


@pytest.fixture
def path(tmp_path):
    make_table(tmp_path / "table.arrow")
    return tmp_path / "table.arrow"


def rewritten(path, change) -> None:
    table = pa.ipc.open_file(str(path)).read_all()
    rows = table.to_pylist()
    change(rows)
    with pa.ipc.new_file(str(path), table.schema) as file:
        file.write_table(pa.Table.from_pylist(rows, table.schema))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_vector": [np.nan] * DIM}, "has NaN or infinity in 1 rows of `image_vector`"),
        ({"image_vector": [np.inf] + [0.0] * (DIM - 1)}, "has NaN or infinity in 1 rows of `image_vector`"),
        ({"image_vector": [0.0] * DIM}, "has 1 rows of `image_vector` whose length is not 1, as 0"),
        ({"image_vector": [3.0] + [0.0] * (DIM - 1)}, "whose length is not 1, as 3"),
        ({"text_vector": [0.0] * DIM}, "has 1 rows of `text_vector` whose length is not 1, as 0"),
        ({"text_vector": [-np.inf] * DIM}, "has NaN or infinity in 1 rows of `text_vector`"),
        ({"image_vector": None}, "has 1 rows without `image_vector`"),
        ({"study_id": None}, "has 1 rows without `study_id`"),
        ({"patient_id": None}, "has 1 rows without `patient_id`"),
        ({"split": None}, "has 1 rows without `split`"),
        ({"row": None}, "has 1 rows without `row`"),
        ({"row": -3}, "has -3 as `row`, expected 0 or more"),
        ({"labels": {"effusion": 7, "edema": 0}}, "has a label of 7, expected 1 present, 0 absent or -1"),
    ],
)
def test_a_cell_that_is_none_is_refused_at_the_opening(path, change, said):
    rewritten(path, lambda rows: rows[30].update(change))
    with pytest.raises(CallError) as error:
        open_table(path)
    assert said in str(error.value)
    assert str(error.value).endswith("write it again with `medistill embed`")
    assert "\n" not in str(error.value)


def test_rows_without_a_report_and_without_labels_are_in_order(path):
    rewritten(path, lambda rows: rows[3].update(labels=None, text=None, text_vector=None))
    assert len(open_table(path)) == 60
