"""Evaluate models on disk on a corpus on disk."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from medistill.data.corpus import open_corpus
from medistill.data.folds import as_trained_on
from medistill.engine.track import read_track
from medistill.errors import CallError
from medistill.evaluate.comparison import Entrant, compared
from medistill.evaluate.evaluation import Evaluation, evaluate_model
from medistill.evaluate.files import COMPARISON, COMPARISON_PAGE, write_files
from medistill.evaluate.pages.comparison import comparison_page
from medistill.evaluate.pages.evaluation import page
from medistill.evaluate.pages.protocols import protocol_page
from medistill.evaluate.prompts.file import read_prompts
from medistill.evaluate.prompts.own import own_prompts
from medistill.evaluate.prompts.prompts import Prompts
from medistill.evaluate.protocols.evaluation import evaluate_protocols, protocol_examples
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.examples import Shown
from medistill.model.any_model import is_foreign, open_model, public_name
from medistill.system.checksums import write_all_checked
from medistill.system.json_files import canonical_json
from medistill.system.locks import writing
from medistill.system.private import private_files
from medistill.system.progress import Progress

Measured = tuple[Mapping[str, Metrics], Mapping[str, Any]]
"""Figures, which still hold their resampled values, and the account of how they came about."""


@private_files()
def evaluate_run(
    model: str | Path,
    data: Path,
    out: Path,
    *,
    split: str = "test",
    prompts: Path | None = None,
    own: Prompts | None = None,
    with_cases: bool = False,
    fine_tune: bool = False,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Measured:
    """Evaluate what `open_model` finds by that name; writes metrics.json, evaluation.json and page.html.

    prompts   a file of them, in place of any others
    own       in place of the model's own
    """
    wording = read_prompts(prompts) if prompts else None
    corpus, opened = open_corpus(data), open_model(model, device)
    corpus = as_trained_on(corpus, opened)
    with writing(out):
        evaluation = evaluate_model(
            opened,
            corpus,
            split=split,
            prompts=wording,
            own=own,
            fine_tune=fine_tune,
            embeddings=embeddings_of(data),
            on_progress=on_progress,
        )
        history = [] if is_foreign(model) else read_track(Path(model))
        write_evaluation(evaluation, out, with_cases=with_cases, history=history)
    return evaluation.metrics, evaluation.protocol


@private_files()
def evaluate_by_protocol(
    model: str | Path,
    data: Path,
    out: Path,
    names: Sequence[str],
    *,
    prompts: Path | None = None,
    with_cases: bool = False,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> Measured:
    """Score what `open_model` finds by these protocols; writes the same three files."""
    wording = read_prompts(prompts) if prompts else None
    opened = open_model(model, device)
    corpus = as_trained_on(open_corpus(data), opened)
    options: dict[str, Any] = {"embeddings": embeddings_of(data), "on_progress": on_progress}
    with writing(out):
        metrics, account = evaluate_protocols(opened, corpus, names, prompts=wording, **options)
        drawn = with_cases or account["source"] == "phantom"
        shown = protocol_examples(opened, corpus, account, **options) if drawn else None
        write_protocols(metrics, account, out, shown=shown)
    return metrics, account


@private_files()
def evaluate_against(
    models: Sequence[str],
    data: Path,
    out: Path,
    *,
    protocols: Sequence[str] = (),
    device: str = "auto",
    on_progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate each model into `out`/A, `out`/B, ...; writes and returns how they differ from the first.

    protocols   what to score by; without any, all that `evaluate_run` measures
    options     of `evaluate_by_protocol` or of `evaluate_run`, the same for every model
    """
    if not 2 <= len(models) <= len(ascii_uppercase):
        raise CallError(f"{len(models)} models to compare, expected 2 to {len(ascii_uppercase)}")
    # All of them before the first is scored, which may take long. They are asked the same: what the first of
    # them that was left with prompts is asked.
    own = [own_prompts(open_model(model, device)) for model in models]
    if not protocols:
        options |= {"own": next(filter(None, own), None)}
    with writing(out):
        comparison = compared(
            _entrants(models, data, out, protocols, on_progress, options | {"device": device})
        )
        write_comparison(comparison, out)
    return comparison


def _entrants(
    models: Sequence[str],
    data: Path,
    out: Path,
    protocols: Sequence[str],
    on_progress: Progress | None,
    options: Mapping[str, Any],
) -> list[Entrant]:
    """Each model evaluated into a folder of its own."""
    entrants: list[Entrant] = []
    for label, model in zip(ascii_uppercase, models, strict=False):
        heard = partial(_of_model, label, on_progress) if on_progress else None
        metrics, account = (
            evaluate_by_protocol(model, data, out / label, protocols, on_progress=heard, **options)
            if protocols
            else evaluate_run(model, data, out / label, on_progress=heard, **options)
        )
        name = public_name(model)
        entrants.append(Entrant(label=label, name=name, metrics=metrics, account=account))
    return entrants


def _of_model(label: str, on_progress: Progress, stage: str, done: int, total: int | None) -> None:
    on_progress(f"{label}: {stage}", done, total)


def embeddings_of(data: Path) -> Path:
    """The folder beside a corpus where embeddings of its images and texts are kept."""
    corpus = data.absolute()
    return corpus.with_name(f"{corpus.name}.embeddings")


def write_protocols(
    metrics: dict[str, Metrics],
    account: dict[str, Any],
    out: Path,
    *,
    shown: Mapping[str, Shown] | None = None,
) -> None:
    """Write metrics.json, evaluation.json and page.html, each whole or not at all; `shown` is on the page."""
    write_files(out, metrics, account, protocol_page(metrics, account, shown))


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


@private_files()
def write_comparison(comparison: Mapping[str, Any], out: Path) -> None:
    """How models differ, and its page, both or neither."""
    page_of = {COMPARISON_PAGE: comparison_page(comparison)}
    write_all_checked(out, {COMPARISON: canonical_json(comparison)}, page_of)
