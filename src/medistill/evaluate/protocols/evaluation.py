"""Named protocols of one model on one corpus, and the files they leave."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medistill.data.corpus import corpus_hash
from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import Prompts
from medistill.evaluate.protocols.cases import findings_to_score
from medistill.evaluate.protocols.named import protocol_named
from medistill.evaluate.protocols.run import run_protocol
from medistill.evaluate.statistics.interval import Metrics
from medistill.evaluate.tasks.examples import Shown, examples_by_split
from medistill.model.embedder import UnitEmbedder
from medistill.model.fingerprint import model_hash
from medistill.model.remembering import Remembering
from medistill.system.progress import Progress


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
