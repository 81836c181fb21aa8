"""Which cases of a corpus a protocol scores, and by which labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from jaxtyping import Float32

from medistill.data.studies import Studies, studies_at, studies_of
from medistill.errors import CallError
from medistill.evaluate.protocols.protocol import Protocol
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import embed_images
from medistill.system.progress import Progress, counted


@dataclass(frozen=True, kw_only=True)
class Cases:
    """Cases of one split; their labels are those of the findings to score, in that order."""

    split: str
    rows: Any
    studies: Studies

    def embedded(
        self, model: UnitEmbedder, protocol: Protocol, on_progress: Progress | None
    ) -> Float32[np.ndarray, "n d"]:
        """The image of each case; `on_progress` hears a stage, how many are done, and of how many."""
        on_done = counted(on_progress, f"{protocol.name}, {self.split} images", len(self.studies))
        return embed_images(model, self.rows, self.studies.rows, on_done)


def findings_to_score(protocol: Protocol, corpus: Any) -> tuple[str, ...]:
    """None for retrieval. CallError for a corpus of another kind, or one that does not label them all."""
    source = str(corpus.card.get("source", ""))
    if protocol.sources and source not in protocol.sources:
        kinds = " or ".join(protocol.sources)
        raise CallError(
            f"protocol {protocol.name} is for a corpus from `prepare {kinds}`, this one is from "
            f"{source or 'an unnamed source'}; protocol labels takes any"
        )
    if protocol.task == "retrieval":
        return ()
    findings = tuple(protocol.findings or protocol.prompts) or tuple(corpus.findings)
    missing = [finding for finding in findings if finding not in corpus.findings]
    if missing or not findings:
        lacking = f"'{missing[0]}'" if missing else "any finding"
        raise CallError(f"the corpus does not label {lacking}, which protocol {protocol.name} scores")
    return findings


def cases_to_score(protocol: Protocol, corpus: Any, findings: Sequence[str]) -> Cases:
    """What the protocol is about: cases of one class alone, or those with a report, or all of its split.

    CallError if the corpus lacks the split, or it holds no such case.
    """
    cases = _cases(protocol, corpus, findings, _split(protocol, corpus))
    studies = cases.studies
    if protocol.task == "classes":
        studies = studies.select(np.flatnonzero((studies.labels == 1).sum(axis=1) == 1))
    if protocol.task == "retrieval":
        studies = studies.select(studies.reported)
    if not len(studies):
        raise CallError(f"split {cases.split} holds no case that protocol {protocol.name} could score")
    return Cases(split=cases.split, rows=cases.rows, studies=studies)


def validation_cases(protocol: Protocol, corpus: Any, findings: Sequence[str], test: Cases) -> Cases | None:
    """Those to fit probabilities and thresholds on; None if no other split than that tested has labels."""
    if "val" not in corpus.splits or test.split == "val":
        return None
    cases = _cases(protocol, corpus, findings, "val")
    return cases if np.isin(cases.studies.labels, (0, 1)).any() else None


def _cases(protocol: Protocol, corpus: Any, findings: Sequence[str], split: str) -> Cases:
    rows = corpus.split(split)
    studies = studies_of(rows) if protocol.unit == "study" else _each_image(rows)
    columns = [corpus.findings.index(finding) for finding in findings]
    return Cases(split=split, rows=rows, studies=studies.with_labels(studies.labels[:, columns]))


def _split(protocol: Protocol, corpus: Any) -> str:
    begins = protocol.split.endswith("-")
    named = [
        name
        for name in corpus.splits
        if name == protocol.split or (begins and name.startswith(protocol.split))
    ]
    if len(named) != 1:
        hint = "; `prepare` draws it with --subset-seed" if begins and not named else ""
        raise CallError(
            f"protocol {protocol.name} needs one split {protocol.split}{'*' * begins}, "
            f"there are {', '.join(corpus.splits)}{hint}"
        )
    return named[0]


def _each_image(rows: Any) -> Studies:
    """Every image a case, in an order that does not depend on that of the rows."""
    labels = np.asarray(rows.labels, dtype=np.float32)
    marks = [
        (study, sha256(rows.stored(row)).digest(), text, labels[row].tobytes())
        for row, (study, text) in enumerate(zip(rows.study_ids, rows.texts, strict=True))
    ]
    return studies_at(rows, sorted(range(len(rows)), key=marks.__getitem__))
