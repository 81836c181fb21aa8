"""Zero-shot figures of groups of cases, by view, sex, age and source, and their differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from medistill.data.studies import Studies
from medistill.evaluate.statistics.difference import differences, group_difference
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.statistics.resample import OverPatients
from medistill.evaluate.tasks.zeroshot import Scored, zero_shot_metrics

FEWEST = 20
"""Patients a group needs to be reported."""
BANDS = {"0-17": (0, 18), "18-39": (18, 40), "40-64": (40, 65), "65+": (65, np.inf)}
"""Years, from and below."""
Groups = Mapping[str, Mapping[str, Bool[np.ndarray, " n"]]]
"""Attribute -> its value -> which cases."""


def groups_of(rows: Any, studies: Studies) -> Groups:
    """The groups of at least `FEWEST` patients, of attributes that have two of them or more.

    View is that of the image that stands for the study; cases that do not tell are in no group.
    """
    columns = {
        name: [rows.column(name)[row] for row in studies.rows] for name in ("view", "sex", "age", "source")
    }
    columns["age"] = [_band(age) for age in columns["age"]]
    patients = np.asarray(studies.patient_ids, dtype=str)
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, values in columns.items():
        masks = {value: np.array([v == value for v in values]) for value in sorted({*values} - {None, ""})}
        large = {value: mask for value, mask in masks.items() if len(set(patients[mask])) >= FEWEST}
        if len(large) > 1:
            groups[name] = large
    return groups


def slice_metrics(groups: Groups, cases: Scored, over_patients: OverPatients) -> dict[str, Metrics]:
    """`zero_shot/sex=F` and the like, then what each group has more or less than the largest one.

    Only findings that are present and absent in every group of the attribute count, so that the means are
    over the same findings. All groups are resampled together: a patient in two of them is drawn for both.
    """
    metrics: dict[str, Metrics] = {}
    for name, masks in groups.items():
        shared = np.array([_in_all(column, masks) for column in cases.labels.T])
        if not shared.any():
            continue
        by_value: dict[str, Metrics] = {}
        for value, mask in masks.items():
            group = cases.of(shared).where(mask)
            by_value[value] = over_patients(
                lambda weights, group=group, mask=mask: zero_shot_metrics(group, weights[mask])
            )
        largest = max(masks, key=lambda value: (int(masks[value].sum()), value))
        metrics |= {f"zero_shot/{name}={value}": entries for value, entries in by_value.items()}
        metrics |= {
            f"zero_shot/{name}={value} less {largest}": differences(
                entries, by_value[largest], group_difference
            )
            for value, entries in by_value.items()
            if value != largest
        }
    return metrics


def _in_all(labels: Float32[np.ndarray, " n"], masks: Mapping[str, Bool[np.ndarray, " n"]]) -> bool:
    return all((labels[mask] == 1).any() and (labels[mask] == 0).any() for mask in masks.values())


def _band(age: float | None) -> str | None:
    if age is None:
        return None
    return next((name for name, (low, high) in BANDS.items() if low <= age < high), None)
