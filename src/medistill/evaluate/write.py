"""An evaluation on disk: metrics.json, evaluation.json, page.html."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from medistill.atomic import write_atomically
from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.interval import Metrics
from medistill.evaluate.page import page

DIGITS = 6
METRICS, PROTOCOL, PAGE = "metrics.json", "evaluation.json", "page.html"


def write_evaluation(
    evaluation: Evaluation,
    out: Path,
    *,
    with_cases: bool = False,
    history: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write the three files, each whole or not at all.

    with_cases   show test images and report texts even if they are not phantoms, which are always shown
    history      the lines of the run's metrics.jsonl, for the training curves
    """
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / METRICS, canonical_json(evaluation.metrics))
    write_atomically(out / PROTOCOL, canonical_json(evaluation.protocol))
    shown = with_cases or evaluation.drawn_cases
    write_atomically(out / PAGE, page(evaluation, with_cases=shown, history=history or ()))


def read_metrics(out: Path) -> Mapping[str, Metrics]:
    """The figures that `write_evaluation` left in `out`."""
    return json.loads((out / METRICS).read_text())


def canonical_json(value: object) -> str:
    """Sorted keys and six digits: equal figures are equal bytes."""
    return json.dumps(rounded(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def rounded(value: object) -> object:
    """The same value with every float cut to six digits, -0 made 0."""
    if isinstance(value, Mapping):
        return {str(k): rounded(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in cast("Sequence[object]", value)]
    return round(value, DIGITS) + 0.0 if isinstance(value, float) else value
