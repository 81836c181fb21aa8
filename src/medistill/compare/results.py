"""All figures of a comparison: means, intervals, differences, costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from medistill.compare.comparison import Cost
from medistill.compare.seeds import Seeds, distinct, patient_interval, t_interval

Estimate = dict[str, Any]
"""value, low, high (Student's t over seeds), patient_low, patient_high, n_seeds, n_images, n_patients.

Of folds the last two are those of all folds together. A mean over findings says n_findings, the fewest of any
seed."""
Results = dict[str, Any]
"""What results.json holds."""
SHOWN = {
    "retrieval/mean_r@10_unique": "Recall@10, unique reports, mean of both directions",
    **{
        f"retrieval/{way}_r@{k}{of}": f"Recall@{k}, {said}{words}"
        for of, words in (("_unique", ", unique reports"), ("", ""))
        for way, said in (("i2t", "image to report"), ("t2i", "report to image"))
        for k in (10, 5, 1)
    },
    "zero_shot/auroc_macro": "Zero-shot AUROC, macro",
    "zero_shot/auroc_macro_abnormal": "Zero-shot AUROC among abnormal studies, macro",
    "few_shot/auroc_macro@16": "16-shot AUROC, macro",
    "few_shot/auroc_macro@4": "4-shot AUROC, macro",
    "few_shot/auroc_macro@100%": "All-shot AUROC, macro",
}
"""The figures on the page; results.json has all."""


def standings(seeds: Mapping[str, Seeds | str], baseline: str) -> dict[str, dict[str, Any]]:
    """By label, under one budget: its figures, its differences to the baseline, its costs.

    seeds   by label; of an objective whose final cells could not be set up: the reason.
    """
    return {
        label: standing(own, None if label == baseline else seeds[baseline]) for label, own in seeds.items()
    }


def standing(seeds: Seeds | str, baseline: Seeds | str | None) -> dict[str, Any]:
    """One objective's part of the results; a failed one has no mean and no difference.

    Its surviving seeds are those it did well on: their mean would flatter it.
    """
    if isinstance(seeds, str):
        failed = {"seeds": [], "of": 0, "reasons": [seeds]}
        return {"failed": failed, "seeds": {}, "metrics": {}, "differences": {}, "costs": {}}
    by_seed = {
        str(cell.recipe.seed): {name: entry["value"] for name, entry in entries.items()}
        for cell, entries in zip(seeds.cells, seeds.entries, strict=True)
    }
    names = sorted({name for entries in seeds.entries for name in entries})
    whole = not seeds.failed
    paired = baseline if whole and isinstance(baseline, Seeds) and not baseline.failed else None
    return {
        "failed": failed_in_words(seeds),
        "seeds": by_seed,
        "metrics": {name: estimate(name, seeds) for name in names} if whole else {},
        "differences": {name: difference(name, seeds, paired) for name in names} if paired else {},
        "costs": costs(seeds),
    }


def estimate(name: str, seeds: Seeds) -> Estimate:
    """The mean over seeds."""
    values = seeds.values(name)
    if values is None:
        return _undefined(name, seeds)
    return _estimate(values, t_interval(values), _spread(name, seeds)) | _counted(name, seeds)


def difference(name: str, seeds: Seeds, baseline: Seeds) -> Estimate:
    """The mean over seeds of the objective less the baseline, paired by seed and by patient."""
    values, others = seeds.values(name), baseline.values(name)
    if values is None or others is None:
        return _undefined(name, seeds)
    paired = [value - other for value, other in zip(values, others, strict=True)]
    spread = _spread(name, seeds) - _spread(name, baseline)
    return _estimate(paired, t_interval(paired), spread) | _counted(name, seeds)


def _spread(name: str, seeds: Seeds) -> Float[np.ndarray, "s r"]:
    """Its resampled values; NaN where it has too few patients for an interval over them."""
    known = all(entries[name]["low"] is not None for entries in seeds.entries if name in entries)
    return seeds.spread(name) * (1.0 if known else np.nan)


def _estimate(
    values: Sequence[float], interval: tuple[float, float] | None, spread: Float[np.ndarray, "s r"]
) -> Estimate:
    low, high = interval or (None, None)
    patient_low, patient_high = patient_interval(spread) or (None, None)
    return {
        "value": float(np.mean(values)),
        "low": low,
        "high": high,
        "patient_low": patient_low,
        "patient_high": patient_high,
        "n_seeds": len(values),
    }


def _undefined(name: str, seeds: Seeds) -> Estimate:
    reasons = [entries[name]["reason"] for entries in seeds.entries if "reason" in entries.get(name, {})]
    parts = ("value", "low", "high", "patient_low", "patient_high")
    reason = reasons[0] if reasons else "not defined for the baseline"
    return {**dict.fromkeys(parts), "reason": reason, "n_seeds": len(seeds.cells), **_counted(name, seeds)}


def _counted(name: str, seeds: Seeds) -> dict[str, int]:
    """What it rests on: the cases of each fold once, for no two folds share any."""
    known = [
        (cell.recipe.fold, entries[name])
        for cell, entries in zip(seeds.cells, seeds.entries, strict=True)
        if name in entries
    ]
    folds = dict(reversed(known)).values()
    findings = [entry["n_findings"] for _, entry in known if "n_findings" in entry]
    return {part: sum(entry[part] for entry in folds) for part in ("n_images", "n_patients")} | (
        {"n_findings": min(findings)} if findings else {}
    )


def failed_in_words(seeds: Seeds) -> dict[str, Any] | None:
    """How many seeds failed and why, each reason once."""
    if not seeds.failed:
        return None
    reasons = distinct(seeds.failed.values())
    return {"seeds": sorted(seeds.failed), "of": len(seeds.cells), "reasons": reasons}


def costs(seeds: Seeds) -> dict[str, Any]:
    """What training cost: medians over the seeds that trained, the largest of their peaks of memory."""
    trained = [result for result in seeds.results if result["failed"] is None]
    if not trained:
        return {}
    names = ("pairs", "steps", "seconds", "cpu_seconds", "pairs_per_second", "cpu_ms_per_pair")
    known = {name: [result[name] for result in trained if result[name] is not None] for name in names}
    middle = {name: float(np.median(values)) if values else None for name, values in known.items()}
    return {
        **middle,
        "peak_memory_bytes": max(result["peak_memory_bytes"] for result in trained),
        "teacher_half_life_pairs": trained[0]["teacher_half_life_pairs"],
        "device": trained[0]["device"],
    }


def cost_of_pair(results: Sequence[Mapping[str, Any]]) -> Cost | None:
    """The median over cells, in milliseconds of the processor, or on a card of the clock; None if unknown."""
    known = [
        result["cpu_ms_per_pair"] if result["device"] == "cpu" else 1000 / result["pairs_per_second"]
        for result in results
        if result["failed"] is None and result["cpu_ms_per_pair"] and result["pairs_per_second"]
    ]
    return float(np.median(known)) if known else None
