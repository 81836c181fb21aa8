"""The head of a model card: the hub's metadata, in YAML."""

from collections.abc import Mapping
from typing import Any

import yaml

from medistill.evaluate.statistics.interval import Entry
from medistill.serve.card.facts import Evaluated, Facts

_TYPES = (
    *(("auroc", "roc_auc"), ("ap_macro", "average_precision"), ("f1_macro", "f1"), ("accuracy", "accuracy")),
    *(("brier", "brier_score"), ("ece", "expected_calibration_error")),
)
"""How the hub calls a metric whose name begins so; others keep their names."""


def front_matter(facts: Facts, library: str = "medistill") -> str:
    """Between two lines of dashes, as github.com/huggingface/hub-docs/blob/main/modelcard.md has it.

    library   that loads the folder the card lies in
    """
    data = {
        "license": "other",
        "license_name": "not-stated",
        "library_name": library,
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["medical", "radiology", "vision-language", "contrastive", facts.recipe["objective"]],
        **_base(facts),
        **_results(facts),
    }
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)}---\n"


def _base(facts: Facts) -> dict[str, Any]:
    names = [facts.recipe[tower]["pretrained"] for tower in ("image", "text")]
    public = [name for name in dict.fromkeys(names) if "/" in name]
    return {"base_model": public} if public else {}


def _results(facts: Facts) -> dict[str, Any]:
    results = [
        _result(evaluated, task, entries)
        for evaluated in facts.evaluations
        for task, entries in evaluated.metrics.items()
        if any(entry["value"] is not None for entry in entries.values())
    ]
    if not results:
        return {}
    types = {metric["type"] for result in results for metric in result["metrics"]}
    return {"metrics": sorted(types), "model-index": [{"name": facts.name, "results": results}]}


def _result(evaluated: Evaluated, task: str, entries: Mapping[str, Entry]) -> dict[str, Any]:
    dataset = {
        "type": evaluated.source,
        "name": f"{evaluated.source}, a corpus of medistill",
        "split": evaluated.split(task),
        "revision": str(evaluated.account.get("corpus_sha256", "not stated")),
    }
    metrics = [
        {"type": _type(name), "value": entry["value"], "name": f"{name} ({basis(entry)})"}
        for name, entry in entries.items()
        if entry["value"] is not None and not name.startswith("chance_")  # is of the data, not of the model
    ]
    return {"task": {"type": _task(task), "name": task}, "dataset": dataset, "metrics": metrics}


def basis(entry: Entry) -> str:
    """What a figure rests on, in words."""
    interval = f"95 % interval {number(entry['low'])} to {number(entry['high'])}"
    if entry["low"] is None or entry["high"] is None:
        interval = "no interval"
    return f"{interval}; {entry['n_images']} images, {entry['n_patients']} patients"


def number(value: object) -> str:
    """Three digits behind the point."""
    return f"{value:.3f}" if isinstance(value, int | float) else "not stated"


def _type(name: str) -> str:
    return next((kind for begin, kind in _TYPES if name.startswith(begin)), name)


def _task(task: str) -> str:
    if task.startswith("few_shot"):
        return "image-classification"
    return "image-text-retrieval" if task.startswith("retrieval") else "zero-shot-image-classification"
