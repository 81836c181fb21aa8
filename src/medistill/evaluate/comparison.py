"""Several models on the same cases: their figures and paired differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medistill.evaluate.statistics.difference import paired_difference, why_unpaired
from medistill.evaluate.statistics.interval import Entry, Figure, Metrics, undefined

UNADJUSTED = (
    "Intervals are not adjusted for their number: of differences that are none, one in twenty excludes zero; "
    "p_holm is p adjusted by Holm's method over the findings of one task and model"
)
_HEADLINES = (
    ("zero_shot", "auroc_macro"),
    ("few_shot", "auroc_macro@16"),
    ("few_shot", "accuracy@16"),
    ("retrieval", "i2t_r@10_unique"),
    ("grounding", "pointing_game"),
)
OF_NO_MODEL = ("chance_r@", "pointing_game_center", "pointing_game_chance")
"""How names of figures begin that are the same whatever the model: what others are measured against."""
_COUNTS = ("n_images", "n_patients")
_OF_MODEL = ("model_sha256", "preprocessing")
_CASES = ("split", "unit", *_COUNTS, "seed", "resamples", "prompts", "prompts_origin")
_SHARED = ("source", "corpus_sha256", "prompts_given", *_CASES, "fine_tune")
_OF_PROTOCOL = (*_CASES, "headline")


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One model with what was measured of it; its figures still hold their resampled values."""

    label: str
    """A letter, which stands for the model in the comparison's tables."""
    name: str
    """Says nothing of the folder it lies in."""
    metrics: Mapping[str, Metrics]
    account: Mapping[str, Any]
    """Its evaluation.json."""


def compared(entrants: Sequence[Entrant]) -> dict[str, Any]:
    """What comparison.json holds; differences are from the first model, each paired by patient.

    A difference that cannot be had stands there with its reason. Each of those that can says whether its
    interval excludes zero.
    """
    base, rivals = entrants[0], entrants[1:]
    tasks: dict[str, dict[str, dict[str, dict[str, Entry]]]] = {}
    for task in _union(entrant.metrics for entrant in entrants):
        names = _union(entrant.metrics.get(task, {}) for entrant in entrants)
        tasks[task] = {name: _figure(task, name, entrants) for name in names}
    for entries in tasks.values():
        for rival in rivals:
            _adjust([figure["differences"][rival.label] for figure in entries.values()])
    tested = [
        figure["differences"][rival.label]
        for entries in tasks.values()
        for name, figure in entries.items()
        for rival in rivals
        if not name.startswith(OF_NO_MODEL)
    ]
    known = [entry for entry in tested if entry["value"] is not None]
    return {
        "baseline": base.label,
        "models": {
            entrant.label: {"name": entrant.name, **{key: entrant.account[key] for key in _OF_MODEL}}
            for entrant in entrants
        },
        "of": _of(base),
        "headlines": [list(headline) for headline in _headlines(base)],
        "tasks": tasks,
        "differences": {
            "with_interval": len(known),
            "without": len(tested) - len(known),
            "excluding_zero": sum(bool(entry["excludes_zero"]) for entry in known),
            "adjustment": UNADJUSTED,
        },
    }


def _figure(task: str, name: str, entrants: Sequence[Entrant]) -> dict[str, dict[str, Entry]]:
    """The figure of every model, and every other model's difference from the first."""
    known = {e.label: e.metrics[task][name] for e in entrants if name in e.metrics.get(task, {})}
    counts: Entry = next({key: entry[key] for key in _COUNTS} for entry in known.values())
    missing = undefined("this model has no such figure", []) | counts
    values = {entrant.label: known.get(entrant.label, missing) for entrant in entrants}
    base, *rivals = values
    return {
        "values": values,
        "differences": {rival: _difference(values, rival, base) | counts for rival in rivals},
    }


def _difference(values: Mapping[str, Entry], rival: str, base: str) -> Entry:
    """Of two models, or why there is none."""
    one, other = values[rival], values[base]
    for label, entry in ((base, other), (rival, one)):
        if entry["value"] is None:
            return undefined(f"not defined for model {label}: {entry.get('reason', '')}", [])
    assert isinstance(one, Figure) and isinstance(other, Figure)
    if one.resampling is None or other.resampling is None:
        return undefined("its groups were resampled apart, so models cannot be paired in it", [])
    if reason := why_unpaired(one, other):
        return undefined(reason, [])
    difference = paired_difference(one, other)
    low, high = difference["low"], difference["high"]
    excluded = low is not None and high is not None and bool(float(low) > 0 or float(high) < 0)
    return difference | {"excludes_zero": excluded}


def _adjust(differences: Sequence[Entry]) -> None:
    """Holm's step-down p beside each p: the smallest times m, the next times m - 1, ..., never falling."""
    tested = sorted((entry for entry in differences if entry.get("p") is not None), key=_p)
    reached = 0.0
    for place, entry in enumerate(tested):
        # A larger p cannot come out smaller than one before it, whatever its factor.
        reached = max(reached, min(1.0, (len(tested) - place) * _p(entry)))
        entry["p_holm"] = reached


def _p(entry: Entry) -> float:
    return float(entry["p"] or 0)


def _of(base: Entrant) -> dict[str, Any]:
    """What all models were evaluated on and by; whatever of it protocols set themselves stands with them."""
    account = base.account
    shared = {key: account[key] for key in _SHARED if key in account}
    protocols: Mapping[str, Mapping[str, Any]] = account.get("protocols", {})
    if protocols:
        shared["protocols"] = {
            name: {key: own[key] for key in _OF_PROTOCOL if key in own} for name, own in protocols.items()
        }
    return shared


def _headlines(base: Entrant) -> Iterator[tuple[str, str]]:
    """The figures to quote: each protocol's own, or the first of each task that is there."""
    for name, account in base.account.get("protocols", {}).items():
        yield f"protocol:{name}", account["headline"]
    for task, name in _HEADLINES:
        if name in base.metrics.get(task, {}):
            yield task, name


def _union(named: Any) -> list[str]:
    """Every name in order of first appearance."""
    return list(dict.fromkeys(name for names in named for name in names))
