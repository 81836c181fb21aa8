"""Named protocols of one model on one corpus, and the files they leave."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medistill.errors import CallError
from medistill.evaluate.embedder import UnitEmbedder
from medistill.evaluate.examples import Shown, examples_by_split
from medistill.evaluate.fingerprint import corpus_hash, model_hash
from medistill.evaluate.interval import Metrics
from medistill.evaluate.page_protocols import protocol_page
from medistill.evaluate.prompts import Prompts
from medistill.evaluate.protocol_cases import Progress, findings_to_score
from medistill.evaluate.protocol_run import run_protocol
from medistill.evaluate.protocols import protocol_named
from medistill.evaluate.remembering import Remembering
from medistill.evaluate.write import write_files


def evaluate_protocols(
    model: Any,
    corpus: Any,
    names: Sequence[str],
    *,
    prompts: Prompts | None = None,
    seed: int = 0,
    resamples: int = 1000,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[dict[str, Metrics], dict[str, Any]]:
    """Figures by `protocol:<name>`, and how they came about by the protocol's name.

    prompts      by finding, in place of the protocols' own
    embeddings   folder to keep embeddings in, so that nothing is embedded twice
    CallError for a protocol that does not exist or is not for this corpus.
    """
    protocols = [protocol_named(name) for name in dict.fromkeys(names)]
    if prompts and all(protocol.task == "retrieval" for protocol in protocols):
        raise CallError("prompts are given, and a protocol of retrieval asks for none: leave out --prompts")
    for protocol in protocols:
        findings_to_score(protocol, corpus)  # before the first is scored, which may take long
    asked = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    outcomes = {
        protocol.name: run_protocol(
            protocol,
            asked,
            corpus,
            prompts=prompts,
            seed=seed,
            resamples=resamples,
            on_progress=on_progress,
        )
        for protocol in protocols
    }
    account = {
        "source": str(corpus.card.get("source", "")),
        "model_sha256": model_hash(asked.model),
        "corpus_sha256": corpus_hash(corpus),
        "preprocessing": asked.preprocessing,
        "prompts_given": prompts is not None,
        "protocols": {name: outcome.account for name, outcome in outcomes.items()},
    }
    return {f"protocol:{name}": outcome.metrics for name, outcome in outcomes.items()}, account


def protocol_examples(
    model: Any,
    corpus: Any,
    account: Mapping[str, Any],
    *,
    embeddings: Path | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Shown]:
    """Images and their nearest reports of each split that these protocols score, by split."""
    asked = Remembering(model, embeddings) if embeddings else UnitEmbedder(model)
    splits = [about["split"] for about in account["protocols"].values()]
    return examples_by_split(asked, corpus, splits, on_progress=on_progress)


def write_protocols(
    metrics: dict[str, Metrics],
    account: dict[str, Any],
    out: Path,
    *,
    shown: Mapping[str, Shown] | None = None,
) -> None:
    """Write metrics.json, evaluation.json and page.html, each whole or not at all; `shown` is on the page."""
    write_files(out, metrics, account, protocol_page(metrics, account, shown))
