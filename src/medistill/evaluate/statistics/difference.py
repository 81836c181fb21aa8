"""Differences of figures, between two models or between two groups of cases."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from medistill.errors import CallError
from medistill.evaluate.statistics.auroc_variance import auroc_difference
from medistill.evaluate.statistics.interval import (
    FEWEST,
    Entry,
    Figure,
    Metrics,
    Resampling,
    figure,
    undefined,
)


def differences(one: Metrics, other: Metrics, difference: Callable[[Entry, Entry], Entry]) -> Metrics:
    """The difference of each figure that both hold, by `paired_difference` or `group_difference`."""
    return {name: difference(entry, other[name]) for name, entry in one.items() if name in other}


def paired_difference(one: Entry, other: Entry) -> Entry:
    """One model's figure less another's on the same cases; the same patients are drawn for both.

    What both models find hard cancels, so the interval is narrower than the two figures' own. The difference
    of a single AUROC also gets the two-sided `p` of no difference, and whose method it is. CallError for
    figures that `why_unpaired` tells of.
    """
    if not (isinstance(one, Figure) and isinstance(other, Figure)):
        return _without_resamples(one, other)
    if reason := why_unpaired(one, other):
        raise CallError(reason)
    difference = _less(one, other, one.spread - other.spread, one.patient_ids)
    difference.update(_counts(one) | _tested(one, other))
    return difference


def why_unpaired(one: Figure, other: Figure) -> str | None:
    """Why their difference cannot be paired: other cases, or another resampling; None if it can."""
    resampling = _known(one)
    if resampling != _known(other):
        return (
            f"figures resampled differently cannot be paired: {resampling}, and {other.resampling}; evaluate "
            "both models on the same split with the same seed and number of resamples"
        )
    counts, others = _counts(one), _counts(other)
    if counts != others or Counter(one.patient_ids) != Counter(other.patient_ids):
        return (
            f"figures of different cases cannot be paired: {_in_words(counts)}, and {_in_words(others)}; for "
            "two groups of cases use group_difference"
        )
    return None


def _tested(one: Figure, other: Figure) -> Entry:
    """The p value where both figures are AUROCs of one finding."""
    if one.ranked is None or other.ranked is None:
        return {}
    if [*one.patient_ids] != [*other.patient_ids] or not np.array_equal(
        one.ranked.present, other.ranked.present
    ):
        raise CallError("the cases of two AUROCs are in another order; sort them alike")
    if min(one.sides.values(), default=FEWEST) < FEWEST:
        return {"p": None, "p_reason": str(one["reason"])}
    tested = auroc_difference(one.ranked.scores, other.ranked.scores, one.ranked.present, one.patient_ids)
    if tested["p"] is None:
        return {"p": None, "p_reason": tested["reason"]}
    return {"p": tested["p"], "p_method": tested["method"]}


def group_difference(one: Entry, other: Entry) -> Entry:
    """A figure of one group of cases less that of another: sexes, age bands, views, two test sets.

    Groups resampled together are subtracted resample by resample, so a patient with cases in both counts as
    the one patient they are, and two models' differences can be paired in turn. Groups resampled apart are
    taken as independent; CallError if they share a patient, whose cases would then pass for two patients'.
    """
    if not (isinstance(one, Figure) and isinstance(other, Figure)):
        return _without_resamples(one, other)
    patient_ids = [*one.patient_ids, *other.patient_ids]
    if _known(one) == _known(other):
        return _less(one, other, one.spread - other.spread, patient_ids)
    shared = len(set(one.patient_ids) & set(other.patient_ids))
    if shared:
        raise CallError(
            f"{shared} patients have cases in both groups, which were resampled apart; evaluate both groups "
            "in one call, so that each patient is drawn for both at once"
        )
    size = min(len(one.spread), len(other.spread))
    # Equal seeds draw equal places: what is independent must not be subtracted in the order it was drawn.
    mixed = np.random.default_rng(size).permutation(other.spread)
    return _less(one, other, one.spread[:size] - mixed[:size], patient_ids)


def _less(one: Figure, other: Figure, spread: Float[np.ndarray, " r"], patient_ids: Sequence[str]) -> Entry:
    value = float(one["value"] or 0) - float(other["value"] or 0)
    sides = min(one.sides, other.sides, key=lambda counts: min(counts.values(), default=FEWEST))
    difference = figure(np.concatenate([[value], spread]), patient_ids, sides=sides)
    if isinstance(difference, Figure) and one.resampling == other.resampling:
        difference.resampling = one.resampling
    return difference


def _known(entry: Figure) -> Resampling:
    if entry.resampling is None:
        raise CallError("a figure that does not know its resampling cannot be compared: use `resampled`")
    return entry.resampling


def _without_resamples(one: Entry, other: Entry) -> Entry:
    """Not defined because one of them is not; CallError if a figure has lost its resampled values."""
    for which, entry in (("first", one), ("second", other)):
        if entry["value"] is None:
            return undefined(f"not defined for the {which}: {entry.get('reason', '')}", []) | _counts(entry)
    raise CallError(
        "figures read from a file hold no resampled values to compare; evaluate both models in one process"
    )


def _counts(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name.startswith("n_")}


def _in_words(counts: Entry) -> str:
    return ", ".join(f"{name.removeprefix('n_')} {value}" for name, value in sorted(counts.items()))
