"""How often each finding is present and absent in each split."""

from collections.abc import Iterator, Mapping

import numpy as np

from medistill.data.check.flag import Flag
from medistill.data.check.splits import Splits
from medistill.data.corpus import Corpus

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Finding -> split -> present, absent, uncertain, not stated, in images."""
_NAMED = 5  # findings named in one line


def label_counts(corpus: Corpus, splits: Splits) -> Counts:
    labels = corpus.labels
    return {
        finding: {
            name: _counted(labels[splits.rows(number), column]) for number, name in enumerate(splits.names)
        }
        for column, finding in enumerate(corpus.findings)
    }


def label_flags(counts: Counts) -> Iterator[Flag]:
    """Findings without a positive or without a negative where figures need both."""
    whole = {
        finding: {state: sum(split[state] for split in by_split.values()) for state in ("present", "absent")}
        for finding, by_split in counts.items()
    }
    for state in ("present", "absent"):
        never = [finding for finding, total in whole.items() if not total[state]]
        if never:
            yield _flag(f"never {state} in any split", never)
        for split in next(iter(counts.values()), {}):
            missing = [
                finding
                for finding, by_split in counts.items()
                if whole[finding][state] and not by_split[split][state]
            ]
            if missing:
                yield _flag(f"never {state} in {split}", missing, (split,))


def _flag(what: str, findings: list[str], splits: tuple[str, ...] = ()) -> Flag:
    more = f"; {len(findings) - _NAMED:,} more" if len(findings) > _NAMED else ""
    named = "; ".join(findings[:_NAMED])
    said = f"{len(findings):,} finding{'s' * (len(findings) != 1)} {what}: {named}{more}"
    return Flag(check="labels", severity="warning", said=said, count=len(findings), splits=splits)


def _counted(labels: np.ndarray) -> dict[str, int]:
    states = {"present": labels == 1, "absent": labels == 0, "uncertain": labels == -1}
    return {state: int(found.sum()) for state, found in states.items()} | {
        "not stated": int(np.isnan(labels).sum())
    }
