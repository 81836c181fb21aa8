"""Search as a loop over all rows: what every kind must equal."""

import datetime

import numpy as np

from medistill.serve.index.case import Hit
from medistill.serve.index.filters import Filters
from medistill.serve.index.protocol import EVERY
from tests.serve.index.conftest import Made


def brute(made: Made, query: np.ndarray, k: int, filters: Filters = EVERY, per_patient: bool = True):
    """Study ids and scores of the hits."""
    scored = [
        (-float(np.dot(vector.astype(np.float64), query.astype(np.float64))), i)
        for i, (vector, row) in enumerate(zip(made.vectors, made.rows, strict=True))
        if passes(row, filters)
    ]
    hits, studies, patients = [], set(), set()
    for negative, i in sorted(scored):
        row = made.rows[i]
        if row["study_id"] in studies or (per_patient and row["patient_id"] in patients):
            continue
        studies.add(row["study_id"])
        patients.add(row["patient_id"])
        hits.append((row["study_id"], row["row"], -negative))
    return hits[:k]


def passes(row: dict, filters: Filters) -> bool:
    for name, wanted in (("view", filters.views), ("sex", filters.sexes), ("source", filters.sources)):
        if wanted and row[name] not in wanted:
            return False
    dates = [date and datetime.date.fromisoformat(date) for date in filters.dates]
    for name, (low, high) in (("age", filters.ages), ("date", dates)):
        if low is not None and (row[name] is None or row[name] < low):
            return False
        if high is not None and (row[name] is None or row[name] > high):
            return False
    for label in filters.labels:
        name, _, value = label.partition("=")
        if row["labels"].get(name) != int(value or 1):
            return False
    return True


def assert_equal(hits: list[Hit], expected) -> None:
    assert [(hit.case.study_id, hit.case.row) for hit in hits] == [(study, row) for study, row, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for *_, score in expected], atol=1e-6)
