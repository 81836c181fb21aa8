"""Evaluate a model on disk on a corpus on disk."""

from collections.abc import Sequence
from pathlib import Path

from medistill.data.corpus import open_corpus
from medistill.engine.track import read_track
from medistill.evaluate.evaluation import Progress, evaluate_model
from medistill.evaluate.prompt_file import read_prompts
from medistill.evaluate.protocol_evaluation import evaluate_protocols, write_protocols
from medistill.evaluate.write import write_evaluation
from medistill.model.any_model import is_foreign, open_model


def evaluate_run(
    model: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    prompts: Path | None = None,
    with_cases: bool = False,
    fine_tune: bool = False,
    on_progress: Progress | None = None,
) -> None:
    """Evaluate what `open_model` finds by that name; writes metrics.json, evaluation.json and page.html."""
    asked = read_prompts(prompts) if prompts else None
    corpus = open_corpus(data)
    evaluation = evaluate_model(
        open_model(model),
        corpus,
        split=split,
        prompts=asked,
        fine_tune=fine_tune,
        embeddings=embeddings_of(data),
        on_progress=on_progress,
    )
    history = [] if is_foreign(model) else read_track(Path(model))
    write_evaluation(evaluation, out, with_cases=with_cases, history=history)


def evaluate_by_protocol(
    model: str | Path,
    data: Path,
    out: Path,
    names: Sequence[str],
    *,
    prompts: Path | None = None,
    on_progress: Progress | None = None,
) -> None:
    """Score what `open_model` finds by these protocols; writes the same three files."""
    asked = read_prompts(prompts) if prompts else None
    metrics, account = evaluate_protocols(
        open_model(model),
        open_corpus(data),
        names,
        prompts=asked,
        embeddings=embeddings_of(data),
        on_progress=on_progress,
    )
    write_protocols(metrics, account, out)


def embeddings_of(data: Path) -> Path:
    """The folder beside a corpus where embeddings of its images and texts are kept."""
    corpus = data.absolute()
    return corpus.with_name(f"{corpus.name}.embeddings")
