"""Evaluate a model on disk on a corpus on disk."""

import json
from pathlib import Path

from medistill.data.corpus import open_corpus
from medistill.engine.track import read_track
from medistill.errors import CallError
from medistill.evaluate.evaluation import Progress, evaluate_model
from medistill.evaluate.prompts import Prompts, checked
from medistill.evaluate.write import write_evaluation
from medistill.model.dual import load


def evaluate_run(
    model: Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    prompts: Path | None = None,
    with_cases: bool = False,
    on_progress: Progress | None = None,
) -> None:
    """Evaluate `model` (run or model folder); writes metrics.json, evaluation.json and page.html."""
    asked = read_prompts(prompts) if prompts else None
    corpus = open_corpus(data)
    evaluation = evaluate_model(load(model), corpus, split=split, prompts=asked, on_progress=on_progress)
    write_evaluation(evaluation, out, with_cases=with_cases, history=read_track(model))


def read_prompts(path: Path) -> Prompts:
    """Prompts from a JSON file; CallError if it is not one."""
    try:
        return checked(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise CallError(f"cannot read prompts from {path}: {error}") from error
