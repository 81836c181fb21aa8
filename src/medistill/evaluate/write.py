"""An evaluation on disk: metrics.json, evaluation.json, page.html."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from medistill.atomic import write_atomically
from medistill.evaluate.evaluation import Evaluation
from medistill.evaluate.interval import Metrics
from medistill.evaluate.page import page
from medistill.evaluate.page_comparison import comparison_page

DIGITS = 6
METRICS, PROTOCOL, PAGE = "metrics.json", "evaluation.json", "page.html"
COMPARISON, COMPARISON_PAGE = "comparison.json", "comparison.html"


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
    shown = with_cases or evaluation.drawn_cases
    html = page(evaluation, with_cases=shown, history=history or ())
    write_files(out, evaluation.metrics, evaluation.protocol, html)


def write_files(out: Path, metrics: Mapping[str, Metrics], protocol: Mapping[str, Any], html: str) -> None:
    """The figures, how they came about, and their page."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / METRICS, canonical_json(metrics))
    write_atomically(out / PROTOCOL, canonical_json(protocol))
    write_atomically(out / PAGE, html)


def write_comparison(comparison: Mapping[str, Any], out: Path) -> None:
    """How models differ, and its page, each whole or not at all."""
    write_atomically(out / COMPARISON, canonical_json(comparison))
    write_atomically(out / COMPARISON_PAGE, comparison_page(comparison))


def read_metrics(out: Path) -> Mapping[str, Metrics]:
    """The figures that `write_evaluation` left in `out`."""
    return json.loads((out / METRICS).read_text())


def read_comparison(out: Path) -> Mapping[str, Any]:
    """What `write_comparison` left in `out`."""
    return json.loads((out / COMPARISON).read_text())


def read_headlines(out: Path) -> Mapping[str, str]:
    """The figure to quote of each named protocol scored there."""
    protocols = json.loads((out / PROTOCOL).read_text()).get("protocols", {})
    return {name: about["headline"] for name, about in protocols.items()}


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
