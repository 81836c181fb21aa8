"""Who is tested in a comparison, and which findings count among them."""

from typing import Any

from medistill.data.corpus import Corpus, Rows
from medistill.data.folds import FoldedCorpus
from medistill.data.studies import studies_of
from medistill.evaluate.prompts.derived import is_normal


def tested_rows(corpus: Corpus) -> Rows:
    """Those that some final cell is tested on: the test split, or of folds the whole corpus."""
    return corpus.everyone if isinstance(corpus, FoldedCorpus) else corpus.split("test")


def about_tested(corpus: Corpus, min_positives: int) -> dict[str, Any]:
    """What results say of the corpus, of those tested and of the findings that count."""
    card = corpus.card
    return {
        "sha256": card["sha256"],
        "source": card.get("source", ""),
        "splits": card["splits"],
        "tested": _counts(corpus),
        "judged": judged_findings(corpus, min_positives),
    }


def judged_findings(corpus: Corpus, min_positives: int) -> dict[str, int] | None:
    """Findings that so many of the tested studies show, with their number; none that says normal.

    None where any number will do: then all findings count.
    """
    if not min_positives:
        return None
    shown = (studies_of(tested_rows(corpus)).labels == 1).sum(axis=0)
    counts = {name: int(count) for name, count in zip(corpus.findings, shown, strict=True)}
    return {name: n for name, n in counts.items() if n >= min_positives and not is_normal(name)}


def _counts(corpus: Corpus) -> dict[str, Any]:
    """Images, studies and patients."""
    if not isinstance(corpus, FoldedCorpus):
        return corpus.card["splits"]["test"]
    by_fold = corpus.counted_card["splits"].values()
    return {what: sum(split[what] for split in by_fold) for what in ("images", "studies", "patients")}
